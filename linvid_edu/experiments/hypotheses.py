"""The hypotheses of results/PROTOCOL.md, and the verdict on each from the tables of the runs."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas

from linvid_edu.models.variants import VARIANTS
from linvid_edu.training.tasks import COLOR

from .paired_tests import compare_pairs, holm, rank_correlation, verdict_of
from .per_variant import MEASURE_LABELS, SAME_TIME, by_run

LEAST_SEEDS = 6  # with fewer seeds nothing is shown
VALUES = ("difference", "low", "high", "p", "adjusted_p", "wins")
LABELS = MEASURE_LABELS | {
    "rank_correlation": "Spearman's ρ of mass on the target and accuracy, over runs of linear variants",
    "loss": "accuracy lost from 8 × 8 to 16 × 16 cells",
}


class Hypothesis(NamedTuple):
    """One statement of the protocol, or one part of it: the first variant is above the second in a measure.

    number: number of the statement, and the name of the part if there are several
    first, second: the variants; for a correlation, what is correlated
    measure: column of the table by run, or "rank_correlation"
    holm_set: name of the set of hypotheses whose p-values are adjusted together, None if p is not adjusted
    condition: key of the condition in ``CONDITIONS`` that needs this hypothesis
    relation: words between first and second
    task: the only task that the hypothesis is about, None for all
    """

    number: str
    first: str
    second: str
    measure: str = "accuracy"
    holm_set: str | None = None
    condition: str | None = None
    relation: str = "above"
    task: str | None = None


class Condition(NamedTuple):
    """A condition of the conclusion "fixation helps because it concentrates".

    words: what the condition says
    needs: whether "all" or "any" of its hypotheses must be shown
    """

    words: str
    needs: Literal["all", "any"] = "all"


CONDITIONS = {
    "better": Condition("fixation is above linear, 2 or 3 against linear", needs="any"),
    "concentrates": Condition("it concentrates, both of 5a"),
    "clutter": Condition("what it saves grows with clutter, both of 5b"),
    "controls": Condition("it is above gate, constant and linear-wide, all of 6"),
}
ABLATION_HYPOTHESES = (
    Hypothesis("1", "softmax", "linear", holm_set="1 to 4"),
    Hypothesis("2", "separate", "linear", holm_set="1 to 4", condition="better"),
    Hypothesis("3", "cooperative", "separate", holm_set="1 to 4"),
    Hypothesis("3, against linear", "cooperative", "linear", condition="better"),
    Hypothesis("4, linear", "linear-association", "linear", holm_set="1 to 4"),
    Hypothesis("4, cooperative", "cooperative-association", "cooperative", holm_set="1 to 4"),
    Hypothesis("5a, entropy", "linear", "cooperative", "query_entropy", condition="concentrates"),
    Hypothesis("5a, mass", "cooperative", "linear", "mass_on_answer", condition="concentrates"),
    Hypothesis("5b, training", "cooperative", "linear", "change_to_most_clutter", condition="clutter"),
    Hypothesis("5b, beyond", "cooperative", "linear", "change_beyond_training", condition="clutter"),
    Hypothesis("5c", "mass on the target", "accuracy", "rank_correlation", relation="goes with"),
    Hypothesis("6, linear-wide", "cooperative", "linear-wide", condition="controls"),
    Hypothesis(f"6, {SAME_TIME}", "cooperative", SAME_TIME),
    Hypothesis("6, gate", "cooperative", "gate", condition="controls"),
    Hypothesis("6, constant", "cooperative", "constant", condition="controls"),
    Hypothesis("6, linear-relu", "cooperative", "linear-relu"),
    Hypothesis("6, linear-elu", "cooperative", "linear-elu"),
    Hypothesis("6, on linear-relu", "cooperative-relu", "linear-relu"),
    Hypothesis("6, on linear-elu", "cooperative-elu", "linear-elu"),
)

_ALONE = [name for name, variant in VARIANTS.items() if variant.group == "rival"]
_WITH_FIXATION = [name for name in _ALONE if f"{name}-cooperative" in VARIANTS]
# appendix C
RIVAL_HYPOTHESES = (
    *(Hypothesis(f"F1, {name}", name, "linear", holm_set="F1") for name in _ALONE),
    *(Hypothesis(f"F2, {name}", f"{name}-cooperative", name, holm_set="F2") for name in _WITH_FIXATION),
    *(
        Hypothesis(
            f"F3, {name}",
            name,
            "linear",
            "change_with_blank_tokens",
            holm_set="F3",
            relation="loses less than",
            task="lookup",
        )
        for name in _ALONE
    ),
)

_LOSES_MORE = {"measure": "loss", "holm_set": "N", "relation": "loses more than", "task": "lookup"}
# appendix A
BLANK_TOKEN_HYPOTHESES = (
    Hypothesis("N1", "linear", "cooperative", **_LOSES_MORE),
    Hypothesis("N2", "gate", "cooperative", **_LOSES_MORE),
    Hypothesis("N3", "constant", "cooperative", **_LOSES_MORE),
    Hypothesis("N4", "linear", "linear-relu", **_LOSES_MORE),
    Hypothesis("N5", "cooperative", "linear-relu", **_LOSES_MORE),
    Hypothesis("N6", "linear", "linear without blank tokens", **_LOSES_MORE),
)
# appendix D; accuracy is 1 − relative error of the copied colors
COLOR_HYPOTHESES = (
    Hypothesis("D1", "softmax", "linear", holm_set="D"),
    Hypothesis("D2", "cooperative", "linear", holm_set="D"),
    Hypothesis("D3", "separate", "linear", holm_set="D"),
    Hypothesis("D4", "cooperative", "linear-relu", holm_set="D"),
)
HYPOTHESES = {
    hypothesis.number: hypothesis
    for hypothesis in (*ABLATION_HYPOTHESES, *RIVAL_HYPOTHESES, *BLANK_TOKEN_HYPOTHESES, *COLOR_HYPOTHESES)
}


def decide(
    table: pandas.DataFrame, hypotheses: Sequence[Hypothesis], *, missing: Literal["p = 1", "left out"]
) -> pandas.DataFrame:
    """Decide hypotheses from a table with one row per run.

    Args:
        table: ``variant``, ``seed`` and the measures, as ``by_run`` returns them.
        hypotheses: What to decide.
        missing: Treatment of comparisons without a common seed. With "p = 1" they stay in the result and count in
            Holm's method; with "left out" they do neither.

    Returns:
        One row per hypothesis: ``statement``, its number; ``first``, ``second`` and ``measure``; the number of common
        ``seeds``; the mean ``difference`` with its interval ``low`` to ``high``; ``p``; ``adjusted_p``, by Holm's
        method within the hypothesis's set; ``wins``; and ``verdict``: "shown", "reversed", "not shown", or "owed" with
        fewer than 2 seeds. "Shown" and "reversed" need a p-value below .05, adjusted if the hypothesis is in a set, and
        at least 6 seeds. For a rank correlation ``difference`` is Spearman's ρ, and its interval decides.
    """
    pairs = [(hypothesis, _compared(table, hypothesis)) for hypothesis in hypotheses]
    if missing == "left out":
        pairs = [(hypothesis, row) for hypothesis, row in pairs if row["seeds"] > 0]
    for holm_set in {hypothesis.holm_set for hypothesis, _ in pairs} - {None}:
        rows = [row for hypothesis, row in pairs if hypothesis.holm_set == holm_set]
        _adjust(rows if missing == "p = 1" else [row for row in rows if row["seeds"] >= 2])
    return pandas.DataFrame([row | {"verdict": _verdict(hypothesis, row)} for hypothesis, row in pairs])


def _compared(table: pandas.DataFrame, hypothesis: Hypothesis) -> dict[str, Any]:
    """Return the row of a hypothesis, without its adjusted p and its verdict."""
    row: dict[str, Any] = {
        "statement": hypothesis.number,
        "first": hypothesis.first,
        "second": hypothesis.second,
        "measure": LABELS[hypothesis.measure],
    }
    values = _correlated(table) if hypothesis.measure == "rank_correlation" else _paired(table, hypothesis)
    return row | {"seeds": 0, **dict.fromkeys(VALUES, np.nan)} | values


def _paired(table: pandas.DataFrame, hypothesis: Hypothesis) -> dict[str, Any]:
    by_seed = table.pivot(index="seed", columns="variant", values=hypothesis.measure)
    pairs = by_seed.reindex(columns=[hypothesis.first, hypothesis.second]).dropna()
    if len(pairs) < 2:
        return {"seeds": len(pairs)}
    return compare_pairs(pairs[hypothesis.first], pairs[hypothesis.second])._asdict()


def _correlated(table: pandas.DataFrame) -> dict[str, Any]:
    """Correlate mass on the target and accuracy over all runs of linear variants."""
    linear = table[~table["variant"].str.startswith("softmax")].dropna(subset=["mass_on_answer", "accuracy"])
    seeds = int(linear["seed"].nunique())
    if seeds < 2 or len(linear) < LEAST_SEEDS:
        return {"seeds": seeds}
    correlation = rank_correlation(linear["mass_on_answer"], linear["accuracy"])
    return {"seeds": seeds, "difference": correlation.rho, "low": correlation.low, "high": correlation.high}


def _adjust(rows: list[dict[str, Any]]) -> None:
    """Set the adjusted p of one of Holm's sets; a comparison without p counts as p = 1 and gets none."""
    adjusted = holm([1.0 if np.isnan(row["p"]) else row["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row["adjusted_p"] = np.nan if np.isnan(row["p"]) else p


def _verdict(hypothesis: Hypothesis, row: dict[str, Any]) -> str:
    if np.isnan(row["difference"]):
        return "owed"
    if row["seeds"] < LEAST_SEEDS:
        return "not shown"
    if hypothesis.measure == "rank_correlation":
        includes_zero = row["low"] <= 0 <= row["high"]
        return "not shown" if includes_zero else "shown" if row["difference"] > 0 else "reversed"
    return verdict_of(row["difference"], row["p"] if hypothesis.holm_set is None else row["adjusted_p"])


def decide_ablation(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Decide the statements of the ablation for one task, those of appendix D for the task of colors; see ``decide``.

    Args:
        runs, layers: Tables of one task.
    """
    if set(runs["task"]) == {COLOR}:
        return decide(by_run(runs, layers), COLOR_HYPOTHESES, missing="left out")
    return decide(by_run(runs, layers), ABLATION_HYPOTHESES, missing="p = 1")


def decide_rivals(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Decide the statements about rivals, F1 to F3, for one task; see ``decide``.

    Args:
        runs, layers: Tables of one task, as ``with_ablation_runs`` returns them.
    """
    task = runs["task"].iloc[0]
    asked = [hypothesis for hypothesis in RIVAL_HYPOTHESES if hypothesis.task in (None, task)]
    return decide(by_run(runs, layers), asked, missing="left out")


def decide_blank_tokens(losses: pandas.DataFrame) -> pandas.DataFrame:
    """Decide the statements about blank tokens, N1 to N6; see ``decide``.

    Args:
        losses: Loss of accuracy per run, as ``loss_by_run`` returns it.
    """
    return decide(losses, BLANK_TOKEN_HYPOTHESES, missing="p = 1")


def conclusion(verdicts: pandas.DataFrame) -> dict[str, bool]:
    """Return which conditions of "fixation helps because it concentrates" are met; the conclusion needs all of them.

    Args:
        verdicts: Table of ``decide_ablation``.
    """
    shown = verdicts.set_index("statement")["verdict"].eq("shown")
    met = {}
    for key, condition in CONDITIONS.items():
        needed = shown[[hypothesis.number for hypothesis in ABLATION_HYPOTHESES if hypothesis.condition == key]]
        met[condition.words] = bool(needed.any() if condition.needs == "any" else needed.all())
    return met


def verdict_line(row: Any) -> str:
    """Return a verdict and the numbers behind it as one line.

    Args:
        row: Row of a table of verdicts with its columns as attributes, as ``itertuples`` yields it.
    """
    line = f"{row.statement}: {row.first} {HYPOTHESES[row.statement].relation} {row.second}: {row.verdict}"
    if np.isnan(row.difference):
        return f"{line} (seeds in common: {row.seeds})"
    numbers = f"{row.difference:+.3f}, 95 % {row.low:+.3f} to {row.high:+.3f}".replace("-", "−")
    seeds = f"{row.seeds} seeds" if np.isnan(row.wins) else f"in {row.wins:.0f} of {row.seeds} seeds"
    p = "" if np.isnan(row.p) else f"; p = {row.p:.3f}"
    adjusted = "" if np.isnan(row.adjusted_p) else f", adjusted {row.adjusted_p:.3f}"
    return f"{line} ({numbers}; {seeds}{p}{adjusted})"
