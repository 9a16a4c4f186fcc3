"""What load_clip says of impossible numbers, of what is no video, and of files that are damaged or cut short."""

import contextlib
import os

import av
import numpy as np
import pytest
from videos import CLIPS, cut_file, shown, write

from linvid_edu.video.opening import VideoError, VideoWarning
from linvid_edu.video.reading import load_clip, stream_frames


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
        ({"start": 4}, r"start=4\.0 s is after .*\(4\.0 s\)"),
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
    with pytest.raises(VideoError, match="a folder or a device, not a file"):
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
    with pytest.raises(VideoError, match=rf"{name}: the video breaks off at .* choose stop=") as caught:
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
    damage = r"a\.mp4: the video is damaged: frames are missing or broken from 2\.50 to 2\.60 s; the others are read"
    with pytest.warns(VideoWarning, match=damage):
        assert shown(load_clip(path, num_frames=40, size=16))[24:26] == [24, 24]
    with pytest.warns(VideoWarning, match=damage):
        assert len(list(stream_frames(path, rate=100, size=16))) == 39
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


def test_real_corrupted_clip():
    path = CLIPS / "corrupted.mp4"
    if not path.exists():
        pytest.skip("needs the shared clips")
    with pytest.warns(VideoWarning, match=r"corrupted\.mp4: the video is damaged: .* from 3\.00 to 3\.10 s"):
        clip = load_clip(path, num_frames=50, size=32)
    assert clip.repeated == 1
