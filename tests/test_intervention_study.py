"""Interventions on the runs of a folder: every one is there, and those that change nothing change nothing."""

import shutil

import pandas
import pytest
import torch

from linvid_edu.experiments import intervention_study
from linvid_edu.experiments.intervention_study import POWERS, SHARES, first_layer, intervene
from linvid_edu.experiments.report_tables import report_interventions
from linvid_edu.experiments.sweep_grid import plan_runs
from linvid_edu.experiments.sweep_runs import run_plain
from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.interventions import sharpened
from linvid_edu.training.config import Effort
from linvid_edu.training.metrics import read_metrics
from linvid_edu.training.run_checkpoints import checkpoints, newest_model
from linvid_edu.training.tasks import TASKS

pytestmark = pytest.mark.slow

SETTINGS = {"task": "lookup", "preset": "probe", "steps": 4, "batch": 8, "warmup": 1, "learning_rate": 0.01}
EFFORT = Effort(points=1, validation_clips=8, test_clips=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of three variants, one of which is not studied."""
    folder, threads = tmp_path_factory.mktemp("runs"), torch.get_num_threads()
    for run in plan_runs([SETTINGS | {"variant": variant} for variant in ("softmax", "cooperative", "gate")]):
        run_plain(run.config.to_dict(), folder / "deeper" / run.name, EFFORT)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def table(folder):
    return intervene(folder, accuracy_clips=64, map_clips=16)


def test_every_intervention_that_a_variant_takes_is_there(table):
    counts = table.groupby(["variant", "kind"]).size().to_dict()
    powers, shares = len(POWERS), len(SHARES)
    assert counts == {
        ("cooperative", "averaged"): 1,
        ("cooperative", "opened"): shares,
        ("cooperative", "power"): powers,
        ("softmax", "power"): powers,
    }
    assert set(table["steps"]) == {4}
    assert table["accuracy"].between(0, 1).all()
    assert (table["accuracy"] * 64 % 1).eq(0).all()


def test_what_changes_nothing_gives_the_accuracy_of_the_run(folder, table):
    for name, rows in table.groupby("run"):
        metrics = read_metrics(folder / "deeper" / name)
        same = rows[
            (rows["kind"] == "power") & (rows["value"] == 1) | (rows["kind"] == "opened") & (rows["value"] == 0)
        ]
        assert len(same) in (1, 2)
        assert same["accuracy"].eq(metrics["accuracy"]["clutter 24"]).all()
        assert same["query_entropy"].nunique() == 1


def test_powers_sharpen_the_query_and_open_ratios_change_it(table):
    for _, rows in table[table["kind"] == "power"].groupby("variant"):
        entropy = rows.sort_values("value")["query_entropy"].tolist()
        assert entropy == sorted(entropy, reverse=True)
        assert entropy[0] > entropy[-1] + 0.01
    opened = table[table["kind"] == "opened"].sort_values("value")
    assert opened["query_entropy"].nunique() == len(SHARES)


def test_mass_on_the_target_is_its_share_of_the_tokens_if_the_map_is_flat(folder):
    model = load_model(newest_model(next(folder.rglob("*softmax*"))))
    task = TASKS["lookup"].resized(model.config.num_frames, model.config.image_size)
    with sharpened(model, 1e-6):
        flat = first_layer(model, task, clips=16)
    with sharpened(model, 50.0):
        sharp = first_layer(model, task, clips=16)
    assert flat["mass_on_answer"] == pytest.approx(1 / 64, rel=1e-3)
    assert flat["query_entropy"] == pytest.approx(1, abs=1e-5)
    assert sharp["query_entropy"] < 0.9


def test_the_table_is_written_into_the_results(folder, table, tmp_path, monkeypatch):
    monkeypatch.setattr(intervention_study, "intervene", lambda folder: table)
    (path,) = report_interventions(tmp_path / "new", folder)
    assert path == tmp_path / "new" / "cause.csv"
    assert pandas.read_csv(path)["accuracy"].tolist() == table["accuracy"].tolist()


def test_missing_runs_and_checkpoints_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="holds no complete run of softmax, linear"):
        intervene(tmp_path)
    copy = shutil.copytree(next(folder.rglob("*softmax*")), tmp_path / "run")
    shutil.rmtree(checkpoints(copy)[-1])
    with pytest.raises(ValueError, match="holds no checkpoint"):
        intervene(tmp_path)
