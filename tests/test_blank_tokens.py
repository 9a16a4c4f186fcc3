"""The same content among more blank tokens: accuracies, losses and verdicts."""

import itertools
import json

import pandas
import pytest
import torch

from linvid_edu.experiments.blank_tokens import accuracy_by_grid, clips_on_grid, loss_by_run
from linvid_edu.experiments.hypotheses import decide_blank_tokens
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.metrics import METRICS
from linvid_edu.training.run import fit


def test_grids_differ_in_blank_cells_alone():
    small, large = clips_on_grid(8, clips=4), clips_on_grid(12, clips=4)
    assert torch.equal(small.label, large.label)
    assert small.filled.sum(1).tolist() == large.filled.sum(1).tolist() == [27] * 4  # 2 objects, a cue, 24 of clutter
    assert large.filled.shape == (4, 144)
    assert (small.readout.squeeze(1) & ~small.filled).sum() == 0
    cells = [
        clips.video.squeeze(2).unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).transpose(1, 2)[clips.filled]
        for clips in (small, large)
    ]
    colors = [filled.mean(dim=(-1, -2)).round(decimals=0).unique(dim=0) for filled in cells]
    assert torch.equal(*colors)


def test_runs_are_tested_on_each_grid_with_and_without_blank_tokens(tmp_path):
    config = TrainConfig(task="lookup", variant="linear", preset="probe", seed=0, steps=2, batch=4)
    fit(config, tmp_path / "run", plain_fabric(), effort=Effort(test_clips=8))
    table = accuracy_by_grid(tmp_path, grids=(8, 12), clips=8)
    assert list(zip(table["grid"], table["attended"], strict=True)) == [
        (8, "all"),
        (8, "filled"),
        (12, "all"),
        (12, "filled"),
    ]
    assert table["blank"].tolist() == [37, 37, 117, 117]
    assert table["accuracy"].between(0, 1).all()
    with pytest.raises(ValueError, match="holds no complete run of cue lookup"):
        accuracy_by_grid(tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1, "steps": 3}, r"one and .*two are runs of linear with different settings \(steps 2 and 3\)"),
        ({}, "one and .*two are the same run of linear: keep one of them"),
    ],
)
def test_runs_that_must_not_be_pooled_are_named(tmp_path, change, message):
    settings = {"task": "lookup", "variant": "linear", "preset": "probe", "seed": 0, "steps": 2, "batch": 4}
    for name, config in (("one", settings), ("two", settings | change)):
        metrics = {"config": TrainConfig(**config).to_dict(), "accuracy": {}, "provenance": {"commit": "c"}}
        (tmp_path / name).mkdir()
        (tmp_path / name / METRICS).write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=message):
        accuracy_by_grid(tmp_path)


def made_up(losses):
    rows = [
        {"variant": variant, "seed": seed, "grid": grid, "attended": attended, "clips": 1000}
        | {"accuracy": 0.9 + 0.001 * seed - lost}
        for (variant, attended), loss in losses.items()
        for seed, (grid, lost) in itertools.product(range(8), ((8, 0.0), (16, loss)))
    ]
    return pandas.DataFrame(rows)


def test_a_loss_that_is_larger_in_every_seed_is_shown():
    losses = {
        ("linear", "all"): 0.5,
        ("linear", "filled"): 0.0,
        ("cooperative", "all"): 0.1,
        ("linear-relu", "all"): 0.1,
    }
    verdicts = decide_blank_tokens(loss_by_run(made_up(losses))).set_index("statement")
    assert verdicts.loc["N1", "difference"] == pytest.approx(0.4)
    assert verdicts.loc["N1", "verdict"] == verdicts.loc["N6", "verdict"] == "shown"
    assert verdicts.loc["N1", "adjusted_p"] == pytest.approx(6 * 2 / 2**8)
    assert verdicts.loc["N5", "verdict"] == "not shown"
    assert verdicts.loc["N2", "verdict"] == "owed"
    assert pandas.isna(verdicts.loc["N2", "adjusted_p"])


def test_losses_are_exact_though_a_file_holds_six_digits():
    table = made_up({("linear", "all"): 0.123}).round({"accuracy": 6})
    table["accuracy"] += 4e-7
    assert loss_by_run(table)["loss"].tolist() == pytest.approx([0.123] * 8, abs=1e-12)
