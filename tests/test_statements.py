"""Statements on tables made by hand, whose verdicts are known."""

import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas
import pytest
from scipy.stats import spearmanr

from linvid_edu.experiments import hypotheses as module
from linvid_edu.experiments.hypotheses import CLAIMS, conclusion, in_words, statements
from linvid_edu.experiments.paired_tests import compare, mean_interval, rank_correlation
from linvid_edu.experiments.per_variant import by_run, concentration, owed, variants
from linvid_edu.experiments.sweep_grid import plan

TESTS = {"clutter 24": 0.0, "clutter 0": 0.04, "clutter 48": -0.04, "clutter 61": -0.08}
SPREAD = np.array([0.0, 0.004, -0.004, 0.002, -0.002, 0.003, -0.003, 0.0])


def tables(found, *, steps=None, mass=None, slope=None, task="lookup"):
    """Make the two tables of a task: variant to one accuracy for each seed on the main test."""
    rows, layers = [], []
    for variant, accuracies in found.items():
        for seed, accuracy in enumerate(accuracies):
            run = f"{variant}-{seed}"
            names = {"task": task, "variant": variant.split(",")[0], "preset": "probe", "seed": seed, "run": run}
            loss = (slope or {}).get(variant, 1.0)
            shares = {"query_entropy": 1 - (mass or {}).get(variant, 0.1) + SPREAD[seed]}
            shares |= {"mass_on_answer": (mass or {}).get(variant, 0.1) + SPREAD[seed]}
            layers += [names | {"block": block, "span": "joint"} | shares for block in (0, 1)]
            rows += [
                names
                | {"steps": (steps or {}).get(variant, 2500), "test": test, "first_test": index == 0, "ceiling": 1.0}
                | {"accuracy": accuracy + (loss * change if change < 0 else change), "parameters": 21000}
                | {"steps_to_threshold": 500.0 if accuracy > 0.9 else np.nan, "area": accuracy / 2}
                | {"clips_per_second": 100.0 + seed, "peak_memory_mb": 300.0 + seed}
                for index, (test, change) in enumerate(TESTS.items())
            ]
    return pandas.DataFrame(rows), pandas.DataFrame(layers)


LADDER = {"softmax": 0.995, "linear": 0.80, "separate": 0.85, "cooperative": 0.90}
CONTROLS = {"linear-wide": 0.81, "gate": 0.82, "constant": 0.8, "linear-relu": 0.83, "linear-elu": 0.84}


def seeds(levels, count=8):
    """Give each variant its level and a spread over seeds of its own."""
    return {name: level + np.roll(SPREAD, index)[:count] for index, (name, level) in enumerate(levels.items())}


@pytest.fixture(scope="module")
def paper():
    """What the paper says: fixation above everything linear, sharper, and the more so with clutter."""
    levels = LADDER | CONTROLS | {"linear, same time": 0.81}
    return tables(
        seeds(levels),
        steps={"linear, same time": 3175},
        mass={"cooperative": 0.4, "separate": 0.3, "softmax": 0.5},
        slope={"cooperative": 0.25},
    )


def verdicts(table):
    return dict(zip(table["statement"], table["verdict"], strict=True))


def test_the_ladder_of_the_paper_is_shown_where_it_is_there(paper):
    table = statements(*paper)
    found = verdicts(table)
    for number in ("1", "2", "3", "3, against linear", "5a, entropy", "5a, mass", "5b, training", "5b, beyond", "5c"):
        assert found[number] == "shown", number
    assert found["4, linear"] == found["4, cooperative"] == found["6, on linear-relu"] == "owed"
    assert {found[f"6, {name}"] for name in CONTROLS} == {"shown"}
    assert found["6, linear, same time"] == "shown"
    assert all(conclusion(table).values())


def test_numbers_of_a_statement(paper):
    table = statements(*paper).set_index("statement")
    second = table.loc["2"]
    assert (second["seeds"], second["wins"]) == (8, 8)
    assert second["difference"] == pytest.approx(0.05)
    assert second["low"] < 0.05 < second["high"]
    assert second["p"] == pytest.approx(2 / 2**8)
    assert second["adjusted_p"] == pytest.approx(5 * 2 / 2**8)  # of five comparisons, though two are missing
    assert table.loc["5b, training", "difference"] == pytest.approx(0.03)
    assert table.loc["5b, beyond", "difference"] == pytest.approx(0.06)
    assert np.isnan(table.loc["6, gate", "adjusted_p"])


def test_the_other_way_round_is_reversed_and_no_difference_is_not_shown():
    levels = LADDER | {"cooperative": 0.80, "separate": 0.8}
    table = statements(*tables(seeds(levels) | {"separate": 0.8 + SPREAD[::-1]}))
    assert verdicts(table)["3"] == "not shown"
    levels = LADDER | {"separate": 0.7}
    table = statements(*tables(seeds(levels)))
    assert verdicts(table)["2"] == "reversed"
    assert not conclusion(table)["it concentrates, both of 5a"]


def test_the_conclusion_needs_every_condition(paper):
    runs, layers = paper
    without_gate = runs["variant"] != "gate"
    found = conclusion(statements(runs[without_gate], layers[layers["variant"] != "gate"]))
    assert [name for name, met in found.items() if not met] == ["it is above gate, constant and linear-wide, all of 6"]


@pytest.mark.parametrize(("count", "verdict"), [(1, "owed"), (2, "not shown"), (5, "not shown"), (6, "not shown")])
def test_few_seeds_show_nothing(count, verdict):
    table = statements(*tables(seeds(LADDER, count)))
    row = table.set_index("statement").loc["1"]
    assert (row["seeds"], row["verdict"]) == (count, verdict)
    assert np.isnan(row["p"]) == (count < 2)


def test_six_seeds_can_show_what_is_not_adjusted():
    table = statements(*tables(seeds(LADDER, 6)))
    assert verdicts(table)["3, against linear"] == "shown"
    assert verdicts(statements(*tables(seeds(LADDER, 5))))["3, against linear"] == "not shown"


def test_only_common_seeds_are_compared():
    runs, layers = tables(seeds(LADDER))
    gone = (runs["variant"] == "linear") & (runs["seed"] < 2)
    table = statements(runs[~gone], layers).set_index("statement")
    assert (table.loc["1", "seeds"], table.loc["3", "seeds"]) == (6, 8)


def test_lines_tell_the_verdict_and_what_it_rests_on(paper):
    lines = {row.statement: in_words(row) for row in statements(*paper).itertuples()}
    assert lines["2"].startswith("2: separate above linear: shown (+0.050, 95 % +0.0")
    assert lines["2"].endswith("; in 8 of 8 seeds; p = 0.008, adjusted 0.039)")
    assert lines["4, linear"] == "4, linear: linear-association above linear: owed (seeds in common: 0)"
    assert "mass on the target goes with accuracy: shown (+0." in lines["5c"]
    assert len(lines) == len(CLAIMS) + 1


def test_variants_have_one_row_each(paper):
    table = variants(*paper)
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
    found = seeds({"linear": 0.8, "linear, same": 0.8, "linear, long": 0.8})
    runs, layers = tables(found, steps={"linear, same": 3175, "linear, long": 7500})
    assert list(dict.fromkeys(by_run(runs, layers)["variant"])) == [
        "linear",
        "linear, 7,500 steps",
        "linear, same time",
    ]


def test_layers_are_averaged_over_seeds(paper):
    table = concentration(*paper)
    assert len(table) == 2 * len(variants(*paper))
    row = table[(table["variant"] == "cooperative") & (table["block"] == 0)].iloc[0]
    assert row["mass_on_answer"] == pytest.approx(0.4 + SPREAD.mean())


def test_tables_that_do_not_fit_are_refused():
    one, other = tables(seeds({"linear": 0.8})), tables(seeds({"linear": 0.8}), task="flash")
    with pytest.raises(ValueError, match="belong to flash, lookup: take the tables of one task"):
        by_run(pandas.concat([one[0], other[0]]), one[1])
    twice = tables(seeds({"linear": 0.8, "linear,again": 0.8}))
    with pytest.raises(ValueError, match="are runs of one variant with one seed"):
        by_run(*twice)


def test_what_is_missing_is_owed():
    settings = {"task": "lookup", "preset": "probe", "variant": "linear"}
    planned = plan([settings | {"seed": seed} for seed in range(4)])
    runs = pandas.DataFrame({"run": [planned[0].name, planned[2].name]})
    table = owed(runs, planned)
    assert table.iloc[0].tolist() == ["linear", 1000, "1 3"]
    assert "linear" not in table["variant"].tolist()[1:]
    assert set(table["seeds"][1:]) == {"all"}


def test_tables_are_written_beside_those_of_the_runs(paper, tmp_path, monkeypatch, capsys):
    for name, table in zip(("runs", "layers"), paper, strict=True):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["statements", str(tmp_path)])
    module.main()
    assert [line.rsplit("/")[-1] for line in capsys.readouterr().out.split()] == [
        "variants.csv",
        "concentration.csv",
        "statements.csv",
    ]
    read = pandas.read_csv(tmp_path / "statements.csv")
    assert verdicts(read) == verdicts(statements(*paper))


def test_intervals_of_means_and_ranks():
    assert mean_interval([0.5]) == pytest.approx((np.nan, np.nan), nan_ok=True)
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
    low, high = mean_interval([0.2, 0.8, 0.2, 0.8])
    assert 0.2 <= low < 0.5 < high <= 0.8
    x = np.arange(20.0)
    assert rank_correlation(x, x**3)[:3] == pytest.approx((1, 1, 1))
    found = rank_correlation(x, np.random.default_rng(0).random(20))
    assert found.low < 0 < found.high
    assert found.runs == 20
    ties = [1, 2, 2, 3, 3, 3, 0, 1], [5, 1, 2, 2, 4, 4, 0, 1]
    assert rank_correlation(*ties).rho == pytest.approx(spearmanr(*ties).statistic)
    with pytest.raises(ValueError, match="at least 3 runs"):
        rank_correlation([1, 2], [1, 2])


LESSON = Path(__file__).parents[1] / "notebooks" / "10_ablate_with_papermill.ipynb"


@pytest.mark.parametrize("count", [2, 5, 8])
def test_scratch_permutation_test_of_lesson_10(count):
    names = {}
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if "scratch" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    first, second = np.random.default_rng(count).random((2, count))
    assert names["permutation_p"](first, second) == pytest.approx(compare(first, second).p)


def test_numbers_in_the_solutions_of_lesson_10():
    assert compare([0.9, 0.8, 0.9, 0.8], [0.5, 0.5, 0.4, 0.5]).p == 0.125
    level = np.array([0.60, 0.95, 0.62, 0.93, 0.61, 0.94, 0.63, 0.96])
    pair = pandas.DataFrame({"a": pandas.Series(level + 0.02), "b": pandas.Series(level).drop(1)}).dropna()
    found = compare(pair["a"], pair["b"])
    assert (round(found.difference, 3), found.wins, found.seeds, found.p) == (0.02, 7, 7, 2 / 2**7)
    generator = np.random.default_rng(0)
    draws = np.where(generator.random((1000, 10)) < 0.3, 0.95, 0.75) + 0.01 * generator.standard_normal((1000, 10))
    assert np.mean(draws[:, :8].max(axis=1) > draws[:, 8:].max(axis=1)) == pytest.approx(0.8, abs=0.03)
    assert np.mean(draws[:, :8].mean(axis=1) > draws[:, 8:].mean(axis=1)) == pytest.approx(0.5, abs=0.05)
