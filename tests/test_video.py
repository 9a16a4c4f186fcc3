"""load_clip on videos made on the spot: which frames, which pixels, and at what cost."""

import struct
import subprocess
import sys
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from videos import CLIPS, centers, copy_packets, gray, shown, write

from linvid_edu.video import timeline
from linvid_edu.video.clip import normalize
from linvid_edu.video.opening import VideoError
from linvid_edu.video.reading import load_clip

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_large_frames_are_not_kept(tmp_path):
    """Resident memory, in a process of its own: twenty 1600 × 1200 frames as RGB would be 115 MB more than one."""
    picture = np.zeros((1200, 1600, 3), dtype=np.uint8)
    path = write(tmp_path / "a.mkv", [picture] * 21, codec="mjpeg", pix_fmt="yuvj420p")
    code = """
import sys
from linvid_edu.training.run_provenance import peak_memory_mb
from linvid_edu.video.reading import load_clip
load_clip(sys.argv[1], num_frames=1)
before = peak_memory_mb()
load_clip(sys.argv[1], num_frames=21)
print(peak_memory_mb() - before)
"""
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 60


# real clips


@pytest.mark.parametrize(
    ("name", "count", "rate"),
    [
        ("nasa_13013.mp4", 390, 30000 / 1001),  # the larger of two streams, as players choose
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
