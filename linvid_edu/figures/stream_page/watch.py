"""Run a streaming model over frames as they come, and keep a bounded record: curves, thumbnails, moments."""

from collections.abc import Callable, Iterable, Sequence
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

POINTS = 512  # of a curve at most: where it is full, every other one goes
THUMBNAILS = 16  # of the film strip at most
QUERIES = 256  # of a frame at most, evenly spread, whose entropy is taken: all of a large one would need n² numbers


class Moment(NamedTuple):
    """What one token looks at in its own frame, at a time that was asked for.

    asked, time: seconds that were asked for, and of the frame
    pixels: (h w 3)
    weights: shares of the weights on the own frame, of their sizes where some are negative, Σ = 1, (rows columns)
    own: share of all its weights that lies on the own frame
    """

    asked: float
    time: float
    pixels: np.ndarray
    weights: np.ndarray
    own: float


class Thinned:
    """A list of bounded length: where it is full, every other entry goes, and so do new ones from then on.

    Args:
        most: entries at most, at least 2.
    """

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.seen = most, 1, 0
        self.entries: list = []

    def add(self, make: Callable[[], object]) -> None:
        """Keep what `make` returns, or do not call it."""
        if self.seen % self.stride == 0:
            self.entries.append(make())
            if len(self.entries) > self.most:
                self.entries, self.stride = self.entries[::2], 2 * self.stride
        self.seen += 1


@dataclass
class Watched:
    """What is known of a stream.

    Args:
        grid: of the tokens of one frame.
        query: row and column of the token that asks.
        seconds, frames: how much has passed.
        state: numbers that the model keeps of what has passed, whatever its length.
        curves: for some frames, their time and measures of the last block: "entropy of the own frame" (normalized, mean
            over queries and heads), "share of the own frame" (of attention over time, or joint attention), "even
            weights, own frame" (what that would be if all weights were equal), and with fixation "query ratio" and "key
            ratio" (means).
        film: for some frames, their time and pixels.
        moments: those that were asked for and came.
        missed: those that did not.
        trouble: why the file ended early, in words; "" where it did not.
    """

    grid: Grid
    query: tuple[int, int]
    seconds: float = 0.0
    frames: int = 0
    state: int = 0
    curves: Thinned = field(default_factory=lambda: Thinned(POINTS))
    film: Thinned = field(default_factory=lambda: Thinned(THUMBNAILS))
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
    """Run a model over frames as they come, keeping no more the longer it takes.

    Args:
        frames: in the order of time; a ValueError that they raise after the first one ends the stream and is told.
        model: that streams, see ``ModelStream``.
        at: seconds at which the query's weights are kept: those of the first frame that is not earlier, or of the last
            one while it lasts, as long as the one before it.
        query: row and column of the token that asks, counted from 0; None is the middle.
        progress: called with the seconds that have passed.

    Raises:
        ValueError: there is no frame, the model does not stream, or there is no such token.
    """
    stream, waiting = ModelStream(model), sorted(float(each) for each in at)
    found: Watched | None = None
    last: tuple[TimedFrame, Step, float] | None = None
    iterator = iter(frames)
    while True:
        try:
            frame = next(iterator)
        except StopIteration:
            break
        except ValueError as error:
            if found is None:
                raise
            found.trouble = str(error)
            break
        if found is None:
            found = _begin(frame, model, query)
        step = stream.update(frame.video.unsqueeze(0))
        last = frame, step, 2 * frame.time - found.seconds
        found.seconds, found.frames = frame.time, found.frames + 1
        _keep(found, frame, step)
        while waiting and waiting[0] <= frame.time:
            found.moments.append(_moment(waiting.pop(0), frame, step, found))
        progress(frame.time)
    if found is None or last is None:
        raise ValueError("the stream has no frame: choose a file with video in it")
    while waiting and waiting[0] < last[2]:
        found.moments.append(_moment(waiting.pop(0), *last[:2], found))
    found.missed, found.state = waiting, stream.numbers
    return found


def _begin(frame: TimedFrame, model: VideoTransformer, query: tuple[int | None, int | None]) -> Watched:
    config = model.config
    height, width = frame.video.shape[1:]
    grid = patch_grid((height, width), kernel=config.kernel, stride=config.stride, padding=config.padding)
    row, column = (size // 2 if asked is None else asked for asked, size in zip(query, grid, strict=True))
    if not (0 <= row < grid.rows and 0 <= column < grid.columns):
        raise ValueError(
            f"row {row}, column {column} is outside the {grid.rows}×{grid.columns} tokens of a frame: choose rows 0 to "
            f"{grid.rows - 1} and columns 0 to {grid.columns - 1}"
        )
    return Watched(grid, (row, column))


def _keep(found: Watched, frame: TimedFrame, step: Step) -> None:
    found.curves.add(lambda: (frame.time, _measures(step, found.frames)))
    found.film.add(lambda: (frame.time, frame.pixels.numpy().copy()))


def _measures(step: Step, frames: int) -> dict[str, float]:
    within, over = _within_and_over(step)
    weights = frame_map(within, every=-(-within.q.shape[-2] // QUERIES))
    weights = torch.where(weights.sum(dim=-1, keepdim=True) > 0, weights, torch.ones_like(weights))
    measures = {
        "entropy of the own frame": normalized_entropy(weights).mean().item(),
        "share of the own frame": over.own.mean().item(),
        "even weights, own frame": 1 / frames,
    }
    ratios = [layer.ratios for layer in step.layers[-1].values() if layer.ratios is not None]
    for name, pairs in (("query ratio", [each.q for each in ratios]), ("key ratio", [each.k for each in ratios])):
        if pairs:
            measures[name] = sum(each.mean().item() for each in pairs) / len(pairs)
    return measures


def _within_and_over(step: Step) -> tuple[Passed, Passed]:
    """Return what the last block attends with within a frame, and over time: one and the same where it is joint."""
    layers = step.layers[-1]
    return (layers["joint"],) * 2 if "joint" in layers else (layers["space"], layers["time"])


def _moment(asked: float, frame: TimedFrame, step: Step, found: Watched) -> Moment:
    (within, over), token = _within_and_over(step), found.grid.token(*found.query)
    rows = frame_rows(within, token)[0].mean(dim=0)
    weights = (rows / rows.sum().clamp(min=1e-30)).unflatten(0, tuple(found.grid)).double().numpy()
    return Moment(asked, frame.time, frame.pixels.numpy().copy(), weights, _own(over, token))


def _own(passed: Passed, token: int) -> float:
    """Return the own share of one token."""
    # attention over time has a batch entry for each location, joint attention one for all
    own = passed.own if passed.own.shape[-1] > 1 else passed.own.squeeze(-1).mT.unsqueeze(0)  # (1 heads n)
    return own[0, :, token].mean().item()
