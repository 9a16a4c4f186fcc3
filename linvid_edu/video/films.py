"""Films without labels: their frames at a steady rate, and windows of frames that no scene cut divides."""

import math
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float, Int, UInt8

FRAMES_PER_SECOND = 10.0
MOST_SECONDS = 180.0  # of one film, so that its frames fit into memory
CUT_LEVELS = 20.0  # of 255: mean change of color at a scene cut, at least
CUT_RATIO = 3.0  # a scene cut changes this many times as much as the frames around it
CUT_GRID = 8  # rows and columns of mean colors that are compared


class Film(NamedTuple):
    """Frames of a film at a steady rate.

    source: path of the file
    frames: RGB values, 0 to 255, (t h w 3)
    times: seconds since the first frame, (t)
    cuts: indices of the frames that begin a new scene; the first frame is not listed
    """

    source: str
    frames: UInt8[Tensor, "t h w 3"]
    times: Float[Tensor, "t"]
    cuts: tuple[int, ...]

    @property
    def scenes(self) -> list[tuple[int, int]]:
        """First frame, and frame after the last, of each scene."""
        limits = [0, *self.cuts, len(self.frames)]
        return list(pairwise(limits))

    def part(self, first: int, stop: int) -> "Film":
        """Return the frames from one index up to another, with the times of the whole film."""
        cuts = tuple(cut - first for cut in self.cuts if first < cut < stop)
        return Film(self.source, self.frames[first:stop], self.times[first:stop], cuts)


def read_film(path: str | Path, *, size: int = 96, rate: float = FRAMES_PER_SECOND) -> Film:
    """Read the frames of a video file at a steady rate, up to its first three minutes.

    Args:
        path: Path of a local file.
        size: Height and width of the frames in pixels; frames are cropped as in ``load_clip``.
        rate: Frames per second.

    Raises:
        VideoError: The file is not a readable video, or has fewer than two frames.
    """
    from .opening import VideoError  # needs PyAV, and training on photographs does not
    from .reading import stream_frames

    frames, times = [], []
    for frame in stream_frames(path, rate=rate, size=size):
        if frame.time > MOST_SECONDS:
            break
        frames.append(frame.pixels)
        times.append(frame.time)
    if len(frames) < 2:
        raise VideoError(f"{path}: the video has {len(frames)} frame: choose a video with at least 2")
    pixels = torch.stack(frames)
    return Film(str(path), pixels, torch.tensor(times), scene_cuts(pixels))


def scene_cuts(frames: UInt8[Tensor, "t h w 3"]) -> tuple[int, ...]:
    """Return the frames that begin a new scene.

    Frame i begins one if the mean colors of an 8 × 8 grid change by more than 20 of 255 levels from frame i − 1,
    and by more than 3 times as much as in any other step of the frames around, i − 3 to i + 3.
    """
    cells = F.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), CUT_GRID)
    change = cells.diff(dim=0).abs().mean(dim=(1, 2, 3)).tolist()
    cuts = []
    for step, value in enumerate(change):
        around = change[max(0, step - 2) : step] + change[step + 1 : step + 3]
        if value > CUT_LEVELS and value > CUT_RATIO * max(around, default=0.0):
            cuts.append(step + 1)
    return tuple(cuts)


def random_windows(
    film: Film, *, count: int, frames: int, spacing: tuple[float, float], generator: torch.Generator
) -> Int[Tensor, "count frames"]:
    """Draw windows of frames that lie in one scene, evenly spaced in time.

    Args:
        film: Film whose frames have a steady rate.
        count: Number of windows.
        frames: Number of frames of a window.
        spacing: Least and largest time between two frames of a window, in seconds. A scene that is too short for it
            gets windows that are as long as the scene.
        generator: Source of the random numbers.

    Returns:
        Indices of the frames.

    Raises:
        ValueError: Every scene has fewer frames than a window.
    """
    scenes = [(first, stop) for first, stop in film.scenes if stop - first >= frames]
    if not scenes:
        raise _too_short(film, frames)
    seconds = (film.times[-1] - film.times[0]).item() / (len(film.times) - 1)
    least, largest = (max(1, round(gap / seconds)) for gap in spacing)
    lengths = torch.tensor([stop - first for first, stop in scenes], dtype=torch.float64)
    windows = []
    for scene in torch.multinomial(lengths, count, replacement=True, generator=generator).tolist():
        first, stop = scenes[scene]
        room = (stop - first - 1) // max(frames - 1, 1)
        low, high = min(least, room), min(largest, room)
        gap = int(torch.randint(low, high + 1, (), generator=generator))
        begin = first + int(torch.randint(stop - first - gap * (frames - 1), (), generator=generator))
        windows.append([begin + gap * index for index in range(frames)])
    return torch.tensor(windows)


def even_windows(film: Film, *, frames: int, most: int) -> Int[Tensor, "windows frames"]:
    """Return windows for tests: evenly spaced frames over each scene, and over parts of long scenes of about 2 seconds.

    Args:
        film: Film whose frames have a steady rate.
        frames: Number of frames of a window.
        most: Largest number of windows, spread evenly over the film.

    Raises:
        ValueError: Every scene has fewer frames than a window.
    """
    seconds = (film.times[-1] - film.times[0]).item() / (len(film.times) - 1)
    windows = []
    for first, stop in film.scenes:
        if stop - first < frames:
            continue
        parts = max(1, min(math.floor((stop - first) * seconds / 2), (stop - first) // frames))
        limits = torch.linspace(first, stop, parts + 1).long().tolist()
        for begin, end in pairwise(limits):
            windows.append(torch.linspace(begin, end - 1, frames).round().long())
    if not windows:
        raise _too_short(film, frames)
    chosen = torch.linspace(0, len(windows) - 1, min(most, len(windows))).round().long().tolist()
    return torch.stack([windows[index] for index in chosen])


def _too_short(film: Film, frames: int) -> ValueError:
    """Return the error of a film whose scenes are all shorter than a window."""
    longest = max(stop - first for first, stop in film.scenes)
    return ValueError(
        f"{film.source}: its longest scene has {longest} frames, a window has {frames}: use a film with longer scenes"
    )
