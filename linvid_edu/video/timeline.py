"""When each frame of a video is on screen, read off its packets or its decoded frames, and those frames decoded."""

import math
from array import array
from collections.abc import Iterator
from itertools import dropwhile, islice
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

NEAR = 8  # frames: a keyframe no further ahead is reached sooner by decoding on than by seeking
USUAL_RATE = 25  # frames per second, where a file does not tell


class Unreliable(Exception):
    """The packets do not tell truly which frame is on screen when: only decoding all of them will."""


class CutShort(Unreliable):
    """The packets end before the time that the header of the file declares."""


class Timeline(NamedTuple):
    """When each frame of a video is on screen: frame j from times[j] until times[j + 1], the last one until ``end``.

    Args:
        times: seconds since the first frame, ascending.
        pts: what tells frame j among the decoded ones, in ticks of the stream; None: that it is the j-th of them.
        keys: pts of a frame at which decoding can start, and the timestamp that seeks to it; ascending, (keys 2).
        end: seconds since the first frame.
        breaks_off: whether the video was meant to go on after ``end``.
    """

    times: np.ndarray
    pts: np.ndarray | None
    keys: np.ndarray
    end: float
    breaks_off: bool


def timeline_of_packets(container: InputContainer, stream: VideoStream) -> Timeline:
    """Read the timeline off the packets, decoding none.

    Args:
        container, stream: a file that was just opened, and the video in it.

    Raises:
        CutShort: the file is not whole.
        Unreliable: a packet has no presentation time, or decoding can start nowhere.
    """
    guessed = container.format.name == "avi"  # it stores decoding times only
    by_dts = container.format.name == "mpegts"  # it is searched by decoding times
    ticks = [float(each.time_base or 0) for each in container.streams]
    shown, keys = array("q"), array("q")
    timed, reached, before = True, 0.0, -math.inf
    for packet in container.demux():
        if _is_last(packet):
            break
        if not packet.size:
            continue
        dts, duration, number = packet.dts or 0, max(0, packet.duration or 0), packet.stream_index
        pts = dts if packet.pts is None else packet.pts
        reached = max(reached, (pts + duration) * ticks[number])
        if number == stream.index:
            timed = timed and packet.pts is not None and dts >= before and not (guessed and pts != dts)
            before = dts
            if packet.is_keyframe:
                keys.extend((pts, dts if by_dts else pts))
            if not packet.is_discard:
                shown.extend((pts, duration))
    if not shown:
        raise Unreliable("no frame in it")
    pts_of, order = np.unique(shown[::2], return_index=True)
    tick, last = ticks[stream.index], shown[2 * order[-1] + 1]
    length = float(pts_of[-1] - pts_of[0] + last) * tick
    if _falls_short(container, stream, length, length / len(pts_of), reached):
        raise CutShort("the file ends too early")
    if not timed or not keys:
        raise Unreliable("no presentation times or no keyframes")
    entries = np.unique(np.array(keys).reshape(-1, 2), axis=0)
    pts_of = pts_of[np.searchsorted(pts_of, entries[0, 0]) :]  # what is shown before the first keyframe is lost
    times = (pts_of - pts_of[0]) * tick
    return Timeline(times, pts_of, entries, times[-1] + (last * tick or 1 / rate_of(stream)), breaks_off=False)


def _falls_short(container: InputContainer, stream: VideoStream, length: float, step: float, reached: float) -> bool:
    """Tell whether ``length`` seconds of packets are more than two frames short of what the file's header declares.

    Only these formats declare it, Matroska as the time that any stream has ``reached``; for others FFmpeg guesses.
    """
    tick, missing = stream.time_base or 0, 0.0
    if "mp4" in container.format.name:
        missing = float((stream.duration or 0) * tick) - length
    elif container.format.name == "avi":
        missing = float(stream.frames * tick) - length
    elif "matroska" in container.format.name:
        missing = (container.duration or 0) / av.time_base - reached
    return missing > 2 * step


def timeline_of_frames(container: InputContainer, stream: VideoStream, breaks_off: bool) -> Timeline:
    """Read the timeline off the decoded frames, in one pass; it ends where decoding fails.

    times[j] = pts[j] − pts[0], or j / rate where frames come without a pts or not in its order

    Args:
        container, stream: a file that was just opened, and the video in it.
        breaks_off: whether the packets told that the file is cut short.

    Raises:
        Unreliable: no frame comes.
    """
    pts = array("q")
    timed, failure = True, None
    try:
        for frame in decoded(container, stream, drain=not breaks_off):
            timed = timed and frame.pts is not None and (not pts or frame.pts > pts[-1])
            pts.append(frame.pts or 0)
    except av.FFmpegError as error:
        failure = error
    if not pts:
        raise failure or Unreliable("no frame in it")
    step = 1 / rate_of(stream)
    times = (np.array(pts) - pts[0]) * float(stream.time_base or 0) if timed else np.arange(len(pts)) * step
    return Timeline(times, None, np.zeros((0, 2)), times[-1] + step, breaks_off or failure is not None)


def rate_of(stream: VideoStream) -> float:
    """Frames per second, as far as the file tells."""
    return float(stream.guessed_rate or stream.average_rate or USUAL_RATE)


def _is_last(packet: Packet) -> bool:
    """Tell whether this is the empty packet with which PyAV ends a stream; past it, it may name unknown streams."""
    return not packet.size and packet.pts is None and packet.dts is None


def decoded(
    container: InputContainer, stream: VideoStream, key: int | None = None, drain: bool = True
) -> Iterator[VideoFrame]:
    """Decode frame by frame, in the order shown, from the next keyframe on, or from the one with pts ``key``.

    Args:
        drain: whether to give the last frames that the decoder holds; where a file is cut short, some between are lost.
    """
    for packet in dropwhile(lambda one: not one.is_keyframe or key not in (None, one.pts), container.demux(stream)):
        if _is_last(packet):
            yield from stream.decode() if drain else ()
            return
        yield from stream.decode(packet)


def timed_frames(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """Decode frame by frame, each with the seconds since the first one, in one pass and constant memory.

    times[j] = pts[j] − pts[0]; a frame without a pts, or not in its order, comes 1 / rate after the one before, and so
    does every frame of an AVI

    Args:
        container, stream: a file that was just opened, and the video in it.

    Raises:
        CutShort: after its last frame, a file ends before what its header declares.
        Unreliable: no frame comes.
    """
    guessed = container.format.name == "avi"  # it stores decoding times only
    step, tick = 1 / rate_of(stream), float(stream.time_base or 0)
    first, time = 0.0, None
    for frame in _decoded_whole(container, stream):
        stamp = None if guessed or frame.pts is None else frame.pts * tick
        if time is None:
            first, time = stamp or 0.0, 0.0
        else:
            time = time + step if stamp is None or stamp - first <= time else stamp - first
        yield time, frame
    if time is None:
        raise Unreliable("no frame in it")


def _decoded_whole(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode from the first keyframe on; where the file is cut short, raise CutShort before the decoder is drained."""
    ticks = [float(each.time_base or 0) for each in container.streams]
    low, high, reached, shown, begun = math.inf, 0.0, 0.0, 0, False
    every = "matroska" in container.format.name  # it declares how far any of its streams reaches
    for packet in container.demux() if every else container.demux(stream):
        if _is_last(packet):
            break
        pts = packet.dts if packet.pts is None else packet.pts
        start = (pts or 0) * ticks[packet.stream_index]
        end = start + max(0, packet.duration or 0) * ticks[packet.stream_index]
        reached = max(reached, end)
        if packet.stream_index != stream.index:
            continue
        if packet.size and not packet.is_discard:
            low, high, shown = min(low, start), max(high, end), shown + 1
        begun = begun or packet.is_keyframe
        yield from stream.decode(packet) if begun else ()
    if shown and _falls_short(container, stream, high - low, (high - low) / shown, reached):
        raise CutShort("the file ends too early")
    yield from stream.decode()


def pick(container: InputContainer, stream: VideoStream, timeline: Timeline, wanted: list) -> Iterator[VideoFrame]:
    """Decode the wanted frames, seeking where that skips more than ``NEAR`` frames.

    Args:
        container, stream: a file that was just opened, and the video in it.
        timeline: of this video.
        wanted: numbers of frames, ascending.

    Raises:
        Unreliable: one of them does not come.
    """
    if timeline.pts is None:
        some = islice(decoded(container, stream), wanted[-1] + 1)
        yield from (frame for number, frame in enumerate(some) if number in wanted)
        return
    frames, number = decoded(container, stream), -1
    for one in wanted:
        key, target = timeline.keys[np.searchsorted(timeline.keys[:, 0], timeline.pts[one], side="right") - 1]
        if np.searchsorted(timeline.pts, key) > number + NEAR:
            container.seek(int(target), stream=stream)
            frames = decoded(container, stream, int(key))
        frame = next((frame for frame in frames if frame.pts is None or frame.pts >= timeline.pts[one]), None)
        if frame is None or frame.pts != timeline.pts[one]:
            raise Unreliable(f"no frame at {timeline.times[one]} s")
        number = one
        yield frame
