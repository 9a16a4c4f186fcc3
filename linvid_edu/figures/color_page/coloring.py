"""Color a clip by several models, and measure each of them beside baselines that need no training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.measures import effective_tokens, mass_on
from linvid_edu.attention.mechanisms import Similarity
from linvid_edu.models.color_measures import (
    RIGHT_LAB,
    ClipColors,
    ColorMeasures,
    baseline_errors,
    color_distance,
    mean_color_errors,
    measures_of_map,
    relative_error,
)
from linvid_edu.models.color_transformer import (
    ColorTransformer,
    copied_colors,
    gray_video,
    target_frames,
    token_colors,
)
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import variant_of
from linvid_edu.shapes import Float, Grid, UInt8
from linvid_edu.video.cielab import paint, to_lab
from linvid_edu.video.tokens import pair

from .color_clip import ColorClip

MOST_MECHANISMS = 6


class Painter(NamedTuple):
    """A color model and where its weights come from, such as the name of a file."""

    model: VideoTransformer
    origin: str


class Painted(NamedTuple):
    """What one model made of the clip.

    name, label: name of the variant, and how figures show it
    origin: where the weights come from
    weights: copy map of the shown frames that are not known, (targets n known n)
    q, k, similarity: what the map is made of, see ``weights_between``, (targets n f) and (known n f)
    colors: ab color of each token of the shown frames; those of known frames are true, (t n 2)
    measures: how well the frames that are not known were colored
    errors: distance of each color from the truth in Lab units, (targets n)
    """

    name: str
    label: str
    origin: str
    weights: Float[Tensor, "targets n known n"]
    q: Float[Tensor, "targets n f"]
    k: Float[Tensor, "known n f"]
    similarity: Similarity
    colors: Float[Tensor, "t n 2"]
    measures: ColorMeasures
    errors: Float[Tensor, "targets n"]


class Coloring(NamedTuple):
    """A clip, colored by several models.

    clip: the clip
    grid: rows and columns of the tokens of a frame
    lab: the shown frames in Lab, in the size of the page, (3 t h w)
    known: indices of the known frames among the shown frames
    colors: the true colors of the tokens
    token_lab: mean L, a and b of each token of the shown frames, (t n 3)
    painted: one entry for each model
    baselines: errors of predictions that need no training, (targets n) each
    """

    clip: ColorClip
    grid: Grid
    lab: Float[Tensor, "3 t h w"]
    known: tuple[int, ...]
    colors: ClipColors
    token_lab: Float[Tensor, "t n 3"]
    painted: tuple[Painted, ...]
    baselines: Mapping[str, Float[Tensor, "targets n"]]

    @property
    def targets(self) -> list[int]:
        """Indices of the frames that were colored, among the shown frames."""
        return target_frames(self.lab.shape[1], self.known)


@torch.no_grad()
def paint_clip(clip: ColorClip, painters: Sequence[Painter]) -> Coloring:
    """Color the shown frames of a clip by each model.

    Args:
        clip: The clip.
        painters: Color models of one size in evaluation mode, one for each mechanism.

    Raises:
        ValueError: There are no models or too many, a model is no color model, models differ in size, or two have the
            same mechanism.
    """
    check_painters(painters)
    first = painters[0].model
    grid, shown = first.config.grid, list(clip.shown)
    lab, small = to_lab(clip.frames[shown]), model_frames(clip.frames[shown], first)
    known = tuple(shown.index(index) for index in clip.known)
    colors = ClipColors.of(small, grid, known)
    cells = F.adaptive_avg_pool2d(small[0].transpose(0, 1), (grid.rows, grid.columns)).flatten(2).transpose(1, 2)
    painted = tuple(_paint_shown(painter, small, known, colors) for painter in painters)
    baselines = {name: errors[0] for name, errors in baseline_errors(small, grid, known).items()}
    return Coloring(clip, grid, lab, known, colors, cells, painted, baselines)


def check_painters(painters: Sequence[Painter]) -> None:
    """Raise ValueError unless the models can color one clip together; see ``paint_clip``."""
    if not 1 <= len(painters) <= MOST_MECHANISMS:
        raise ValueError(f"{len(painters)} mechanisms: choose 1 to {MOST_MECHANISMS}, which fit on a page")
    origins: dict[str, str] = {}
    for model, origin in painters:
        if not isinstance(model, ColorTransformer):
            raise ValueError(
                f"{origin} is no color model, it answers with {model.config.num_classes} classes: train one with "
                "`linvid train --task color`"
            )
        first = painters[0].model.config
        if (model.config.image_size, model.config.grid) != (first.image_size, first.grid):
            raise ValueError(
                f"{painters[0].origin} and {origin} see frames of {_size_text(painters[0].model)} and "
                f"{_size_text(model)}: choose models of one size"
            )
        name = model.config.variant
        if name in origins:
            raise ValueError(f"{origins[name]} and {origin} are both {name!r}: choose one for each mechanism")
        origins[name] = origin
    height, width = pair(painters[0].model.config.image_size)
    if height != width:
        raise ValueError(f"{painters[0].origin} is made for frames of {height} × {width} pixels, videos are squares")


def _size_text(model: VideoTransformer) -> str:
    height, width = pair(model.config.image_size)
    return f"{height} × {width} pixels and {model.config.grid.rows} × {model.config.grid.columns} tokens"


def model_frames(frames: UInt8[Tensor, "t h w 3"], model: VideoTransformer) -> Float[Tensor, "1 3 t height width"]:
    """Return frames in Lab in the size that a model takes, averaged over areas."""
    size = pair(model.config.image_size)
    small = F.interpolate(frames.permute(0, 3, 1, 2).float(), size=size, mode="area").round().to(torch.uint8)
    return to_lab(small.permute(0, 2, 3, 1))[None]


def _paint_shown(painter: Painter, small: Tensor, known: tuple[int, ...], colors: ClipColors) -> Painted:
    model = painter.model
    assert isinstance(model, ColorTransformer)
    grid, targets = model.config.grid, target_frames(small.shape[2], known)
    tokens = model.encode(gray_video(small))
    weights = model.head(tokens, grid, known)
    q, k, _, similarity = model.head.attention_inputs(tokens, grid)
    q, k = (operand.unflatten(2, (-1, grid.tokens))[0, 0] for operand in (q, k))
    copied = copied_colors(weights, colors.known)
    everything = token_colors(small, grid)[0]
    everything[targets] = copied[0]
    variant = variant_of(model.config)
    return Painted(
        variant.name,
        variant.label,
        painter.origin,
        weights[0],
        q[targets],
        k[list(known)],
        similarity,
        everything,
        measures_of_map(weights, copied, colors),
        color_distance(copied, colors.truth)[0],
    )


def painted_film(clip: ColorClip, lab: Float[Tensor, "3 t h w"], model: VideoTransformer) -> UInt8[Tensor, "t h w 3"]:
    """Color all frames of a clip, not only those that the page shows; known frames keep their own colors.

    Args:
        clip: The clip.
        lab: Its frames in Lab.
        model: Color model.
    """
    assert isinstance(model, ColorTransformer)
    small = model_frames(clip.frames, model)
    with torch.no_grad():
        copied = model(gray_video(small), token_colors(small, model.config.grid)[:, list(clip.known)], clip.known)[0]
    film = clip.frames.clone()
    targets = target_frames(len(film), clip.known)
    film[targets] = paint(lab[:, targets], copied, model.config.grid)
    return film


class TokenMeasures(NamedTuple):
    """What the map of each token says, (targets n) each.

    effective: effective tokens; 0 for a row without weight
    right: share of the attention on tokens whose color is right; NaN if there are none
    """

    effective: Float[Tensor, "targets n"]
    right: Float[Tensor, "targets n"]


def token_measures(painted: Painted, colors: ClipColors) -> TokenMeasures:
    """Measure each row of a copy map, as ``measures_of_map`` does on average."""
    rows = painted.weights.flatten(2)
    live = rows.abs().sum(dim=-1) > 0
    effective = torch.zeros(live.shape)
    effective[live] = effective_tokens(rows[live]).to(effective.dtype)
    right = torch.cdist(colors.truth[0], colors.known.flatten(1, 2)) < RIGHT_LAB
    share = torch.full(live.shape, torch.nan)
    possible = live & right.any(dim=-1)
    share[possible] = mass_on(rows[possible], right[possible]).to(share.dtype)
    return TokenMeasures(effective, share)


def color_numbers(coloring: Coloring) -> dict[str, Any]:
    """Return the numbers of the page as plain values for JSON; a number that does not exist is None.

    Returns:
        "mechanisms", the fields of ``ColorMeasures`` by the name of the variant; "baselines", "relative_error" and
        "relative_error_moving" of each; and what identifies the clip: "video", "frames", "seconds" (first and last),
        "references" (in seconds), "grid", and "moving", the share of tokens that moved.
    """
    mean_errors, moving = mean_color_errors(coloring.colors)[0], coloring.colors.moving[0]
    clip = coloring.clip
    shown = clip.times[list(clip.shown)].tolist()
    return {
        "video": Path(clip.source).name,
        "frames": len(shown),
        "seconds": [round(shown[0], 3), round(shown[-1], 3)],
        "references": [round(seconds, 3) for seconds in clip.times[list(clip.known)].tolist()],
        "grid": list(coloring.grid),
        "moving": moving.float().mean().item(),
        "mechanisms": {
            painted.name: {name: _number(value) for name, value in painted.measures._asdict().items()}
            for painted in coloring.painted
        },
        "baselines": {
            name: {
                "relative_error": _number(relative_error(errors, mean_errors)),
                "relative_error_moving": _number(relative_error(errors, mean_errors, moving)),
            }
            for name, errors in coloring.baselines.items()
        },
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
