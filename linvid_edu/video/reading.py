"""Read a clip from a video file: frames spread evenly over time, with no more than those frames in memory."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .clip import Clip, normalize
from .timeline import (
    CutShort,
    Timeline,
    Unreliable,
    pick,
    timed_frames,
    timeline_of_frames,
    timeline_of_packets,
)

# Any, because the run-time check of the tests would refuse 2.5 frames before VideoError can say what to do
Number = Any
File = str | os.PathLike

OBLONG = 8  # a frame longer than 8 times its shorter side is cut before it is resized, not only after
INSTANT = 1e-6  # seconds: two times closer than this are the same


class VideoError(ValueError):
    """A video that cannot be read as asked; names the file, what is wrong and what to do."""


# what PyAV raises; an IndexError where a stream appears midway
_UNREADABLE = (Unreliable, av.FFmpegError, IndexError)


def load_clip(
    path: File, *, num_frames: Number = 16, size: Number = 224, start: Number = None, stop: Number = None
) -> Clip:
    """Sample frames from a video file at the centers of equal time segments.

    Frame i of the clip is the one on screen at start + (i + 1/2) · (stop − start) / num_frames: the last whose
    presentation time is not later. It is turned upright as its rotation metadata says, its pixels are made square,
    its shorter side is resized to ``size``, and the center is cut out. Alpha is dropped.

    Args:
        path: a local file; addresses and playlists are not followed.
        num_frames: t, 1 or more; a video with fewer frames repeats some, which ``Clip.repeated`` counts.
        size: h = w in pixels, 1 or more.
        start: seconds since the first frame, 0 or more; None is 0.
        stop: seconds since the first frame, more than start; None is the end, and so is, as in a slice, any later time.

    Returns:
        The clip; its times are in seconds since the first frame of the video.

    Raises:
        VideoError: there is no such file, it is no video, it breaks off before ``stop``, or a number is out of range.
    """
    with _told_in_words(path):
        _check(path, num_frames, size, start, stop)
        num_frames, size, start = int(num_frames), int(size), float(start or 0)
        stop = math.inf if stop is None else float(stop)
        try:
            with _opened(path) as opened:
                timeline = timeline_of_packets(*opened)
            return _sample(path, timeline, num_frames, size, start, stop)
        except _UNREADABLE as error:
            cut_short = isinstance(error, CutShort)
        with _opened(path) as opened:
            timeline = timeline_of_frames(*opened, cut_short)
        return _sample(path, timeline, num_frames, size, start, stop)


class TimedFrame(NamedTuple):
    """A frame of a video.

    time: seconds since the first one
    pixels: RGB, 0 to 255, (h w 3)
    video: the same, −1 to 1, (3 h w)
    """

    time: float
    pixels: torch.Tensor
    video: torch.Tensor


def stream_frames(path: File, *, rate: Number = 4.0, size: Number = 64) -> Iterator[TimedFrame]:
    """Decode a video file frame by frame, one after another, with no more than one frame in memory.

    Frame i is the first that is on screen at i / rate or later. It is squared, resized and cut as in ``load_clip``, and
    turned as the first one is.

    Args:
        path: a local file.
        rate: frames of each second, above 0; a video with fewer gives all that it has.
        size: h = w in pixels, 1 or more.

    Yields:
        Frames, ascending in time.

    Raises:
        VideoError: as for ``load_clip``; where the stream breaks off, after the frames before that.
    """
    with _told_in_words(path):
        _check(path, 1, size, None, None)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 < rate < math.inf:
            raise VideoError(f"{path}: rate={rate!r} is not possible: choose frames a second, above 0")
        with _opened(path) as (container, stream):
            aspect, reached, taken, turn = float(stream.sample_aspect_ratio or 1), None, 0, None
            try:
                for reached, frame in timed_frames(container, stream):
                    if reached < taken / rate - INSTANT:
                        continue
                    turn = turn if taken else _turn(frame)
                    taken = math.floor((reached + INSTANT) * rate) + 1
                    pixels = torch.from_numpy(_square(frame, aspect, int(size), turn))
                    yield TimedFrame(reached, pixels, normalize(pixels[None])[:, 0])
            except _UNREADABLE as error:
                if reached is None:
                    raise
                raise VideoError(
                    f"{path}: the stream breaks off after {reached:.2f} s: it is damaged or cut short; get the whole "
                    "file to see the rest"
                ) from error


def declared_seconds(path: File) -> float | None:
    """Return how long a file says it is, without reading on; None where it does not say.

    Raises:
        VideoError: there is no such file, or it is no video.
    """
    with _told_in_words(path):
        _check(path, 1, 1, None, None)
        with _opened(path) as (container, _):
            return container.duration / av.time_base if container.duration else None


class VideoFacts(NamedTuple):
    """How long a video is.

    seconds: from its first frame until its last one goes
    frames: how many there are
    """

    seconds: float
    frames: int


def video_facts(path: File) -> VideoFacts:
    """Count the frames of a video file and their time, decoding none where its packets tell.

    Args:
        path: a local file.

    Raises:
        VideoError: there is no such file, or it is no video.
    """
    with _told_in_words(path):
        _check(path, 1, 1, None, None)
        try:
            with _opened(path) as opened:
                timeline = timeline_of_packets(*opened)
        except _UNREADABLE as error:
            with _opened(path) as opened:
                timeline = timeline_of_frames(*opened, isinstance(error, CutShort))
        return VideoFacts(float(timeline.end), len(timeline.times))


@contextmanager
def _told_in_words(path: File) -> Iterator[None]:
    """Raise what PyAV and the system raise as VideoError."""
    try:
        yield
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            f"{path}: not a readable video ({reason}): it may be another kind of file, damaged or cut short; "
            "see whether a player shows it, then download or convert it again"
        ) from error
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror or error}): check name and permissions") from error


def _check(path: File, num_frames: Number, size: Number, start: Number, stop: Number) -> None:
    """Refuse numbers that fit no video, and a path that is not a local file, an address above all."""
    for name, value in (("num_frames", num_frames), ("size", size)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise VideoError(f"{path}: {name}={value!r} is not possible: choose a whole number, 1 or more")
    for name, value in (("start", start), ("stop", stop)):
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise VideoError(f"{path}: {name}={value!r} is not possible: choose seconds, 0 or more, or None")
    if stop is not None and stop <= (start or 0):
        raise VideoError(f"{path}: stop={stop} s does not lie after start={start or 0} s: choose a larger stop")
    file = Path(path)
    if not file.exists():
        raise VideoError(f"{path}: no such file: check the path; a video on the web must be downloaded first")
    if not file.is_file():
        raise VideoError(f"{path}: not a file but a folder or a device: name one video in it")
    if not file.stat().st_size:
        raise VideoError(f"{path}: the file is empty (0 bytes): download or copy it again")


@contextmanager
def _opened(path: File) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its first video stream that is not a cover picture.

    FFmpeg gets bytes without a name, by which it would take a .txt for a drawing and a % for a pattern of names, and
    may open nothing else.
    """
    safe = {"protocol_whitelist": "none"}
    with open(path, "rb") as file:
        nameless: Any = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)
        with av.open(nameless, container_options=safe, metadata_errors="replace") as container:
            videos = [stream for stream in container.streams.video if stream.codec_context]
            moving = [stream for stream in videos if not stream.disposition & stream.disposition.attached_pic]
            if not container.streams:
                raise Unreliable("nothing in it")
            if not moving:
                kinds = ", ".join(stream.type for stream in container.streams)
                raise VideoError(f"{path}: no video in it, a cover aside (its streams: {kinds}): choose another file")
            yield container, moving[0]


def _numbers(path: File, timeline: Timeline, num_frames: int, start: float, stop: float) -> np.ndarray:
    """Tell which frame is on screen at the center of each of ``num_frames`` equal time segments.

    j_i = the last j with times[j] ≤ start + (i + 1/2) · (stop − start) / num_frames
    """
    end = math.floor(1000 * timeline.end + INSTANT) / 1000
    if start >= timeline.end:
        raise VideoError(f"{path}: start={start} s lies beyond the end of the video ({end} s): choose less than {end}")
    if timeline.breaks_off and stop > timeline.end + INSTANT:
        asked = "its end" if stop == math.inf else f"stop={stop} s"
        raise VideoError(
            f"{path}: the stream breaks off at {end} s, before {asked}: it is damaged or cut short; "
            f"choose stop={end} or less, or get the whole file"
        )
    centers = start + (np.arange(num_frames) + 0.5) * (min(stop, timeline.end) - start) / num_frames
    return np.maximum(np.searchsorted(timeline.times, centers + INSTANT, side="right") - 1, 0)


def _sample(path: File, timeline: Timeline, num_frames: int, size: int, start: float, stop: float) -> Clip:
    """Decode the frames on screen at the centers of the segments, and keep these alone, resized."""
    numbers = _numbers(path, timeline, num_frames, start, stop)
    wanted, place = np.unique(numbers, return_inverse=True)
    with _opened(path) as (container, stream):
        aspect = float(stream.sample_aspect_ratio or 1)
        turn = None
        squares: list[np.ndarray] = []
        for frame in pick(container, stream, timeline, wanted.tolist()):
            turn = turn if squares else _turn(frame)
            squares.append(_square(frame, aspect, size, turn))
    frames = torch.from_numpy(np.stack(squares)[place])
    times = torch.from_numpy(timeline.times[numbers]).float()
    return Clip(normalize(frames), frames, times, str(path), repeated=num_frames - len(wanted))


def _turn(frame: VideoFrame) -> np.ndarray | None:
    """Return the display matrix of a frame; None where it stands upright.

    Asking for it ties the frame into a cycle of references, so that its memory is freed late: ask once, of the first.
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(bytes(matrix), dtype=np.int32)


def _square(frame: VideoFrame, aspect: float, size: int, turn: np.ndarray | None) -> np.ndarray:
    """Resize the shorter side of a frame to ``size``, cut out the center and turn it upright.

    Args:
        aspect: width of a pixel over its height.
        turn: display matrix of the frame.

    Returns:
        RGB, 0 to 255, (size size 3).
    """
    short = min(frame.width * aspect, frame.height)
    if max(frame.width * aspect, frame.height) > OBLONG * short:
        cut = _center(frame.to_ndarray(format="rgb24"), math.ceil(OBLONG * short), math.ceil(OBLONG * short / aspect))
        frame = VideoFrame.from_ndarray(cut, format="rgb24")
    width, height = (max(size, round(side * size / short)) for side in (frame.width * aspect, frame.height))
    # planar RGB keeps the full color resolution, which swscale halves for packed RGB
    resized = frame.reformat(
        width, height, "gbrp", interpolation="BICUBIC", dst_colorspace="DEFAULT", dst_color_range="JPEG"
    )
    square = _center(resized.to_ndarray(), size, size)
    return square if turn is None else _upright(square, turn)


def _center(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Copy the center of a picture, at most ``height`` × ``width`` pixels of it."""
    top, left = max(0, pixels.shape[0] - height) // 2, max(0, pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()


def _upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror a picture by the quarter turns of a display matrix (a, b, u, c, d, v, x, y, w).

    x′ = a · x + c · y, y′ = b · x + d · y
    """
    a, b, c, d = matrix[[0, 1, 3, 4]]
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
