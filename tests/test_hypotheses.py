"""Verdicts on tables made by hand, for which they are known."""

import numpy as np
import pandas
import pytest
from made_tables import CONTROLS, LADDER, SPREAD, made_tables, paper_tables, seeds

from linvid_edu.experiments.hypotheses import ABLATION_HYPOTHESES, HYPOTHESES, conclusion, decide_ablation, verdict_line


@pytest.fixture(scope="module")
def paper():
    return paper_tables()


def verdicts(table):
    return dict(zip(table["statement"], table["verdict"], strict=True))


def test_the_ladder_of_the_paper_is_shown_if_the_runs_have_it(paper):
    table = decide_ablation(*paper)
    verdict_of = verdicts(table)
    for number in ("1", "2", "3", "3, against linear", "5a, entropy", "5a, mass", "5b, training", "5b, beyond", "5c"):
        assert verdict_of[number] == "shown", number
    assert verdict_of["4, linear"] == verdict_of["4, cooperative"] == verdict_of["6, on linear-relu"] == "owed"
    assert {verdict_of[f"6, {name}"] for name in CONTROLS} == {"shown"}
    assert verdict_of["6, linear, same time"] == "shown"
    assert all(conclusion(table).values())


def test_numbers_of_a_statement(paper):
    table = decide_ablation(*paper).set_index("statement")
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
    table = decide_ablation(*made_tables(seeds(levels) | {"separate": 0.8 + SPREAD[::-1]}))
    assert verdicts(table)["3"] == "not shown"
    levels = LADDER | {"separate": 0.7}
    table = decide_ablation(*made_tables(seeds(levels)))
    assert verdicts(table)["2"] == "reversed"
    assert not conclusion(table)["it concentrates, both of 5a"]


def test_the_conclusion_needs_every_condition(paper):
    runs, layers = paper
    without_gate = runs["variant"] != "gate"
    conditions = conclusion(decide_ablation(runs[without_gate], layers[layers["variant"] != "gate"]))
    unmet = [words for words, met in conditions.items() if not met]
    assert unmet == ["it is above gate, constant and linear-wide, all of 6"]


@pytest.mark.parametrize(("count", "verdict"), [(1, "owed"), (2, "not shown"), (5, "not shown"), (6, "not shown")])
def test_few_seeds_show_nothing(count, verdict):
    table = decide_ablation(*made_tables(seeds(LADDER, count)))
    row = table.set_index("statement").loc["1"]
    assert (row["seeds"], row["verdict"]) == (count, verdict)
    assert np.isnan(row["p"]) == (count < 2)


def test_six_seeds_can_show_what_is_not_adjusted():
    table = decide_ablation(*made_tables(seeds(LADDER, 6)))
    assert verdicts(table)["3, against linear"] == "shown"
    assert verdicts(decide_ablation(*made_tables(seeds(LADDER, 5))))["3, against linear"] == "not shown"


def test_only_common_seeds_are_compared():
    runs, layers = made_tables(seeds(LADDER))
    gone = (runs["variant"] == "linear") & (runs["seed"] < 2)
    table = decide_ablation(runs[~gone], layers).set_index("statement")
    assert (table.loc["1", "seeds"], table.loc["3", "seeds"]) == (6, 8)


def test_lines_show_the_verdict_and_the_numbers_behind_it(paper):
    lines = {row.statement: verdict_line(row) for row in decide_ablation(*paper).itertuples()}
    assert lines["2"].startswith("2: separate above linear: shown (+0.050, 95 % +0.0")
    assert lines["2"].endswith("; in 8 of 8 seeds; p = 0.008, adjusted 0.039)")
    assert lines["4, linear"] == "4, linear: linear-association above linear: owed (seeds in common: 0)"
    assert "mass on the target goes with accuracy: shown (+0." in lines["5c"]
    assert len(lines) == len(ABLATION_HYPOTHESES)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        ("N6", "N6: linear loses more than linear without blank tokens: shown"),
        ("F3, performer", "F3, performer: performer loses less than linear: shown"),
        ("F1, performer", "F1, performer: performer above linear: shown"),
    ],
)
def test_lines_name_the_relation_of_each_statement(number, line):
    row = {"statement": number, "first": HYPOTHESES[number].first, "second": HYPOTHESES[number].second}
    row |= {"seeds": 8, "verdict": "shown", "difference": 0.1, "low": 0.05, "high": 0.15, "wins": 8}
    row |= {"p": 2 / 2**8, "adjusted_p": 0.04}
    (verdict,) = pandas.DataFrame([row]).itertuples()
    numbers = "(+0.100, 95 % +0.050 to +0.150; in 8 of 8 seeds; p = 0.008, adjusted 0.040)"
    assert verdict_line(verdict) == f"{line} {numbers}"


def test_no_two_hypotheses_have_one_number(paper):
    assert list(HYPOTHESES)[: len(ABLATION_HYPOTHESES)] == list(decide_ablation(*paper)["statement"])
    assert {"F1, nystrom", "F2, performer", "F3, cosformer", "N1"} <= set(HYPOTHESES)
    assert "F2, nystrom" not in HYPOTHESES  # it has no features that fixation could reweight


def test_the_statements_about_colors_are_those_of_appendix_d():
    levels = {"softmax": 0.7, "linear": 0.2, "separate": 0.3, "cooperative": 0.35, "linear-relu": 0.35}
    table = decide_ablation(*made_tables(seeds(levels), task="color")).set_index("statement")
    assert table["verdict"].to_dict() == {"D1": "shown", "D2": "shown", "D3": "shown", "D4": "not shown"}
