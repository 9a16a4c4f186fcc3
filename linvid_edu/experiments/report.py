"""Figures of the ablation: tidy tables in, pictures out, shared by the report and the lessons."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from linvid_edu.figures.plots import Picture, curves, dots, scatter
from linvid_edu.models.variants import VARIANTS, find_variant, label_of
from linvid_edu.training.tasks import TASKS
from linvid_edu.video.scenes import CellScene

from .paired_tests import mean_interval
from .per_variant import CLUTTER, by_run

MARKS = {"lookup": {"ignoring the cue": 0.625}, "flash": {"chance": 0.25}}


def accuracy_dots(runs: pandas.DataFrame, layers: pandas.DataFrame) -> Picture:
    """Show the accuracy of every variant on the main test, a dot for each seed.

    Args:
        runs, layers: of one task.
    """
    task = runs["task"].iloc[0]
    main = runs.loc[runs["first_test"].astype(bool), "test"].iloc[0]
    return _dots(by_run(runs, layers), "accuracy", f"accuracy, {task}, {main}", MARKS.get(task, {}))


def lost_to_tokens(runs: pandas.DataFrame, layers: pandas.DataFrame, clutter: int) -> Picture:
    """Show what each variant loses when the same content stands among more tokens, a dot for each seed.

    Args:
        runs, layers: of one task.
        clutter: of both tests.

    Raises:
        ValueError: the task was not tested with this clutter on a larger grid.
    """
    table, small = by_run(runs, layers), f"clutter {clutter}"
    large = next((test for test in table if test.startswith("grid") and test.endswith(f", {small}")), None)
    if large is None or small not in table:
        raise ValueError(f"clutter={clutter} was not tested on two grids: choose one of {', '.join(_pairs(table))}")
    lost = table.assign(lost=table[large] - table[small])
    return _dots(lost, "lost", f"accuracy, {large}, minus accuracy, {small}", {"no change": 0.0})


def _pairs(table: pandas.DataFrame) -> list[str]:
    found = [test.split("clutter ")[1] for test in table if test.startswith("grid")]
    return [clutter for clutter in found if f"clutter {clutter}" in table]


def _dots(table: pandas.DataFrame, measure: str, xlabel: str, marks: Mapping[str, float]) -> Picture:
    values = table.pivot(index="seed", columns="variant", values=measure)[list(dict.fromkeys(table["variant"]))]
    return dots(
        {label_of(name): values[name].to_numpy() for name in values},
        xlabel=xlabel,
        intervals={label_of(name): mean_interval(values[name].dropna()) for name in values},
        marks=marks,
    )


def clutter_curves(runs: pandas.DataFrame, layers: pandas.DataFrame, names: Sequence[str]) -> Picture:
    """Show accuracy against clutter, the mean over seeds and its interval.

    Args:
        runs, layers: of one task.
        names: of variants, at most 7; those without runs are left out.
    """
    task, table = runs["task"].iloc[0], by_run(runs, layers)
    levels = sorted(int(test.removeprefix("clutter ")) for test in table if test.startswith("clutter "))
    tests = [f"clutter {level}" for level in levels]
    trained = sorted({scene.clutter for scene in TASKS[task].training if isinstance(scene, CellScene)})
    found = {name: table.loc[table["variant"] == name, tests] for name in names}
    return _curves(
        levels,
        {name: values.to_numpy() for name, values in found.items() if len(values)},
        xlabel=f"clutter cells; in training {', '.join(map(str, trained))}",
        ylabel=f"accuracy, {task}",
        spans={"more than in training": CLUTTER[task]} if task in CLUTTER else {},
    )


def learning_curves(
    runs: pandas.DataFrame, layers: pandas.DataFrame, points: pandas.DataFrame, names: Sequence[str]
) -> Picture:
    """Show validation accuracy against steps, the mean over seeds and its interval.

    Args:
        runs, layers, points: of one task; the points are ``curves`` of ``results.collect``.
        names: of variants whose runs have the same number of steps, at most 7; those without runs are left out.
    """
    named = points.drop(columns="variant").merge(by_run(runs, layers)[["run", "variant"]], on="run")
    steps = sorted(named.loc[named["variant"].isin(names), "step"].unique().tolist())
    found = {}
    for name in names:
        values = named[named["variant"] == name].pivot(index="seed", columns="step", values="accuracy")
        if len(values):
            found[name] = values.reindex(columns=steps).to_numpy()
    ylabel = f"accuracy on validation clips, {runs['task'].iloc[0]}"
    return _curves(steps, found, xlabel="optimizer steps", ylabel=ylabel)


def cause_curves(cause: pandas.DataFrame, kind: str, measure: str, names: Sequence[str]) -> Picture:
    """Show what interventions on trained models do, the mean over seeds and its interval.

    Args:
        cause: of one task, as ``cause.cause`` returns it.
        kind: "power" or "opened".
        measure: "accuracy", "query_entropy" or "mass_on_answer".
        names: of variants, at most 7; those without such rows are left out.
    """
    chosen = cause[(cause["kind"] == kind) & cause["variant"].isin(names)]
    values = sorted(chosen["value"].unique().tolist())
    found = {}
    for name in names:
        table = chosen[chosen["variant"] == name]
        if len(table):
            found[name] = table.pivot(index="run", columns="value", values=measure).reindex(columns=values).to_numpy()
    labels = {
        "power": "power of every weight, then each row sums to 1 again",
        "opened": "share by which ratios are opened",
    }
    measures = {
        "accuracy": "accuracy on the main test",
        "query_entropy": "entropy of the query's attention, first layer",
        "mass_on_answer": "mass on the target, first layer",
    }
    return _curves(values, found, xlabel=labels[kind], ylabel=measures[measure], log_x=kind == "power")


def blank_curves(table: pandas.DataFrame) -> Picture:
    """Show accuracy against the number of tokens for the same content, the mean over seeds and its interval.

    Args:
        table: of at most 6 variants, as ``blanks.blanks`` returns it; linear is also shown without its blank tokens.
    """
    tokens = sorted(table["tokens"].unique().tolist())
    without = table["variant"] + ", no blank tokens"
    shown = table.assign(name=table["variant"].where(table["attended"] == "all", without))
    shown = shown[(shown["attended"] == "all") | (shown["variant"] == "linear")]
    found = {
        name: rows.pivot(index="seed", columns="tokens", values="accuracy").to_numpy()
        for name, rows in shown.groupby("name", sort=False)
    }
    labels = {"xlabel": "tokens of a clip; 64 in training", "ylabel": "accuracy, lookup, 24 clutter cells"}
    return _curves(tokens, found, log_x=True, **labels)


def _curves(x: Sequence[int | float], runs: dict[str, np.ndarray], **words: object) -> Picture:
    """Draw the mean of each variant's runs, (runs x), with its interval."""
    bands = {}
    for name, values in runs.items():
        if len(values) > 1:
            ends = np.array([mean_interval(column) for column in values.T])
            bands[label_of(name)] = ends[:, 0], ends[:, 1]
    means = {label_of(name): values.mean(axis=0) for name, values in runs.items()}
    colors = {label_of(name): find_variant(name.split(", ")[0]).color for name in runs}
    interval = "95 % interval of the mean over seeds"
    return curves(x, means, bands=bands, band_label=interval, colors=colors, **words)  # type: ignore[arg-type]


def concentration_scatter(runs: pandas.DataFrame, layers: pandas.DataFrame) -> Picture:
    """Show mass on the target in the first layer against accuracy, a dot for each run.

    Args:
        runs, layers: of one task.
    """
    table = by_run(runs, layers)
    groups = table["variant"].map(lambda name: find_variant(name.split(", ")[0]).group)
    present = [group for group in dict.fromkeys(variant.group for variant in VARIANTS.values()) if group in set(groups)]
    return scatter(
        {group: (table["mass_on_answer"][groups == group], table["accuracy"][groups == group]) for group in present},
        xlabel="mass on the target, first layer",
        ylabel="accuracy on the main test",
    )
