"""Blank tokens: how accuracy falls when the same content stands among more of them, and whether they are the cause.

`python -m linvid_edu.experiments.blank_tokens RUNS results/tokens` writes blanks.csv and statements.csv.
"""

import argparse
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
import torch
from einops import reduce

from linvid_edu.files import atomic_path
from linvid_edu.models.interventions import restricted
from linvid_edu.shapes import Bool, Float, Int
from linvid_edu.training.run import METRICS, read_metrics
from linvid_edu.video.batch import TEST
from linvid_edu.video.scenes import CELL, CueLookup, render, role_mask

from .intervention_study import last_model
from .paired_tests import compare, holm, verdict

GRIDS = (8, 12, 16)  # cells along each side; 8 as in training
CLIPS = 1024
CLUTTER = 24
BATCH = 32  # clips at a time: a map of 256 tokens has 65,536 weights


class Content(NamedTuple):
    """The same clips on one grid.

    video: (b 3 1 h w)
    label: (b)
    readout: the cue's token, (b 1 n)
    filled: tokens that are not blank, (b n)
    """

    video: Float[torch.Tensor, "b 3 1 h w"]
    label: Int[torch.Tensor, "b"]
    readout: Bool[torch.Tensor, "b 1 n"]
    filled: Bool[torch.Tensor, "b n"]


def content(grid: int, *, clips: int = CLIPS) -> Content:
    """Render test clips of cue lookup: objects, cue and clutter are the same for every grid, blank cells are not.

    Args:
        grid: cells along each side.
        clips: how many.
    """
    scene = CueLookup(grid=grid, clutter=CLUTTER)
    shown = render(scene, count=clips, seed=(TEST, 0))
    clean = render(replace(scene, noise=0), count=clips, seed=(TEST, 0)).video
    background = clean.flatten(2).mode(dim=-1).values[..., None, None, None]
    drawn = (clean != background).any(dim=1).squeeze(1)
    filled = reduce(drawn, "b (h y) (w x) -> b (h w)", "max", y=CELL, x=CELL)
    return Content(shown.video, shown.label, role_mask(shown, "cue", grid=(grid, grid)), filled)


@torch.no_grad()
def blanks(folder: str | Path, *, grids: tuple[int, ...] = GRIDS, clips: int = CLIPS) -> pandas.DataFrame:
    """Test the trained model of each complete run of cue lookup on every grid, with and without its blank tokens.

    Args:
        folder: of a sweep; runs may lie at any depth, each with its last checkpoint.
        grids: cells along each side.
        clips: for each accuracy.

    Returns:
        A row for each run, grid and way: ``run``, ``variant``, ``seed``, ``steps``, ``commit``, ``grid``, ``tokens``,
        ``blank`` (tokens of a clip), ``attended`` ("all", or "filled": blank tokens get no weight in any layer),
        ``accuracy`` and ``clips``.

    Raises:
        ValueError: there is no such run.
    """
    rows: list[dict[str, Any]] = []
    clips_of = {grid: content(grid, clips=clips) for grid in grids}
    for path in sorted(Path(folder).rglob(METRICS)):
        metrics = read_metrics(path.parent)
        if metrics is None or metrics["config"]["task"] != "lookup":
            continue
        model = last_model(path.parent).eval()
        about = {"run": path.parent.name} | {key: metrics["config"][key] for key in ("variant", "seed", "steps")}
        about["commit"] = metrics["provenance"]["commit"]
        for grid, each in clips_of.items():
            sizes = {"grid": grid, "tokens": grid**2, "blank": round((~each.filled).sum(1).double().mean().item())}
            for attended in ("all", "filled"):
                right = 0
                for at in range(0, clips, BATCH):
                    part = slice(at, at + BATCH)
                    only = restricted(model, each.filled[part]) if attended == "filled" else nullcontext()
                    with only:
                        answer = model(each.video[part], each.readout[part]).argmax(-1)
                    right += int((answer == each.label[part]).sum())
                rows.append(about | sizes | {"attended": attended, "accuracy": right / clips, "clips": clips})
    if not rows:
        raise ValueError(f"{folder} holds no complete run of cue lookup: start one with `linvid sweep`")
    return pandas.DataFrame(rows).sort_values(["variant", "seed", "grid", "attended"], kind="stable")


# number, then what is above what: a variant's loss from the first grid to the last
CLAIMS = (
    ("N1", "linear", "cooperative"),
    ("N2", "gate", "cooperative"),
    ("N3", "constant", "cooperative"),
    ("N4", "linear", "linear-relu"),
    ("N5", "cooperative", "linear-relu"),
    ("N6", "linear", "linear without blank tokens"),
)


def statements(table: pandas.DataFrame) -> pandas.DataFrame:
    """Decide whether more blank tokens cost the first more accuracy than the second.

    loss = accuracy on the smallest grid − accuracy on the largest

    Args:
        table: what ``blanks`` returned.

    Returns:
        A row for each statement: ``statement``, ``first``, ``second``, ``seeds``, ``difference`` of the losses with
        its interval ``low`` to ``high``, ``p``, ``adjusted_p`` (Holm), ``wins``, ``verdict``.
    """
    wide = table.pivot_table(index="seed", columns=["variant", "attended", "grid"], values="accuracy")
    few, many = int(table["grid"].min()), int(table["grid"].max())

    def loss(name: str) -> pandas.Series:
        variant, _, way = name.partition(" without ")
        attended = "filled" if way else "all"
        if (variant, attended, many) not in wide:
            return pandas.Series(dtype=float)
        return wide[variant, attended, few] - wide[variant, attended, many]

    rows = []
    for number, first, second in CLAIMS:
        pair = pandas.concat([loss(first), loss(second)], axis=1, keys=["first", "second"]).dropna()
        row: dict[str, Any] = {"statement": number, "first": first, "second": second, "seeds": len(pair)}
        row |= dict.fromkeys(("difference", "low", "high", "p", "wins"), np.nan)
        rows.append(row | (compare(pair["first"], pair["second"])._asdict() if len(pair) >= 2 else {}))
    adjusted = holm([1.0 if np.isnan(row["p"]) else row["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row |= {"adjusted_p": p, "verdict": verdict(row["difference"], p) if row["seeds"] >= 2 else "owed"}
    return pandas.DataFrame(rows)


def main() -> None:
    """Write both tables of a folder's runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a sweep")
    parser.add_argument("output", type=Path, help="a folder")
    chosen = parser.parse_args()
    chosen.output.mkdir(parents=True, exist_ok=True)
    found = blanks(chosen.folder)
    for name, table in {"blanks": found, "statements": statements(found)}.items():
        with atomic_path(chosen.output / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
