"""Read clips from video files: frames spread evenly over time, and only those frames in memory."""

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

# Any, so that the type checker of the tests lets num_frames=2.5 through and VideoError can explain what to do
Number = Any
File = str | os.PathLike

MAX_ASPECT = 8  # longer side / shorter side; more elongated frames are cropped before resizing, to save memory
SAME_TIME_SECONDS = 1e-6


class VideoError(ValueError):
    """A video cannot be read; the message names the file, the problem and what to do."""


# PyAV raises IndexError if a stream appears in the middle of a file
_UNREADABLE = (Unreliable, av.FFmpegError, IndexError)


def load_clip(
    path: File, *, num_frames: Number = 16, size: Number = 224, start: Number = None, stop: Number = None
) -> Clip:
    """Sample frames from a video file at the centers of equal time segments.

    Frame i of the clip is the frame on screen at start + (i + 1/2) · (stop − start) / num_frames, which is the last
    frame whose presentation time is not later. The frame is rotated according to its metadata, its pixels are made
    square, its shorter side is resized to ``size``, and the center is cropped. Alpha is dropped.

    Args:
        path: Path of a local file. URLs and playlists are not followed.
        num_frames: Number of frames t, at least 1. If the video has fewer, some repeat; ``Clip.repeated`` counts them.
        size: Height and width of the frames in pixels, at least 1.
        start: Seconds since the first frame, at least 0. None means 0.
        stop: Seconds since the first frame, more than start. None, or any time after the last frame, means the end.

    Returns:
        The clip. Its times are seconds since the first frame of the video.

    Raises:
        VideoError: The file does not exist, is not a video or ends before ``stop``, or a number is out of range.
    """
    with _readable_errors(path):
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
    """One frame of a video.

    time: seconds since the first frame
    pixels: RGB values, 0 to 255, (h w 3)
    video: the same frame as a model's input, −1 to 1, (3 h w)
    """

    time: float
    pixels: torch.Tensor
    video: torch.Tensor


def stream_frames(path: File, *, rate: Number = 4.0, size: Number = 64) -> Iterator[TimedFrame]:
    """Decode a video file frame by frame, with one frame in memory at a time.

    Frame i is the first frame on screen at i / rate seconds or later. It is resized and cropped as in ``load_clip``,
    and rotated like the first frame.

    Args:
        path: Path of a local file.
        rate: Frames per second to yield, above 0. A video with a lower frame rate yields all of its frames.
        size: Height and width of the frames in pixels, at least 1.

    Yields:
        Frames in the order of their times.

    Raises:
        VideoError: As for ``load_clip``. If the video breaks off, the frames before that are yielded first.
    """
    with _readable_errors(path):
        _check(path, 1, size, None, None)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 < rate < math.inf:
            raise VideoError(f"{path}: rate={rate!r} is not possible: choose a number of frames per second above 0")
        with _opened(path) as (container, stream):
            aspect = float(stream.sample_aspect_ratio or 1)
            time, count, rotation = None, 0, None
            try:
                for time, frame in timed_frames(container, stream):
                    if time < count / rate - SAME_TIME_SECONDS:
                        continue
                    rotation = rotation if count else _display_matrix(frame)
                    count = math.floor((time + SAME_TIME_SECONDS) * rate) + 1
                    pixels = torch.from_numpy(_square(frame, aspect, int(size), rotation))
                    yield TimedFrame(time, pixels, normalize(pixels[None])[:, 0])
            except _UNREADABLE as error:
                if time is None:
                    raise
                raise VideoError(
                    f"{path}: the video breaks off after {time:.2f} s: the file is damaged or cut short; get the "
                    "whole file to see the rest"
                ) from error


def declared_seconds(path: File) -> float | None:
    """Return the duration that a file's header declares, in seconds; None if it declares none.

    Raises:
        VideoError: The file does not exist or is not a video.
    """
    with _readable_errors(path):
        _check(path, 1, 1, None, None)
        with _opened(path) as (container, _):
            return container.duration / av.time_base if container.duration else None


class VideoFacts(NamedTuple):
    """Length of a video.

    seconds: time from the first frame to the end of the last frame
    frames: number of frames
    """

    seconds: float
    frames: int


def video_facts(path: File) -> VideoFacts:
    """Measure the length of a video file; frames are decoded only if the packets have no reliable times.

    Args:
        path: Path of a local file.

    Raises:
        VideoError: The file does not exist or is not a video.
    """
    with _readable_errors(path):
        _check(path, 1, 1, None, None)
        try:
            with _opened(path) as opened:
                timeline = timeline_of_packets(*opened)
        except _UNREADABLE as error:
            with _opened(path) as opened:
                timeline = timeline_of_frames(*opened, isinstance(error, CutShort))
        return VideoFacts(float(timeline.end), len(timeline.times))


@contextmanager
def _readable_errors(path: File) -> Iterator[None]:
    """Turn errors of PyAV and of the operating system into VideoError."""
    try:
        yield
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            f"{path}: not a readable video ({reason}): it may be another kind of file, damaged or cut "
            "short; check that a player shows it, then download or convert it again"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise VideoError(f"{path}: cannot be read ({reason}): check its name and permissions") from error


def _check(path: File, num_frames: Number, size: Number, start: Number, stop: Number) -> None:
    """Raise VideoError if a number is invalid for any video or the path is not a local file."""
    for name, value in (("num_frames", num_frames), ("size", size)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise VideoError(f"{path}: {name}={value!r} is not possible: choose a whole number of at least 1")
    for name, value in (("start", start), ("stop", stop)):
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise VideoError(f"{path}: {name}={value!r} is not possible: choose at least 0 seconds, or None")
    if stop is not None and stop <= (start or 0):
        raise VideoError(f"{path}: stop={stop} s is not after start={start or 0} s: choose a larger stop")
    file = Path(path)
    if not file.exists():
        raise VideoError(f"{path}: no such file: check the path; a video on the web must be downloaded first")
    if not file.is_file():
        raise VideoError(f"{path}: this is a folder or a device, not a file: name one video in it")
    if not file.stat().st_size:
        raise VideoError(f"{path}: the file is empty (0 bytes): download or copy it again")


@contextmanager
def _opened(path: File) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its first video stream that is not a cover picture.

    FFmpeg gets bytes without a file name, because it would read a .txt file as ASCII art and a name with % as a
    sequence of files. It may open no other file and no address.
    """
    safe = {"protocol_whitelist": "none"}
    with open(path, "rb") as file:
        nameless: Any = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)
        with av.open(nameless, container_options=safe, metadata_errors="replace") as container:
            videos = [stream for stream in container.streams.video if stream.codec_context]
            moving = [stream for stream in videos if not stream.disposition & stream.disposition.attached_pic]
            if not container.streams:
                raise Unreliable("the file has no streams")
            if not moving:
                kinds = ", ".join(stream.type for stream in container.streams)
                raise VideoError(f"{path}: no video in it except a cover picture (streams: {kinds}): choose a video")
            yield container, moving[0]


def _frame_numbers(path: File, timeline: Timeline, num_frames: int, start: float, stop: float) -> np.ndarray:
    """Return the number of the frame on screen at the center of each of ``num_frames`` equal time segments.

    j_i = the last j with times[j] ≤ start + (i + 1/2) · (stop − start) / num_frames
    """
    end = math.floor(1000 * timeline.end + SAME_TIME_SECONDS) / 1000
    if start >= timeline.end:
        raise VideoError(f"{path}: start={start} s is after the end of the video ({end} s): choose less than {end}")
    if timeline.breaks_off and stop > timeline.end + SAME_TIME_SECONDS:
        limit = "its end" if stop == math.inf else f"stop={stop} s"
        raise VideoError(
            f"{path}: the video breaks off at {end} s, before {limit}: the file is damaged or cut short; "
            f"choose stop={end} or less, or get the whole file"
        )
    centers = start + (np.arange(num_frames) + 0.5) * (min(stop, timeline.end) - start) / num_frames
    return np.maximum(np.searchsorted(timeline.times, centers + SAME_TIME_SECONDS, side="right") - 1, 0)


def _sample(path: File, timeline: Timeline, num_frames: int, size: int, start: float, stop: float) -> Clip:
    """Decode and resize the frames on screen at the centers of the segments; no others are kept."""
    numbers = _frame_numbers(path, timeline, num_frames, start, stop)
    wanted, index = np.unique(numbers, return_inverse=True)
    with _opened(path) as (container, stream):
        aspect = float(stream.sample_aspect_ratio or 1)
        rotation = None
        squares: list[np.ndarray] = []
        for frame in pick(container, stream, timeline, wanted.tolist()):
            rotation = rotation if squares else _display_matrix(frame)
            squares.append(_square(frame, aspect, size, rotation))
    frames = torch.from_numpy(np.stack(squares)[index])
    times = torch.from_numpy(timeline.times[numbers]).float()
    return Clip(normalize(frames), frames, times, str(path), repeated=num_frames - len(wanted))


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """Return the display matrix of a frame; None if the frame is upright.

    Call this once, for the first frame: reading side data creates a reference cycle that delays freeing the frame.
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(bytes(matrix), dtype=np.int32)


def _square(frame: VideoFrame, aspect: float, size: int, rotation: np.ndarray | None) -> np.ndarray:
    """Resize the shorter side of a frame to ``size``, crop the center and rotate it upright.

    Args:
        frame: Decoded frame.
        aspect: Width of a pixel divided by its height.
        size: Height and width of the result in pixels.
        rotation: Display matrix of the video, or None.

    Returns:
        RGB values, 0 to 255, (size size 3).
    """
    short = min(frame.width * aspect, frame.height)
    if max(frame.width * aspect, frame.height) > MAX_ASPECT * short:
        longest = MAX_ASPECT * short
        cropped = _center(frame.to_ndarray(format="rgb24"), math.ceil(longest), math.ceil(longest / aspect))
        frame = VideoFrame.from_ndarray(cropped, format="rgb24")
    width, height = (max(size, round(side * size / short)) for side in (frame.width * aspect, frame.height))
    # swscale halves the color resolution for packed RGB, not for planar RGB
    resized = frame.reformat(
        width, height, "gbrp", interpolation="BICUBIC", dst_colorspace="DEFAULT", dst_color_range="JPEG"
    )
    square = _center(resized.to_ndarray(), size, size)
    return square if rotation is None else _upright(square, rotation)


def _center(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Copy the center of a picture, at most ``height`` × ``width`` pixels."""
    top, left = max(0, pixels.shape[0] - height) // 2, max(0, pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()


def _upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rotate a picture by quarter turns and mirror it, following a display matrix (a, b, u, c, d, v, x, y, w).

    x′ = a · x + c · y, y′ = b · x + d · y
    """
    a, b, c, d = matrix[[0, 1, 3, 4]]
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
