"""Figures of the report and the lessons, from the tables of the runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from linvid_edu.figures.plots import Picture, curves, dots, scatter
from linvid_edu.models.variants import GROUP_COLORS, find_variant, label_of

from .paired_tests import mean_interval
from .per_variant import MEASURE_LABELS, SHORTCUTS, by_run, clutter_tests, larger_grids, training_clutter

MARKS = {"lookup": {"ignoring the cue": SHORTCUTS["lookup"]}, "flash": {"chance": SHORTCUTS["flash"]}}


def accuracy_dots(runs: pandas.DataFrame, layers: pandas.DataFrame) -> Picture:
    """Show the accuracy of every variant on the main test, one dot per seed.

    Args:
        runs, layers: Tables of one task.
    """
    task = runs["task"].iloc[0]
    main = runs.loc[runs["first_test"].astype(bool), "test"].iloc[0]
    return _dots(by_run(runs, layers), "accuracy", f"accuracy, {task}, {main}", MARKS.get(task, {}))


def lost_to_tokens(runs: pandas.DataFrame, layers: pandas.DataFrame, clutter: int) -> Picture:
    """Show how much accuracy each variant loses if the same content stands among more tokens, one dot per seed.

    Args:
        runs, layers: Tables of one task.
        clutter: Number of clutter cells in both tests.

    Raises:
        ValueError: The task was not tested with this clutter on a larger grid.
    """
    table = by_run(runs, layers)
    tested = {cells: pair for cells, pair in larger_grids(runs["task"].iloc[0]).items() if set(pair) <= set(table)}
    if clutter not in tested:
        raise ValueError(f"clutter={clutter} was not tested on two grids: choose one of {', '.join(map(str, tested))}")
    small, large = tested[clutter]
    lost = table.assign(lost=table[large] - table[small])
    return _dots(lost, "lost", f"accuracy, {large}, minus accuracy, {small}", {"no change": 0.0})


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
        runs, layers: Tables of one task.
        names: Names of variants, at most 7; those without runs are left out.
    """
    task, table = runs["task"].iloc[0], by_run(runs, layers)
    levels = {clutter: test for clutter, test in clutter_tests(task).items() if test in table}
    trained = training_clutter(task)
    accuracies = {name: table.loc[table["variant"] == name, list(levels.values())].to_numpy() for name in names}
    return _curves(
        list(levels),
        {name: values for name, values in accuracies.items() if len(values)},
        xlabel=f"clutter cells; in training {', '.join(map(str, trained))}",
        ylabel=f"accuracy, {task}",
        spans={"more than in training": (trained[-1], max(levels))},
    )


def mean_learning_curves(
    runs: pandas.DataFrame, layers: pandas.DataFrame, points: pandas.DataFrame, names: Sequence[str]
) -> Picture:
    """Show validation accuracy against steps, the mean over seeds and its interval.

    Args:
        runs, layers, points: Tables of one task; the points are ``curves`` of ``collect``.
        names: Names of variants whose runs have the same number of steps, at most 7; those without runs are left out.
    """
    named = points.drop(columns="variant").merge(by_run(runs, layers)[["run", "variant"]], on="run")
    steps = sorted(named.loc[named["variant"].isin(names), "step"].unique().tolist())
    accuracies = {}
    for name in names:
        values = named[named["variant"] == name].pivot(index="seed", columns="step", values="accuracy")
        if len(values):
            accuracies[name] = values.reindex(columns=steps).to_numpy()
    ylabel = f"accuracy on validation clips, {runs['task'].iloc[0]}"
    return _curves(steps, accuracies, xlabel="optimizer steps", ylabel=ylabel)


def intervention_curves(table: pandas.DataFrame, kind: str, measure: str, names: Sequence[str]) -> Picture:
    """Show what interventions on trained models do, the mean over seeds and its interval.

    Args:
        table: Table of one task, as ``intervene`` returns it.
        kind: "power" or "opened".
        measure: "accuracy", "query_entropy" or "mass_on_answer".
        names: Names of variants, at most 7; those without such rows are left out.
    """
    table = table[(table["kind"] == kind) & table["variant"].isin(names)]
    values = sorted(table["value"].unique().tolist())
    measured = {}
    for name in names:
        rows = table[table["variant"] == name]
        if len(rows):
            measured[name] = rows.pivot(index="run", columns="value", values=measure).reindex(columns=values).to_numpy()
    labels = {
        "power": "power of every weight, then each row sums to 1 again",
        "opened": "share by which ratios are opened",
    }
    return _curves(values, measured, xlabel=labels[kind], ylabel=MEASURE_LABELS[measure], log_x=kind == "power")


def blank_curves(table: pandas.DataFrame) -> Picture:
    """Show accuracy against the number of tokens for the same content, the mean over seeds and its interval.

    Args:
        table: Table of ``accuracy_by_grid`` with at most 6 variants. Linear attention is also shown without its blank
            tokens.
    """
    tokens = sorted(table["tokens"].unique().tolist())
    without = table["variant"] + ", no blank tokens"
    shown = table.assign(name=table["variant"].where(table["attended"] == "all", without))
    shown = shown[(shown["attended"] == "all") | (shown["variant"] == "linear")]
    accuracies = {
        name: rows.pivot(index="seed", columns="tokens", values="accuracy").to_numpy()
        for name, rows in shown.groupby("name", sort=False)
    }
    labels = {"xlabel": "tokens of a clip; 64 in training", "ylabel": "accuracy, lookup, 24 clutter cells"}
    return _curves(tokens, accuracies, log_x=True, **labels)


def _curves(x: Sequence[int | float], runs: dict[str, np.ndarray], **options: Any) -> Picture:
    """Draw the mean of each variant's runs, (runs x), with its interval."""
    means, bands, colors = {}, {}, {}
    for name, values in runs.items():
        label = label_of(name)
        means[label] = values.mean(axis=0)
        colors[label] = find_variant(name.split(", ")[0]).color
        if len(values) > 1:
            ends = np.array([mean_interval(column) for column in values.T])
            bands[label] = ends[:, 0], ends[:, 1]
    return curves(x, means, bands=bands, band_label="95 % interval of the mean over seeds", colors=colors, **options)


def concentration_scatter(runs: pandas.DataFrame, layers: pandas.DataFrame) -> Picture:
    """Show mass on the target in the first layer against accuracy, one dot per run.

    Args:
        runs, layers: Tables of one task.
    """
    table = by_run(runs, layers)
    groups = table["variant"].map(lambda name: find_variant(name.split(", ")[0]).group)
    present = [group for group in dict.fromkeys((*GROUP_COLORS, *groups)) if group in set(groups)]
    return scatter(
        {group: (table["mass_on_answer"][groups == group], table["accuracy"][groups == group]) for group in present},
        xlabel=MEASURE_LABELS["mass_on_answer"],
        ylabel=MEASURE_LABELS["accuracy"],
        colors=GROUP_COLORS,
    )
