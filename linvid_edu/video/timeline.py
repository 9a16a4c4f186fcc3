"""When each frame of a video is on screen, from its packets or its decoded frames, and how to pick frames by it."""

import math
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .damage import DamageWatch, Spans, rate_of
from .frame_reader import CutShort, FrameReader, Unreliable, decoded, falls_short, packets_of

SEEK_FRAMES = 8  # number of frames; if the next keyframe is this close, decoding is faster than seeking


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
    if damage.ends_early() or falls_short(container, stream, length, length / len(pts_of), reached):
        raise CutShort("the file ends too early")
    if not timed or not keys:
        raise Unreliable("no presentation times or no keyframes")
    entries = np.unique(np.array(keys).reshape(-1, 2), axis=0)
    pts_of = pts_of[np.searchsorted(pts_of, entries[0, 0]) :]  # frames before the first keyframe cannot be decoded
    times = (pts_of - pts_of[0]) * tick
    end = times[-1] + (last * tick or 1 / rate_of(stream))
    return Timeline(times, pts_of, entries, end, breaks_off=False, missing=damage.spans(float(pts_of[0] * tick)))


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
