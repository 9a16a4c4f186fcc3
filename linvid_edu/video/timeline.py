"""When each frame of a video is on screen, from its packets or its decoded frames, and how to decode chosen frames."""

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

SEEK_FRAMES = 8  # number of frames; if the next keyframe is this close, decoding is faster than seeking
DEFAULT_FPS = 25  # frames per second, for a file that declares no frame rate


class Unreliable(Exception):
    """The packets do not say reliably when frames are on screen, so all of them must be decoded."""


class CutShort(Unreliable):
    """The packets end earlier than the header of the file declares."""


class Timeline(NamedTuple):
    """When each frame of a video is on screen: frame j from times[j] to times[j + 1], the last frame until ``end``.

    times: seconds since the first frame, ascending
    pts: presentation time of each frame in ticks of the stream, which identifies decoded frames; None if frames can
        only be counted
    keys: pts of the frames at which decoding can start, and the timestamps that seek to them; ascending, (keys 2)
    end: seconds since the first frame
    breaks_off: whether the file declares more video after ``end``
    """

    times: np.ndarray
    pts: np.ndarray | None
    keys: np.ndarray
    end: float
    breaks_off: bool


def timeline_of_packets(container: InputContainer, stream: VideoStream) -> Timeline:
    """Build the timeline from the packets, without decoding.

    Args:
        container: File that was just opened.
        stream: Video stream of the file.

    Raises:
        CutShort: The file is not complete.
        Unreliable: A packet has no presentation time, or there is no keyframe.
    """
    stores_dts_only = container.format.name == "avi"
    seeks_by_dts = container.format.name == "mpegts"
    ticks = [float(one.time_base or 0) for one in container.streams]  # seconds
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
            timed = timed and packet.pts is not None and dts >= before and not (stores_dts_only and pts != dts)
            before = dts
            if packet.is_keyframe:
                keys.extend((pts, dts if seeks_by_dts else pts))
            if not packet.is_discard:
                shown.extend((pts, duration))
    if not shown:
        raise Unreliable("the video has no frame")
    pts_of, order = np.unique(shown[::2], return_index=True)
    tick, last = ticks[stream.index], shown[2 * order[-1] + 1]
    length = float(pts_of[-1] - pts_of[0] + last) * tick
    if _falls_short(container, stream, length, length / len(pts_of), reached):
        raise CutShort("the file ends too early")
    if not timed or not keys:
        raise Unreliable("no presentation times or no keyframes")
    entries = np.unique(np.array(keys).reshape(-1, 2), axis=0)
    pts_of = pts_of[np.searchsorted(pts_of, entries[0, 0]) :]  # frames before the first keyframe cannot be decoded
    times = (pts_of - pts_of[0]) * tick
    return Timeline(times, pts_of, entries, times[-1] + (last * tick or 1 / rate_of(stream)), breaks_off=False)


def _falls_short(container: InputContainer, stream: VideoStream, length: float, step: float, reached: float) -> bool:
    """Return whether the packets end more than two frames before the duration that the file's header declares.

    Only MP4, AVI and Matroska declare a duration; for other formats FFmpeg guesses it. Matroska declares the end of
    whichever stream ends last.

    Args:
        container: Open file.
        stream: Video stream of the file.
        length: Seconds of video in the packets.
        step: Seconds per frame.
        reached: Second at which the last packet of any stream ends.
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
    """Build the timeline by decoding all frames in one pass; it ends where decoding fails.

    times[j] = pts[j] − pts[0], or j / rate if a frame has no pts or the pts are not ascending

    Args:
        container: File that was just opened.
        stream: Video stream of the file.
        breaks_off: Whether the packets showed that the file is cut short.

    Raises:
        Unreliable: No frame can be decoded.
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
    """Return the frames per second that the file declares, or a default."""
    return float(stream.guessed_rate or stream.average_rate or DEFAULT_FPS)


def _is_last(packet: Packet) -> bool:
    """Return whether this is the empty packet that ends a stream in PyAV; later packets may name unknown streams."""
    return not packet.size and packet.pts is None and packet.dts is None


def decoded(
    container: InputContainer, stream: VideoStream, key: int | None = None, drain: bool = True
) -> Iterator[VideoFrame]:
    """Decode frame by frame in display order.

    Args:
        container: Open file.
        stream: Video stream of the file.
        key: pts of the keyframe to start at; None means the next keyframe.
        drain: Whether to yield the last frames that the decoder holds back. In a file that is cut short, frames before
            them are missing.
    """

    def before_start(packet: Packet) -> bool:
        return not packet.is_keyframe or key not in (None, packet.pts)

    for packet in dropwhile(before_start, container.demux(stream)):
        if _is_last(packet):
            yield from stream.decode() if drain else ()
            return
        yield from stream.decode(packet)


def timed_frames(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """Decode frame by frame in one pass and constant memory, each frame with its time in seconds since the first.

    times[j] = pts[j] − pts[0]. A frame comes 1 / rate after the previous frame if it has no pts, if its pts is not
    ascending, or if the file is an AVI file.

    Args:
        container: File that was just opened.
        stream: Video stream of the file.

    Raises:
        CutShort: The file ends earlier than its header declares. The frames that are there come first.
        Unreliable: No frame can be decoded.
    """
    stores_dts_only = container.format.name == "avi"
    step, tick = 1 / rate_of(stream), float(stream.time_base or 0)
    first, time = 0.0, None
    for frame in _decoded_whole(container, stream):
        stamp = None if stores_dts_only or frame.pts is None else frame.pts * tick
        if time is None:
            first, time = stamp or 0.0, 0.0
        else:
            time = time + step if stamp is None or stamp - first <= time else stamp - first
        yield time, frame
    if time is None:
        raise Unreliable("the video has no frame")


def _decoded_whole(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode from the first keyframe on. If the file is cut short, raise CutShort before the decoder is drained."""
    ticks = [float(one.time_base or 0) for one in container.streams]  # seconds
    first, last, reached = math.inf, 0.0, 0.0  # seconds
    packets, started = 0, False
    all_streams = "matroska" in container.format.name  # its header declares the end of the stream that ends last
    for packet in container.demux() if all_streams else container.demux(stream):
        if _is_last(packet):
            break
        pts = packet.dts if packet.pts is None else packet.pts
        start = (pts or 0) * ticks[packet.stream_index]
        end = start + max(0, packet.duration or 0) * ticks[packet.stream_index]
        reached = max(reached, end)
        if packet.stream_index != stream.index:
            continue
        if packet.size and not packet.is_discard:
            first, last, packets = min(first, start), max(last, end), packets + 1
        started = started or packet.is_keyframe
        yield from stream.decode(packet) if started else ()
    if packets and _falls_short(container, stream, last - first, (last - first) / packets, reached):
        raise CutShort("the file ends too early")
    yield from stream.decode()


def pick(container: InputContainer, stream: VideoStream, timeline: Timeline, wanted: list) -> Iterator[VideoFrame]:
    """Decode the wanted frames; seek if that skips more than ``SEEK_FRAMES`` frames.

    Args:
        container: File that was just opened.
        stream: Video stream of the file.
        timeline: Timeline of this video.
        wanted: Numbers of the frames, ascending.

    Raises:
        Unreliable: A wanted frame cannot be decoded.
    """
    if timeline.pts is None:
        first_frames = islice(decoded(container, stream), wanted[-1] + 1)
        yield from (frame for number, frame in enumerate(first_frames) if number in wanted)
        return
    frames, previous = decoded(container, stream), -1
    for number in wanted:
        key, target = timeline.keys[np.searchsorted(timeline.keys[:, 0], timeline.pts[number], side="right") - 1]
        if np.searchsorted(timeline.pts, key) > previous + SEEK_FRAMES:
            container.seek(int(target), stream=stream)
            frames = decoded(container, stream, int(key))
        frame = next((frame for frame in frames if frame.pts is None or frame.pts >= timeline.pts[number]), None)
        if frame is None or frame.pts != timeline.pts[number]:
            raise Unreliable(f"no frame at {timeline.times[number]} s")
        previous = number
        yield frame
