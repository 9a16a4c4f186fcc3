"""Run a streaming model over frames as they arrive, and keep a bounded record: curves, thumbnails, moments."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from linvid_edu.attention.causal import frame_map, frame_rows
from linvid_edu.attention.causal_sums import Passed
from linvid_edu.attention.measures import normalized_entropy
from linvid_edu.models.streaming import ModelStream, Step
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Grid
from linvid_edu.video.reading import TimedFrame
from linvid_edu.video.tokens import patch_grid

from .thinned import Thinned

MOST_POINTS = 512  # of each curve
MOST_THUMBNAILS = 16
MOST_QUERIES = 256  # of a frame, evenly spread, for its entropy: all queries of a large frame would need n² numbers


class Moment(NamedTuple):
    """Where one token attends in its own frame, at a requested time.

    Args:
        requested: Requested time in seconds.
        time: Time of the frame in seconds.
        pixels: Frame, (h w 3).
        weights: Shares of the weights on its own frame, or of their absolute values if some are negative, Σ = 1, (rows
            columns).
        own: Share of all the token's weights that lies on its own frame.
    """

    requested: float
    time: float
    pixels: np.ndarray
    weights: np.ndarray
    own: float


@dataclass
class Watched:
    """Record of a stream.

    Args:
        grid: Token grid of one frame.
        query: Row and column of the query token.
        seconds, frames: Time and number of frames that have passed.
        state: Number of values that the model keeps, whatever the length of the stream.
        curves: For some frames, their time and measures of the last block: "entropy of the own frame" (normalized, mean
            over queries and heads), "share of the own frame" (of attention over time, or joint attention), "even
            weights, own frame" (that share if all weights were equal), and with fixation "query ratio" and "key ratio"
            (means).
        film: For some frames, their time and pixels.
        moments: Requested moments that the stream reached.
        missed: Requested times that it did not reach.
        trouble: Error that ended the stream early; "" if there was none.
    """

    grid: Grid
    query: tuple[int, int]
    seconds: float = 0.0
    frames: int = 0
    state: int = 0
    curves: Thinned = field(default_factory=lambda: Thinned(MOST_POINTS))
    film: Thinned = field(default_factory=lambda: Thinned(MOST_THUMBNAILS))
    moments: list[Moment] = field(default_factory=list)
    missed: list[float] = field(default_factory=list)
    trouble: str = ""


def watch(
    frames: Iterable[TimedFrame],
    model: VideoTransformer,
    *,
    at: Sequence[int | float] = (),
    query: tuple[int | None, int | None] = (None, None),
    progress: Callable[[float], object] = lambda seconds: None,
) -> Watched:
    """Run a model over frames as they arrive; the memory does not grow with their number.

    Args:
        frames: Frames in the order of time. A ValueError that the iterator raises after the first frame ends the stream
            and is kept as ``trouble``.
        model: A model that streams; see ``ModelStream``.
        at: Times in seconds at which the query's weights are kept: those of the first frame that is not earlier. The
            last frame is taken to last as long as the interval before it.
        query: Row and column of the query token, counted from 0; None is the middle.
        progress: Called with the seconds that have passed.

    Raises:
        ValueError: There is no frame, the model does not stream, or there is no such token.
    """
    stream, waiting = ModelStream(model), sorted(float(time) for time in at)
    watched: Watched | None = None
    trouble: list[str] = []
    previous = 0.0
    for frame in _until_error(frames, trouble):
        if watched is None:
            watched = _begin(frame, model, query)
        step = stream.update(frame.video.unsqueeze(0))
        previous, watched.seconds = watched.seconds, frame.time
        watched.frames += 1
        _keep(watched, frame, step)
        while waiting and waiting[0] <= frame.time:
            watched.moments.append(_moment(waiting.pop(0), frame, step, watched))
        progress(frame.time)
    if watched is None:
        raise ValueError("the stream has no frame: choose a file with video in it")
    end = 2 * watched.seconds - previous
    while waiting and waiting[0] < end:
        watched.moments.append(_moment(waiting.pop(0), frame, step, watched))
    watched.missed, watched.state, watched.trouble = waiting, stream.numbers, "".join(trouble)
    return watched


def _until_error(frames: Iterable[TimedFrame], trouble: list[str]) -> Iterator[TimedFrame]:
    """Yield frames up to a ValueError, whose message goes into `trouble`; an error before the first frame is raised."""
    started = False
    try:
        for frame in frames:
            started = True
            yield frame
    except ValueError as error:
        if not started:
            raise
        trouble.append(str(error))


def _begin(frame: TimedFrame, model: VideoTransformer, query: tuple[int | None, int | None]) -> Watched:
    config = model.config
    height, width = frame.video.shape[1:]
    grid = patch_grid((height, width), kernel=config.kernel, stride=config.stride, padding=config.padding)
    row, column = (size // 2 if index is None else index for index, size in zip(query, grid, strict=True))
    if not (0 <= row < grid.rows and 0 <= column < grid.columns):
        raise ValueError(
            f"row {row}, column {column} is outside the {grid.rows}×{grid.columns} tokens of a frame: choose rows 0 to "
            f"{grid.rows - 1} and columns 0 to {grid.columns - 1}"
        )
    return Watched(grid, (row, column))


def _keep(watched: Watched, frame: TimedFrame, step: Step) -> None:
    watched.curves.add(lambda: (frame.time, _measures(step, watched.frames)))
    watched.film.add(lambda: (frame.time, frame.pixels.numpy().copy()))


def _measures(step: Step, frames: int) -> dict[str, float]:
    within, over = _within_and_over(step)
    weights = frame_map(within, every=math.ceil(within.q.shape[-2] / MOST_QUERIES))
    weights = torch.where(weights.sum(dim=-1, keepdim=True) > 0, weights, torch.ones_like(weights))
    measures = {
        "entropy of the own frame": normalized_entropy(weights).mean().item(),
        "share of the own frame": over.own.mean().item(),
        "even weights, own frame": 1 / frames,
    }
    ratios = [layer.ratios for layer in step.layers[-1].values() if layer.ratios is not None]
    if ratios:
        measures["query ratio"] = sum(ratio.q.mean().item() for ratio in ratios) / len(ratios)
        measures["key ratio"] = sum(ratio.k.mean().item() for ratio in ratios) / len(ratios)
    return measures


def _within_and_over(step: Step) -> tuple[Passed, Passed]:
    """Return the attention of the last block within a frame and over time; joint attention is both."""
    layers = step.layers[-1]
    return (layers["joint"],) * 2 if "joint" in layers else (layers["space"], layers["time"])


def _moment(requested: float, frame: TimedFrame, step: Step, watched: Watched) -> Moment:
    (within, over), token = _within_and_over(step), watched.grid.token(*watched.query)
    rows = frame_rows(within, token)[0].mean(dim=0)
    weights = (rows / rows.sum().clamp(min=1e-30)).unflatten(0, tuple(watched.grid)).double().numpy()
    return Moment(requested, frame.time, frame.pixels.numpy().copy(), weights, _own_share(over, token))


def _own_share(passed: Passed, token: int) -> float:
    """Return the share of a token's weights that lies on its own frame."""
    # attention over time has a batch entry for each location, joint attention one for all
    own = passed.own if passed.own.shape[-1] > 1 else passed.own.squeeze(-1).mT.unsqueeze(0)  # (1 heads n)
    return own[0, :, token].mean().item()
