"""A video of any length: what is kept stays bounded, what breaks is told, and the page says what was seen."""

import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from linvid_edu.cli import app
from linvid_edu.figures.stream_page import save_watched, watch
from linvid_edu.figures.stream_page.watched import MOST_THUMBNAILS, Thinned
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.opening import VideoError
from linvid_edu.video.reading import TimedFrame, declared_seconds, load_clip, stream_frames

SIZE = 32


def film(path, frames, fps=8, size=64, max_b_frames=0):
    """Write a video in which a bright square wanders."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.max_b_frames = max_b_frames
        for index in range(frames):
            pixels = np.full((size, size, 3), 40, dtype=np.uint8)
            place = (3 * index) % (size - 16)
            pixels[place : place + 16, place : place + 16] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def tiny(**changes):
    torch.manual_seed(0)
    return VideoTransformer(ModelConfig.compact(num_frames=4, **changes)).eval()


def frames_of(count, size=SIZE):
    for index in range(count):
        pixels = torch.full((size, size, 3), index % 200, dtype=torch.uint8)
        yield TimedFrame(index / 4, pixels, pixels.permute(2, 0, 1) / 127.5 - 1)


def test_frames_are_those_of_the_whole_clip(tmp_path):
    path = film(tmp_path / "film.mp4", 16)
    found = list(stream_frames(path, rate=8, size=SIZE))
    clip = load_clip(path, num_frames=16, size=SIZE)
    assert [frame.time for frame in found] == pytest.approx(clip.times.tolist())
    assert torch.equal(torch.stack([frame.pixels for frame in found]), clip.frames)
    torch.testing.assert_close(torch.stack([frame.video for frame in found], dim=1), clip.video)


def test_the_rate_is_kept_and_a_slower_file_gives_all_it_has(tmp_path):
    path = film(tmp_path / "film.mp4", 24)
    assert [frame.time for frame in stream_frames(path, rate=2, size=SIZE)] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    assert len(list(stream_frames(path, rate=3, size=SIZE))) == 9
    assert len(list(stream_frames(path, rate=100, size=SIZE))) == 24
    assert declared_seconds(path) == pytest.approx(3.0, abs=0.05)


def test_an_avi_whose_times_are_guessed_gives_every_frame(tmp_path):
    path = film(tmp_path / "film.avi", 24, max_b_frames=2)
    assert [frame.time for frame in stream_frames(path, rate=100, size=SIZE)] == pytest.approx(np.arange(24) / 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["film.mkv", "film.avi"])
def test_a_file_that_is_cut_short_gives_what_there_is_and_says_so(tmp_path, name):
    whole = film(tmp_path / name, 80).read_bytes()
    path = tmp_path / f"half_{name}"
    path.write_bytes(whole[: 3 * len(whole) // 4])
    frames, page = stream_frames(path, rate=8, size=SIZE), tmp_path / "page.html"
    assert [next(frames).time for _ in range(10)] == pytest.approx(np.arange(10) / 8, abs=1e-3)
    with pytest.raises(VideoError, match=r"the video breaks off after \d\.\d\d s"):
        list(frames)
    done = CliRunner().invoke(app, ["stream", str(path), "--at", "9.5", "--rate", "2", "--output", str(page)])
    assert done.exit_code == 0, done.output
    assert f"{path}: the video breaks off" in done.output
    assert "--at 9.5 lies beyond the last frame" in done.output
    assert "the video breaks off after" in page.read_text()
    assert str(tmp_path) not in page.read_text()


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.avi"])
def test_a_whole_file_does_not_break_off(tmp_path, name):
    assert len(list(stream_frames(film(tmp_path / name, 30), rate=100, size=SIZE))) == 30


@pytest.mark.parametrize(("rate", "size"), [(0, 8), (-1, 8), (float("nan"), 8), (True, 8), (1, 0), ("4", 8)])
def test_bad_numbers_are_refused_in_words(tmp_path, rate, size):
    path = film(tmp_path / "film.mp4", 2)
    with pytest.raises(VideoError, match="is not possible: choose"):
        next(stream_frames(path, rate=rate, size=size))


def test_thinned_lists_stay_bounded_and_even():
    thinned = Thinned(8)
    for number in range(1000):
        thinned.add(lambda number=number: number)
    assert len(thinned.entries) <= 8
    assert len(set(np.diff(thinned.entries))) == 1
    assert thinned.entries[0] == 0
    assert thinned.entries[-1] > 700


@pytest.mark.slow
def test_what_is_kept_of_a_long_stream_is_bounded(monkeypatch):
    monkeypatch.setattr("linvid_edu.figures.stream_page.watched.MOST_POINTS", 64)
    model = tiny(fixation="cooperative", association=True)
    short, long = (watch(frames_of(count), model) for count in (40, 160))
    assert short.state == long.state > 0
    assert len(long.curves.entries) <= 64
    assert len(long.film.entries) <= MOST_THUMBNAILS
    assert long.frames == 160


@pytest.mark.parametrize("space_time", ["divided", "joint"])
def test_moments_are_the_first_frames_that_are_not_earlier(space_time):
    model = tiny(space_time=space_time, fixation="cooperative")
    found = watch(frames_of(9), model, at=[1.1, 0, 99], query=(1, None))
    assert [(each.requested, each.time) for each in found.moments] == [(0, 0), (1.1, 1.25)]
    assert found.missed == [99]
    late = watch(frames_of(9), model, at=[2.2, 2.25])  # the last frame stays from 2 s to 2.25 s
    assert ([each.time for each in late.moments], late.missed) == ([2], [2.25])
    assert found.query == (1, 4)
    for each in found.moments:
        assert each.weights.shape == (8, 8)
        assert each.weights.sum() == pytest.approx(1)
        assert each.weights.min() >= 0
    assert found.moments[0].own == pytest.approx(1, abs=1e-3)
    assert 0 < found.moments[1].own < 0.9


def test_measures_lie_where_they_must_and_ratios_come_with_fixation():
    plain, fixed = (watch(frames_of(5), tiny(**changes)) for changes in ({}, {"fixation": "separate"}))
    assert {"query ratio", "key ratio"} == set(fixed.curves.entries[0][1]) - set(plain.curves.entries[0][1])
    for _, measures in fixed.curves.entries:
        assert all(0 <= value <= 1 for value in measures.values())
    first, last = (each[1]["share of the own frame"] for each in (fixed.curves.entries[0], fixed.curves.entries[-1]))
    assert first > 0.99 > 0.5 > last


def test_a_stream_that_breaks_off_is_told_with_what_was_seen():
    def broken():
        yield from frames_of(3)
        raise VideoError("film.mp4: the video breaks off")

    found = watch(broken(), tiny())
    assert (found.frames, found.trouble) == (3, "film.mp4: the video breaks off")


def test_negative_weights_count_by_their_size():
    found = watch(frames_of(6), tiny(attention="sana_block_causal", width=48), at=[1])
    for _, measures in found.curves.entries:
        assert all(0 <= value <= 1 for value in measures.values())
    assert found.moments[0].weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: watch([], tiny()), "has no frame"),
        (lambda: watch(frames_of(1), tiny(), query=(8, 0)), "row 8, column 0 is outside the 8×8 tokens"),
        (lambda: watch(frames_of(1), tiny(attention="softmax")), "SoftmaxAttention does not stream here"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_page_needs_nothing_else_and_names_are_text(tmp_path):
    model = tiny(fixation="cooperative")
    found = watch(frames_of(6), model, at=[1, 50])
    found.trouble = "<b>broken</b>"
    name = "<img onerror=x>.mp4"
    path = save_watched(found, tmp_path / "deep" / "page.html", name=name, model=model, weights=0, command="c")
    text = path.read_text()
    assert "<img onerror" not in text
    assert "&lt;img onerror=x&gt;.mp4" in text
    assert "&lt;b&gt;broken" in text
    assert "50 s lies beyond the last frame" in text
    assert text.count("<img ") == 4  # film, concentration, ratios, the moment
    assert "random, seed 0" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


@pytest.mark.slow
def test_the_command_writes_a_page(tmp_path):
    path = film(tmp_path / "film.mp4", 24)
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["stream", str(path), "--at", "1", "--rate", "8", "--output", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "the model has embeddings for 8; later frames get the last" in text
    assert "linvid stream --at 1.0 --rate 8.0 --seed 0 -- film.mp4" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.mp4"], "no such file"),
        (["FILM", "--rate", "inf"], "rate=inf"),
        (["FILM", "--row", "99"], "row 99"),
    ],
)
def test_the_command_tells_what_is_wrong_in_one_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    path = film(tmp_path / "film.mp4", 3)
    done = CliRunner().invoke(app, ["stream", *(str(path) if each == "FILM" else each for each in arguments)])
    assert done.exit_code == 1
    assert words in done.output
    assert not list(tmp_path.glob("*.html"))


PEAKS = """
import sys
from typer.testing import CliRunner
from linvid_edu.cli import app
from linvid_edu.training.run_provenance import peak_memory_mb
for path in sys.argv[1:]:
    done = CliRunner().invoke(app, ["stream", path, "--rate", "8", "--size", "128", "--output", path + ".html"])
    assert done.exit_code == 0, done.output
    print(peak_memory_mb())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_file(tmp_path):
    """In one process, whose allocator takes steps of 12 MB: 400 more frames, if they were kept, would be 79 MB."""
    short, long = (film(tmp_path / f"{frames}.mp4", frames) for frames in (40, 440))
    command = [sys.executable, "-c", PEAKS, str(short), str(short), str(long)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, before, after = map(float, done.stdout.split())
    assert after - before < 50, "MB"
