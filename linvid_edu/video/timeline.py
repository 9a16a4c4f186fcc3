"""When each frame of a video is on screen, from its packets or its decoded frames, and how to decode chosen frames."""

import math
from array import array
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import dropwhile, islice
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .damage import DamageWatch, Spans, rate_of

SEEK_FRAMES = 8  # number of frames; if the next keyframe is this close, decoding is faster than seeking
MOST_DEMUX_ERRORS = 1000  # in a row; FFmpeg reads on behind most kinds of damage


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
    missing: start and end of each part whose frames are missing or broken, in seconds since the first frame
    """

    times: np.ndarray
    pts: np.ndarray | None
    keys: np.ndarray
    end: float
    breaks_off: bool
    missing: Spans = ()


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
    damage = DamageWatch(container, stream)
    for packet in packets_of(container):
        if not packet.size:
            continue
        damage.add_packet(packet)
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
    if damage.ends_early() or _falls_short(container, stream, length, length / len(pts_of), reached):
        raise CutShort("the file ends too early")
    if not timed or not keys:
        raise Unreliable("no presentation times or no keyframes")
    entries = np.unique(np.array(keys).reshape(-1, 2), axis=0)
    pts_of = pts_of[np.searchsorted(pts_of, entries[0, 0]) :]  # frames before the first keyframe cannot be decoded
    times = (pts_of - pts_of[0]) * tick
    end = times[-1] + (last * tick or 1 / rate_of(stream))
    return Timeline(times, pts_of, entries, end, breaks_off=False, missing=damage.spans(float(pts_of[0] * tick)))


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


def timeline_of_frames(container: InputContainer, stream: VideoStream) -> Timeline:
    """Build the timeline by decoding all frames in one pass.

    Args:
        container: File that was just opened.
        stream: Video stream of the file.

    Raises:
        Unreliable: No frame can be decoded.
    """
    reader, times = FrameReader(container, stream), array("d")
    try:
        for time, _ in reader:
            times.append(time)
        breaks_off = False
    except CutShort:
        breaks_off = True
    if not times:
        raise Unreliable("no frame in it")
    seconds = np.array(times)
    return Timeline(seconds, None, np.zeros((0, 2)), seconds[-1] + 1 / rate_of(stream), breaks_off, reader.missing)


def packets_of(container: InputContainer) -> Iterator[Packet]:
    """Yield the packets of all streams, and read on behind damage if FFmpeg can.

    Raises:
        Unreliable: The first packets cannot be read.
    """
    failures, any_packet = 0, False
    while True:
        try:
            for packet in container.demux():
                if _is_last(packet):
                    return
                failures, any_packet = 0, True
                yield packet
            return
        except av.EOFError:
            return
        except (av.FFmpegError, IndexError) as error:  # PyAV raises IndexError if a stream appears inside a file
            failures += 1
            if failures > MOST_DEMUX_ERRORS:
                if not any_packet:
                    raise Unreliable(str(error)) from error
                return


def _is_last(packet: Packet) -> bool:
    """Return whether this is the empty packet that ends a stream in PyAV; later packets may name unknown streams."""
    return not packet.size and packet.pts is None and packet.dts is None


def decoded(
    container: InputContainer, stream: VideoStream, key: int | None = None, skips_broken: bool = False
) -> Iterator[VideoFrame]:
    """Decode frame by frame in display order.

    Args:
        container: Open file.
        stream: Video stream of the file.
        key: pts of the keyframe to start at; None means the next keyframe.
        skips_broken: Whether packets that cannot be decoded are skipped.

    Raises:
        Unreliable: A packet cannot be decoded.
    """

    def before_start(packet: Packet) -> bool:
        return not packet.is_keyframe or key not in (None, packet.pts)

    own = (packet for packet in packets_of(container) if packet.stream_index == stream.index and packet.size)
    for packet in dropwhile(before_start, own):
        frames = _frames_of(stream, packet)
        if frames is None and not skips_broken:
            raise Unreliable("a packet cannot be decoded")
        yield from frames or ()
    yield from _frames_of(stream, None) or ()


def _frames_of(stream: VideoStream, packet: Packet | None) -> list[VideoFrame] | None:
    """Return the frames that the decoder gives after a packet, or at the end; None if it fails."""
    try:
        return stream.decode(packet)
    except av.EOFError:
        return []
    except av.FFmpegError:
        return None


class FrameReader:
    """Decode frame by frame in one pass and constant memory, each frame with its time in seconds since the first.

    times[j] = pts[j] − pts[0]. The chunks of an AVI file have no pts, and are counted: frame j has the time of the
    j-th chunk that is not empty. A frame without any time comes 1 / rate after the previous frame. Packets that cannot
    be decoded are skipped.

    Args:
        container: File that was just opened.
        stream: Video stream of the file.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._counts_chunks = container.format.name == "avi"
        self._step, self._tick = 1 / rate_of(stream), float(stream.time_base or 0)
        self._chunks: list[int] = []  # dts of those that have given no frame yet
        self._damage = DamageWatch(container, stream)
        self._first, self._time = 0.0, -math.inf  # seconds

    @property
    def seconds(self) -> float:
        """Time of the last frame that was decoded."""
        return max(0.0, self._time)

    @property
    def missing(self) -> Spans:
        """Start and end of each part whose frames are missing or broken, in seconds since the first frame."""
        return self._damage.spans(self._first)

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        """Yield each frame with its time.

        Raises:
            CutShort: The file ends earlier than its header declares, or nothing after some time can be decoded.
            Unreliable: No frame can be decoded.
        """
        ticks = [float(one.time_base or 0) for one in self._container.streams]  # seconds
        first, last, reached, count, started = math.inf, 0.0, 0.0, 0, False
        for packet in packets_of(self._container):
            if not packet.size:
                continue
            self._damage.add_packet(packet)
            tick = ticks[packet.stream_index] if packet.stream_index < len(ticks) else self._tick
            start = ((packet.dts if packet.pts is None else packet.pts) or 0) * tick
            end = start + max(0, packet.duration or 0) * tick
            reached = max(reached, end)
            if packet.stream_index != self._stream.index:
                continue
            if not packet.is_discard:
                first, last, count = min(first, start), max(last, end), count + 1
            started = started or packet.is_keyframe
            if started:
                yield from self._timed(packet)
        length = last - first
        if count and (
            self._damage.ends_early() or _falls_short(self._container, self._stream, length, length / count, reached)
        ):
            raise CutShort("the file ends too early")
        yield from self._timed(None)
        if self._time == -math.inf:
            raise Unreliable("the video has no frame")
        if self._damage.add_end() > 2 * self._step:
            raise CutShort("the last frames cannot be decoded")

    def _timed(self, packet: Packet | None) -> Iterator[tuple[float, VideoFrame]]:
        """Decode a packet, or what the decoder holds back at the end, and yield the frames with their times."""
        frames = _frames_of(self._stream, packet)
        if packet is not None and not packet.is_discard and packet.pts is not None and not self._counts_chunks:
            self._damage.add_sent(packet.pts * self._tick)
        if packet is not None and packet.dts is not None and self._counts_chunks:
            if frames is None:
                self._damage.add_sent(packet.dts * self._tick)
            else:
                heappush(self._chunks, packet.dts)
        for frame in frames or ():
            stamp = frame.pts if not self._counts_chunks else heappop(self._chunks) if self._chunks else None
            seconds = None if stamp is None else stamp * self._tick
            if self._time == -math.inf:
                self._first, self._time = seconds or 0.0, 0.0
            elif seconds is None or seconds - self._first <= self._time:
                self._time += self._step
            else:
                self._time = seconds - self._first
            self._damage.add_frame(frame, self._first + self._time)
            yield self._time, frame


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
        first_frames = islice(decoded(container, stream, skips_broken=True), wanted[-1] + 1)
        yield from (frame for number, frame in enumerate(first_frames) if number in wanted)
        return
    frames, previous = _without_gaps(decoded(container, stream), timeline), -1
    for number in wanted:
        key, target = timeline.keys[np.searchsorted(timeline.keys[:, 0], timeline.pts[number], side="right") - 1]
        if np.searchsorted(timeline.pts, key) > previous + SEEK_FRAMES:
            container.seek(int(target), stream=stream)
            frames = _without_gaps(decoded(container, stream, int(key)), timeline)
        frame = next((frame for frame in frames if frame.pts is None or frame.pts >= timeline.pts[number]), None)
        if frame is None or frame.pts != timeline.pts[number]:
            raise Unreliable(f"no frame at {timeline.times[number]} s")
        previous = number
        yield frame


def _without_gaps(frames: Iterator[VideoFrame], timeline: Timeline) -> Iterator[VideoFrame]:
    """Yield frames; raise Unreliable if one of the timeline is left out between two of them, or is broken."""
    assert timeline.pts is not None
    previous = None
    for frame in frames:
        number = None if frame.pts is None else int(np.searchsorted(timeline.pts, frame.pts))
        if frame.is_corrupt or (number is not None and previous is not None and number > previous + 1):
            raise Unreliable("a frame is missing or broken")
        previous = number
        yield frame
