"""The state behind the AttentionExplorer: models recorded on one clip, and the weights that a view of them shows."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from linvid_edu.attention.functions import EPS
from linvid_edu.attention.spans import Span
from linvid_edu.models.trace import LayerTrace, Trace, record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Float, Grid
from linvid_edu.video.clip import Clip
from linvid_edu.video.tokens import pair

MOST_MODELS = 4
UNTRAINED = "untrained: random weights"

Token = tuple[int, int, int]
Shown = Literal["clip", "time", "space"]
Direction = Literal["query → keys", "key ← queries"]


class Recording(NamedTuple):
    """What one model's attention did on one clip.

    name: shown above it
    status: where its weights come from, in a few words, such as "untrained: random weights"; may be empty
    trace: its layers
    grid: of the tokens of one frame
    """

    name: str
    status: str
    trace: Trace
    grid: Grid


class View(NamedTuple):
    """Which weights of a recording are shown.

    block: counted from 0
    span: "time" or "space", the map of one layer; "clip", both composed, or the map of joint attention
    head: counted from 0; None is the mean over heads
    direction: "query → keys", the weights that a token gives, or "key ← queries", those that it receives
    """

    block: int
    span: Shown = "clip"
    head: int | None = None
    direction: Direction = "query → keys"


def record_models(
    clip: Clip, models: Mapping[str, VideoTransformer], statuses: Mapping[str, str] | None = None
) -> list[Recording]:
    """Run each model on the clip once and keep what its attention received.

    Args:
        clip: of the models' number of frames and size.
        models: name to model, one to four, all of which cut frames into the same tokens.
        statuses: name to words about its weights; a model that it lacks is called untrained where it is, which its
            last LayerNorm tells: training moves it from its first values.

    Raises:
        ValueError: the clip fits a model not, or the models fit not together; it names the way out.
    """
    if not 1 <= len(models) <= MOST_MODELS:
        raise ValueError(f"models has {len(models)} entries: pass 1 to {MOST_MODELS}, which stand side by side")
    recordings = []
    for name, model in models.items():
        _check(clip, name, model)
        device = next(model.parameters()).device
        with torch.no_grad(), record(model) as trace:
            model(clip.video.unsqueeze(0).to(device))
        status = (statuses or {}).get(name, UNTRAINED if untrained(model) else "")
        recordings.append(Recording(name, status, trace, model.config.grid))
    first = recordings[0]
    for each in recordings:
        if each.grid != first.grid or _joint(each) != _joint(first):
            raise ValueError(
                f"{first.name} and {each.name} differ in their tokens or in how they attend over space and time, "
                f"{_words(first)} and {_words(each)}: compare models of one kind"
            )
    return recordings


def untrained(model: VideoTransformer) -> bool:
    """Say whether a model is as it was made: the first step of training changes the scale of its last LayerNorm."""
    return bool((model.norm.weight == 1).all() and (model.norm.bias == 0).all())


def choices(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Say what all recordings have: how many ``blocks`` and ``heads``, which ``spans``, and whether they are joint."""
    joint = _joint(recordings[0])
    layers = [next(iter(each.trace.blocks[0].values())) for each in recordings]
    return {
        "blocks": min(len(each.trace.blocks) for each in recordings),
        "heads": min(layer.q.shape[1] for layer in layers),
        "spans": ["clip"] if joint else ["clip", "time", "space"],
        "joint": joint,
    }


def token_weights(recording: Recording, view: View, token: Token) -> Float[Tensor, "t rows columns"]:
    """Compute the weights of one token as a view shows them, in O(tokens · e) once a column's normalizers are known.

    query → keys: the row A_token,j; key ← queries: the column A_i,token, what every query gives to this key

    Args:
        recording: of a model on a clip.
        view: which of its weights.
        token: frame, row and column.

    Returns:
        float32 on the CPU, NaN where the map does not reach.
    """
    layers, frame, place = recording.trace.blocks[view.block], token[0], recording.grid.token(*token[1:])
    heads = slice(None) if view.head is None else slice(view.head, view.head + 1)
    inward = view.direction == "key ← queries"
    if view.span == "clip":
        found = _clip_column(layers, frame, place) if inward else recording.trace.row(view.block, frame, place)
        weights = found[0, heads].mean(0)
    else:
        layer = layers[view.span]
        found = column(layer, frame, place) if inward else layer.row(frame, place)
        weights = found.new_full(layer.q.shape[2:4], torch.nan)
        weights[_group(layer.span, frame, place)] = found[0, heads].mean(0)
    return weights.float().cpu().unflatten(-1, tuple(recording.grid))


def column(layer: LayerTrace, frame: int, token: int) -> Tensor:
    """Return what each query gives to one key: space (b heads n), time (b heads t), joint (b heads t n)."""
    group = (slice(None), slice(None), *_group(layer.span, frame, token))
    similarity = torch.einsum("bh...e,bhe->bh...", layer.input_q[group], layer.input_k[:, :, frame, token])
    if layer.similarity != "softmax":
        return similarity / normalizer(layer)[group]
    return (similarity * layer.q.shape[-1] ** -0.5 - normalizer(layer)[group]).exp()


def normalizer(layer: LayerTrace) -> Float[Tensor, "b heads t n"]:
    """Compute what each query's weights are divided by, once for a layer.

    linear: z_i = Σ_j q_i·k_j + eps, O(tokens · e); softmax: z_i = ln Σ_j exp(q_i·k_j / √e), the logarithm of it;
    product: z_i = 1
    """
    if layer not in _normalizers:
        _normalizers[layer] = _normalizer(layer)
    return _normalizers[layer]


_normalizers: WeakKeyDictionary[LayerTrace, Tensor] = WeakKeyDictionary()


def _normalizer(layer: LayerTrace) -> Tensor:
    q, k = layer.input_q, layer.input_k
    if layer.similarity == "product":
        return q.new_ones(q.shape[:-1])
    if layer.similarity == "linear":
        axes = {"space": (3,), "time": (2,), "joint": (2, 3)}[layer.span]
        return (q * k.sum(dim=axes, keepdim=True)).sum(dim=-1) + EPS
    scaled = q * q.shape[-1] ** -0.5
    if layer.span == "time":
        return (scaled.transpose(2, 3) @ k.transpose(2, 3).mT).logsumexp(dim=-1).transpose(2, 3)
    if layer.span == "space":
        return (scaled @ k.mT).logsumexp(dim=-1)
    keys = k.flatten(2, 3).mT
    return torch.stack([(frame @ keys).logsumexp(dim=-1) for frame in scaled.unbind(2)], dim=2)  # never all at once


def _clip_column(layers: Mapping[str, LayerTrace], frame: int, token: int) -> Float[Tensor, "b heads t n"]:
    """Return what each query gives to one key: joint attention as it is, divided attention composed.

    a(t, n) = A_time[n'](t, t') · A_space[t](n, n'), for the key at frame t' and location n'
    """
    if "joint" in layers:
        return column(layers["joint"], frame, token)
    gave = column(layers["time"], frame, token)
    space = layers["space"]
    columns = torch.stack([column(space, each, token) for each in range(space.q.shape[2])], dim=2)
    return gave.unsqueeze(-1) * columns


def _group(span: Span, frame: int, token: int) -> tuple[Any, Any]:
    """Index the frames and locations that attend to a token."""
    frames = frame if span == "space" else slice(None)
    return frames, token if span == "time" else slice(None)


def _check(clip: Clip, name: str, model: VideoTransformer) -> None:
    """Refuse a clip of another number of frames or another size than the model's."""
    t, h, w, _ = clip.frames.shape
    frames, (height, width) = model.config.num_frames, pair(model.config.image_size)
    if t != frames:
        raise ValueError(f"the clip has {t} frames, {name} expects {frames}: load it with num_frames={frames}")
    if (h, w) != (height, width):
        raise ValueError(f"the clip has {h}×{w} pixels, {name} expects {height}×{width}: load it with size={height}")


def _joint(recording: Recording) -> bool:
    return "joint" in recording.trace.blocks[0]


def _words(recording: Recording) -> str:
    rows, columns = recording.grid
    return f"{rows}×{columns} {'joint' if _joint(recording) else 'divided'}"
