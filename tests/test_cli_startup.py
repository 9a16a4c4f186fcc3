"""Help and errors of usage are quick: nothing slow is imported for them, and what help lists is what there is."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")

from typer.testing import CliRunner

from linvid_edu import cli
from linvid_edu.cli import app, choices
from linvid_edu.cli.train import train_model
from linvid_edu.figures.explain_page.mechanisms import DEFAULT_FRAMES, DEFAULT_PIXELS
from linvid_edu.models.config import PRESETS
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import PRECISIONS
from linvid_edu.training.tasks import COLOR, TASKS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SLOW = (
    "torch",
    "numpy",
    "av",
    "matplotlib",
    "scipy",
    "pandas",
    "nbformat",
    "papermill",
    "plotly",
    "sphinx",
    "distributed",
)
COMMANDS = tuple(name for name in cli.__all__ if name != "app")
REPORT_MODULES = f"""
import sys
from linvid_edu.cli import app
try:
    app(sys.argv[1:], prog_name="linvid")
finally:
    print("slow:", *(name for name in {SLOW!r} if name in sys.modules))
"""


def modules_loaded_by(*words):
    """Run a command in a process of its own; return its exit code and which slow modules it has imported."""
    command = [sys.executable, "-c", REPORT_MODULES, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--help",), 0),
        (("--version",), 0),
        *(((command, "--help"), 0) for command in COMMANDS),
        (("report", "interventions", "--help"), 0),
        (("report", "colors", "--help"), 0),
        (("report", "rivals", "results/rivals/lookup"), 2),
        (("train", "--task", "chess"), 2),
        (("train", "--batch", "9", "--processes", "2"), 1),
        (("evaluate", "runs", "--task", "cue", "--clips", "clips"), 1),
        (("explain", "clip.mp4", "--interactive", "--png"), 1),
        (("explain", "clip.mp4", "--interactive", "--json", "numbers.json"), 1),
        (("stream", "clip.mp4", "--output", "page.pdf"), 2),
        (("color", "clip.mp4", "--output", "page.pdf"), 2),
        (("color", "clip.mp4", "--train-on", "--start", "1"), 1),
        (("sweep", "--folder", "runs"), 1),
        (("lab", "--", "--no-browser"), 1),
    ],
    ids=str,
)
def test_help_and_errors_of_usage_import_nothing_slow(words, code):
    assert modules_loaded_by(*words) == (code, "slow:")


def test_a_slow_import_is_found(tmp_path):
    (tmp_path / "grid.json").write_text('{"fixed": {"task": "chess"}}')
    code, loaded = modules_loaded_by("sweep", "--grid", str(tmp_path / "grid.json"), "--folder", "runs", "--dry-run")
    assert code == 1
    assert "torch" in loaded


@pytest.mark.parametrize(
    ("shown", "defined"),
    [
        (choices.TASK_NAMES, (*TASKS, COLOR)),
        (choices.PRESET_NAMES, PRESETS),
        (choices.PRECISION_NAMES, PRECISIONS),
    ],
    ids=["tasks", "presets", "precisions"],
)
def test_the_names_in_the_help_are_those_of_the_library(shown, defined):
    assert shown == tuple(defined), "write the names into linvid_edu/cli/choices.py as well"


def test_the_help_of_explain_states_the_defaults_of_the_page():
    words = " ".join(CliRunner().invoke(app, ["explain", "--help"]).output.split())
    for default in (DEFAULT_FRAMES, DEFAULT_PIXELS):
        assert f"else {default}]" in words, "write the default into linvid_edu/cli/explain.py as well"


def test_the_defaults_of_train_are_those_of_a_run():
    defaults = {name: option.default for name, option in inspect.signature(train_model).parameters.items()}
    settings = {name: value for name, value in TrainConfig().to_dict().items() if name in defaults}
    assert len(settings) >= 11
    assert {name: defaults[name] for name in settings} == settings
