"""Verdicts on rivals, from tables made by hand: what is compared with what, and what few seeds can show."""

import numpy as np
import pandas
import pytest

from linvid_edu.experiments.hypotheses import decide_rivals
from linvid_edu.experiments.report_tables import report_rivals
from linvid_edu.experiments.tables import with_ablation_runs

TESTS = {"clutter 24": 0.0, "clutter 0": 0.02, "clutter 48": -0.02, "clutter 61": -0.05, "grid 12, clutter 24": -0.1}


def tables(levels, seeds=8, steps=2500, drop=None):
    """Make runs and layers: variant → level of accuracy; `drop` is what a variant loses more on the larger grid."""
    runs, layers = [], []
    for variant, level in levels.items():
        for seed in range(seeds):
            run = f"lookup-{variant}-{seed}-{steps}"
            common = {"run": run, "task": "lookup", "variant": variant, "preset": "probe", "seed": seed}
            for place, (test, change) in enumerate(TESTS.items()):
                lost = (drop or {}).get(variant, 0) * test.startswith("grid")
                runs.append(
                    common
                    | {"steps": steps, "test": test, "first_test": place == 0, "ceiling": 1.0, "test_clips": 2048}
                    | {"accuracy": level + change - lost + 0.003 * np.sin(seed + len(variant))}
                    | {"steps_to_threshold": 900.0, "area": 0.5, "clips_per_second": 1000.0}
                    | {"parameters": 20000, "peak_memory_mb": 700.0}
                )
            layers.append(common | {"block": 0, "span": "joint", "query_entropy": 0.9, "mass_on_answer": 0.1})
    return pandas.DataFrame(runs), pandas.DataFrame(layers)


COUNTED = {"softmax": 0.99, "linear": 0.8, "cooperative": 0.8, "linear-relu": 0.9, "separate": 0.8}
OWN = {"performer": 0.6, "performer-cooperative": 0.85, "focused_linear": 0.8}


def decided(own=OWN, counted=COUNTED, **knobs):
    runs, layers = (with_ablation_runs(*pair) for pair in zip(tables(own, **knobs), tables(counted), strict=True))
    return decide_rivals(runs, layers[layers["run"].isin(runs["run"])]).set_index("statement")


def test_rivals_are_compared_with_linear_and_with_themselves_under_fixation():
    verdicts = decided()["verdict"]
    assert verdicts["F1, performer"] == "reversed"
    assert verdicts["F1, focused_linear"] == "not shown"
    assert verdicts["F1, sana_relu_linear"] == "shown"  # linear-relu stands for it
    assert verdicts["F2, performer"] == "shown"
    assert "F2, focused_linear" not in verdicts
    assert "F1, cosformer" not in verdicts


def test_the_loss_among_more_blank_tokens_is_compared_with_linears():
    rows = decided(drop={"performer": 0.2, "focused_linear": -0.08})
    assert rows["verdict"]["F3, performer"] == "reversed"
    assert rows["verdict"]["F3, focused_linear"] == "shown"
    assert rows["difference"]["F3, performer"] == pytest.approx(-0.2)


def test_p_is_adjusted_within_each_statement():
    rows = decided()
    first = rows[rows.index.str.startswith("F1")]
    assert (first["adjusted_p"] >= first["p"]).all()
    assert first["p"].min() == pytest.approx(2 / 2**8)
    assert first["adjusted_p"].min() == pytest.approx(3 * 2 / 2**8)  # of three
    assert rows["adjusted_p"]["F2, performer"] == rows["p"]["F2, performer"]  # the only one


def test_four_seeds_show_nothing():
    assert set(decided(seeds=4)["verdict"]) == {"not shown", "shown"}  # linear-relu has eight
    assert decided(seeds=4)["verdict"]["F1, performer"] == "not shown"


def test_runs_of_another_length_and_of_other_variants_do_not_enter():
    own, counted = tables(OWN)[0], pandas.concat([tables(COUNTED)[0], tables({"linear": 0.99}, steps=7500)[0]])
    both = with_ablation_runs(own, counted)
    assert set(both["steps"]) == {2500}
    assert set(both["variant"]) == {*OWN, "softmax", "linear", "cooperative", "sana_relu_linear"}


def test_runs_of_a_rival_are_preferred_to_those_that_stand_for_it():
    own = tables({"sana_relu_linear": 0.5})[0]
    both = with_ablation_runs(own, tables(COUNTED)[0])
    assert (both.query("variant == 'sana_relu_linear'")["accuracy"] < 0.6).all()


def test_a_task_without_larger_grids_has_no_third_statement():
    runs, layers = tables(OWN | {"linear": 0.8})
    numbers = decide_rivals(runs[~runs["test"].str.startswith("grid")], layers)["statement"]
    assert not numbers.str.startswith("F3").any()
    assert numbers.str.startswith("F1").any()


def test_tables_are_written_beside_the_runs(tmp_path):
    for name, levels in (("rivals", OWN), ("counted", COUNTED)):
        (tmp_path / name).mkdir()
        for kind, table in zip(("runs", "layers"), tables(levels), strict=True):
            table.to_csv(tmp_path / name / f"{kind}.csv", index=False)
    paths = report_rivals(tmp_path / "rivals", tmp_path / "counted")
    assert [path.name for path in paths] == ["variants.csv", "concentration.csv", "statements.csv"]
    assert list(pandas.read_csv(paths[0])["variant"])[:2] == ["softmax", "linear"]
