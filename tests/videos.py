"""Videos made on the spot, whose gray level tells which frame one sees, for several files of tests."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLIPS = Path(__file__).parents[2] / "shared/clips"


def gray(number, width=48, height=32):
    """Frame ``number``: a plain level, 5 apart from the next, so that 40 frames can be told apart."""
    return np.full((height, width, 3), 20 + 5 * (number % 40), dtype=np.uint8)


def shown(clip):
    """The numbers of the frames in a clip, read off their centers."""
    middle = clip.frames.shape[1] // 2
    return ((clip.frames[:, middle, middle].float().mean(-1) - 20) / 5).round().int().tolist()


def centers(count, num_frames, rate=10, start=0.0, stop=None):
    """The numbers of the frames on screen at the centers of the segments, for a constant rate."""
    stop = count / rate if stop is None else stop
    times = (start + (i + 0.5) * (stop - start) / num_frames for i in range(num_frames))
    return [math.floor(time * rate + 1e-6) for time in times]


def write(
    path, pictures=40, *, rate=10, codec="libx264", pix_fmt="yuv420p", gop=10, bframes=2, pts=None, edit=None, **opening
):
    """Encode pictures; ``pts`` are in 1/1000 s, ``edit`` changes the stream before and after it is opened."""
    pictures = [gray(number) for number in range(pictures)] if isinstance(pictures, int) else pictures
    quality = {
        "libx264": {"crf": "4", "preset": "veryfast", "sc_threshold": "0", "bf": str(bframes)},
        "mpeg4": {"bf": str(bframes)},
    }
    with av.open(str(path), "w", **opening) as container:
        stream = container.add_stream(codec, rate=rate, options=quality.get(codec, {}))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        if codec in ("mpeg4", "mpeg2video", "mjpeg"):
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if edit is not None:
            edit(stream)
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="gray" if pixels.ndim == 2 else "rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_packets(source, target, shift=0, options=None):
    """Remux a video with its timestamps shifted by that many frames."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                step = int(shift / 10 / packet.time_base)
                packet.pts, packet.dts = packet.pts + step, packet.dts + step
                packet.stream = stream
                new.mux(packet)
    return target


def cut_file(path, share):
    """Throw away the end of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path
