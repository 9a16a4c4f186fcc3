"""Tables of many runs: one row per run and test, the same bytes each time."""

import json
import math

import pandas
import pytest
import torch
from typer.testing import CliRunner

from linvid_edu.cli import app
from linvid_edu.experiments.sweep_grid import plan_runs
from linvid_edu.experiments.sweep_runs import run_plain
from linvid_edu.experiments.tables import collect, steps_to, write_results
from linvid_edu.training.config import Effort
from linvid_edu.training.metrics import METRICS
from linvid_edu.training.tasks import TASKS

EFFORT = Effort(points=2, validation_clips=16, test_clips=16)
SETTINGS = {"task": "lookup", "preset": "probe", "steps": 4, "batch": 8, "warmup": 1, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, one of them with fixation."""
    folder, threads = tmp_path_factory.mktemp("runs"), torch.get_num_threads()
    for run in plan_runs([SETTINGS | {"variant": "softmax", "seed": 7}, SETTINGS | {"scenes": {"objects": 2}}]):
        run_plain(run.config.to_dict(), folder / run.name, EFFORT)
    torch.set_num_threads(threads)
    return folder


def test_runs_have_a_row_for_each_test(folder):
    runs = collect(folder).runs
    tests = list(TASKS["lookup"].tests)
    assert list(runs["test"]) == tests * 2
    assert list(runs["variant"]) == ["cooperative"] * len(tests) + ["softmax"] * len(tests)
    assert list(runs["first_test"]) == ([True] + [False] * (len(tests) - 1)) * 2
    assert set(runs["scenes"]) == {"{}", '{"objects": 2}'}
    assert runs["test_clips"].eq(16).all()
    assert (runs["accuracy"] * 16 % 1).eq(0).all()
    assert not runs.drop(columns="steps_to_threshold").isna().any().any()


def test_layers_have_a_row_for_each_run_and_layer(folder):
    layers = collect(folder).layers
    assert list(layers["block"]) == [0, 1, 0, 1]
    assert layers["mean_q"].notna().tolist() == [True, True, False, False]
    assert layers["entropy"].between(0, 1).all()


def test_curves_have_a_row_for_each_point(folder):
    curves = collect(folder).curves
    assert list(curves["step"]) == [2, 4, 2, 4]
    assert list(curves["variant"]) == ["cooperative"] * 2 + ["softmax"] * 2
    metrics = json.loads(next(folder.rglob(f"*softmax*/{METRICS}")).read_text())
    softmax = curves[curves["variant"] == "softmax"]
    assert list(zip(softmax["step"], softmax["accuracy"], strict=True)) == [tuple(point) for point in metrics["curve"]]
    assert list(zip(softmax["step"], softmax["loss"], strict=True)) == [tuple(point) for point in metrics["losses"]]


def test_speed_is_read_off_the_learning_curve(folder, tmp_path):
    metrics = json.loads(next(folder.rglob(METRICS)).read_text())
    metrics |= {"ceiling": 0.5, "curve": [[2, 0.2], [4, 0.45], [6, 0.4]]}
    (tmp_path / METRICS).write_text(json.dumps(metrics))
    row = collect(tmp_path).runs.iloc[0]
    assert row["steps_to_threshold"] == 4
    assert row["area"] == pytest.approx(0.35)
    assert row["validation_accuracy"] == 0.4
    assert math.isnan(steps_to([(2, 0.2), (4, 0.44)], 0.45))


def test_two_collections_give_the_same_bytes(folder, tmp_path):
    once = [path.read_bytes() for path in write_results(collect(folder), tmp_path / "one")]
    again = [path.read_bytes() for path in write_results(collect(folder), tmp_path / "two")]
    assert once == again
    read = pandas.read_csv(tmp_path / "one" / "runs.csv")
    assert read["accuracy"].tolist() == collect(folder).runs["accuracy"].tolist()


def test_collect_writes_the_tables_into_the_folder(folder):
    ended = CliRunner().invoke(app, ["sweep", "--folder", str(folder), "--collect"])
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.split() == [str(folder / f"{name}.csv") for name in ("runs", "layers", "curves")]


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no complete run"):
        collect(tmp_path)
