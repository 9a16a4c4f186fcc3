"""Packets and decoded frames of a video in one pass, across damage."""

import math
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import dropwhile

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .damage import DamageWatch, Spans, rate_of

MOST_DEMUX_ERRORS = 1000  # in a row; FFmpeg reads on behind most kinds of damage


class Unreliable(Exception):
    """The packets do not say reliably when frames are on screen, so all of them must be decoded."""


class CutShort(Unreliable):
    """The packets end earlier than the header of the file declares."""


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
            self._damage.ends_early() or falls_short(self._container, self._stream, length, length / count, reached)
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


def falls_short(container: InputContainer, stream: VideoStream, length: float, step: float, reached: float) -> bool:
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
