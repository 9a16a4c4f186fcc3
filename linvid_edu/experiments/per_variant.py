"""Turn the tidy tables of one task into one row per run, per variant or per layer, and list the missing runs."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas

from linvid_edu.models.variants import ABLATION, VARIANTS
from linvid_edu.training.tasks import COLOR, TASKS
from linvid_edu.video.scenes import CellScene

from .paired_tests import mean_interval, share_interval
from .sweep_grid import PlannedRun

SOLVED = 0.99  # share of the ceiling on the main test at which a run counts as having solved its task
# accuracy on the main test of the best answer that does not use the token that decides, see results/PROTOCOL.md
SHORTCUTS = {"lookup": 0.625, "flash": 0.25}
STUCK_ERROR = 0.95  # relative error of copied colors above which a run is stuck, see results/PROTOCOL.md
SAME_TIME = "linear, same time"
# columns of ``by_run``, as tables and figures name them
MEASURE_LABELS = {
    "accuracy": "accuracy on the main test",
    "query_entropy": "entropy of the query's attention, first layer",
    "mass_on_answer": "mass on the target, first layer",
    "change_to_most_clutter": "change of accuracy from no clutter to the most of training",
    "change_beyond_training": "change of accuracy from no clutter to more than in training",
    "change_with_blank_tokens": "change of accuracy from 8 × 8 to 12 × 12 cells",
}


def by_run(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row per run, with everything that comparisons need.

    Args:
        runs, layers: Tables of one task, as ``collect`` returns them.

    Returns:
        ``variant``, whose name has the number of steps if it is not the usual one ("linear, same time" for up to twice
        as many, else "linear, 7,500 steps"); ``seed``; ``accuracy`` on the main test, and whether that is ``solved``;
        whether the run came ``through``, at least halfway from the shortcut of its task to the ceiling (``SHORTCUTS``,
        0 for a task without one), or, for colors, with an error of at most ``STUCK_ERROR``; one column per test;
        ``steps_to_threshold``, ``area``, ``clips_per_second``, ``parameters``, ``peak_memory_mb``; ``query_entropy``
        and ``mass_on_answer`` of the first layer; the changes of accuracy in ``MEASURE_LABELS``; and ``run``.

    Raises:
        ValueError: The runs belong to more than one task, or two runs of a variant have the same seed.
    """
    tasks = sorted(set(runs["task"]))
    if len(tasks) != 1:
        raise ValueError(f"the runs belong to {', '.join(tasks)}: take the tables of one task")
    main = runs[runs["first_test"].astype(bool)].set_index("run")
    columns = ["seed", "accuracy", "steps_to_threshold", "area", "clips_per_second", "parameters", "peak_memory_mb"]
    table = main[columns].assign(
        variant=_variant_names(main),
        solved=main["accuracy"] >= SOLVED * main["ceiling"],
        through=main["accuracy"] >= _least_accuracy(tasks[0], main["ceiling"]),
    )
    duplicates = table[table.duplicated(["variant", "seed"], keep=False)]
    if len(duplicates):
        raise ValueError(f"{', '.join(duplicates.index)} are runs of one variant with one seed: keep one of each")
    tests = runs.pivot(index="run", columns="test", values="accuracy")[list(dict.fromkeys(runs["test"]))]
    first_layer = layers[layers["block"] == 0].set_index("run")
    table = table.assign(**_changes(tasks[0], tests)).join(first_layer[["query_entropy", "mass_on_answer"]]).join(tests)
    position = {name: index for index, name in enumerate(VARIANTS)}
    order = table["variant"].map(lambda name: position.get(name.split(",")[0], len(position)))
    return table.assign(order=order).sort_values(["order", "variant", "seed"]).drop(columns="order").reset_index()


def _least_accuracy(task: str, ceiling: pandas.Series) -> pandas.Series:
    """Return the accuracy from which a run of a task has come through."""
    if task == COLOR:
        return ceiling - STUCK_ERROR
    return (SHORTCUTS.get(task, 0.0) + ceiling) / 2


def _variant_names(main: pandas.DataFrame) -> list[str]:
    """Return the name of each run's variant, with its number of steps if that is not the usual one."""
    usual = int(main["steps"].mode().iloc[0])

    def name(variant: str, steps: int) -> str:
        if steps == usual:
            return variant
        return f"{variant}, same time" if usual < steps < 2 * usual else f"{variant}, {steps:,} steps"

    return [name(variant, steps) for variant, steps in zip(main["variant"], main["steps"], strict=True)]


def _changes(task: str, tests: pandas.DataFrame) -> dict[str, pandas.Series]:
    """Return the changes of accuracy between two tests of each run, NaN if one of the tests is missing."""
    same_grid, trained = clutter_tests(task), training_clutter(task)
    none, most = same_grid.get(0), same_grid.get(max(trained, default=0))
    main, larger = next(iter(larger_grids(task).values()), (None, None))
    pairs = {
        "change_to_most_clutter": (none, most),
        "change_beyond_training": (none, same_grid.get(max(same_grid, default=0))),
        "change_with_blank_tokens": (main, larger),
    }
    missing = pandas.Series(np.nan, index=tests.index)
    return {
        change: tests[after] - tests[before] if {before, after} <= set(tests) else missing
        for change, (before, after) in pairs.items()
    }


def clutter_tests(task: str, grid: int | None = None) -> dict[int, str]:
    """Return the tests of a task that differ from its main test in clutter alone.

    Args:
        task: Name of the task.
        grid: Cells along each side of a frame, if other than in the main test.

    Returns:
        Number of clutter cells, in ascending order, to the name of the test; empty for tasks without cells.
    """
    tests = TASKS[task].described_tests if task in TASKS else ()
    if not tests or not isinstance(tests[0].scene, CellScene):
        return {}
    main = tests[0].knobs if grid is None else {**tests[0].knobs, "grid": grid}
    names = {}
    for test in tests:
        clutter = test.knobs["clutter"]
        if test.knobs == {**main, "clutter": clutter}:
            names[clutter] = test.name
    return dict(sorted(names.items()))


def larger_grids(task: str) -> dict[int, tuple[str, str]]:
    """Return the pairs of tests that differ in the size of the grid alone, and so in the number of blank tokens.

    Args:
        task: Name of the task.

    Returns:
        Number of clutter cells to the names of the tests on the grid of training and on a larger one; the clutter of
        the main test comes first. Empty for tasks without cells.
    """
    same_grid = clutter_tests(task)
    if not same_grid:
        return {}
    main, *others = TASKS[task].described_tests
    grids = sorted({test.knobs["grid"] for test in others} - {main.knobs["grid"]})
    larger = clutter_tests(task, grids[0]) if grids else {}
    clutter = sorted(same_grid.keys() & larger.keys(), key=lambda cells: (cells != main.knobs["clutter"], cells))
    return {cells: (same_grid[cells], larger[cells]) for cells in clutter}


def training_clutter(task: str) -> list[int]:
    """Return the numbers of clutter cells in the training clips of a task, in ascending order."""
    scenes = TASKS[task].training if task in TASKS else ()
    return sorted({scene.clutter for scene in scenes if isinstance(scene, CellScene)})


def by_variant(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row per variant.

    Args:
        runs, layers: Tables of one task.

    Returns:
        One row per variant: the number of ``seeds``; mean ``accuracy`` on the main test, its bootstrap interval ``low``
        to ``high`` and its ``values`` in the order of the seeds; the number of runs that came ``through`` (see
        ``by_run``), the Clopper–Pearson interval ``through_low`` to ``through_high`` of their share, the
        ``median_through`` of their accuracies, NaN if there are none, and the ``median`` of all runs, which say more
        than a mean if some runs are stuck; number of seeds that ``solved`` the task, and the
        Clopper–Pearson interval ``solved_low`` to ``solved_high`` of their share; number of seeds that ``reached`` .9
        of the ceiling, and the median ``steps_to_threshold``, infinite if half did not reach it; the means of ``area``
        and of each test; the median ``clips_per_second``; ``parameters``; and the largest ``peak_memory_mb``.
    """
    table = by_run(runs, layers)
    tests = list(dict.fromkeys(runs["test"]))
    rows = {name: _variant_row(of_variant, tests) for name, of_variant in table.groupby("variant", sort=False)}
    return pandas.DataFrame(rows.values(), index=pandas.Index(rows, name="variant"))


def _variant_row(of_variant: pandas.DataFrame, tests: list[str]) -> dict[str, Any]:
    low, high = mean_interval(of_variant["accuracy"])
    solved = int(of_variant["solved"].sum())
    solved_low, solved_high = share_interval(solved, len(of_variant))
    through = of_variant["through"]
    through_low, through_high = share_interval(int(through.sum()), len(of_variant))
    steps = of_variant["steps_to_threshold"]
    return {
        "seeds": len(of_variant),
        "accuracy": of_variant["accuracy"].mean(),
        "low": low,
        "high": high,
        "values": " ".join(f"{value:.3f}" for value in of_variant["accuracy"]),
        "through": int(through.sum()),
        "through_low": through_low,
        "through_high": through_high,
        "median_through": of_variant.loc[through, "accuracy"].median(),
        "median": of_variant["accuracy"].median(),
        "solved": solved,
        "solved_low": solved_low,
        "solved_high": solved_high,
        "reached": int(steps.notna().sum()),
        "steps_to_threshold": steps.fillna(np.inf).median(),
        "area": of_variant["area"].mean(),
        "clips_per_second": of_variant["clips_per_second"].median(),
        "parameters": int(of_variant["parameters"].iloc[0]),
        "peak_memory_mb": of_variant["peak_memory_mb"].max(),
    } | of_variant[tests].mean().to_dict()


def through_line(row: pandas.Series) -> str:
    """Return one row of ``by_variant`` as words: how many runs came through, and the median accuracy of those.

    Args:
        row: Row of a variant, with ``seeds``, ``through``, ``median_through`` and ``median``.
    """
    share = f"{row['through']:.0f} of {row['seeds']:.0f} runs"
    if row["through"] == 0:
        return f"{share}, median of all {row['median']:.3f}"
    return f"{share}, their median {row['median_through']:.3f}"


def by_layer(runs: pandas.DataFrame, layers: pandas.DataFrame) -> pandas.DataFrame:
    """Return the mean over seeds of every measure of concentration: one row per ``variant``, ``block`` and ``span``."""
    names = by_run(runs, layers)[["run", "variant"]]
    measures = [name for name in layers if name not in ("task", "variant", "preset", "seed", "run", "block", "span")]
    named = layers[["run", "block", "span", *measures]].merge(names, on="run")
    means = named.groupby(["variant", "block", "span"], sort=False)[measures].mean()
    return means.loc[list(dict.fromkeys(names["variant"]))].reset_index()


def missing_runs(runs: pandas.DataFrame, planned: Iterable[PlannedRun]) -> pandas.DataFrame:
    """Return the runs that were planned but have no results.

    Args:
        runs: Table of one task.
        planned: Every run of its sweep grids, see ``plan_runs``.

    Returns:
        One row per variant that lacks runs: ``variant``, ``steps`` and the missing ``seeds``. If no sweep grid has a
        variant of the ablation, its row has 0 ``steps``, and "all" as ``seeds``.
    """
    complete, plans = set(runs["run"]), list(planned)
    missing: dict[tuple[str, int], list[int]] = {}
    for run in plans:
        if run.name not in complete:
            missing.setdefault((run.config.variant, run.config.steps), []).append(run.config.seed)
    rows = [(variant, steps, " ".join(map(str, sorted(seeds)))) for (variant, steps), seeds in missing.items()]
    rows += [(variant, 0, "all") for variant in ABLATION if variant not in {run.config.variant for run in plans}]
    return pandas.DataFrame(rows, columns=["variant", "steps", "seeds"])
