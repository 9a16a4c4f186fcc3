"""Decide the statements of results/PROTOCOL.md from the tidy tables of one task's runs.

`python -m linvid_edu.experiments.hypotheses results/lookup` writes variants.csv, concentration.csv and statements.csv
beside the tables of the runs.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas

from linvid_edu.files import atomic_path

from .paired_tests import compare, holm, rank_correlation, verdict
from .per_variant import SAME_TIME, by_run, concentration, variants

LEAST_SEEDS = 6  # fewer cannot show anything
CONTROLS = ("linear-wide", SAME_TIME, "gate", "constant", "linear-relu", "linear-elu")


class Claim(NamedTuple):
    """That one variant is above another in a measure, seed by seed.

    number: of the statement in the protocol, and which part of it
    first, second: the variants
    measure: a column of ``summary.by_run``
    corrected: whether its p is adjusted by Holm's method, together with the others of statements 1 to 4
    """

    number: str
    first: str
    second: str
    measure: str = "accuracy"
    corrected: bool = False


CLAIMS = (
    Claim("1", "softmax", "linear", corrected=True),
    Claim("2", "separate", "linear", corrected=True),
    Claim("3", "cooperative", "separate", corrected=True),
    Claim("3, against linear", "cooperative", "linear"),
    Claim("4, linear", "linear-association", "linear", corrected=True),
    Claim("4, cooperative", "cooperative-association", "cooperative", corrected=True),
    Claim("5a, entropy", "linear", "cooperative", "query_entropy"),
    Claim("5a, mass", "cooperative", "linear", "mass_on_answer"),
    Claim("5b, training", "cooperative", "linear", "change_to_most_clutter"),
    Claim("5b, beyond", "cooperative", "linear", "change_beyond_training"),
    *(Claim(f"6, {control}", "cooperative", control) for control in CONTROLS),
    Claim("6, on linear-relu", "cooperative-relu", "linear-relu"),
    Claim("6, on linear-elu", "cooperative-elu", "linear-elu"),
)
MEASURES = {
    "accuracy": "accuracy on the main test",
    "query_entropy": "entropy of the query's attention, first layer",
    "mass_on_answer": "mass on the target, first layer",
    "change_to_most_clutter": "change of accuracy from no clutter to the most of training",
    "change_beyond_training": "change of accuracy from no clutter to more than in training",
    "rank correlation": "Spearman's ρ of mass on the target and accuracy, over runs of linear variants",
}


def statements(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Decide every statement of the protocol for one task.

    Args:
        runs, layers: of one task.

    Returns:
        One row for each part of a statement: ``statement``; ``first`` and ``second``, the claim being that the first
        is above the second; ``measure``; ``seeds`` that both have; ``difference`` with its interval ``low`` to
        ``high``; ``p``, ``adjusted_p`` for statements 1 to 4, where a comparison that is missing counts as p = 1;
        ``wins``; and ``verdict``: "shown", "reversed", "not shown", or "owed" with fewer than 2 seeds. Both "shown"
        and "reversed" need a p below .05, adjusted where that applies, and at least 6 seeds. For 5c ``difference`` is
        Spearman's ρ, and its interval decides.
    """
    table = by_run(runs, layers)
    rows = [compared(table, claim) for claim in CLAIMS]
    family = [row for row, claim in zip(rows, CLAIMS, strict=True) if claim.corrected]
    adjusted = holm([1.0 if np.isnan(row["p"]) else row["p"] for row in family])
    for row, p in zip(family, adjusted, strict=True):
        row["adjusted_p"] = p if row["seeds"] >= 2 else np.nan
    for row in rows:
        p = row["p"] if np.isnan(row["adjusted_p"]) else row["adjusted_p"]
        row["verdict"] = decide(row["seeds"], verdict(row["difference"], p))
    place = next(index for index, row in enumerate(rows) if row["statement"].startswith("6"))
    rows.insert(place, _correlated(table))
    return pandas.DataFrame(rows)


def compared(table: pandas.DataFrame, claim: Claim, measures: Mapping[str, str] = MEASURES) -> dict[str, Any]:
    """Return a claim's row, without its verdict.

    Args:
        table: of ``summary.by_run``, with the claim's measure as a column.
        claim: what is compared.
        measures: column to words.
    """
    values = table.pivot(index="seed", columns="variant", values=claim.measure)
    pair = values.reindex(columns=[claim.first, claim.second]).dropna()
    row: dict[str, Any] = {
        "statement": claim.number,
        "first": claim.first,
        "second": claim.second,
        "measure": measures[claim.measure],
        "seeds": len(pair),
        **dict.fromkeys(("difference", "low", "high", "p", "adjusted_p", "wins"), np.nan),
    }
    if len(pair) >= 2:
        row |= compare(pair[claim.first], pair[claim.second])._asdict()
    return row


def _correlated(table: pandas.DataFrame) -> dict[str, Any]:
    linear = table[~table["variant"].str.startswith("softmax")].dropna(subset=["mass_on_answer", "accuracy"])
    seeds = int(linear["seed"].nunique())
    row: dict[str, Any] = {
        "statement": "5c",
        "first": "mass on the target",
        "second": "accuracy",
        "measure": MEASURES["rank correlation"],
        "seeds": seeds,
        **dict.fromkeys(("difference", "low", "high", "p", "adjusted_p", "wins"), np.nan),
        "verdict": "owed",
    }
    if seeds >= 2 and len(linear) >= LEAST_SEEDS:
        found = rank_correlation(linear["mass_on_answer"], linear["accuracy"])
        apart = found.low > 0 or found.high < 0
        row |= {"difference": found.rho, "low": found.low, "high": found.high}
        row["verdict"] = decide(seeds, verdict(found.rho, 0.0 if apart else 1.0))
    return row


def decide(seeds: int, found: str) -> str:
    """Return the verdict of so many seeds: "owed" below 2, "not shown" below ``LEAST_SEEDS``, else what was found."""
    if seeds < 2:
        return "owed"
    return found if seeds >= LEAST_SEEDS else "not shown"


def conclusion(table: pandas.DataFrame) -> dict[str, bool]:
    """Return which conditions of "fixation helps because it concentrates" are met; it takes all of them.

    Args:
        table: what ``statements`` returned.
    """
    shown = table.set_index("statement")["verdict"].eq("shown")
    controls = [f"6, {name}" for name in ("gate", "constant", "linear-wide")]
    return {
        "fixation is above linear, 2 or 3 against linear": bool(shown[["2", "3, against linear"]].any()),
        "it concentrates, both of 5a": bool(shown[["5a, entropy", "5a, mass"]].all()),
        "what it saves grows with clutter, both of 5b": bool(shown[["5b, training", "5b, beyond"]].all()),
        "it is above gate, constant and linear-wide, all of 6": bool(shown[controls].all()),
    }


def in_words(row: Any) -> str:
    """Return a row of ``statements`` as a line.

    Args:
        row: with its columns as attributes, as ``itertuples`` yields it.
    """
    relation = "goes with" if row.statement == "5c" else "above"
    line = f"{row.statement}: {row.first} {relation} {row.second}: {row.verdict}"
    if np.isnan(row.difference):
        return f"{line} (seeds in common: {row.seeds})"
    line += f" ({row.difference:+.3f}, 95 % {row.low:+.3f} to {row.high:+.3f}; ".replace("-", "−")
    line += f"{row.seeds} seeds" if np.isnan(row.wins) else f"in {row.wins:.0f} of {row.seeds} seeds"
    line += "" if np.isnan(row.p) else f"; p = {row.p:.3f}"
    line += "" if np.isnan(row.adjusted_p) else f", adjusted {row.adjusted_p:.3f}"
    return line + ")"


def write(folder: str | Path) -> list[Path]:
    """Read runs.csv and layers.csv of a folder, and write the three tables beside them, atomically."""
    folder = Path(folder)
    runs, layers = (pandas.read_csv(folder / f"{name}.csv") for name in ("runs", "layers"))
    tables = {
        "variants": variants(runs, layers).reset_index(),
        "concentration": concentration(runs, layers),
        "statements": statements(runs, layers),
    }
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    return [folder / f"{name}.csv" for name in tables]


def main() -> None:
    """Write the tables of the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with runs.csv and layers.csv of one task")
    for path in write(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
