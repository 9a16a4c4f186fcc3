"""Blank tokens: how far accuracy falls when the same content stands among more of them, and whether they are the cause.

Appendix A of results/PROTOCOL.md; `linvid report blank-tokens` writes its tables.
"""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import torch
from einops import reduce

from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.interventions import restricted
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Bool, Float, Int
from linvid_edu.training.run_checkpoints import newest_model
from linvid_edu.video.batch import TEST
from linvid_edu.video.scenes import CELL, CueLookup, render, role_mask

from .tables import complete_runs

CELLS_PER_SIDE = (8, 12, 16)  # of each grid; 8 as in training
CLIPS_PER_GRID = 1024
CLUTTER_CELLS = 24
CLIPS_AT_ONCE = 32  # a map of 256 tokens has 65,536 weights


class ClipsOnGrid(NamedTuple):
    """The same content on one grid.

    video: clips, (b 3 1 h w)
    label: their labels, (b)
    readout: whether a token is the cue, (b 1 n)
    filled: whether a token is not blank, (b n)
    """

    video: Float[torch.Tensor, "b 3 1 h w"]
    label: Int[torch.Tensor, "b"]
    readout: Bool[torch.Tensor, "b 1 n"]
    filled: Bool[torch.Tensor, "b n"]


def clips_on_grid(cells: int, *, clips: int = CLIPS_PER_GRID) -> ClipsOnGrid:
    """Render test clips of cue lookup; objects, cue and clutter are the same on every grid, blank cells are not.

    Args:
        cells: Cells along each side of the grid.
        clips: Number of clips.
    """
    scene = CueLookup(grid=cells, clutter=CLUTTER_CELLS)
    noisy = render(scene, count=clips, seed=(TEST, 0))
    clean = render(replace(scene, noise=0), count=clips, seed=(TEST, 0)).video
    background = clean.flatten(2).mode(dim=-1).values[..., None, None, None]
    drawn = (clean != background).any(dim=1).squeeze(1)
    filled = reduce(drawn, "b (h y) (w x) -> b (h w)", "max", y=CELL, x=CELL)
    return ClipsOnGrid(noisy.video, noisy.label, role_mask(noisy, "cue", grid=(cells, cells)), filled)


def accuracy_by_grid(
    folder: str | Path, *, grids: tuple[int, ...] = CELLS_PER_SIDE, clips: int = CLIPS_PER_GRID
) -> pandas.DataFrame:
    """Test the trained model of each complete run of cue lookup on every grid, with and without its blank tokens.

    Args:
        folder: Folder of a sweep. Runs may lie at any depth, each with its last checkpoint.
        grids: Cells along each side of each grid.
        clips: Number of clips for each accuracy.

    Returns:
        One row per run, grid and treatment of blank tokens: ``run``, ``variant``, ``seed``, ``steps``, ``commit``,
        ``grid``, ``tokens``, ``blank`` (mean number of blank tokens), ``attended`` ("all", or "filled" if blank tokens
        get no weight in any layer), ``accuracy`` and ``clips``.

    Raises:
        ValueError: There is no such run, or two runs of one variant differ in more than the seed.
    """
    runs = [(path, metrics) for path, metrics in complete_runs(folder) if metrics["config"]["task"] == "lookup"]
    if not runs:
        raise ValueError(f"{folder} holds no complete run of cue lookup: start one with `linvid sweep`")
    _check_settings(runs)
    clips_of = {cells: clips_on_grid(cells, clips=clips) for cells in grids}
    rows: list[dict[str, Any]] = []
    for path, metrics in runs:
        model = load_model(newest_model(path)).eval()
        names = {"run": path.name} | {key: metrics["config"][key] for key in ("variant", "seed", "steps")}
        names["commit"] = metrics["provenance"]["commit"]
        for cells, on_grid in clips_of.items():
            blank = round((~on_grid.filled).sum(1).double().mean().item())
            for attended in ("all", "filled"):
                correct = _count_correct(model, on_grid, only_filled=attended == "filled")
                rows.append(
                    names
                    | {"grid": cells, "tokens": cells**2, "blank": blank, "attended": attended}
                    | {"accuracy": correct / clips, "clips": clips}
                )
    return pandas.DataFrame(rows).sort_values(["variant", "seed", "grid", "attended"], kind="stable")


def _check_settings(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    """Raise ValueError if two runs of one variant differ in more than the seed, or have the same seed."""
    first_of: dict[str, tuple[Path, dict[str, Any]]] = {}
    seeds: dict[tuple[str, int], Path] = {}
    for path, metrics in runs:
        config = metrics["config"]
        variant, key = config["variant"], (config["variant"], config["seed"])
        first_path, first = first_of.setdefault(variant, (path, config))
        changed = [name for name in sorted(first | config) if name != "seed" and first.get(name) != config.get(name)]
        if changed:
            values = ", ".join(f"{name} {first.get(name)!r} and {config.get(name)!r}" for name in changed)
            raise ValueError(
                f"{first_path} and {path} are runs of {variant} with different settings ({values}), which must not be "
                "pooled: choose a folder with one setting of each variant"
            )
        if key in seeds:
            raise ValueError(f"{seeds[key]} and {path} are the same run of {variant}: keep one of them")
        seeds[key] = path


@torch.no_grad()
def _count_correct(model: VideoTransformer, clips: ClipsOnGrid, *, only_filled: bool) -> int:
    correct = 0
    for start in range(0, len(clips.video), CLIPS_AT_ONCE):
        batch = slice(start, start + CLIPS_AT_ONCE)
        with restricted(model, clips.filled[batch]) if only_filled else nullcontext():
            predicted = model(clips.video[batch], clips.readout[batch]).argmax(-1)
        correct += int((predicted == clips.label[batch]).sum())
    return correct


def loss_by_run(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return how much accuracy each run loses from the smallest to the largest grid.

    loss = accuracy on the smallest grid − accuracy on the largest

    Args:
        table: Table of ``accuracy_by_grid``.

    Returns:
        ``variant``, ``seed`` and ``loss``, one row per run, and one more under the variant's name and "without blank
        tokens".
    """
    # a CSV file rounds accuracy to six digits: restore the whole number of correct clips
    exact = table.assign(accuracy=(table["accuracy"] * table["clips"]).round() / table["clips"])
    by_grid = exact.pivot(index=["variant", "attended", "seed"], columns="grid", values="accuracy")
    losses = (by_grid.iloc[:, 0] - by_grid.iloc[:, -1]).rename("loss").reset_index()
    without = losses["variant"] + " without blank tokens"
    return losses.assign(variant=losses["variant"].where(losses["attended"] == "all", without)).drop(columns="attended")
