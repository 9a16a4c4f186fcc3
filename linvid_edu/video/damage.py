"""Which parts of a video are missing or broken, from its packets and its decoded frames."""

from __future__ import annotations

from heapq import heappop, heappush

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

DEFAULT_FPS = 25  # frames per second, for a file that declares no frame rate
PACKS_TIGHTLY = {"matroska": 200, "mpegts": 4000}  # format: most bytes between two packets that hold no data
TRAILING_BYTES, TRAILING_SHARE = 4000, 0.1  # after the last packet: an index and tags take less
LEAST_GAP = 1.5  # in frames: a shorter gap is not reported

Spans = tuple[tuple[float, float], ...]


class DamageWatch:
    """Collects the times of lost and broken frames while a file is read in order.

    A frame is lost if its packet gave no frame, or if the bytes of packets are missing from the file. Both count only
    if the time shows a gap too, because some packets hold no frame of their own.

    Args:
        container: File that was just opened.
        stream: Video stream of the file.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._tick = float(stream.time_base or 0)
        self._step = 1 / rate_of(stream)  # seconds
        self._most_unread = next(
            (limit for name, limit in PACKS_TIGHTLY.items() if name in container.format.name), None
        )
        self._size = container.size  # bytes
        self._read_to: int | None = None  # position in the file
        self._unread = 0  # bytes since the last packet of the video
        self._reached: float | None = None  # latest end of a packet of the video, in seconds
        self._pending: list[float] = []  # times of packets that have not given a frame yet
        self._latest: float | None = None
        self._spans: list[tuple[float, float]] = []

    def add_packet(self, packet: Packet) -> None:
        """Look for lost bytes before the next packet of the file, of any stream."""
        if self._read_to is not None and packet.pos is not None:
            self._unread += max(0, packet.pos - self._read_to)
        if packet.pos is not None:
            self._read_to = packet.pos + packet.size
        stamp = packet.dts if packet.pts is None else packet.pts
        if packet.stream_index != self._stream.index or stamp is None:
            return
        start, step = stamp * self._tick, max(self._step, (packet.duration or 0) * self._tick)
        if self._reached is not None:
            lost = self._most_unread is not None and (self._unread > self._most_unread or packet.is_corrupt)
            if lost and start - self._reached > LEAST_GAP * step:
                self._spans.append((self._reached, start))
        self._reached = max(start + step, start if self._reached is None else self._reached)
        self._unread = 0

    def add_sent(self, time: float) -> None:
        """Note the time of a packet that goes to the decoder."""
        heappush(self._pending, time)

    def add_frame(self, frame: VideoFrame, time: float) -> None:
        """Compare a decoded frame with the packets that went to the decoder before it."""
        lost = False
        while self._pending and self._pending[0] <= time:
            lost = heappop(self._pending) < time or lost
        if lost and self._latest is not None and time - self._latest > LEAST_GAP * self._step:
            self._spans.append((self._latest + self._step, time))
        if frame.is_corrupt:
            self._spans.append((time, time + self._step))
        self._latest = time

    def add_end(self) -> float:
        """Note that no frame follows, and return the seconds of video at the end that gave no frame."""
        if self._latest is None or not self._pending:
            return 0.0
        start, stop = self._latest + self._step, max(self._pending) + self._step
        if stop - start > (LEAST_GAP - 1) * self._step:
            self._spans.append((start, stop))
        return max(0.0, stop - start)

    def ends_early(self) -> bool:
        """Return whether much of the file follows the last packet, which a format without a final index does not do."""
        if self._most_unread is None or self._read_to is None:
            return False
        return self._size - self._read_to > TRAILING_BYTES + TRAILING_SHARE * self._size

    def spans(self, first: float) -> Spans:
        """Return start and end of each missing or broken part, in seconds since ``first``, ascending."""
        merged: list[tuple[float, float]] = []
        for start, stop in sorted(self._spans):
            if merged and start - merged[-1][1] < LEAST_GAP * self._step:
                merged[-1] = merged[-1][0], max(stop, merged[-1][1])
            else:
                merged.append((start, stop))
        return tuple((max(0.0, start - first), max(0.0, stop - first)) for start, stop in merged)


def rate_of(stream: VideoStream) -> float:
    """Return the frames per second that the file declares, or a default."""
    return float(stream.guessed_rate or stream.average_rate or DEFAULT_FPS)
