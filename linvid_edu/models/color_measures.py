"""How well a clip was colored: errors of a model, of baselines that need no training, and where the model looked.

All errors are distances between ab colors in Lab units, one for each token of the frames that were colored. A relative
error divides them by the errors of the mean color of the known frames: 1 is as good as one color for everything, 0 is
perfect.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.measures import effective_tokens, mass_on, normalized_entropy
from linvid_edu.shapes import Bool, Float, Grid

from .color_transformer import ColorTransformer, copied_colors, gray_video, target_frames, token_colors
from .transformer import VideoTransformer

RIGHT_LAB = 5.0  # Lab units; closer colors count as the same, and a token moved if its place changed by more
SOFT_TEMPERATURES = (2.0, 4.0, 8.0, 16.0)  # of gray distances, in units of L


class ClipColors(NamedTuple):
    """The colors of one batch of clips on the token grid.

    known: colors of the known frames, (b known n 2)
    truth: colors of the frames to color, (b targets n 2)
    moving: tokens whose place has another color in the nearest known frame, (b targets n)
    """

    known: Float[Tensor, "b known n 2"]
    truth: Float[Tensor, "b targets n 2"]
    moving: Bool[Tensor, "b targets n"]

    @classmethod
    def of(cls, lab: Float[Tensor, "b 3 t h w"], grid: Grid, references: Sequence[int]) -> "ClipColors":
        """Return the colors of clips in Lab.

        Args:
            lab: Clips in Lab.
            grid: Rows and columns of the tokens of a frame.
            references: Indices of the known frames.
        """
        colors = token_colors(lab, grid)
        truth = colors[:, target_frames(lab.shape[2], references)]
        same_place = colors[:, nearest_references(lab.shape[2], references)]
        return cls(colors[:, list(references)], truth, color_distance(same_place, truth) > RIGHT_LAB)


def color_distance(colors: Float[Tensor, "*batch 2"], truth: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """Return √((a − a′)² + (b − b′)²), in Lab units."""
    return (colors - truth).norm(dim=-1)


def nearest_references(t: int, references: Sequence[int]) -> list[int]:
    """Return the nearest known frame of each frame to color; the earlier one if two are equally near."""
    return [min(references, key=lambda known: (abs(known - frame), known)) for frame in target_frames(t, references)]


def relative_error(
    errors: Float[Tensor, "*tokens"],
    mean_errors: Float[Tensor, "*tokens"],
    where: Bool[Tensor, "*tokens"] | None = None,
) -> float:
    """Return Σ errors / Σ mean_errors over the tokens of a mask; NaN if the mean color is right everywhere.

    Args:
        errors: Errors of a prediction.
        mean_errors: Errors of the mean color of the known frames.
        where: Tokens to count; None means all.
    """
    if where is not None:
        errors, mean_errors = errors[where], mean_errors[where]
    return (errors.sum() / mean_errors.sum()).item()


def mean_color_errors(colors: ClipColors) -> Float[Tensor, "b targets n"]:
    """Return the errors of the mean color of the known frames."""
    mean = colors.known.mean(dim=(1, 2), keepdim=True)
    return color_distance(mean.expand_as(colors.truth), colors.truth)


def baseline_errors(
    lab: Float[Tensor, "b 3 t h w"], grid: Grid, references: Sequence[int]
) -> dict[str, Float[Tensor, "b targets n"]]:
    """Return the errors of predictions that need no training.

    Returns:
        "mean color" of the known frames; "same place" in the nearest known frame; "nearest gray patch", the color of
        the most similar gray patch, and "soft gray match", a softmax of the distances of gray patches, each in the best
        of several sizes and temperatures (chosen on these clips, which flatters it); "best reference", the closest of
        all known colors, which no copy of a single token can beat.
    """
    colors = ClipColors.of(lab, grid, references)
    known, truth = colors.known.flatten(1, 2), colors.truth
    nearest = token_colors(lab, grid)[:, nearest_references(lab.shape[2], references)]
    hard, soft = [], []
    for distance in _gray_distances(lab, grid, references):
        hard.append(_of_tokens(known, F.one_hot(distance.argmin(dim=-1), distance.shape[-1]).to(known.dtype), truth))
        for temperature in SOFT_TEMPERATURES:
            soft.append(_of_tokens(known, (-4 * (distance / temperature) ** 2).softmax(dim=-1), truth))
    return {
        "mean color": mean_color_errors(colors),
        "same place": color_distance(nearest, truth),
        "nearest gray patch": min(hard, key=torch.sum),
        "soft gray match": min(soft, key=torch.sum),
        "best reference": _color_distances(truth, known).amin(dim=-1).reshape(truth.shape[:-1]),
    }


def _of_tokens(known: Tensor, weights: Tensor, truth: Tensor) -> Tensor:
    return color_distance((weights @ known).reshape(truth.shape), truth)


def _color_distances(truth: Float[Tensor, "b targets n 2"], known: Float[Tensor, "b tokens 2"]) -> Tensor:
    """Return the distance of each true color from each known one, (b targets·n tokens), without rounding of squares."""
    return torch.cdist(truth.flatten(1, 2), known, compute_mode="donot_use_mm_for_euclid_dist")


def _gray_distances(lab: Tensor, grid: Grid, references: Sequence[int]) -> list[Tensor]:
    """Return the RMS differences of gray patches, (b targets·n r·n): first of cells, then of twice their side."""
    b, _, t, height, width = lab.shape
    cell = (height // grid.rows, width // grid.columns)
    gray = rearrange(lab[:, :1], "b c t h w -> (b t) c h w")
    gray = gray[..., : cell[0] * grid.rows, : cell[1] * grid.columns]
    distances = []
    for margin in (0, min(cell) // 2):
        kernel = (cell[0] + 2 * margin, cell[1] + 2 * margin)
        patches = F.unfold(F.pad(gray, (margin,) * 4, mode="replicate"), kernel, stride=cell)
        patches = rearrange(patches, "(b t) values n -> b t n values", b=b)
        targets, known = patches[:, target_frames(t, references)], patches[:, list(references)]
        size = patches.shape[-1] ** 0.5
        distances.append(torch.cdist(targets.flatten(1, 2), known.flatten(1, 2)) / size)
    return distances


class ColorMeasures(NamedTuple):
    """How well a model colors clips.

    relative_error: mean error of a token, relative to the mean color of the known frames
    relative_error_moving: the same on tokens that moved
    selectivity: share of attention on tokens whose color is right, where there are any
    entropy: normalized entropy of the copy map
    effective_tokens: exp(entropy) of the copy map
    """

    relative_error: float
    relative_error_moving: float
    selectivity: float
    entropy: float
    effective_tokens: float


@torch.no_grad()
def measure_colors(
    model: VideoTransformer, lab: Float[Tensor, "b 3 t h w"], references: Sequence[int]
) -> tuple[ColorMeasures, Float[Tensor, "b targets n 2"]]:
    """Color clips, and measure how well.

    Args:
        model: Color model on the device of the clips.
        lab: Clips in Lab; the colors of frames that are no references are used for the errors only.
        references: Indices of the known frames.

    Returns:
        The measures, and the color of each token.

    Raises:
        ValueError: The model is no color model.
    """
    if not isinstance(model, ColorTransformer):
        raise ValueError(f'a model of {model.config.output} copies no colors: take one with output="colors"')
    colors = ClipColors.of(lab, model.config.grid, references)
    weights = model.copy_map(gray_video(lab), references)
    copied = copied_colors(weights, colors.known)
    return measures_of_map(weights, copied, colors), copied


def measures_of_map(
    weights: Float[Tensor, "b targets n known m"], copied: Float[Tensor, "b targets n 2"], colors: ClipColors
) -> ColorMeasures:
    """Return the measures of a map that copied colors; rows without weight count for the errors only."""
    errors, mean_errors = color_distance(copied, colors.truth), mean_color_errors(colors)
    rows = rearrange(weights, "b t n r m -> b (t n) (r m)")
    right = _color_distances(colors.truth, colors.known.flatten(1, 2)) < RIGHT_LAB
    live = rows.abs().sum(dim=-1) > 0
    possible = live & right.any(dim=-1)
    return ColorMeasures(
        relative_error(errors, mean_errors),
        relative_error(errors, mean_errors, colors.moving),
        mass_on(rows[possible], right[possible]).mean().item(),
        normalized_entropy(rows[live]).mean().item(),
        effective_tokens(rows[live]).mean().item(),
    )
