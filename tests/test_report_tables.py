"""`linvid report` writes the tables that the recorded runs give, byte for byte those of results/."""

import shutil
from pathlib import Path

import pandas
import pytest

pytest.importorskip("typer")

from typer.testing import CliRunner

from linvid_edu.cli import app

RESULTS = Path(__file__).parents[1] / "results"
TABLES = ["variants.csv", "concentration.csv", "statements.csv"]


def copied(folder, copy, *names):
    """Copy tables into a folder of their own, in which the others are to be made."""
    copy.mkdir()
    for name in names:
        shutil.copy(folder / f"{name}.csv", copy)
    return copy


def report(*words):
    """Run `linvid report` and return the paths that it prints."""
    done = CliRunner().invoke(app, ["report", *map(str, words)])
    assert done.exit_code == 0, done.output
    return [Path(line) for line in done.stdout.splitlines()]


def equal_bytes(paths, folder):
    """Return whether each file has the bytes of the recorded one, by name."""
    return {path.name: path.read_bytes() == (folder / path.name).read_bytes() for path in paths}


@pytest.mark.parametrize("task", ["lookup", "flash"])
def test_recorded_tables_of_a_task_come_out_again(task, tmp_path):
    folder = copied(RESULTS / task, tmp_path / task, "runs", "layers")
    assert equal_bytes(report("task", folder), RESULTS / task) == dict.fromkeys(TABLES, True)


@pytest.mark.parametrize("task", ["lookup", "flash"])
def test_recorded_tables_of_rivals_come_out_again(task, tmp_path):
    recorded = RESULTS / "rivals" / task
    folder = copied(recorded, tmp_path / task, "runs", "layers")
    paths = report("rivals", folder, "--ablation", RESULTS / task)
    assert equal_bytes(paths, recorded) == dict.fromkeys(TABLES, True)


@pytest.mark.parametrize("setting", ["photographs", "own_clip"])
def test_recorded_tables_of_colors_come_out_again(setting, tmp_path):
    recorded = RESULTS / "color" / setting
    folder = copied(recorded, tmp_path / setting, "runs", "layers", "colors")
    assert equal_bytes(report("task", folder), recorded) == dict.fromkeys(TABLES, True)
    variants, errors = (pandas.read_csv(recorded / f"{name}.csv", index_col=0) for name in ("variants", "errors"))
    assert (variants["through"] == (errors["seeds"] - errors["stuck"])[variants.index]).all()
    names = ["errors.csv", "correlations.csv"]
    assert equal_bytes(report("colors", folder), recorded) == dict.fromkeys(names, True)


def test_recorded_verdicts_on_blank_tokens_come_out_again(tmp_path):
    folder = copied(RESULTS / "tokens", tmp_path / "tokens", "blanks")
    verdicts, picture = report("blank-tokens", folder)
    assert equal_bytes([verdicts], RESULTS / "tokens") == {"statements.csv": True}
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("task",), "runs.csv"),
        (("blank-tokens",), "blanks.csv"),
        (("blank-tokens", "--runs", "runs"), "holds no complete run of cue lookup"),
        (("colors",), "colors.csv"),
        (("colors", "--runs", "runs"), "holds no complete run of the task color"),
        (("interventions", "--runs", "runs"), "holds no complete run of softmax, linear"),
    ],
)
def test_missing_tables_and_runs_are_errors_of_one_line(words, message, tmp_path):
    done = CliRunner().invoke(app, ["report", words[0], str(tmp_path), *words[1:]])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("linvid: ")
    assert message in line
