"""The trained checkpoints that ship are what their metrics say, and linvid explain shows them."""

import json
import re
import shlex
from pathlib import Path

import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from linvid_edu.cli import app
from linvid_edu.models.checkpoint import load_model
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.evaluation import accuracy

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "data_samples"
FOLDER = SAMPLES / "checkpoints"
NAMES = ("softmax", "linear", "cooperative", "cooperative-association")
CLIPS = 256
MACHINE = ("--device", "--threads")  # options that no configuration holds

every_checkpoint = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def metrics(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_nothing_else_ships():
    files = {f"{name}{ending}" for name in NAMES for ending in (".safetensors", ".json")}
    assert {path.name for path in FOLDER.iterdir()} == files | {"README.md", "fixation_ratios.json", "color"}


@every_checkpoint
def test_the_weights_fit_the_run(name, metrics):
    config = TrainConfig.from_dict(metrics["config"])
    model = load_model(FOLDER / f"{name}.safetensors")
    assert (config.variant, config.seed) == (name, 0)
    assert model.config == config.model_config
    assert metrics["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert metrics["curve"][-1][0] == metrics["losses"][-1][0] == config.steps
    assert (FOLDER / f"{name}.safetensors").stat().st_size <= 1_000_000


@every_checkpoint
def test_the_run_says_where_it_comes_from(name, metrics):
    assert "changes" not in metrics["provenance"]["commit"]
    assert set(metrics["provenance"]) >= {"commit", "versions", "machine", "device", "threads", "date"}


def test_the_runs_differ_in_the_variant_and_one_in_its_learning_rate():
    configs = {name: json.loads((FOLDER / f"{name}.json").read_text())["config"] for name in NAMES}
    rates = {name: config.pop("learning_rate") for name, config in configs.items()}
    assert rates == dict.fromkeys(NAMES, 0.003) | {"cooperative-association": 0.0015}
    assert all(config | {"variant": ""} == configs["softmax"] | {"variant": ""} for config in configs.values())


@every_checkpoint
def test_the_accuracy_is_the_one_that_is_claimed(name, metrics):
    """Clips that nobody has tested on, and a 99.9 % interval around the share of them that is right."""
    task = TrainConfig.from_dict(metrics["config"]).data
    model = load_model(FOLDER / f"{name}.safetensors")
    fresh = task.batches(seed=999_999, batch=CLIPS, stop=1)
    right = round(CLIPS * accuracy(model, fresh))
    interval = binomtest(right, CLIPS).proportion_ci(confidence_level=0.999)
    assert interval.low <= metrics["accuracy"]["test"] <= interval.high


@every_checkpoint
def test_the_table_shows_the_accuracies(name, metrics):
    test, clutter = metrics["accuracy"]["test"], metrics["accuracy"]["clutter 0.5"]
    assert f"| `{name}.safetensors` | {test:.3f} | {clutter:.3f} |" in (FOLDER / "README.md").read_text()


def test_the_command_in_the_readme_is_the_run_that_was_recorded():
    text = (FOLDER / "README.md").read_text()
    words = shlex.split(re.search(r"linvid train (.+?)\n\n", text, re.DOTALL)[1].replace("\\\n", " "))
    given = dict(zip(words[::2], words[1::2], strict=True))
    for name in NAMES:
        config = json.loads((FOLDER / f"{name}.json").read_text())["config"]
        wanted = {key: config[key.removeprefix("--").replace("-", "_")] for key in given if key not in MACHINE}
        if name == "cooperative-association":
            wanted["--learning-rate"] *= 2  # the one that was trained with half of it
        assert wanted | {"--variant": "VARIANT"} == {key: type(wanted[key])(given[key]) for key in wanted}


def test_explain_shows_all_four(tmp_path):
    page = tmp_path / "page.html"
    words = [word for name in NAMES for word in ("--checkpoint", str(FOLDER / f"{name}.safetensors"))]
    result = CliRunner().invoke(app, ["explain", str(SAMPLES / "motion_left_photo.mp4"), *words, "--output", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert all(f"{name}.safetensors" in text for name in NAMES)
    assert "Weights are random" not in text
    assert "not trained so" not in text
