"""Videos that are whole but unusual, and damaged ones: every way to read a video shows the same frames and times."""

import re
import struct
import warnings

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from videos import gray, shown, write

from linvid_edu.cli import app
from linvid_edu.video.clip_folder.decoding import ClipDecoder
from linvid_edu.video.clip_folder.labeled_clips import LabeledClip
from linvid_edu.video.films import read_film
from linvid_edu.video.opening import VideoError, VideoWarning
from linvid_edu.video.reading import load_clip, stream_frames, video_facts
from linvid_edu.widgets.clips import ClipPicker

TURNED = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
STRAIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def noise(number):
    pixels = np.random.default_rng(number).integers(0, 60, (32, 48, 3), dtype=np.uint8)
    pixels[8:24, 16:32] = gray(number)[0, 0]
    return pixels


def turned(folder):
    path = write(folder / "turned.mp4", 20)
    data = bytearray(path.read_bytes())
    at = data.rindex(STRAIGHT)
    data[at : at + len(TURNED)] = TURNED
    path.write_bytes(data)
    return path


def with_empty_chunks(folder, codec="mpeg4", bframes=0):
    whole = write(folder / "whole.avi", 20, codec=codec, bframes=bframes)
    path = folder / f"empty_chunks_{codec}.avi"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            packet.pts = packet.dts = packet.dts + (15 if number >= 10 else 0)
            packet.stream = stream
            new.mux(packet)
    return path


def reordered_avi(folder):
    return write(folder / "reordered.avi", 20, bframes=2)


def camera(folder):
    """Motion JPEG whose pictures have EXIF blocks, a kind of data that PyAV has no name for."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 1, 0, 0)
    block = b"Exif\0\0" + tiff
    plain, path = write(folder / "plain.mov", 20, codec="mjpeg", pix_fmt="yuvj420p"), folder / "camera.mov"
    with av.open(str(plain)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                data = bytes(packet)
                more = av.Packet(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
                more.pts, more.dts, more.duration, more.time_base = (
                    packet.pts,
                    packet.dts,
                    packet.duration,
                    packet.time_base,
                )
                more.is_keyframe, more.stream = True, stream
                new.mux(more)
    return path


def with_preview(folder):
    """A film whose first stream is a single frame."""
    path = folder / "preview.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=10) for _ in range(2)]
        for stream in streams:
            stream.pix_fmt, stream.width, stream.height = "yuv420p", 48, 32
        for stream, numbers in zip(streams, ([39], range(20)), strict=True):
            for number in numbers:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(gray(number), format="rgb24")))
            container.mux(stream.encode())
    return path


def numbered_pictures(folder):
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(20):
        write(pictures / f"img_{number}.png", [gray(number)], codec="png", pix_fmt="rgb24", format="image2")
    return pictures


def moving_picture(folder):
    return write(folder / "a.gif", 20, codec="gif", pix_fmt="rgb8")


WHOLE = {
    "turned": (turned, 2.0),
    "empty chunks": (with_empty_chunks, 3.5),
    "empty chunks, H.264": (lambda folder: with_empty_chunks(folder, "libx264"), 3.5),
    "reordered": (reordered_avi, 2.0),
    "EXIF": (camera, 2.0),
    "preview": (with_preview, 2.0),
    "pictures": (numbered_pictures, 0.8),
    "GIF": (moving_picture, 2.0),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Each odd video by its name, written once."""
    folder = tmp_path_factory.mktemp("odd")
    return {name: make(folder) for name, (make, _) in WHOLE.items()}


@pytest.mark.parametrize("name", WHOLE)
def test_every_reader_gives_the_same_frames_at_the_same_times(odd, name):
    path, seconds = odd[name], WHOLE[name][1]
    facts, streamed = video_facts(path), list(stream_frames(path, rate=1000, size=16))
    assert facts.frames == len(streamed) == 20
    assert facts.seconds == pytest.approx(seconds, abs=0.02)
    clip = load_clip(path, num_frames=round(facts.seconds * 100), size=16)
    assert sorted(set(shown(clip))) == list(range(20)) or name == "GIF"  # whose colors are few
    first = np.unique(clip.times, return_index=True)[1]
    assert clip.times[first].tolist() == pytest.approx([frame.time for frame in streamed], abs=1e-3)
    assert torch.equal(clip.frames[first], torch.stack([frame.pixels for frame in streamed]))
    film = read_film(path, size=16, rate=1000.0)
    assert torch.equal(film.frames, clip.frames[first])


@pytest.mark.parametrize("name", WHOLE)
def test_every_odd_video_trains_and_is_picked(odd, name):
    decoder = ClipDecoder([LabeledClip(odd[name], 0)], 4, 16, replaces=True)
    ((decoded,),) = (decoder[[0]],)
    assert decoded.errors == {}
    assert torch.equal(torch.from_numpy(decoded.frames), load_clip(odd[name], num_frames=4, size=16).frames)
    picker = ClipPicker(path=odd[name], num_frames=4, size=16)
    assert picker.trouble == ""
    assert picker.clip.times.tolist() == load_clip(odd[name], num_frames=4, size=16).times.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["stream", "explain", "color"])
@pytest.mark.parametrize("name", WHOLE)
def test_every_command_reads_every_odd_video(odd, name, command, tmp_path):
    options = ["--random", "--frames", "2", "--size", "32"] if command == "explain" else []
    done = CliRunner().invoke(app, [command, str(odd[name]), "--output", str(tmp_path / "page.html"), *options])
    gray_was_read = command == "color" and "the clip is gray" in done.output  # most of these videos have no colors
    assert gray_was_read or done.exit_code == 0, done.output


# what looks wrong without care


def test_interlaced_frames_have_no_comb(tmp_path):
    def edit(stream):
        stream.codec_context.options = {"flags": "+ildct+ilme", "alternate_scan": "1"}

    fields = np.zeros((240, 320, 3), dtype=np.uint8)
    fields[::2, 100:160], fields[1::2, 130:190] = 200, 200  # a bar that moves between the fields
    path = write(tmp_path / "a.mpg", [fields] * 5, codec="mpeg2video", rate=25, edit=edit)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    pixels = load_clip(path, num_frames=3, size=240).frames.float().mean(-1)
    comb = (pixels[:, 1:-1] - (pixels[:, :-2] + pixels[:, 2:]) / 2).abs().mean()
    assert comb < 2  # 35 with both fields


@pytest.mark.parametrize(("transfer", "code"), [(16, 0.58), (18, 0.75)], ids=["PQ", "HLG"])
def test_reference_white_of_high_dynamic_range_is_white(tmp_path, transfer, code):
    frame = av.VideoFrame(64, 64, "yuv420p10le")
    for plane, level in zip(frame.planes, (round(64 + code * 876), 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, level, dtype=np.uint16).tobytes())
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = 9, 1, 9, transfer
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = 9, 1, 9, transfer
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert load_clip(tmp_path / "a.mkv", num_frames=1, size=32).frames.float().mean() > 220  # 148 and 191 without care


# damage


def damaged(path, share, stop):
    data = bytearray(path.read_bytes())
    first, last = round(share * len(data)), round(stop * len(data))
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.webm", "libvpx"), ("a.mp4", "libx264")]
)
def test_damage_in_the_middle_is_read_over_and_reported_with_its_seconds(tmp_path, name, codec):
    options = {"options": {"movflags": "faststart"}} if name.endswith("mp4") else {}
    path = damaged(write(tmp_path / name, [noise(number) for number in range(60)], codec=codec, **options), 0.4, 0.6)
    with pytest.warns(VideoWarning, match=r"the video is damaged: .*missing or broken from \d") as told:
        clip = load_clip(path, num_frames=60, size=32)
    spans = re.findall(r"([\d.]+) to ([\d.]+) s", str(told[0].message))
    assert 1.5 < float(spans[0][0]) < 3 < float(spans[-1][1]) < 6
    assert clip.times[-1] > 5
    with pytest.warns(VideoWarning, match="the video is damaged"):
        assert list(stream_frames(path, rate=100, size=16))[-1].time > 5


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.webm", "libvpx")])
def test_a_file_that_cannot_be_read_to_its_end_breaks_off(tmp_path, name, codec):
    path = damaged(write(tmp_path / name, [noise(number) for number in range(60)], codec=codec), 0.3, 1)
    with pytest.raises(VideoError, match=r"breaks off at \d\.\d+ s, before its end.*choose stop="):
        load_clip(path, size=16)


def test_a_whole_video_with_a_pause_is_not_damaged(tmp_path):
    stamps = [100 * number + (8000 if number >= 20 else 0) for number in range(40)]
    path = write(tmp_path / "a.mkv", [noise(number) for number in range(40)], pts=stamps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_clip(path, num_frames=8, size=16).times[-1] > 8
        assert len(list(stream_frames(path, rate=1000, size=16))) == 40


def test_damage_is_shown_where_a_clip_is_used(tmp_path):
    path = damaged(write(tmp_path / "a.mkv", [noise(number) for number in range(60)]), 0.4, 0.6)
    decoder = ClipDecoder([LabeledClip(path, 0)], 4, 16, replaces=False)
    (decoded,) = decoder[[0]]
    assert decoded.frames is not None
    assert decoded.errors[path].startswith("read in part: the video is damaged")
    picker = ClipPicker(path=path, num_frames=4, size=16)
    assert "the video is damaged" in picker.trouble
    assert picker.clip is not None
    done = CliRunner().invoke(app, ["stream", str(path), "--output", str(tmp_path / "page.html")])
    assert done.exit_code == 0
    assert f"linvid: {path}: the video is damaged" in done.output
    assert "the video is damaged" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("error", [ValueError("31 is not a valid Type"), MemoryError(), RuntimeError("inside")])
def test_any_failure_names_the_clip(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    path = write(tmp_path / "a.mp4", 3)
    monkeypatch.setattr("linvid_edu.video.squares.Squares.of", fail)
    decoder = ClipDecoder([LabeledClip(path, 0)], 4, 16, replaces=False)
    with pytest.raises(VideoError, match=r"a\.mp4: not a readable video"):
        load_clip(path)
    with pytest.raises(VideoError, match=r"a\.mp4: not a readable video"):
        next(stream_frames(path))
    assert path in decoder[[0]][0].errors
    assert "a.mp4: not a readable video" in ClipPicker(path=path).trouble


# names


def test_a_path_in_quotes_or_from_the_home_folder_is_found(tmp_path, monkeypatch):
    write(tmp_path / "caf\u00e9.mp4", 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (f'"{tmp_path}/caf\u00e9.mp4"', "~/caf\u00e9.mp4", f"{tmp_path}/cafe\u0301.mp4", "'~/caf\u00e9.mp4' "):
        assert load_clip(name, num_frames=3, size=16).frames.shape[0] == 3


def test_a_name_that_is_not_utf8_is_read_and_printed(tmp_path):
    path = tmp_path / b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    path.write_bytes(write(tmp_path / "a.mp4", 3).read_bytes())
    assert load_clip(path, num_frames=1, size=16).source.encode().endswith(b"caf\\udce9.mp4")
    path.write_bytes(b"no video")
    with pytest.raises(VideoError) as caught:
        load_clip(path)
    assert b"caf\\udce9.mp4" in str(caught.value).encode()


def test_a_link_to_nowhere_says_so(tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match=r"a\.mp4: a link to .*gone\.mp4, which does not exist"):
        load_clip(tmp_path / "a.mp4")
