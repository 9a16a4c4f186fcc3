"""Tidy tables of many runs, from the metrics in their folders."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas

from linvid_edu.files import atomic_path
from linvid_edu.training.metrics import METRICS, read_metrics

THRESHOLD = 0.9  # share of the ceiling at which a run counts as having learned its task
RUN_COLUMNS = ["task", "variant", "preset", "seed", "run"]
# runs of the ablation that stand for a rival: the same function, up to the eps of the normalizer
RIVAL_TWINS = {
    "linear-elu": "elu_linear",
    "cooperative-elu": "elu_linear-cooperative",
    "linear-relu": "sana_relu_linear",
    "cooperative-relu": "sana_relu_linear-cooperative",
}
RIVAL_BASELINES = ("softmax", "linear", "cooperative")  # runs of the ablation that rivals are compared with


class ResultTables(NamedTuple):
    """The tables of many runs.

    runs: one row per run and test
    layers: one row per run and attention layer, on the first test
    curves: one row per run and point of its learning curve
    """

    runs: pandas.DataFrame
    layers: pandas.DataFrame
    curves: pandas.DataFrame


def complete_runs(folder: str | Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folder and the metrics of every complete run in a folder, at any depth, in the order of their paths."""
    for path in sorted(Path(folder).rglob(METRICS)):
        metrics = read_metrics(path.parent)
        if metrics is not None:
            yield path.parent, metrics


def collect(folder: str | Path) -> ResultTables:
    """Read every complete run in a folder, at any depth.

    Args:
        folder: Folder of a sweep.

    Returns:
        ``runs`` has the settings, ``test``, its ``accuracy`` over ``test_clips`` clips, and ``first_test``, True for
        the test that learning curves follow. The other columns are equal in all rows of a run: ``ceiling``, the final
        ``validation_accuracy``, ``steps_to_threshold`` (first point of the learning curve at .9 of the ceiling or
        above, NaN if there is none), ``area`` (mean of the learning curve), ``parameters``, ``seconds``,
        ``clips_per_second``, ``peak_memory_mb``, and the provenance.
        ``layers`` has the settings that name a run, and the measures of ``concentration_per_layer``.
        ``curves`` has the same settings, ``step``, ``accuracy`` on validation clips, and ``loss``, the mean training
        loss since the previous point.

    Raises:
        ValueError: There is no complete run, or a metrics file is invalid.
    """
    rows: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for path, metrics in complete_runs(folder):
        rows += _test_rows(path.name, metrics)
        names = {key: metrics["config"][key] for key in RUN_COLUMNS if key in metrics["config"]} | {"run": path.name}
        layers += [names | layer for layer in metrics["concentration"]]
        losses = dict(map(tuple, metrics["losses"]))
        curves += [names | {"step": step, "accuracy": a, "loss": losses.get(step)} for step, a in metrics["curve"]]
    if not rows:
        raise ValueError(f"{folder} holds no complete run: start one with `linvid sweep`, or choose another folder")
    return ResultTables(_sorted(rows), _sorted(layers), _sorted(curves))


def _sorted(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    table = pandas.DataFrame(rows, columns=None if rows else RUN_COLUMNS)
    return table.sort_values(RUN_COLUMNS, kind="stable", ignore_index=True)


def _test_rows(name: str, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each test of a run."""
    settings = {
        key: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        for key, value in metrics["config"].items()
    }
    provenance = metrics["provenance"]
    curve = [(step, accuracy) for step, accuracy in metrics["curve"]]
    accuracies = [accuracy for _, accuracy in curve]
    of_run = {
        "ceiling": metrics["ceiling"],
        "validation_accuracy": accuracies[-1] if accuracies else math.nan,
        "steps_to_threshold": steps_to(curve, THRESHOLD * metrics["ceiling"]),
        "area": sum(accuracies) / len(accuracies) if accuracies else math.nan,
        **{key: metrics[key] for key in ("parameters", "seconds", "clips_per_second", "peak_memory_mb")},
        **{key: provenance[key] for key in ("commit", "date", "machine", "device", "threads")},
        "torch": provenance["versions"]["torch"],
    }
    return [
        {"run": name, **settings, "test": test, "first_test": index == 0, "accuracy": accuracy}
        | {"test_clips": metrics["test_clips"], **of_run}
        for index, (test, accuracy) in enumerate(metrics["accuracy"].items())
    ]


def steps_to(curve: list[tuple[int, float]], threshold: float) -> float:
    """Return the first step at which a learning curve reaches a threshold, NaN if it never does."""
    return next((float(step) for step, accuracy in curve if accuracy >= threshold), math.nan)


def with_ablation_runs(rivals: pandas.DataFrame, ablation: pandas.DataFrame) -> pandas.DataFrame:
    """Add the runs of the ablation that rivals are compared with, or that stand for a rival.

    Args:
        rivals: Runs, or layers, of rivals.
        ablation: The same table of the ablation on the same task.

    Returns:
        One table. Runs that stand for a rival have its name, unless the rival was run itself with this seed. Runs of
        other lengths than the rivals' are left out.
    """
    ablation = ablation[ablation["variant"].isin([*RIVAL_TWINS, *RIVAL_BASELINES])]
    if "steps" in ablation:
        ablation = ablation[ablation["steps"].isin(rivals["steps"])]
    ablation = ablation.assign(variant=ablation["variant"].replace(RIVAL_TWINS))
    keys = ["variant", "seed"]
    has_run = pandas.MultiIndex.from_frame(ablation[keys]).isin(pandas.MultiIndex.from_frame(rivals[keys]))
    return pandas.concat([rivals, ablation[~has_run]], ignore_index=True)


def write_results(results: ResultTables, folder: str | Path) -> list[Path]:
    """Write runs.csv, layers.csv and curves.csv into a folder; the same results give the same bytes."""
    return write_tables(results._asdict(), folder)


def write_tables(
    tables: dict[str, pandas.DataFrame], folder: str | Path, *, float_format: str | None = None
) -> list[Path]:
    """Write each table as NAME.csv into a folder, atomically, and return the paths.

    Args:
        tables: Name to table.
        folder: Folder of the files, created if missing.
        float_format: Format of the numbers, such as "%.6g"; by default all digits are kept.
    """
    paths = [Path(folder, f"{name}.csv") for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format=float_format)
    return paths
