"""load_clip on videos made on the spot, whose gray level tells which frame one sees."""

import contextlib
import math
import os
import struct
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linvid_edu import timeline
from linvid_edu.clip import normalize
from linvid_edu.video import VideoError, load_clip

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


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """40 frames at 10 per second, with reordered frames and a keyframe a second."""
    return write(tmp_path_factory.mktemp("plain") / "plain.mp4")


# what comes back


def test_fields(plain):
    clip = load_clip(plain, num_frames=5, size=24)
    assert clip.video.shape == (3, 5, 24, 24)
    assert clip.video.dtype == torch.float32
    assert clip.frames.shape == (5, 24, 24, 3)
    assert clip.frames.dtype == torch.uint8
    torch.testing.assert_close(clip.video, normalize(clip.frames))
    torch.testing.assert_close(clip.times, torch.tensor([0.4, 1.2, 2.0, 2.8, 3.6]))
    assert (clip.source, clip.repeated) == (str(plain), 0)


def test_defaults(plain):
    clip = load_clip(str(plain))
    assert clip.video.shape == (3, 16, 224, 224)
    assert shown(clip) == centers(40, 16)


@pytest.mark.parametrize("num_frames", [1, 2, 7, 20, 39, 40])
def test_samples_the_segment_centers(plain, num_frames):
    clip = load_clip(plain, num_frames=num_frames, size=16)
    assert shown(clip) == centers(40, num_frames)
    torch.testing.assert_close(clip.times, torch.tensor(centers(40, num_frames)) / 10)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (1.05, 1.15), (2, None), (0.3, 3.7), (None, 0.05), (3.95, 4)])
def test_start_and_stop(plain, start, stop):
    clip = load_clip(plain, num_frames=4, size=16, start=start, stop=stop)
    assert shown(clip) == centers(40, 4, start=start or 0, stop=stop)


def test_stop_beyond_the_end_is_the_end(plain):
    assert torch.equal(load_clip(plain, size=16, stop=99).frames, load_clip(plain, size=16).frames)


def test_few_frames_repeat_and_are_counted(tmp_path):
    clip = load_clip(write(tmp_path / "few.mp4", 3), num_frames=8, size=16)
    assert shown(clip) == [0, 0, 0, 1, 1, 2, 2, 2]
    assert clip.repeated == 5
    assert load_clip(tmp_path / "few.mp4", num_frames=1, size=16, start=0.25).repeated == 0


def test_same_call_same_bytes(plain):
    first, second = (load_clip(plain, size=32) for _ in range(2))
    assert torch.equal(first.video, second.video)
    assert torch.equal(first.times, second.times)


# containers and codecs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mov", {}),
        ("a.mkv", {}),
        ("a.ts", {}),
        ("a.flv", {}),
        ("a.avi", {}),
        ("a.h264", {}),
        ("fragmented.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("live.mkv", {"options": {"live": "1"}}),
        ("a.mpg", {"codec": "mpeg2video", "rate": 25}),
        ("a.m4v", {"codec": "mpeg4"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("a.mjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "rate": 25}),
        ("a.gif", {"codec": "gif", "pix_fmt": "gray"}),
        ("a.apng", {"codec": "apng", "pix_fmt": "rgb24"}),
        ("a.webm", {"codec": "libvpx"}),
        ("all_intra.mp4", {"gop": 1}),
        ("no_reordering.mp4", {"bframes": 0}),
        ("one_keyframe.mkv", {"gop": 100}),
    ],
)
def test_containers(tmp_path, name, options):
    path = write(tmp_path / name, **options)
    rate = options.get("rate", 10)
    for num_frames in (3, 16):
        clip = load_clip(path, num_frames=num_frames, size=16)
        assert shown(clip) == centers(40, num_frames)
        torch.testing.assert_close(clip.times, torch.tensor(centers(40, num_frames)) / rate, rtol=0, atol=2e-3)
    assert shown(load_clip(path, num_frames=2, size=16, start=30 / rate)) == [32, 37]


@pytest.mark.parametrize("name", ["one.png", "frame%03d.png", "one.jpg"])
def test_single_picture(tmp_path, name):
    codec, pix_fmt = ("png", "rgb24") if name.endswith("png") else ("mjpeg", "yuvj420p")
    (packet,) = encode(codec, pix_fmt, gray(7))
    (tmp_path / name).write_bytes(packet)
    clip = load_clip(tmp_path / name, num_frames=4, size=16)
    assert shown(clip) == [7] * 4
    assert clip.repeated == 3
    assert clip.times.tolist() == [0] * 4


def encode(codec, pix_fmt, pixels):
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return [bytes(packet) for packet in context.encode(frame) + context.encode()]


@pytest.mark.parametrize("name", ["variable.mp4", "variable.mkv"])
def test_variable_frame_rate(tmp_path, name):
    pts = [0, 40, 80, 1000, 1040, 3000, 3500]
    path = write(tmp_path / name, 7, rate=1000, pts=pts)
    clip = load_clip(path, num_frames=10, size=16, stop=3.5)
    assert shown(clip) == [2, 2, 2, 4, 4, 4, 4, 4, 4, 5]
    torch.testing.assert_close(clip.times, torch.tensor([pts[number] / 1000 for number in shown(clip)]))
    assert clip.repeated == 7


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_times_any_segment(tmp_path, data):
    steps = data.draw(st.lists(st.integers(1, 900), min_size=2, max_size=12))
    pts = [sum(steps[:number]) for number in range(len(steps))]
    start = data.draw(st.integers(0, pts[-1] - 1 if pts[-1] else 0)) / 1000
    stop = data.draw(st.integers(int(start * 1000) + 1, pts[-1] + 1)) / 1000
    num_frames = data.draw(st.integers(1, 9))
    path = write(tmp_path / "any.mkv", len(pts), rate=1000, pts=pts)
    clip = load_clip(path, num_frames=num_frames, size=16, start=start, stop=stop)
    instants = [1000 * (start + (i + 0.5) * (stop - start) / num_frames) + 1e-3 for i in range(num_frames)]
    assert shown(clip) == [max(j for j, time in enumerate(pts) if time <= instant) for instant in instants]


@pytest.mark.parametrize("name", ["late.mkv", "late.ts", "late.mp4"])
def test_late_start(tmp_path, plain, name):
    clip = load_clip(copy_packets(plain, tmp_path / name, shift=57), num_frames=8, size=16, start=1, stop=3)
    assert shown(clip) == centers(40, 8, start=1, stop=3)
    torch.testing.assert_close(clip.times, torch.tensor(shown(clip)) / 10, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["early.ts", "early.mp4"])
def test_negative_start(tmp_path, plain, name):
    options = {"avoid_negative_ts": "disabled", "movflags": "frag_keyframe+delay_moov"}
    path = copy_packets(plain, tmp_path / name, shift=-15, options=options)
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time < 0
    assert shown(load_clip(path, num_frames=8, size=16)) == centers(40, 8)


def test_edit_list_hides_the_first_frames(tmp_path, plain, decoded):
    path = copy_packets(plain, tmp_path / "edited.mp4", shift=-15, options={"avoid_negative_ts": "disabled"})
    clip = load_clip(path, num_frames=25, size=16)
    assert decoded["starts"] == 1
    assert shown(clip) == list(range(15, 40))
    torch.testing.assert_close(clip.times, torch.arange(25) / 10)


def test_keyframe_less_head_is_left_out(tmp_path):
    path = write(tmp_path / "a.ts")
    packets = path.read_bytes()
    path.write_bytes(packets[188 * (len(packets) // 188 // 8) :])
    clip = load_clip(path, num_frames=30, size=16)
    assert shown(clip) == list(range(10, 40))
    assert clip.times[0] == 0
    assert shown(load_clip(path, num_frames=1, size=16)) == [25]


def test_timestamps_that_start_again(tmp_path):
    path = write(tmp_path / "a.ts", 20)
    path.write_bytes(path.read_bytes() * 2)
    assert shown(load_clip(path, num_frames=40, size=16)) == [*range(20), *range(20)]


# pixels


@pytest.mark.parametrize(
    "pix_fmt",
    ["gray", "gray10le", "gray16le", "yuv422p", "yuv444p10le", "yuv420p10le", "gbrp10le", "bgr0", "bgra", "yuva420p"],
)
def test_pixel_formats(tmp_path, pix_fmt):
    clip = load_clip(write(tmp_path / "a.mkv", 40, codec="ffv1", pix_fmt=pix_fmt), num_frames=10, size=16)
    assert shown(clip) == centers(40, 10)


def test_ten_bit_h264(tmp_path):
    path = write(tmp_path / "a.mp4", pix_fmt="yuv420p10le")
    assert shown(load_clip(path, num_frames=10, size=16)) == centers(40, 10)


def test_alpha_is_dropped(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "bgra"
        pixels = np.full((32, 32, 4), (30, 90, 150, 0), dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode())
    assert load_clip(tmp_path / "a.mkv", num_frames=1, size=8).frames[0, 4, 4].tolist() == [30, 90, 150]


@pytest.mark.parametrize(("space", "red"), [(1, (63, 102, 240)), (6, (81, 90, 240))])
def test_color_matrix(tmp_path, space, red):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 1
        planes = np.stack([np.full((32, 32), level, dtype=np.uint8) for level in red])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        frame.colorspace, frame.color_range = space, 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    color = load_clip(tmp_path / "a.mp4", num_frames=1, size=16).frames[0, 8, 8]
    assert (color.int() - torch.tensor([255, 0, 0])).abs().max() <= 6


@pytest.mark.parametrize(("width", "height"), [(127, 95), (95, 127), (1, 33), (33, 1), (1, 1), (1, 9000), (9000, 1)])
@pytest.mark.parametrize("size", [1, 7, 224])
def test_odd_sizes(tmp_path, width, height, size):
    path = write(tmp_path / "a.mov", [gray(number, width, height) for number in range(4)], codec="png", pix_fmt="rgb24")
    clip = load_clip(path, num_frames=4, size=size)
    assert clip.frames.shape == (4, size, size, 3)
    assert shown(clip) == [0, 1, 2, 3]


@pytest.mark.parametrize(("width", "height"), [(96, 32), (32, 96), (1280, 32)])
def test_center_is_kept(tmp_path, width, height):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = (height - 32) // 2, (width - 32) // 2
    pixels[top : top + 32, left : left + 32] = 200
    path = write(tmp_path / "a.mkv", [pixels], codec="ffv1", pix_fmt="bgr0")
    assert (load_clip(path, num_frames=1, size=32).frames == 200).all()


@pytest.mark.parametrize("size", [40, 64, 150])
def test_resize_is_an_antialiased_bicubic(tmp_path, size):
    y, x = np.mgrid[:96, :128] / 12
    pixels = np.stack([np.sin(x + y), np.cos(x * y / 4), np.sin(y) * np.cos(x)], axis=-1)
    pixels = np.uint8(127 + 100 * pixels)
    path = write(tmp_path / "a.mkv", [pixels], codec="ffv1", pix_fmt="bgr0")
    clip = load_clip(path, num_frames=1, size=size)
    image = torch.from_numpy(pixels).movedim(-1, 0)[None].float()
    wide = round(128 * size / 96)
    exact = torch.nn.functional.interpolate(image, size=(size, wide), mode="bicubic", antialias=True)
    left = (wide - size) // 2
    exact = exact[0, :, :, left : left + size].movedim(0, -1)
    assert (clip.frames[0] - exact).abs().mean() < 1.5


def test_full_color_resolution(tmp_path):
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:], stripes[:, np.arange(64) // 4 % 2 == 0] = (60, 60, 200), (200, 60, 60)
    clip = load_clip(write(tmp_path / "a.mkv", [stripes], codec="ffv1"), num_frames=1, size=32)
    image = torch.from_numpy(stripes).movedim(-1, 0)[None].float()
    exact = torch.nn.functional.interpolate(image, (32, 32), mode="bicubic", antialias=True)
    assert (clip.frames[0] - exact[0].movedim(0, -1)).abs().mean() < 7  # 9.8 with half the colors


QUARTER_TURNS = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # clockwise, as a phone held upright writes it
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (0, 1, 1, 0): lambda image: image.swapaxes(0, 1),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", QUARTER_TURNS, ids=str)
def test_rotation_metadata(tmp_path, matrix):
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:16, 16:32], pixels[:16, 32:48], pixels[16:, 16:32] = 60, 120, 180
    path = write(tmp_path / "a.mp4", [pixels], pix_fmt="yuv444p")
    a, b, c, d = (value << 16 for value in matrix)
    data = bytearray(path.read_bytes())
    at = data.rindex(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    got = load_clip(path, num_frames=1, size=32).frames[0].numpy()
    want = QUARTER_TURNS[matrix](pixels[:, 16:48])
    assert np.abs(got[4::8, 4::8].astype(int) - want[4::8, 4::8]).max() <= 6


def test_pixels_are_made_square(tmp_path):
    def stretch(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, 8:24] = 200  # shown 64 wide: the center 32 are these
    path = write(tmp_path / "a.mp4", [pixels], pix_fmt="yuv444p", edit=stretch)
    assert (load_clip(path, num_frames=1, size=32).frames[0, :, 2:30].int() - 200).abs().max() <= 6


def test_frame_size_changes_midway(tmp_path):
    parts = [
        write(tmp_path / f"{width}.h264", [gray(first + i, width, 32) for i in range(10)])
        for width, first in ((32, 0), (96, 10), (48, 20))
    ]
    (tmp_path / "a.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = load_clip(tmp_path / "a.h264", num_frames=30, size=16)
    assert shown(clip) == list(range(30))


# streams


def write_streams(path, kinds):
    """Write sound, a video of frames counted from 0, a second video from 20, and a cover picture, in that order."""
    with av.open(str(path), "w") as container:
        streams = []
        for kind in kinds:
            if kind == "sound":
                stream = container.add_stream("aac", rate=8000, layout="mono")
            elif kind == "cover":
                stream = container.add_stream("png", rate=10)
                stream.pix_fmt, stream.width, stream.height = "rgb24", 48, 32
                stream.disposition = av.stream.Disposition.attached_pic
            else:
                stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
                stream.pix_fmt, stream.width, stream.height = "yuv420p", 48, 32
            streams.append(stream)
        for kind, stream in zip(kinds, streams, strict=True):
            if kind == "sound":
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), "fltp", "mono")
                frame.rate = 8000
                container.mux(stream.encode(frame))
            else:
                first = {"first": 0, "second": 20, "cover": 39}[kind]
                for number in range(1 if kind == "cover" else 10):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(gray(first + number), format="rgb24")))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("a.mp4", ["sound", "first"]),
        ("a.mkv", ["sound", "first"]),
        ("a.mp4", ["first", "second"]),
        ("a.mp4", ["cover", "sound", "first"]),
    ],
)
def test_takes_the_first_moving_video(tmp_path, name, kinds):
    path = write_streams(tmp_path / name, kinds)
    with av.open(str(path)) as container:
        assert len(container.streams) == len(kinds)
    assert shown(load_clip(path, num_frames=10, size=16)) == list(range(10))


@pytest.mark.parametrize("kinds", [["sound"], ["sound", "cover"]])
def test_no_video_stream(tmp_path, kinds):
    path = write_streams(tmp_path / "a.m4a" if kinds == ["sound"] else tmp_path / "a.mp4", kinds)
    with pytest.raises(VideoError, match=r"a\.m.*no video in it.*audio"):
        load_clip(path)


def test_metadata_need_not_be_utf8(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata["title"] = "TITLETITLE"
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gray(3), format="rgb24").reformat(32, 32, "gray")))
        container.mux(stream.encode())
    data = (tmp_path / "a.mkv").read_bytes()
    assert b"TITLETITLE" in data
    (tmp_path / "a.mkv").write_bytes(data.replace(b"TITLETITLE", b"Caf\xe9\xff\xfe4567"))
    assert shown(load_clip(tmp_path / "a.mkv", num_frames=1, size=16)) == [3]


# economy


@pytest.fixture
def decoded(monkeypatch):
    """Count the frames that are decoded, and the seeks."""
    counts = {"frames": 0, "starts": 0}
    genuine = timeline.decoded

    def counting(*args, **kwargs):
        counts["starts"] += 1
        for frame in genuine(*args, **kwargs):
            counts["frames"] += 1
            yield frame

    monkeypatch.setattr(timeline, "decoded", counting)
    return counts


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv", "live.mkv"])
def test_seeks_over_what_no_sample_shows(tmp_path, decoded, name):
    path = write(tmp_path / name, 600, gop=20, options={"live": "1"} if name == "live.mkv" else {})
    clip = load_clip(path, num_frames=4, size=16)
    assert shown(clip) == [number % 40 for number in centers(600, 4)]
    assert decoded["frames"] <= 4 * 20  # at most from a keyframe to the sample


def test_decodes_on_where_no_keyframe_lies_between(plain, decoded):
    load_clip(plain, num_frames=4, size=16, start=0.1, stop=0.9)
    assert decoded == {"frames": 9, "starts": 1}


def test_decodes_on_where_the_keyframe_is_near(tmp_path, decoded):
    clip = load_clip(write(tmp_path / "a.mp4", gop=1), num_frames=20, size=16)
    assert shown(clip) == centers(40, 20)
    assert decoded["starts"] == 1


def test_stops_after_the_last_sample(plain, decoded):
    load_clip(plain, num_frames=2, size=16, stop=0.4)
    assert decoded["frames"] == 4


def test_memory_does_not_grow_with_length(tmp_path):
    sizes = []
    for count in (150, 3000):
        path = write(tmp_path / f"{count}.mkv", count, codec="mpeg4", bframes=0)
        load_clip(path, size=32)
        tracemalloc.start()
        load_clip(path, size=32)
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert sizes[1] < sizes[0] + 500_000  # one decoded frame more a source frame would be 6.6 MB


def test_large_frames_are_not_kept(tmp_path):
    """Resident memory, in a process of its own: twenty 1600 × 1200 frames as RGB would be 115 MB more than one."""
    picture = np.zeros((1200, 1600, 3), dtype=np.uint8)
    path = write(tmp_path / "a.mkv", [picture] * 21, codec="mjpeg", pix_fmt="yuvj420p")
    code = """
import resource, sys
from linvid_edu.video import load_clip
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
load_clip(sys.argv[1], num_frames=1)
before = peak()
load_clip(sys.argv[1], num_frames=21)
print(peak() - before)
"""
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 60


# errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_frames": 0}, "num_frames=0"),
        ({"num_frames": -3}, "num_frames=-3"),
        ({"num_frames": 2.5}, r"num_frames=2\.5"),
        ({"num_frames": True}, "num_frames=True"),
        ({"num_frames": "8"}, "num_frames='8'"),
        ({"num_frames": None}, "num_frames=None"),
        ({"size": 0}, "size=0"),
        ({"size": 22.0}, r"size=22\.0"),
        ({"size": float("nan")}, "size=nan"),
        ({"start": -0.5}, r"start=-0\.5"),
        ({"start": float("nan")}, "start=nan"),
        ({"stop": float("nan")}, "stop=nan"),
        ({"stop": float("inf")}, "stop=inf"),
        ({"start": "1"}, "start='1'"),
        ({"stop": 0}, "stop=0"),
        ({"start": 2, "stop": 1}, "stop=1 .*start=2 "),
        ({"start": 2.0, "stop": 2.0}, "stop=2.0 .*start=2.0 "),
        ({"start": 4}, r"start=4\.0 s lies beyond .*\(4\.0 s\)"),
        ({"start": 4.0, "stop": 9}, r"start=4\.0 s .*\(4\.0 s\)"),
        ({"start": 12.0}, r"start=12\.0 s .*\(4\.0 s\): choose less than 4\.0"),
    ],
)
def test_impossible_numbers(plain, arguments, words):
    with pytest.raises(VideoError, match=rf"plain\.mp4: {words}"):
        load_clip(plain, **arguments)


def test_numpy_numbers_are_numbers(plain):
    clip = load_clip(plain, num_frames=np.int64(2), size=np.int32(16), start=np.float32(1), stop=np.int64(2))
    assert shown(clip) == [12, 17]


def test_error_is_a_value_error():
    assert issubclass(VideoError, ValueError)


@pytest.mark.parametrize(
    "path",
    ["http://127.0.0.1:9/a.mp4", "https://example.org/a.mp4", "concat:a.ts|b.ts", "pipe:0", "file:a.mp4", "-", ""],
)
def test_addresses_are_not_files(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match="file"):
        load_clip(path)


def test_missing_file(tmp_path):
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file"):
        load_clip(tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match="cannot be read"):
        load_clip("x" * 5000)


def test_folder(tmp_path):
    with pytest.raises(VideoError, match="not a file but a folder"):
        load_clip(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match=r"pipe\.mp4"):
        load_clip(tmp_path / "pipe.mp4")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"once upon a time",
        b"0123456789\n" * 500,
        bytes(100_000),
        bytes(range(256)) * 100,
        b"RIFF\x10\0\0\0AVI LIST",
        b"\x1aE\xdf\xa3",
    ],
    ids=["empty", "text", "long text", "zeros", "bytes", "AVI head", "Matroska head"],
)
def test_no_video_at_all(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"a\.mp4: .*(empty|not a readable video).*download"):
        load_clip(tmp_path / "a.mp4")


def test_text_is_no_drawing(tmp_path):
    (tmp_path / "notes.txt").write_text("a line of text\n" * 500)
    with pytest.raises(VideoError, match=r"notes\.txt: not a readable video"):
        load_clip(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.txt", "list.mpd"])
@pytest.mark.parametrize(
    "script",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/a.ts\n",
        "ffconcat version 1.0\nfile 'a.ts'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT4S">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>a.ts</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
    ],
    ids=["hls", "hls of an address", "concat", "dash"],
)
def test_playlists_open_nothing_else(tmp_path, monkeypatch, name, script):
    write(tmp_path / "a.ts", 4)
    (tmp_path / name).write_text(script)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match=r"list\."):
        load_clip(name)


def test_permission_denied(plain, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # a mode of 0 would not stop root
    with pytest.raises(VideoError, match=r"plain\.mp4: .*Permission denied.*permissions"):
        load_clip(plain)


def test_index_is_missing(tmp_path):
    with pytest.raises(VideoError, match=r"a\.mp4: not a readable video"):
        load_clip(cut_file(write(tmp_path / "a.mp4"), 0.6))


@pytest.mark.parametrize("share", [0.4, 0.7, 0.85])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"options": {"movflags": "faststart"}}),
        ("short.mp4", {"options": {"movflags": "faststart"}, "rate": 60}),
        ("a.mkv", {}),
        ("a.avi", {"codec": "mpeg4"}),
    ],
)
def test_cut_in_the_middle(tmp_path, name, options, share):
    pictures = [np.random.default_rng(number).integers(0, 256, (32, 48, 3), dtype=np.uint8) for number in range(40)]
    path = cut_file(write(tmp_path / name, pictures, **options), share)
    with pytest.raises(VideoError, match=rf"{name}: the stream breaks off at .* choose stop=") as caught:
        load_clip(path)
    end = float(str(caught.value).split("choose stop=")[1].split()[0])
    rate = options.get("rate", 10)
    assert (40 * share - 8) / rate < end < (40 * share + 3) / rate
    clip = load_clip(path, num_frames=8, size=16, stop=end)
    assert clip.repeated == 0
    with pytest.raises(VideoError, match=rf"breaks off .* before stop={end + 0.5} s"):
        load_clip(path, stop=end + 0.5)


def test_damage_in_the_middle(tmp_path):
    path = write(tmp_path / "a.mp4", gop=100, bframes=0)
    with av.open(str(path)) as container:
        broken = [packet for packet in container.demux(video=0) if packet.size][25]
        at, size = broken.pos, broken.size
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"breaks off at 2\.5 s, before its end.*stop=2\.5 or less"):
        load_clip(path)
    assert shown(load_clip(path, num_frames=5, size=16, stop=2.5)) == [2, 7, 12, 17, 22]


def test_damage_that_no_sample_meets_is_sought_over(tmp_path):
    path = write(tmp_path / "a.mp4", gop=10, bframes=0)
    with av.open(str(path)) as container:
        broken = [packet for packet in container.demux(video=0) if packet.size][15]
        at, size = broken.pos, broken.size
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    assert shown(load_clip(path, num_frames=2, size=16)) == [10, 30]


def test_nothing_but_broken_frames(tmp_path):
    path = write(tmp_path / "a.mp4", 5)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.mp4: not a readable video"):
        load_clip(path)


@pytest.mark.parametrize("seed", range(25))
def test_random_damage_gives_a_clip_or_a_video_error(tmp_path, plain, seed):
    generator = np.random.default_rng(seed)
    data = bytearray(plain.read_bytes())
    for at in generator.integers(0, len(data), 1 + seed % 5 * 10):
        data[at] = generator.integers(256)
    (tmp_path / "a.mp4").write_bytes(data)
    with contextlib.suppress(VideoError):
        assert load_clip(tmp_path / "a.mp4", size=16).frames.shape == (16, 16, 16, 3)


def test_nothing_is_printed_and_logging_is_left_alone(tmp_path, plain, capfd):
    level = av.logging.get_level()
    data = bytearray(plain.read_bytes())
    data[len(data) // 2 :: 97] = b"\xff" * len(data[len(data) // 2 :: 97])
    (tmp_path / "a.mp4").write_bytes(data)
    load_clip(plain, size=16)
    with pytest.raises(VideoError):
        load_clip(tmp_path / "a.mp4")
    assert capfd.readouterr() == ("", "")
    assert av.logging.get_level() == level


# real clips


@pytest.mark.parametrize(
    ("name", "count", "rate"),
    [
        ("nasa_13013.mp4", 325, 25),
        ("flipping_a_pancake.mkv", 310, 30),
        ("arm_wrestling.mp4", 280, 28),
        ("test_mpeg4.avi", 164, 25),
    ],
)
def test_real_clips(name, count, rate):
    if not (CLIPS / name).exists():
        pytest.skip("needs the shared clips")
    clip = load_clip(CLIPS / name, num_frames=9, size=64)
    want = torch.tensor(centers(count, 9, rate)) / rate
    torch.testing.assert_close(clip.times, want, rtol=0, atol=1.01 / rate)  # Matroska rounds its times to 1 ms
    assert clip.repeated == 0
    assert clip.frames.float().std() > 10


def test_real_clip_shows_the_frames_that_plain_decoding_finds():
    path = CLIPS / "arm_wrestling.mp4"
    if not path.exists():
        pytest.skip("needs the shared clips")
    clip = load_clip(path, num_frames=4, size=256, start=3, stop=9)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for got, number in zip(clip.frames, centers(280, 4, 28, 3, 9), strict=True):
        middle = frames[number][:, 110:230].astype(float).mean()
        assert abs(got[:, 53:203].float().mean() - middle) < 2


def test_real_corrupted_clip():
    path = CLIPS / "corrupted.mp4"
    if not path.exists():
        pytest.skip("needs the shared clips")
    with pytest.raises(VideoError, match=r"corrupted\.mp4: the stream breaks off at 2\.8 s") as caught:
        load_clip(path)
    end = float(str(caught.value).split("choose stop=")[1].split()[0])
    assert load_clip(path, num_frames=8, size=32, stop=end).repeated == 0
