"""What the explorers show: models traced on one clip, and the weights of one token in a view of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from linvid_edu.figures.plots.frame_layout import Token
from linvid_edu.models.clip_trace import KNOWN_FRAME, Recolored, recolor_clip, trace_clip
from linvid_edu.models.color_transformer import ColorTransformer
from linvid_edu.models.trace import Trace
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Float, Grid
from linvid_edu.video.clip import Clip
from linvid_edu.video.tokens import pair

MOST_MODELS = 4  # panels side by side
UNTRAINED = "untrained: random weights"

MapSpan = Literal["clip", "time", "space"]
ViewDirection = Literal["query → keys", "key ← queries"]
VIEW_DIRECTIONS = ROW, COLUMN = get_args(ViewDirection)


class TracedModel(NamedTuple):
    """One model and what its attention did on one clip.

    name: Heading above its panel
    status: Origin of its weights in a few words, such as "untrained: random weights"; may be empty
    trace: What ``record`` saw of its layers
    grid: Rows and columns of the tokens of one frame
    recolored: The clip as a color model colors it; None for other models
    """

    name: str
    status: str
    trace: Trace
    grid: Grid
    recolored: Recolored | None = None

    @property
    def joint(self) -> bool:
        """Whether its attention is joint over space and time, not divided."""
        return "joint" in self.trace.blocks[0]


class View(NamedTuple):
    """Which weights of a traced model are shown.

    block: Index of the block, counted from 0
    span: "time" or "space", the map of one layer; "clip", both composed, or the map of joint attention
    head: Index of the head, counted from 0; None is the mean over heads
    direction: "query → keys", the weights that a token gives, or "key ← queries", those that it receives
    """

    block: int
    span: MapSpan = "clip"
    head: int | None = None
    direction: ViewDirection = ROW


def trace_models(
    clip: Clip, models: Mapping[str, VideoTransformer], statuses: Mapping[str, str] | None = None
) -> list[TracedModel]:
    """Run each model on the clip once and keep what its attention received.

    Args:
        clip: Clip with the number of frames and the size that the models expect.
        models: Name to model, one to four, all of which cut frames into the same tokens.
        statuses: Name to a few words about the model's weights. A model without an entry is called untrained if
            ``untrained`` says so.

    Raises:
        ValueError: The clip does not fit a model, or the models do not match each other; the message says what to do.
    """
    if not 1 <= len(models) <= MOST_MODELS:
        raise ValueError(f"models has {len(models)} entries: pass 1 to {MOST_MODELS}, which stand side by side")
    traced = []
    for name, model in models.items():
        _check_clip(clip, name, model)
        trace = trace_clip(model, clip)
        status = (statuses or {}).get(name, UNTRAINED if untrained(model) else "")
        recolored = recolor_clip(model, clip) if isinstance(model, ColorTransformer) else None
        traced.append(TracedModel(name, status, trace, model.config.grid, recolored))
    first = traced[0]
    for other in traced[1:]:
        if (other.grid, other.joint) != (first.grid, first.joint):
            raise ValueError(
                f"{first.name} and {other.name} differ in their tokens or in how they attend over space and time, "
                f"{_tokens(first)} and {_tokens(other)}: compare models of one kind"
            )
    return traced


def untrained(model: VideoTransformer) -> bool:
    """Return whether the last LayerNorm still has its initial values, which training changes."""
    return bool((model.norm.weight == 1).all() and (model.norm.bias == 0).all())


def choices(traced: Sequence[TracedModel]) -> dict[str, Any]:
    """Return what all models have: the number of ``blocks`` and ``heads``, the ``spans``, and whether ``joint``."""
    joint = traced[0].joint
    layers = [next(iter(model.trace.blocks[0].values())) for model in traced]
    return {
        "blocks": min(len(model.trace.blocks) for model in traced),
        "heads": min(layer.q.shape[1] for layer in layers),
        "spans": ["clip"] if joint else list(get_args(MapSpan)),
        "joint": joint,
    }


def token_weights(model: TracedModel, view: View, token: Token) -> Float[Tensor, "t rows columns"]:
    """Compute the weights of one token as a view shows them, in O(tokens · d) once a column's normalizers are known.

    query → keys: the row A_token,j; key ← queries: the column A_i,token, what every query gives to this key

    Args:
        model: Model that was traced on a clip.
        view: Choice of the weights.
        token: Frame, row and column.

    Returns:
        Weights, float32 on the CPU; NaN where the map does not reach. A color model reaches the known frame only.
    """
    frame, place = token[0], model.grid.token(*token[1:])
    heads = slice(None) if view.head is None else slice(view.head, view.head + 1)
    if view.span == "clip":
        trace = model.trace
        of_heads = (trace.row if view.direction == ROW else trace.column)(view.block, frame, place)
        weights = of_heads[0, heads].mean(0)
    else:
        layer = model.trace.blocks[view.block][view.span]
        of_heads = (layer.row if view.direction == ROW else layer.column)(frame, place)
        weights = of_heads.new_full(layer.q.shape[2:4], torch.nan)
        weights[layer.group(frame, place)] = of_heads[0, heads].mean(0)
    weights = weights.float().cpu().unflatten(-1, tuple(model.grid))
    if model.recolored is not None and view.direction == ROW:
        weights[torch.arange(len(weights)) != KNOWN_FRAME] = torch.nan
    return weights


def _check_clip(clip: Clip, name: str, model: VideoTransformer) -> None:
    """Raise ValueError if the clip's number of frames or its size differs from the model's."""
    t, h, w, _ = clip.frames.shape
    frames, (height, width) = model.config.num_frames, pair(model.config.image_size)
    if model.config.output == "classes" and t != frames:
        raise ValueError(f"the clip has {t} frames, {name} expects {frames}: load it with num_frames={frames}")
    if (h, w) != (height, width):
        raise ValueError(f"the clip has {h}×{w} pixels, {name} expects {height}×{width}: load it with size={height}")


def _tokens(model: TracedModel) -> str:
    rows, columns = model.grid
    return f"{rows}×{columns} {'joint' if model.joint else 'divided'}"
