"""`linvid color`: page, film and numbers of trained models, a short training, and errors in one line."""

import json
import re
import shlex
from html import unescape

import pytest

pytest.importorskip("typer")
pytest.importorskip("av")
pytest.importorskip("matplotlib")

from color_models import color_model
from test_cli import error_line, run
from test_color_clip import pictures
from test_color_page import state_of
from videos import write

from linvid_edu.experiments.film_training import FilmTraining
from linvid_edu.models.checkpoint import save_model
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer

pytestmark = pytest.mark.slow

NAMES = ("softmax", "linear", "cooperative")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write(tmp_path_factory.mktemp("video") / "a clip.mp4", pictures("red", frames=24))


@pytest.fixture
def shipped(tmp_path_factory, monkeypatch):
    """Ship small models with random weights."""
    folder = tmp_path_factory.mktemp("shipped")
    paths = {name: save_model(color_model(name), folder / f"{name}.safetensors") for name in (*NAMES, "separate")}
    monkeypatch.setattr("linvid_edu.models.shipped.color_checkpoints", lambda: paths)
    return paths


def test_color_writes_a_page_a_film_and_the_numbers(tmp_path, video, shipped):
    output = ("--output", tmp_path / "new" / "page.html", "--json", tmp_path / "numbers.json")
    result = run("color", video, "--frames", 6, "--reference", 0.5, *output)
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert tuple(numbers["mechanisms"]) == NAMES
    measures = {"relative_error", "relative_error_moving", "selectivity", "entropy", "effective_tokens"}
    assert all(set(row) == measures for row in numbers["mechanisms"].values())
    assert set(numbers["baselines"]["same place"]) == {"relative_error", "relative_error_moving"}
    assert (numbers["video"], numbers["references"], numbers["frames"]) == ("a clip.mp4", [0.5], 6)
    *table, page, film = result.stdout.splitlines()
    for row, (name, values) in zip(table[1:], (numbers["mechanisms"] | numbers["baselines"]).items(), strict=True):
        assert row.startswith(name)
        assert float(row.split()[-2]) == pytest.approx(values["relative_error"], abs=6e-4)
    assert [page, film] == [str(tmp_path / "new" / name) for name in ("page.html", "page_side_by_side.mp4")]
    assert all(path.stat().st_size for path in (tmp_path / "new").iterdir())
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert len(state_of(text)["times"]) == 6


def test_the_command_on_the_page_makes_the_page_again(tmp_path, video, shipped, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-a b&c.mp4").write_bytes(video.read_bytes())
    words = ("--mechanism", "separate", "--checkpoint", shipped["softmax"], "--frames", 4)
    (tmp_path / "softmax.safetensors").write_bytes(shipped["softmax"].read_bytes())
    assert run("color", *words, "--output", "one.html", "--", "-a b&c.mp4").exit_code == 0
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    command = shlex.split(unescape(re.search("<code>(.*)</code>", text)[1]))
    assert run(*command[1:]).exit_code == 0
    assert (tmp_path / "color.html").read_text(encoding="utf-8") == text


def test_models_learn_from_the_first_half_and_color_the_second(tmp_path, video):
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    options = ("--train-on", "--mechanism", "softmax", "--steps", 12, "--output", page, "--json", numbers)
    result = run("color", *options, video)
    assert result.exit_code == 0, result.output
    assert "page.html shows the training: open it now" in result.stderr
    text, results = page.read_text(encoding="utf-8"), json.loads(numbers.read_text())
    assert "finished: 12 steps" in text
    assert "reload" not in state_of(text)
    assert "softmax goes from" in text  # the learning curve's description
    assert results["training"] == {"step": 12, "steps": 12, "seed": 0}
    assert results["references"][0] == pytest.approx(1.2, abs=0.11)
    assert results["mechanisms"]["softmax"]["relative_error"] < 1


def test_a_training_that_is_stopped_leaves_a_page_that_is_finished(tmp_path, video, monkeypatch):
    steps = FilmTraining.run

    def stopped(self):
        yield next(steps(self))
        raise KeyboardInterrupt

    monkeypatch.setattr(FilmTraining, "run", stopped)
    page = tmp_path / "page.html"
    result = run("color", "--train-on", "--mechanism", "softmax", "--steps", 9, "--output", page, video)
    assert result.exit_code == 0, result.output
    assert "stopped after step 1" in result.stderr
    assert "stopped after step 1 of 9" in page.read_text(encoding="utf-8")
    assert "reload" not in state_of(page.read_text(encoding="utf-8"))


def test_errors_are_one_line(tmp_path, video, shipped):
    page = ("--output", tmp_path / "page.html")
    path = save_model(VideoTransformer(ModelConfig.compact()), tmp_path / "motion.safetensors")
    assert "motion.safetensors is no color model" in error_line("color", video, "--checkpoint", path, *page)
    line = error_line("color", video, "--mechanism", "performer", *page)
    assert "no color model of 'performer' is shipped: choose one of softmax, linear, cooperative, separate" in line
    assert "--task color --variant performer" in line
    assert "no such file" in error_line("color", tmp_path / "gone.mp4", *page)
    assert "--reference 9 lies outside of the clip" in error_line("color", video, "--reference", 9, *page)
    assert "--checkpoint does not go with --train-on" in error_line(
        "color", video, "--train-on", "--checkpoint", path, *page
    )
    assert "--stop does not go with --train-on" in error_line("color", video, "--train-on", "--stop", 1, *page)
    assert "longest scene has 2 frames" in error_line(
        "color", "--train-on", write(tmp_path / "short.mp4", pictures("red", frames=4)), *page
    )
    own = tmp_path / "page_side_by_side.mp4"
    own.write_bytes(video.read_bytes())
    assert "is the video itself" in error_line("color", own, *page)
    assert not (tmp_path / "page.html").exists()
    assert run("color", video, "--frames", 1, *page).exit_code == 2
    assert run("color", video, "--reference", -1, *page).exit_code == 2
