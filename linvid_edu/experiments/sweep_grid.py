"""The grid of a sweep: from a JSON file to checked settings, each run with a folder name of its own."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.metrics import read_metrics

ONE_THREAD = Effort(threads=1)  # so that as many runs as there are cores can be trained side by side

GRID_KEYS = ("fixed", "vary", "runs", "effort")


class PlannedRun(NamedTuple):
    """One run of a sweep.

    name: name of its folder: task, variant, preset, seed, and a hash of all settings that are not the defaults
    config: its settings
    """

    name: str
    config: TrainConfig


class SweepGrid(NamedTuple):
    """The runs of a sweep.

    settings: settings of each run, fields of ``TrainConfig``
    effort: effort of all runs
    """

    settings: list[dict[str, Any]]
    effort: Effort = ONE_THREAD


def read_sweep_grid(path: str | Path) -> SweepGrid:
    """Read a JSON file with the grid of a sweep, see ``expand_grid``.

    Raises:
        ValueError: The file is not JSON, or not a grid.
    """
    try:
        return expand_grid(json.loads(Path(path).read_text(encoding="utf-8-sig")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def expand_grid(grid: Any) -> SweepGrid:
    """Combine each entry of "runs" with each combination of "vary", and with "fixed".

    Args:
        grid: Object with some of these keys. "fixed": setting to value. "vary": setting to a list of values; the last
            setting changes fastest. "runs": list of settings that belong together, such as a variant and its learning
            rate. "effort": fields of ``Effort``.

    Raises:
        ValueError: A key is unknown, a value has the wrong type, or two keys decide one setting.
    """
    fixed, vary, runs, effort = _checked_keys(grid)
    decided_by_runs: set[str] = set().union(*runs)
    twice = sorted((set(fixed) & set(vary)) | (decided_by_runs & (set(fixed) | set(vary))))
    if twice:
        raise ValueError(f"two parts of the grid decide {', '.join(twice)}: leave it in one of them")
    combinations = [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]
    return SweepGrid(
        [{**fixed, **run, **values} for run in runs for values in combinations], replace(ONE_THREAD, **effort)
    )


def _checked_keys(grid: Any) -> tuple[Mapping, Mapping, list[Mapping], Mapping]:
    """Return "fixed", "vary", "runs" and "effort" of a grid; raise ValueError if one has the wrong type."""
    if not isinstance(grid, Mapping) or not grid or set(grid) - set(GRID_KEYS):
        raise ValueError(
            f'a grid is an object with some of {", ".join(GRID_KEYS)}, such as {{"vary": {{"seed": [0, 1]}}}}'
        )
    fixed, vary, effort = (grid.get(key, {}) for key in ("fixed", "vary", "effort"))
    runs = grid.get("runs", [{}])
    if not (isinstance(runs, list) and all(isinstance(value, Mapping) for value in (fixed, vary, effort, *runs))):
        raise ValueError('"fixed", "vary" and "effort" must be objects, and "runs" a list of objects')
    for name, values in vary.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f'"vary" has {name}={values!r}, expected a list of values')
    unknown = sorted(set(effort) - {field.name for field in fields(Effort)})
    if unknown:
        raise ValueError(f'"effort" has the unknown {", ".join(unknown)}')
    return fixed, vary, runs, effort


def plan_runs(settings: Iterable[Mapping[str, Any]]) -> list[PlannedRun]:
    """Check the settings of all runs and name the runs; equal settings are one run.

    Raises:
        ValueError: A setting is unknown, of the wrong type or out of range; the message names the run.
    """
    runs: dict[str, PlannedRun] = {}
    for index, values in enumerate(settings):
        try:
            config = TrainConfig.from_dict(dict(values))
        except ValueError as error:
            raise ValueError(f"run {index} of the sweep, {dict(values)}: {error}") from error
        name = run_name(config)
        runs.setdefault(name, PlannedRun(name, config))
    return list(runs.values())


def run_name(config: TrainConfig) -> str:
    """Return the name of a run's folder, which is the same for the same settings."""
    default = TrainConfig().to_dict()
    changed = {name: value for name, value in config.to_dict().items() if value != default[name]}
    canonical = json.dumps(json.loads(json.dumps(changed), parse_float=_number), sort_keys=True)
    readable = f"{config.task}-{config.variant}-{config.preset}-seed{config.seed}"
    return f"{readable}-{sha256(canonical.encode()).hexdigest()[:8]}"


def is_complete(run: PlannedRun, folder: str | Path) -> bool:
    """Return whether the metrics of a run are in the folder of its sweep.

    Raises:
        ValueError: The metrics of another run are there.
    """
    metrics = read_metrics(Path(folder, run.name))
    if metrics is None:
        return False
    if TrainConfig.from_dict(metrics["config"]) != run.config:
        raise ValueError(f"{Path(folder, run.name)} holds the metrics of another run: choose another folder")
    return True


def _number(text: str) -> int | float:
    """Return 1 for "1.0", so that both have the same name."""
    value = float(text)
    return int(value) if value.is_integer() else value
