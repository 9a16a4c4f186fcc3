"""Read clips from video files: frames spread evenly over time, and only those frames in memory."""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from av.video.frame import VideoFrame

from .clip import Clip, normalize
from .damage import Spans
from .frame_reader import FrameReader, Unreliable
from .opening import (
    File,
    VideoError,
    VideoWarning,
    check_file,
    decode_pictures,
    existing_path,
    opened_video,
    picture_timeline,
    printable,
)
from .squares import Squares
from .timeline import (
    Timeline,
    pick,
    timeline_of_frames,
    timeline_of_packets,
)

# Any, so that the type checker of the tests lets num_frames=2.5 through and VideoError can explain what to do
Number = Any

SAME_TIME_SECONDS = 1e-6
MOST_SPANS = 5  # of damage, in a message

_UNREADABLE = (Unreliable, av.FFmpegError, IndexError)


def load_clip(
    path: File, *, num_frames: Number = 16, size: Number = 224, start: Number = None, stop: Number = None
) -> Clip:
    """Sample frames from a video file at the centers of equal time segments.

    Frame i of the clip is the frame on screen at start + (i + 1/2) · (stop − start) / num_frames, which is the last
    frame whose presentation time is not later. The frame is rotated according to its metadata, interlaced fields and
    high dynamic range become what a player shows, pixels are made square, the shorter side is resized to ``size``, and
    the center is cropped. Alpha is dropped.

    Args:
        path: Path of a local file, or of a folder of numbered pictures (shown 25 a second). URLs and playlists are not
            followed.
        num_frames: Number of frames t, at least 1. If the video has fewer, some repeat; ``Clip.repeated`` counts them.
        size: Height and width of the frames in pixels, at least 1.
        start: Seconds since the first frame, at least 0. None means 0.
        stop: Seconds since the first frame, more than start. None, or any time after the last frame, means the end.

    Returns:
        The clip. Its times are seconds since the first frame of the video.

    Raises:
        VideoError: The file does not exist, is not a video or ends before ``stop``, or a number is out of range.

    Warns:
        VideoWarning: Frames between ``start`` and ``stop`` are missing or broken; the frame before them is shown.
    """
    with _readable_errors(path):
        file = _checked(path, num_frames, size, start, stop)
        num_frames, size, start = int(num_frames), int(size), float(start or 0)
        stop = math.inf if stop is None else float(stop)
        try:
            timeline = _timeline(file)
            clip = _sample(file, timeline, num_frames, size, start, stop)
        except _UNREADABLE:
            if file.is_dir():
                raise
            with opened_video(file) as video:
                timeline = timeline_of_frames(*video)
            clip = _sample(file, timeline, num_frames, size, start, stop)
    spans = tuple(span for span in timeline.missing if span[0] < stop and span[1] > start)
    if spans:
        warnings.warn(f"{printable(path)}: {_describe_damage(spans)}", VideoWarning, stacklevel=2)
    return clip


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
        file = _checked(path, 1, size, None, None)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 < rate < math.inf:
            raise VideoError(
                f"{printable(path)}: rate={rate!r} is not possible: choose a number of frames per second above 0"
            )
        yield from _every_frame(file, path, float(rate), int(size))


def _every_frame(file: Path, path: File, rate: float, size: int) -> Iterator[TimedFrame]:
    """Yield the first frame at each i / rate seconds or later, then report what is missing."""
    if file.is_dir():
        pictures = zip(picture_timeline(file).times.tolist(), decode_pictures(file), strict=True)
        yield from _at_rate(pictures, Squares(size), rate)
        return
    last: TimedFrame | None = None
    with opened_video(file) as (container, stream):
        reader = FrameReader(container, stream)
        try:
            for last in _at_rate(reader, Squares(size, stream), rate):
                yield last
        except _UNREADABLE as error:
            if last is None:
                raise
            damage = f" ({_describe_damage(reader.missing)})" if reader.missing else ""
            raise VideoError(
                f"{printable(path)}: the video breaks off after {reader.seconds:.2f} s: the file is damaged or cut "
                f"short; get the whole file to see the rest{damage}"
            ) from error
    if reader.missing:
        warnings.warn(f"{printable(path)}: {_describe_damage(reader.missing)}", VideoWarning, stacklevel=2)


def _at_rate(frames: Iterable[tuple[float, VideoFrame]], squares: Squares, rate: float) -> Iterator[TimedFrame]:
    """Yield the first frame at each i / rate seconds or later, as a square."""
    count = 0
    for time, frame in frames:
        if time < count / rate - SAME_TIME_SECONDS:
            continue
        count = math.floor((time + SAME_TIME_SECONDS) * rate) + 1
        pixels = torch.from_numpy(squares.of(frame))
        yield TimedFrame(time, pixels, normalize(pixels[None])[:, 0])


def declared_seconds(path: File) -> float | None:
    """Return the duration that a file's header declares, in seconds; None if it declares none.

    Raises:
        VideoError: The file does not exist or is not a video.
    """
    with _readable_errors(path):
        file = _checked(path, 1, 1, None, None)
        if file.is_dir():
            return picture_timeline(file).end
        with opened_video(file) as (container, _):
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
        timeline = _timeline(_checked(path, 1, 1, None, None))
        return VideoFacts(float(timeline.end), len(timeline.times))


def _timeline(file: Path) -> Timeline:
    """Return the timeline of a file from its packets, or from its frames if the packets are not reliable."""
    if file.is_dir():
        return picture_timeline(file)
    try:
        with opened_video(file) as video:
            return timeline_of_packets(*video)
    except _UNREADABLE:
        with opened_video(file) as video:
            return timeline_of_frames(*video)


def _describe_damage(spans: Spans) -> str:
    """Write which parts of a video cannot be shown."""
    parts = [f"{start:.2f} to {stop:.2f} s" for start, stop in spans[:MOST_SPANS]]
    if len(spans) > MOST_SPANS:
        parts.append(f"{len(spans) - MOST_SPANS} more parts")
    return (
        f"the video is damaged: frames are missing or broken from {', '.join(parts)}; the others are read. Get the "
        "whole file to see them"
    )


@contextmanager
def _readable_errors(path: File) -> Iterator[None]:
    """Turn every error into VideoError: FFmpeg has many, and one bad clip must not end a training."""
    name = printable(path)
    try:
        yield
    except VideoError:
        raise
    except OSError as error:
        if isinstance(error, av.FFmpegError):
            raise _unreadable(name, error) from error
        reason = error.strerror or error
        raise VideoError(f"{name}: cannot be read ({reason}): check its name and permissions") from error
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> VideoError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return VideoError(
        f"{name}: not a readable video ({reason}): it may be another kind of file, damaged or cut short; check that a "
        "player shows it, then download or convert it again"
    )


def _checked(path: File, num_frames: Number, size: Number, start: Number, stop: Number) -> Path:
    """Return the path of the video; raise VideoError if a number is invalid for any video, or there is no video."""
    name = printable(path)
    for argument, value in (("num_frames", num_frames), ("size", size)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise VideoError(f"{name}: {argument}={value!r} is not possible: choose a whole number of at least 1")
    for argument, value in (("start", start), ("stop", stop)):
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value < math.inf):
            raise VideoError(f"{name}: {argument}={value!r} is not possible: choose at least 0 seconds, or None")
    if stop is not None and stop <= (start or 0):
        raise VideoError(f"{name}: stop={stop} s is not after start={start or 0} s: choose a larger stop")
    file = existing_path(path)
    check_file(file)
    return file


def _frame_numbers(path: Path, timeline: Timeline, num_frames: int, start: float, stop: float) -> np.ndarray:
    """Return the number of the frame on screen at the center of each of ``num_frames`` equal time segments.

    j_i = the last j with times[j] ≤ start + (i + 1/2) · (stop − start) / num_frames
    """
    end = math.floor(1000 * timeline.end + SAME_TIME_SECONDS) / 1000
    if start >= timeline.end:
        raise VideoError(
            f"{printable(path)}: start={start} s is after the end of the video ({end} s): choose less than {end}"
        )
    if timeline.breaks_off and stop > timeline.end + SAME_TIME_SECONDS:
        limit = "its end" if stop == math.inf else f"stop={stop} s"
        raise VideoError(
            f"{printable(path)}: the video breaks off at {end} s, before {limit}: the file is damaged or cut short; "
            f"choose stop={end} or less, or get the whole file"
        )
    centers = start + (np.arange(num_frames) + 0.5) * (min(stop, timeline.end) - start) / num_frames
    return np.maximum(np.searchsorted(timeline.times, centers + SAME_TIME_SECONDS, side="right") - 1, 0)


def _sample(path: Path, timeline: Timeline, num_frames: int, size: int, start: float, stop: float) -> Clip:
    """Decode and resize the frames on screen at the centers of the segments; no others are kept."""
    numbers = _frame_numbers(path, timeline, num_frames, start, stop)
    wanted, index = np.unique(numbers, return_inverse=True)
    if path.is_dir():
        pictures = Squares(size)
        squares = [pictures.of(frame) for frame in decode_pictures(path, wanted.tolist())]
    else:
        with opened_video(path) as (container, stream):
            of_video = Squares(size, stream)
            squares = [of_video.of(frame) for frame in pick(container, stream, timeline, wanted.tolist())]
    if len(squares) < len(wanted):
        raise Unreliable("frames are missing")
    frames = torch.from_numpy(np.stack(squares)[index])
    times = torch.from_numpy(timeline.times[numbers]).float()
    return Clip(normalize(frames), frames, times, printable(path), repeated=num_frames - len(wanted))
