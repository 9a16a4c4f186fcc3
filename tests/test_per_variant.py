"""Rows per run, per variant and per layer, from tables made by hand."""

import numpy as np
import pandas
import pytest
from made_tables import SPREAD, made_tables, paper_tables, seeds

from linvid_edu.experiments.per_variant import by_layer, by_run, by_variant, missing_runs, through_line
from linvid_edu.experiments.sweep_grid import plan_runs


@pytest.fixture(scope="module")
def paper():
    return paper_tables()


def test_variants_have_one_row_each(paper):
    table = by_variant(*paper)
    assert list(table.index)[:4] == ["softmax", "linear", "linear, same time", "separate"]
    row = table.loc["softmax"]
    assert row["accuracy"] == pytest.approx(0.995)
    assert row["low"] < 0.995 < row["high"]
    assert row["values"].split()[:2] == ["0.995", "0.999"]
    assert (row["seeds"], row["solved"], row["reached"]) == (8, 8, 8)
    assert row["solved_low"] == pytest.approx(0.6306, abs=1e-4)
    assert row["clutter 61"] == pytest.approx(0.915)
    assert (row["clips_per_second"], row["peak_memory_mb"], row["parameters"]) == (103.5, 307.0, 21000)
    assert table.loc["linear", "steps_to_threshold"] == np.inf
    assert table.loc["linear", "reached"] == 0
    assert row["steps_to_threshold"] == 500


def test_runs_of_other_lengths_have_names_of_their_own():
    accuracies = seeds({"linear": 0.8, "linear, same": 0.8, "linear, long": 0.8})
    runs, layers = made_tables(accuracies, steps={"linear, same": 3175, "linear, long": 7500})
    assert list(dict.fromkeys(by_run(runs, layers)["variant"])) == [
        "linear",
        "linear, 7,500 steps",
        "linear, same time",
    ]


def test_layers_are_averaged_over_seeds(paper):
    table = by_layer(*paper)
    assert len(table) == 2 * len(by_variant(*paper))
    row = table[(table["variant"] == "cooperative") & (table["block"] == 0)].iloc[0]
    assert row["mass_on_answer"] == pytest.approx(0.4 + SPREAD.mean())


def test_tables_that_do_not_fit_are_refused():
    one, other = made_tables(seeds({"linear": 0.8})), made_tables(seeds({"linear": 0.8}), task="flash")
    with pytest.raises(ValueError, match="belong to flash, lookup: take the tables of one task"):
        by_run(pandas.concat([one[0], other[0]]), one[1])
    twice = made_tables(seeds({"linear": 0.8, "linear,again": 0.8}))
    with pytest.raises(ValueError, match="are runs of one variant with one seed"):
        by_run(*twice)


def test_what_is_missing_is_owed():
    settings = {"task": "lookup", "preset": "probe", "variant": "linear"}
    planned = plan_runs([settings | {"seed": seed} for seed in range(4)])
    runs = pandas.DataFrame({"run": [planned[0].name, planned[2].name]})
    table = missing_runs(runs, planned)
    assert table.iloc[0].tolist() == ["linear", 1000, "1 3"]
    assert "linear" not in table["variant"].tolist()[1:]
    assert set(table["seeds"][1:]) == {"all"}


def test_runs_that_are_stuck_leave_the_median_of_the_others_alone():
    stuck = 0.80  # below .8125, halfway from .625 to 1
    runs, layers = made_tables({"linear": [0.97, 0.96, 0.95, stuck], "separate": [0.7, 0.6, 0.7, 0.65]})
    table = by_variant(runs, layers)
    row = table.loc["linear"]
    assert (row["seeds"], row["through"]) == (4, 3)
    assert row["median_through"] == pytest.approx(0.96)
    assert row["median"] == pytest.approx(0.955)
    assert row["through_low"] == pytest.approx(0.1941, abs=1e-4)  # Clopper–Pearson, 3 of 4
    assert through_line(row) == "3 of 4 runs, their median 0.960"
    assert np.isnan(table.loc["separate", "median_through"])
    assert through_line(table.loc["separate"]) == "0 of 4 runs, median of all 0.675"


def test_the_shortcut_depends_on_the_task():
    runs, layers = made_tables({"linear": [0.63, 0.62]}, task="flash")  # halfway from .25 to 1 is .625
    assert list(by_run(runs, layers)["through"]) == [True, False]
