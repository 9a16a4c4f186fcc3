"""The clip that is colored: its frames, which of them are known in color, and which of them the page shows."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float, UInt8
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.films import FRAMES_PER_SECOND, scene_cuts
from linvid_edu.video.reading import load_clip, video_facts

SHOWN_FRAMES = 24  # of up to 4 mechanisms; with more, fewer, so that the page stays small
SHOWN_PICTURES = 96  # frames times mechanisms
SHOWN_PIXELS = 192  # height and width of a frame on the page
USUAL_SECONDS, MOST_SECONDS = 10.0, 60.0  # of a clip
KNOWN_SECONDS, MOST_PARTS = 2.0, 5  # a frame is known at least so often, unless the clip would have more parts
MOST_SCENES, MOST_KNOWN = 6, 12
END_TOLERANCE_SECONDS = 0.1  # a clip that ends this much too early is long enough
LEAST_COLOR = 1.0  # Lab units: mean distance of colors from their mean; below it, a clip is gray
COLOR_CELLS = 8  # rows and columns of mean colors that are compared


class ColorClip(NamedTuple):
    """A clip of which some frames are known in color.

    source: path of the video file
    frames: RGB values, 0 to 255, at a steady rate, (t h w 3)
    times: seconds since the first frame of the video, (t)
    cuts: indices of the frames that begin a new scene
    known: indices of the frames whose colors are known, in order
    shown: indices of the frames that the page shows, in order; all known frames are among them
    notes: sentences for the reader of the page, such as where the scene cuts are
    """

    source: str
    frames: UInt8[Tensor, "t h w 3"]
    times: Float[Tensor, "t"]
    cuts: tuple[int, ...]
    known: tuple[int, ...]
    shown: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Frames per second."""
        return (len(self.times) - 1) / max(float(self.times[-1] - self.times[0]), 1e-3)


def load_color_clip(
    path: str | Path,
    *,
    frames: int | None = None,
    mechanisms: int = 3,
    start: int | float | None = None,
    stop: int | float | None = None,
    references: Sequence[int | float] = (),
) -> ColorClip:
    """Read a clip, and decide which of its frames are known in color.

    Args:
        path: Path of a video file.
        frames: Number of frames that the page shows; None means 24, or fewer if the clip has fewer or if there are more
            than 4 mechanisms.
        mechanisms: Number of mechanisms that will color the clip.
        start: Start in seconds; None means 0.
        stop: End in seconds; None means 10 s after the start, or the end of the video.
        references: Times of the known frames in seconds. Empty means the first frame of each scene, and
            in longer scenes one every 2 s, or five in all in a clip that is longer than 10 s.

    Raises:
        VideoError: The file is not a readable video.
        ValueError: The clip has too few frames, is too long, or is gray; a reference lies outside of it; or a scene has
            no reference.
    """
    facts = video_facts(path)
    begin, end = _limits(path, facts.seconds, start, stop)
    available = math.floor(facts.frames * (end - begin) / facts.seconds + 0.5)
    wanted = frames or min(SHOWN_FRAMES, SHOWN_PICTURES // mechanisms, available)
    if available < max(wanted, 2):
        raise ValueError(
            f"{path}: too few frames from {begin:g} to {end:.2f} s: about {available}, and {max(wanted, 2)} are "
            "needed: choose fewer --frames, or a longer part by --start and --stop"
        )
    count = min(available, max(wanted, round(FRAMES_PER_SECOND * (end - begin))))
    clip = load_clip(path, num_frames=count, size=SHOWN_PIXELS, start=begin, stop=min(end, facts.seconds))
    cuts = scene_cuts(clip.frames)
    chroma = _check_color(path, clip.frames)
    if references:
        known = _requested(path, clip.times, references)
        _check_scenes(path, clip.times, cuts, known)
    else:
        known = _usual(path, clip.times, cuts, chroma)
    _check_known(path, clip.times, chroma, known)
    if len(known) >= wanted:
        raise ValueError(
            f"{path}: {len(known)} of {wanted} frames are known: choose more --frames, or fewer references"
        )
    return ColorClip(
        str(path), clip.frames, clip.times, cuts, known, _shown(count, wanted, known), _notes(clip.times, cuts, known)
    )


def _limits(
    path: str | Path, seconds: float, start: int | float | None, stop: int | float | None
) -> tuple[float, float]:
    """Return start and end of the clip in seconds."""
    begin = float(start or 0)
    if stop is not None and stop > seconds + END_TOLERANCE_SECONDS:
        raise ValueError(f"{path}: stop={stop:g} s lies after the end of the video, {seconds:.2f} s: choose less")
    if not 0 <= begin < seconds:
        raise ValueError(f"{path}: start={begin:g} s lies outside of the video, 0 to {seconds:.2f} s: choose less")
    end = min(begin + USUAL_SECONDS if stop is None else float(stop), seconds)
    if end <= begin:
        raise ValueError(f"{path}: stop={stop:g} s is not after start={begin:g} s: choose a larger stop")
    if end - begin > MOST_SECONDS:
        raise ValueError(
            f"{path}: the clip would have {end - begin:g} s, at most {MOST_SECONDS:g} are possible: choose a shorter "
            "part by --start and --stop"
        )
    return begin, end


def _check_color(path: str | Path, frames: Tensor) -> Float[Tensor, "t"]:
    """Return how colorful each frame is: the mean distance of its colors from gray. Raise if the clip is gray."""
    small = F.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 4 * COLOR_CELLS).round().to(torch.uint8)
    ab = F.adaptive_avg_pool2d(to_lab(small.permute(0, 2, 3, 1))[1:].transpose(0, 1), COLOR_CELLS)
    spread = (ab - ab.mean(dim=(0, 2, 3), keepdim=True)).norm(dim=1).mean().item()
    if spread < LEAST_COLOR:
        raise ValueError(
            f"{path}: the clip is gray or has one color: its colors differ by {spread:.2f} Lab units from their mean, "
            f"and {LEAST_COLOR:g} are needed: choose a film in color, or another part by --start and --stop"
        )
    return ab.norm(dim=1).mean(dim=(1, 2))


def _check_known(path: str | Path, times: Tensor, chroma: Tensor, known: Sequence[int]) -> None:
    """Raise if no known frame has any color to copy."""
    if chroma[list(known)].max() < LEAST_COLOR:
        place = ", ".join(f"{times[index]:.2f}" for index in known)
        raise ValueError(
            f"{path}: the known frame at {place} s is gray, so there is no color to copy: choose another one by "
            f"--reference, such as --reference {times[int(chroma.argmax())]:.2f}"
        )


def _requested(path: str | Path, times: Tensor, references: Sequence[int | float]) -> tuple[int, ...]:
    """Return the frames that are nearest to the requested times."""
    margin = (times[1] - times[0]).item()
    known = set()
    for seconds in references:
        if not times[0] - margin <= seconds <= times[-1] + margin:
            raise ValueError(
                f"{path}: --reference {seconds:g} lies outside of the clip, {times[0]:.2f} to {times[-1]:.2f} s: "
                "choose a time in it, or move the clip by --start and --stop"
            )
        known.add(int((times - seconds).abs().argmin()))
    if len(known) > MOST_KNOWN:
        raise ValueError(f"{path}: {len(known)} references, at most {MOST_KNOWN} are possible: leave some out")
    return tuple(sorted(known))


def _scenes(cuts: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Return first frame, and frame after the last, of each scene."""
    return list(pairwise([0, *cuts, count]))


def _check_scenes(path: str | Path, times: Tensor, cuts: Sequence[int], known: Sequence[int]) -> None:
    """Raise if a scene has no known frame."""
    for first, stop in _scenes(cuts, len(times)):
        if any(first <= index < stop for index in known):
            continue
        cut = first if first else stop
        middle = times[min(first + 1, stop - 1)]
        both = " ".join(f"--reference {seconds:.2f}" for seconds in sorted([*times[list(known)].tolist(), middle]))
        way_out = f"--stop {times[cut]:.2f}" if first else f"--start {times[cut]:.2f}"
        raise ValueError(
            f"{path}: the scene cut at {times[cut]:.2f} s lies between the known frames and frames of another scene, "
            f"whose colors are not known: take references on both sides, {both}, or leave the scene out, {way_out}"
        )


def _usual(path: str | Path, times: Tensor, cuts: Sequence[int], chroma: Tensor) -> tuple[int, ...]:
    """Return the first frame of each part of a scene; a part lasts about 2 s, or more if the clip is long.

    A frame whose colors are less than half as strong as the strongest of its part, as in a fade, is passed over.
    """
    scenes = _scenes(cuts, len(chroma))
    if len(scenes) > MOST_SCENES:
        first, stop = max(scenes, key=lambda scene: scene[1] - scene[0])
        raise ValueError(
            f"{path}: {len(scenes)} scenes from {times[0]:.2f} to {times[-1]:.2f} s, at most {MOST_SCENES} are "
            f"possible: choose fewer, such as the longest, --start {times[first]:.2f} --stop {times[stop - 1]:.2f}"
        )
    step = (times[-1] - times[0]).item() / (len(times) - 1)
    longest = max(KNOWN_SECONDS, step * len(times) / MOST_PARTS)
    known = []
    for first, stop in scenes:
        parts = math.ceil(round(step * (stop - first) / longest, 3))
        limits = torch.linspace(first, stop, parts + 1).round().int().tolist()
        for begin, end in pairwise(limits):
            strong = chroma[begin:end] >= chroma[begin:end].max() / 2
            known.append(begin + int(strong.int().argmax()))
    return tuple(known)


def _shown(count: int, wanted: int, known: Sequence[int]) -> tuple[int, ...]:
    """Spread `wanted` frames evenly over the clip; known frames take the places of their neighbors."""
    others = [index for index in range(count) if index not in known]
    places = torch.linspace(0, len(others) - 1, wanted - len(known)).round().long().tolist()
    return tuple(sorted({*known, *(others[place] for place in places)}))


def _notes(times: Tensor, cuts: Sequence[int], known: Sequence[int]) -> tuple[str, ...]:
    if not cuts:
        return ()
    places = " and ".join(f"{times[index]:.2f} s" for index in cuts)
    frames = " and ".join(f"{times[index]:.2f} s" for index in known)
    begin = "There is a scene cut" if len(cuts) == 1 else "There are scene cuts"
    return (f"{begin} at {places}: colors are known on both sides, at {frames}.",)
