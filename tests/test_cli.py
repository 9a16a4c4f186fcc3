"""The command line: pages and files appear, help is complete, and errors are one line."""

import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from linvid_edu import __version__
from linvid_edu.course.lessons import CourseError
from linvid_edu.models.checkpoint import CheckpointError, load_model, save_model
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer

pytest.importorskip("typer")

from typer.testing import CliRunner

from linvid_edu.cli import app

SAMPLE = Path(__file__).parents[1] / "data_samples" / "motion_left_photo.mp4"
GOLDEN = sorted(Path(__file__).parent.glob("golden/*.npz"))
FAST = ("--random", "--frames", 2, "--size", 42)

needs_video = pytest.mark.usefixtures("video_tools")


@pytest.fixture
def video_tools():
    pytest.importorskip("av")
    pytest.importorskip("matplotlib")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="linvid", terminal_width=200)


def error_line(*words):
    """Run a command that must end in one line on stderr, and return the line."""
    result = run(*words)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert not result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("linvid: ")
    return lines[0]


@pytest.mark.slow
@needs_video
def test_explain_writes_a_page_and_pictures(tmp_path):
    result = run("explain", SAMPLE, *FAST, "--output", tmp_path / "new" / "page.html", "--png", "--row", 1)
    assert result.exit_code == 0, result.output
    names = ["page.html", "page_film.png", "page_attention.png", "page_attention_own_scales.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    assert [Path(line).name for line in result.stdout.splitlines()] == names
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    command = "linvid explain --random --frames 2 --size 42 --row 1 --block -1 --seed 0 -- motion_left_photo.mp4"
    assert f"<code>{command}</code>" in text
    assert str(tmp_path) not in text


@pytest.mark.slow
@needs_video
def test_the_command_on_the_page_makes_the_page_again(tmp_path, monkeypatch):
    (tmp_path / "-a b&c.mp4").write_bytes(SAMPLE.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run("explain", *FAST, "--stop", 1.5, "--output", "one.html", "--", "-a b&c.mp4").exit_code == 0
    text = Path("one.html").read_text(encoding="utf-8")
    words = shlex.split(html.unescape(re.search("<code>(.*)</code>", text)[1]))
    assert words[:2] == ["linvid", "explain"]
    assert run(*words[1:]).exit_code == 0
    assert Path("explain.html").read_text(encoding="utf-8") == text


@pytest.mark.slow
@needs_video
def test_explain_takes_its_size_from_the_checkpoint(tmp_path):
    path = tmp_path / "trained.safetensors"
    save_model(VideoTransformer(ModelConfig.compact(num_frames=3)), path)
    page = tmp_path / "page.html"
    assert run("explain", SAMPLE, "--checkpoint", path, "--frames", 3, "--output", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "3 of 32 × 32 pixels" in text
    assert "trained: the weights of trained.safetensors" in text
    line = error_line("explain", SAMPLE, "--checkpoint", path, "--frames", 8, "--output", page)
    assert "frames 8 does not fit trained.safetensors, which is made for 3: leave frames out" in line
    assert "size 64 does not fit" in error_line("explain", SAMPLE, "--checkpoint", path, "--size", 64, "--output", page)
    save_model(VideoTransformer(ModelConfig.compact(image_size=(32, 40))), path)
    assert "32×40" in error_line("explain", SAMPLE, "--checkpoint", path, "--output", page)


@pytest.mark.slow
@needs_video
def test_explain_shows_the_shipped_color_models_by_default(tmp_path):
    page = tmp_path / "page.html"
    assert run("explain", SAMPLE, "--output", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "8 of 96 × 96 pixels" in text
    assert "only the first frame is known in color" in text
    for name in ("softmax", "linear", "separate", "cooperative"):
        assert f"trained: the weights of {name}" in text
    assert run("explain", SAMPLE, "--mechanism", "softmax", "--mechanism", "nystrom", "--output", page).exit_code == 0
    assert "the weights of softmax with the mechanism switched" in page.read_text(encoding="utf-8")
    assert "name two kinds of weights" in error_line("explain", SAMPLE, "--random", "--checkpoint", page)


@needs_video
def test_errors_of_explain_are_one_line(tmp_path):
    page = ("--output", tmp_path / "page.html")
    assert "no such file" in error_line("explain", tmp_path / "missing.mp4", *page)
    (tmp_path / "text.mp4").write_text("no video")
    assert "not a readable video" in error_line("explain", tmp_path / "text.mp4", *page)
    assert "is missing" in error_line("explain", SAMPLE, "--checkpoint", tmp_path / "missing.safetensors", *page)
    assert "stop=1.0" in error_line("explain", SAMPLE, "--start", 2, "--stop", 1, *page)
    assert "column=9 does not exist: choose 0 to 3" in error_line("explain", SAMPLE, *FAST, "--column", 9, *page)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.mp4"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("explain",), "Usage: linvid explain"),
        (("unknown",), "No such command 'unknown'"),
        (("explain", "a.mp4", "--frames", "0"), "Invalid value for '--frames'"),
        (("explain", "a.mp4", "--output", "a.mp4"), "a.mp4 does not end in .html: choose a name that does"),
        (("stream", "a.mp4", "--output", "page.pdf"), "page.pdf does not end in .html"),
        (("stream", "a.mp4", "--at", "3", "--at", "-1"), "-1 lies before the film: choose seconds, 0 or more"),
        (("stream", "a.mp4", "--rate", "0"), "0.0 must be above 0"),
        (("train", "--task", "chess"), "'chess' is unknown: choose one of cue, motion"),
        (("train", "--variant", "best"), "'best' is unknown: choose one of softmax, "),
        (("train", "--preset", "huge"), "'huge' is unknown: choose one of probe, compact, gpu"),
        (("train", "--steps", "0"), "Invalid value for '--steps'"),
        (("train", "--learning-rate", "nan"), "nan must be above 0"),
        (("train", "--device", "abacus"), "'abacus' is unknown: choose one of auto, cpu"),
        (("train", "--precision", "4"), "'4' is unknown: choose one of 32-true, bf16-mixed"),
        (("evaluate", "a", "--task", "chess"), "'chess' is unknown: choose one of cue, motion"),
    ],
    ids=str,
)
def test_wrong_usage_exits_with_code_2(words, problem):
    result = run(*words)
    assert result.exit_code == 2
    assert problem in " ".join(result.stderr.split())
    assert not result.stdout


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_converted_checkpoints_have_the_golden_logits(path, tmp_path):
    with np.load(path) as arrays:
        config = json.loads(str(arrays["config"]))
        video, logits = torch.from_numpy(arrays["video"]), torch.from_numpy(arrays["logits"])
    shift = ("--temporal-shift-div", config["n_div"]) if config["shift"] else ()
    output = tmp_path / "model.safetensors"
    result = run("convert", path, output, "--heads", config["heads"], "--image-size", config["img"], *shift)
    assert result.exit_code == 0, result.output
    model = load_model(output)
    assert model.config.variant in result.stdout
    with torch.no_grad():
        error = (model(video) - logits).abs().max() / logits.abs().max()
    assert error < 1e-5


def test_convert_overwrites_only_when_told(tmp_path):
    output, sizes = tmp_path / "model.safetensors", ("--heads", 4, "--image-size", 56)
    output.write_text("precious")
    line = error_line("convert", GOLDEN[0], output, *sizes)
    assert "exists: choose another name, or overwrite it with --force" in line
    assert output.read_text() == "precious"
    assert run("convert", GOLDEN[-1], output, *sizes, "--force").exit_code == 0
    assert load_model(output).config.heads == 4
    assert "is the source itself" in error_line("convert", output, output, *sizes, "--force")


def test_errors_of_convert_are_one_line(tmp_path):
    output, sizes = tmp_path / "model.safetensors", ("--heads", 4, "--image-size", 56)
    assert "is missing" in error_line("convert", tmp_path / "none.pth", output, *sizes)
    save_model(VideoTransformer(ModelConfig.compact()), tmp_path / "ours.safetensors")
    line = error_line("convert", tmp_path / "ours.safetensors", output, *sizes)
    assert re.search(r"weights do not fit .*missing: .*; and \d+ more", line)
    assert not output.exists()


def test_samples_asks_for_the_photographs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    pytest.importorskip("av")
    assert "pip install 'linvid-edu[test]'" in error_line("samples", tmp_path)


def test_samples_tells_what_it_wrote(tmp_path, monkeypatch):
    def write(folder, progress):
        progress(folder / "a.mp4")
        return [folder / "a.mp4", folder / "b.mp4", folder / "manifest.json"]

    monkeypatch.setattr("linvid_edu.video.samples.write_samples", write)
    result = run("samples", tmp_path)
    assert result.exit_code == 0, result.output
    assert "2 clips and their manifest" in result.stdout


def test_course_passes_the_video_and_the_folder_on(tmp_path, monkeypatch):
    calls, book = [], ModuleType("linvid_edu.course.book")
    book.build_course = lambda video, output: calls.append((video, output)) or output / "index.html"
    monkeypatch.setitem(sys.modules, "linvid_edu.course.book", book)
    monkeypatch.setattr("linvid_edu.course.book", book, raising=False)
    assert run("course", "--video", SAMPLE, "--output", tmp_path).exit_code == 0
    assert run("course").exit_code == 0
    assert calls == [(SAMPLE, tmp_path), (None, Path("build/course"))]

    def fail(video, output):
        raise CourseError("lesson 3 failed\nin cell 4")

    book.build_course = fail
    assert "lesson 3 failed in cell 4" in error_line("course")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "linvid: [Errno 28] No space left on device\n"),
        (
            ModuleNotFoundError("no", name="skimage"),
            "linvid: skimage is not installed: pip install 'linvid-edu[test]'\n",
        ),
        (torch.OutOfMemoryError("CUDA\nout"), "linvid: the GPU has too little memory: choose a smaller batch"),
        (CheckpointError("\n".join("abcdefgh")), "linvid: a b; c; d; e; f; and 2 more\n"),
        (CheckpointError(), "linvid: CheckpointError\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_that_the_user_can_act_on_is_one_line(monkeypatch, tmp_path, error, message):
    monkeypatch.setattr("linvid_edu.video.samples.write_samples", Mock(side_effect=error))
    result = run("samples", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("shapes"), RuntimeError("shapes"), KeyError("shapes")], ids=repr)
def test_a_bug_is_shown_with_its_traceback_and_how_to_report_it(monkeypatch, tmp_path, error):
    """A ValueError is a message to the user only if a line of this package raises it."""
    monkeypatch.setattr("linvid_edu.video.samples.write_samples", Mock(side_effect=error))
    result = run("samples", tmp_path)
    assert result.exit_code == 1
    first, *lines, last = result.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert "shapes" in lines[-1]
    assert last.startswith("linvid: this is a bug: please report")


def test_help_lists_every_command_and_option():
    listed = {
        "explain": "--output --png --checkpoint --random --frames --size --start --stop "
        "--frame --row --column --block --head --seed",
        "convert": "--heads --image-size --temporal-shift-div --force",
        "samples": "folder",
        "course": "--video --output",
        "book": "--output",
        "train": "--task --variant --preset --seed --steps --batch --learning-rate --warmup --weight-decay --clip-norm "
        "--gain --folder --resume --device --processes --precision --threads",
        "evaluate": "--task --clips --count --device --json",
    }
    for command, options in listed.items():
        assert command in run("--help").stdout
        text = run(command, "--help").stdout
        assert "Example: linvid " + command in text
        for option in options.split():
            assert re.search(rf"^  {option}\b.*\S  +\S|^  {option}\b", text, re.M | re.I), option
    text = run("explain", "--help").stdout
    assert "SECONDS" in text
    assert text.lower().count("default") >= 12


def test_version_and_completion():
    assert run("--version").stdout == f"linvid {__version__}\n"
    assert "--install-completion" in run("--help").stdout
    script = subprocess.run(
        [sys.executable, "-c", "from linvid_edu.cli import app; app(prog_name='linvid')"],
        env={"_LINVID_COMPLETE": "source_bash", "PATH": ""},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_linvid_completion" in script.stdout
