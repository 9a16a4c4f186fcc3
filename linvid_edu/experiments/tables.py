"""Tidy tables of many runs, from the metrics in their folders."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import pandas

from linvid_edu.files import atomic_path
from linvid_edu.training.run import METRICS, read_metrics

THRESHOLD = 0.9  # of the ceiling: how far a run must come to have learned its task
ORDER = ["task", "variant", "preset", "seed", "run"]


class Results(NamedTuple):
    """Three tables.

    runs: a row for each run and test
    layers: a row for each run and attention layer, on the first test
    curves: a row for each run and point of its learning curve
    """

    runs: pandas.DataFrame
    layers: pandas.DataFrame
    curves: pandas.DataFrame


def collect(folder: str | Path) -> Results:
    """Read every run that is complete in a folder, at any depth.

    Args:
        folder: of a sweep.

    Returns:
        ``runs`` has the settings, ``test`` and its ``accuracy`` over ``test_clips`` clips; ``first_test``, whether it
        is the one that learning curves follow; and, the same in all rows of a run, ``ceiling``,
        ``validation_accuracy`` at the end, ``steps_to_threshold`` (the first point of the learning curve at .9 of the
        ceiling or above, NaN if there is none), ``area`` (mean of the learning curve), ``parameters``, ``seconds``,
        ``clips_per_second``, ``peak_memory_mb``, and where it ran.
        ``layers`` has the settings that name a run, and what ``concentration_per_layer`` measures; ``curves`` has
        them, ``step``, ``accuracy`` on validation clips, and ``loss``, the mean training loss since the point before.

    Raises:
        ValueError: there is no complete run, or a file is no metrics.
    """
    folder = Path(folder)
    rows: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for path in sorted(folder.rglob(METRICS)):
        metrics = read_metrics(path.parent)
        if metrics is not None:
            name, config = path.parent.name, metrics["config"]
            rows += _rows(name, metrics)
            names = {each: config[each] for each in ORDER if each in config} | {"run": name}
            layers += [names | layer for layer in metrics["concentration"]]
            losses = dict(map(tuple, metrics["losses"]))
            curves += [names | {"step": step, "accuracy": a, "loss": losses.get(step)} for step, a in metrics["curve"]]
    if not rows:
        raise ValueError(f"{folder} holds no complete run: start one with `linvid sweep`, or choose another folder")
    tables = rows, layers, curves
    return Results(*(_sorted(pandas.DataFrame(table, columns=None if table else ORDER)) for table in tables))


def _sorted(table: pandas.DataFrame) -> pandas.DataFrame:
    return table.sort_values(ORDER, kind="stable", ignore_index=True)


def _rows(name: str, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each test of a run."""
    settings = {
        key: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        for key, value in metrics["config"].items()
    }
    came_from = metrics["provenance"]
    curve = [(step, accuracy) for step, accuracy in metrics["curve"]]
    accuracies = [accuracy for _, accuracy in curve]
    whole = {
        "ceiling": metrics["ceiling"],
        "validation_accuracy": accuracies[-1] if accuracies else math.nan,
        "steps_to_threshold": steps_to(curve, THRESHOLD * metrics["ceiling"]),
        "area": sum(accuracies) / len(accuracies) if accuracies else math.nan,
        **{key: metrics[key] for key in ("parameters", "seconds", "clips_per_second", "peak_memory_mb")},
        **{key: came_from[key] for key in ("commit", "date", "machine", "device", "threads")},
        "torch": came_from["versions"]["torch"],
    }
    return [
        {"run": name, **settings, "test": test, "first_test": index == 0, "accuracy": accuracy}
        | {"test_clips": metrics["test_clips"], **whole}
        for index, (test, accuracy) in enumerate(metrics["accuracy"].items())
    ]


def steps_to(curve: list[tuple[int, float]], threshold: float) -> float:
    """Return the first step of a learning curve with at least this accuracy, NaN if there is none."""
    return next((float(step) for step, accuracy in curve if accuracy >= threshold), math.nan)


def write(results: Results, folder: str | Path) -> list[Path]:
    """Write runs.csv, layers.csv and curves.csv into a folder, atomically; the same results give the same bytes."""
    paths = [Path(folder, f"{name}.csv") for name in Results._fields]
    for path, table in zip(paths, results, strict=True):
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False)
    return paths
