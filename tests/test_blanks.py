"""The same content among more blank tokens: what is measured, and what is decided from it."""

import itertools

import pandas
import pytest
import torch

from linvid_edu.experiments.blank_tokens import blanks, content, statements
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.run import fit


def test_grids_differ_in_blank_cells_alone():
    small, large = content(8, clips=4), content(12, clips=4)
    assert torch.equal(small.label, large.label)
    assert small.filled.sum(1).tolist() == large.filled.sum(1).tolist() == [27] * 4  # 2 objects, a cue, 24 of clutter
    assert large.filled.shape == (4, 144)
    assert (small.readout.squeeze(1) & ~small.filled).sum() == 0
    cells = [
        each.video.squeeze(2).unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).transpose(1, 2)[each.filled]
        for each in (small, large)
    ]
    colors = [part.mean(dim=(-1, -2)).round(decimals=0).unique(dim=0) for part in cells]
    assert torch.equal(*colors)


def test_runs_are_tested_on_each_grid_with_and_without_blank_tokens(tmp_path):
    config = TrainConfig(task="lookup", variant="linear", preset="probe", seed=0, steps=2, batch=4)
    fit(config, tmp_path / "run", plain_fabric(), test_clips=8)
    table = blanks(tmp_path, grids=(8, 12), clips=8)
    assert list(zip(table["grid"], table["attended"], strict=True)) == [
        (8, "all"),
        (8, "filled"),
        (12, "all"),
        (12, "filled"),
    ]
    assert table["blank"].tolist() == [37, 37, 117, 117]
    assert table["accuracy"].between(0, 1).all()
    with pytest.raises(ValueError, match="holds no complete run of cue lookup"):
        blanks(tmp_path / "empty")


def made_up(losses):
    rows = [
        {"variant": variant, "seed": seed, "grid": grid, "attended": attended, "accuracy": 0.9 + 0.001 * seed - lost}
        for (variant, attended), loss in losses.items()
        for seed, (grid, lost) in itertools.product(range(8), ((8, 0.0), (16, loss)))
    ]
    return pandas.DataFrame(rows)


def test_a_loss_that_is_larger_in_every_seed_is_shown():
    found = statements(
        made_up(
            {
                ("linear", "all"): 0.5,
                ("linear", "filled"): 0.0,
                ("cooperative", "all"): 0.1,
                ("linear-relu", "all"): 0.1,
            }
        )
    ).set_index("statement")
    assert found.loc["N1", "difference"] == pytest.approx(0.4)
    assert found.loc["N1", "verdict"] == found.loc["N6", "verdict"] == "shown"
    assert found.loc["N1", "adjusted_p"] == pytest.approx(6 * 2 / 2**8)
    assert found.loc["N5", "verdict"] == "not shown"
    assert found.loc["N2", "verdict"] == "owed"
