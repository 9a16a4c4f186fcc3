"""Decide the statements on the family, appendix C of results/PROTOCOL.md: rivals against linear attention, and fixation
on top of them.

`python -m linvid_edu.experiments.rivals_hypotheses results/family/lookup results/lookup` writes variants.csv,
concentration.csv and statements.csv into the first folder, from its tables of runs and those of the second.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas

from linvid_edu.files import atomic_path
from linvid_edu.models.variants import VARIANTS

from .hypotheses import MEASURES, Claim, compared, decide
from .paired_tests import holm, verdict
from .per_variant import by_run, concentration, variants

# counted runs that stand for a rival, being the same function up to the eps of its normalizer
SAME = {
    "linear-elu": "elu_linear",
    "cooperative-elu": "elu_linear-cooperative",
    "linear-relu": "sana_relu_linear",
    "cooperative-relu": "sana_relu_linear-cooperative",
}
BESIDE = ("softmax", "linear", "cooperative")  # counted runs that rivals are compared with
FEW, MANY = "clutter 24", "grid 12, clutter 24"  # the same content among fewer and among more blank tokens
BLANKS = {"change_with_blank_tokens": "change of accuracy from 8 × 8 to 12 × 12 cells"}


def together(own: pandas.DataFrame, counted: pandas.DataFrame) -> pandas.DataFrame:
    """Put the runs of rivals and the counted runs beside each other, those that stand for a rival under its name.

    Args:
        own: runs, or layers, of rivals.
        counted: of the ablation on the same task.

    Returns:
        One table; a run of a rival's own goes before one that stands for it, and counted runs of another length are
        left out.
    """
    found = set(zip(own["variant"], own["seed"], strict=True))
    counted = counted[counted["variant"].isin([*SAME, *BESIDE])]
    if "steps" in counted:
        counted = counted[counted["steps"].isin(own["steps"])]
    renamed = counted.assign(variant=counted["variant"].replace(SAME))
    own_again = [each in found for each in zip(renamed["variant"], renamed["seed"], strict=True)]
    return pandas.concat([own, renamed[[not each for each in own_again]]], ignore_index=True)


def claims(names: set[str], blanks: bool) -> list[list[Claim]]:
    """Return the claims of F1, F2 and F3 about the variants that were run, a list for each.

    Args:
        names: of the variants.
        blanks: whether the task was tested among more blank tokens.
    """
    alone = [name for name, variant in VARIANTS.items() if variant.group == "rival" and name in names]
    fixated = [name for name in alone if f"{name}-cooperative" in names]
    first = [Claim(f"F1, {name}", name, "linear", corrected=True) for name in alone]
    second = [Claim(f"F2, {name}", f"{name}-cooperative", name, corrected=True) for name in fixated]
    third = [Claim(f"F3, {name}", name, "linear", next(iter(BLANKS)), corrected=True) for name in alone]
    return [first, second, third if blanks else []]


def statements(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Decide F1, F2 and F3 for one task.

    Args:
        runs, layers: of one task, what ``together`` returned.

    Returns:
        Rows as of ``statements.statements``; p is adjusted by Holm's method within each of the three.
    """
    table = by_run(runs, layers)
    blanks = {FEW, MANY} <= set(table)
    if blanks:
        table = table.assign(**{next(iter(BLANKS)): table[MANY] - table[FEW]})
    rows = []
    for family in claims(set(table["variant"]), blanks):
        found = [compared(table, claim, {**MEASURES, **BLANKS}) for claim in family]
        known = [row for row in found if row["seeds"] >= 2]
        for row, p in zip(known, holm([row["p"] for row in known]), strict=True):
            row["adjusted_p"] = p
        for row in found:
            p = row["p"] if np.isnan(row["adjusted_p"]) else row["adjusted_p"]
            rows.append({**row, "verdict": decide(row["seeds"], verdict(row["difference"], p))})
    return pandas.DataFrame(rows)


def write(folder: str | Path, counted: str | Path) -> list[Path]:
    """Read runs.csv and layers.csv of both folders, and write three tables into the first, atomically."""
    runs, layers = (
        together(pandas.read_csv(Path(folder, f"{name}.csv")), pandas.read_csv(Path(counted, f"{name}.csv")))
        for name in ("runs", "layers")
    )
    layers = layers[layers["run"].isin(runs["run"])]
    tables = {
        "variants": variants(runs, layers).reset_index(),
        "concentration": concentration(runs, layers),
        "statements": statements(runs, layers),
    }
    for name, table in tables.items():
        with atomic_path(Path(folder, f"{name}.csv")) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    return [Path(folder, f"{name}.csv") for name in tables]


def main() -> None:
    """Write the tables of the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with runs.csv and layers.csv of rivals on one task")
    parser.add_argument("counted", type=Path, help="with those of the ablation on the same task")
    arguments = parser.parse_args()
    for path in write(arguments.folder, arguments.counted):
        print(path)


if __name__ == "__main__":
    main()
