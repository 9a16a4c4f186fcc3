"""The tables of the task color: medians without stuck runs, what goes with the error, and sharpened maps."""

import pandas
import pytest
import torch
from typer.testing import CliRunner

from linvid_edu.cli import app
from linvid_edu.experiments.color_study import (
    COPY_MAP_POWERS,
    colors_by_run,
    correlations_with_error,
    errors_by_variant,
    errors_of_sharpened_maps,
)
from linvid_edu.experiments.sweep_grid import plan_runs
from linvid_edu.experiments.sweep_runs import run_plain
from linvid_edu.training.config import Effort

SETTINGS = {"task": "color", "preset": "probe", "steps": 3, "batch": 2, "warmup": 1}


def colors(**columns):
    """Return a table of runs of softmax and linear, whose seeds are in the order of the values."""
    rows = 6
    measures = {"relative_error": 0.5, "relative_error_moving": 0.5, "selectivity": 0.5, "entropy": 0.5}
    names = {"variant": ["softmax"] * 3 + ["linear"] * 3, "seed": [0, 1, 2] * 2, "effective_tokens": [4.0] * rows}
    return pandas.DataFrame(names | {name: [value] * rows for name, value in measures.items()} | columns)


def test_stuck_runs_are_counted_and_left_out_of_the_median():
    table = errors_by_variant(colors(relative_error=[0.2, 0.3, 0.96, 0.6, 0.7, 0.9])).set_index("variant")
    assert list(table.index) == ["softmax", "linear"]
    assert table["stuck"].to_dict() == {"softmax": 1, "linear": 0}
    assert table["median"].to_dict() == pytest.approx({"softmax": 0.25, "linear": 0.7})
    assert table.loc["softmax", "highest"] == 0.3


def test_a_measure_goes_with_the_error_over_all_runs_and_over_linear_ones():
    table = correlations_with_error(
        colors(
            relative_error=[0.1, 0.2, 0.3, 0.6, 0.7, 0.8],
            selectivity=[0.9, 0.8, 0.7, 0.3, 0.2, 0.1],
            entropy=[0.1, 0.2, 0.3, 0.6, 0.5, 0.4],
            effective_tokens=[1, 2, 3, 4, 5, 6],
        )
    ).set_index(["over", "measure"])
    assert table.loc[("all", "selectivity"), "rho"] == pytest.approx(-1)
    assert table.loc[("all", "entropy"), "rho"] == pytest.approx(1 - 6 * 8 / (6 * 35))  # 1 − 6 Σ d² / n(n² − 1)
    assert table.loc[("linear", "entropy"), "rho"] == pytest.approx(-1)
    assert table["runs"].tolist() == [6] * 3 + [3] * 3


@pytest.mark.slow
def test_the_command_tests_the_trained_models_of_a_sweep(tmp_path):
    threads = torch.get_num_threads()
    for run in plan_runs([SETTINGS | {"variant": v, "seed": s} for v in ("softmax", "linear") for s in (0, 1, 2)]):
        run_plain(
            run.config.to_dict(), tmp_path / "runs" / run.name, Effort(points=1, validation_clips=2, test_clips=4)
        )
    torch.set_num_threads(threads)

    done = CliRunner().invoke(app, ["report", "colors", str(tmp_path / "tables"), "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.stderr
    names = ["colors", "powers", "errors", "correlations"]
    assert done.stdout.split() == [str(tmp_path / "tables" / f"{name}.csv") for name in names]
    assert colors_by_run(tmp_path / "runs").groupby("variant")["seed"].apply(list).to_dict() == {
        "linear": [0, 1, 2],
        "softmax": [0, 1, 2],
    }

    table = errors_of_sharpened_maps(tmp_path / "runs", seeds=(0,), clips=4)
    assert set(table["seed"]) == {0}
    for _, of_model in table.groupby("variant"):
        assert of_model["power"].tolist() == list(COPY_MAP_POWERS)
        assert of_model["effective_tokens"].is_monotonic_decreasing
    recorded = pandas.read_csv(tmp_path / "tables" / "powers.csv").query("seed == 0")
    assert recorded["variant"].tolist() == table["variant"].tolist()


def test_a_folder_without_colors_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no complete run of the task color"):
        colors_by_run(tmp_path)
