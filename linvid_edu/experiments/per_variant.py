"""From the tidy tables of one task's runs to one row for each run, each variant and each layer, and what is missing."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas

from linvid_edu.models.variants import ABLATION, VARIANTS

from .paired_tests import mean_interval, share_interval
from .sweep_grid import Run

SOLVED = 0.99  # of the ceiling, on the main test
CLUTTER = {"lookup": (48, 61), "flash": (6, 12)}  # the most of training, and more than in training
SAME_TIME = "linear, same time"


def by_run(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Bring what comparisons need into one row for each run.

    Args:
        runs, layers: of one task, as ``results.collect`` returns them.

    Returns:
        ``variant``, whose name tells where a run took other than the usual number of steps ("linear, same time" for
        up to twice as many, else "linear, 7,500 steps"), ``seed``, ``accuracy`` on the main test and whether that is
        ``solved``, one column for each test, ``steps_to_threshold``, ``area``, ``clips_per_second``, ``parameters``,
        ``peak_memory_mb``, ``query_entropy`` and ``mass_on_answer`` of the first layer, ``change_to_most_clutter`` and
        ``change_beyond_training``, the accuracy there minus that without clutter, and ``run``.

    Raises:
        ValueError: more than one task, or two runs of a variant with the same seed.
    """
    tasks = sorted(set(runs["task"]))
    if len(tasks) != 1:
        raise ValueError(f"the runs belong to {', '.join(tasks)}: take the tables of one task")
    main = runs[runs["first_test"].astype(bool)].set_index("run")
    keep = ["seed", "accuracy", "steps_to_threshold", "area", "clips_per_second", "parameters", "peak_memory_mb"]
    table = main[keep].assign(variant=_names(main), solved=main["accuracy"] >= SOLVED * main["ceiling"])
    twice = table[table.duplicated(["variant", "seed"], keep=False)]
    if len(twice):
        raise ValueError(f"{', '.join(twice.index)} are runs of one variant with one seed: keep one of each")
    tests = runs.pivot(index="run", columns="test", values="accuracy")[list(dict.fromkeys(runs["test"]))]
    most, beyond = CLUTTER.get(tasks[0], (None, None))
    for name, clutter in (("change_to_most_clutter", most), ("change_beyond_training", beyond)):
        known = {f"clutter {clutter}", "clutter 0"} <= set(tests)
        table[name] = tests[f"clutter {clutter}"] - tests["clutter 0"] if known else np.nan
    first_layer = layers[layers["block"] == 0].set_index("run")
    table = table.join(first_layer[["query_entropy", "mass_on_answer"]]).join(tests)
    order = {name: place for place, name in enumerate(VARIANTS)}
    place = table["variant"].map(lambda name: order.get(name.split(",")[0], len(order)))
    return table.assign(place=place).sort_values(["place", "variant", "seed"]).drop(columns="place").reset_index()


def _names(main: pandas.DataFrame) -> list[str]:
    """Return the name of each run's variant, with its number of steps where that is not the usual one."""
    usual = int(main["steps"].mode().iloc[0])

    def name(variant: str, steps: int) -> str:
        if steps == usual:
            return variant
        return f"{variant}, same time" if usual < steps < 2 * usual else f"{variant}, {steps:,} steps"

    return [name(*each) for each in zip(main["variant"], main["steps"], strict=True)]


def variants(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row for each variant.

    Args:
        runs, layers: of one task.

    Returns:
        By variant: ``seeds``; ``accuracy``, the mean on the main test with the bootstrap interval ``low`` to ``high``,
        and the ``values`` behind it in the order of the seeds; ``solved``, how many seeds, with the Clopper–Pearson
        interval ``solved_low`` to ``solved_high`` of their share; ``reached``, how many seeds came to .9 of the
        ceiling, and the median ``steps_to_threshold``, infinite where half did not; the means of ``area`` and of each
        test; the median ``clips_per_second``; ``parameters``; and the largest ``peak_memory_mb``.
    """
    table = by_run(runs, layers)
    tests = list(dict.fromkeys(runs["test"]))
    rows = {name: _summary(found, tests) for name, found in table.groupby("variant", sort=False)}
    return pandas.DataFrame(rows.values(), index=pandas.Index(rows, name="variant"))


def _summary(found: pandas.DataFrame, tests: list[str]) -> dict[str, Any]:
    low, high = mean_interval(found["accuracy"])
    solved = int(found["solved"].sum())
    solved_low, solved_high = share_interval(solved, len(found))
    steps = found["steps_to_threshold"]
    return {
        "seeds": len(found),
        "accuracy": found["accuracy"].mean(),
        "low": low,
        "high": high,
        "values": " ".join(f"{value:.3f}" for value in found["accuracy"]),
        "solved": solved,
        "solved_low": solved_low,
        "solved_high": solved_high,
        "reached": int(steps.notna().sum()),
        "steps_to_threshold": steps.fillna(np.inf).median(),
        "area": found["area"].mean(),
        "clips_per_second": found["clips_per_second"].median(),
        "parameters": int(found["parameters"].iloc[0]),
        "peak_memory_mb": found["peak_memory_mb"].max(),
    } | found[tests].mean().to_dict()


def concentration(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Return the mean over seeds of every measure of each layer: a row for each ``variant``, ``block`` and ``span``."""
    names = by_run(runs, layers)[["run", "variant"]]
    measures = [name for name in layers if name not in ("task", "variant", "preset", "seed", "run", "block", "span")]
    named = layers[["run", "block", "span", *measures]].merge(names, on="run")
    means = named.groupby(["variant", "block", "span"], sort=False)[measures].mean()
    return means.loc[list(dict.fromkeys(names["variant"]))].reset_index()


def owed(runs: pandas.DataFrame, planned: Iterable[Run]) -> pandas.DataFrame:
    """Return what was planned and is not there.

    Args:
        runs: of one task.
        planned: every run of its grids, see ``grid.plan``.

    Returns:
        ``variant``, ``steps`` and the missing ``seeds`` of those that lack some, a row each; a variant that no grid
        has stands with 0 steps and "all".
    """
    found, plans = set(runs["run"]), list(planned)
    missing: dict[tuple[str, int], list[int]] = {}
    for run in plans:
        if run.name not in found:
            missing.setdefault((run.config.variant, run.config.steps), []).append(run.config.seed)
    rows = [(variant, steps, " ".join(map(str, sorted(seeds)))) for (variant, steps), seeds in missing.items()]
    rows += [(variant, 0, "all") for variant in ABLATION if variant not in {run.config.variant for run in plans}]
    return pandas.DataFrame(rows, columns=["variant", "steps", "seeds"])
