"""The runs of a sweep: from a grid of settings to checked configurations, each with a folder's name of its own."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from linvid_edu.training.config import TrainConfig
from linvid_edu.training.run import TEST_CLIPS, VALIDATION_CLIPS, read_metrics

PARTS = ("fixed", "vary", "runs", "effort")


class Run(NamedTuple):
    """One run of a sweep.

    name: of its folder: task, variant, preset, seed, and a hash of all settings that are not the defaults
    config: its settings
    """

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class Effort:
    """How a run is carried out and measured, beside its settings.

    Args:
        threads: of PyTorch in each run.
        save_every: steps between checkpoints.
        points: of the learning curve.
        validation_clips: for each point of it.
        test_clips: for each final accuracy.

    Raises:
        ValueError: a value that is no whole number above 0.
    """

    threads: int = 1
    save_every: int = 200
    points: int = 20
    validation_clips: int = VALIDATION_CLIPS
    test_clips: int = TEST_CLIPS

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number above 0")


class Grid(NamedTuple):
    """What a sweep does: the settings of each run, fields of ``TrainConfig``, and the effort for all."""

    settings: list[dict[str, Any]]
    effort: Effort = Effort()


def read_grid(path: str | Path) -> Grid:
    """Read a JSON file with a grid, see ``expand``.

    Raises:
        ValueError: the file is no JSON, or no grid.
    """
    try:
        return expand(json.loads(Path(path).read_text()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def expand(grid: Any) -> Grid:
    """Combine each entry of "runs" with each combination of "vary", and with "fixed".

    Args:
        grid: "fixed", setting to value; "vary", setting to a list of values, the last changes fastest; "runs", a list
            of settings that belong together, such as a variant and its learning rate; "effort", fields of ``Effort``.
            Each may be left out.

    Raises:
        ValueError: another part, one of the wrong type, or a setting that two parts decide.
    """
    if not isinstance(grid, Mapping) or not grid or set(grid) - set(PARTS):
        raise ValueError(f'a grid is an object with some of {", ".join(PARTS)}, such as {{"vary": {{"seed": [0, 1]}}}}')
    fixed, vary, effort = (grid.get(part, {}) for part in ("fixed", "vary", "effort"))
    runs = grid.get("runs", [{}])
    if not (isinstance(runs, list) and all(isinstance(part, Mapping) for part in (fixed, vary, effort, *runs))):
        raise ValueError('"fixed", "vary" and "effort" must be objects, and "runs" a list of objects')
    for name, values in vary.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f'"vary" has {name}={values!r}, expected a list of values')
    if unknown := sorted(set(effort) - {each.name for each in fields(Effort)}):
        raise ValueError(f'"effort" has the unknown {", ".join(unknown)}')
    named: set[str] = set().union(*runs)
    if twice := sorted((set(fixed) & set(vary)) | (named & (set(fixed) | set(vary)))):
        raise ValueError(f"two parts of the grid decide {', '.join(twice)}: leave it in one of them")
    combinations = [dict(zip(vary, values, strict=True)) for values in product(*vary.values())]
    return Grid([{**fixed, **run, **values} for run in runs for values in combinations], Effort(**effort))


def plan(settings: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Check the settings of all runs and name them; what occurs twice is one run.

    Raises:
        ValueError: an unknown setting, or a value of the wrong type or out of range; it tells which run.
    """
    runs: dict[str, Run] = {}
    for index, values in enumerate(settings):
        try:
            config = TrainConfig.from_dict(dict(values))
        except ValueError as error:
            raise ValueError(f"run {index} of the sweep, {dict(values)}: {error}") from error
        runs.setdefault(run_name(config), Run(run_name(config), config))
    return list(runs.values())


def run_name(config: TrainConfig) -> str:
    """Return the folder's name of a run, the same for the same settings."""
    default = TrainConfig().to_dict()
    changed = {name: value for name, value in config.to_dict().items() if value != default[name]}
    canonical = json.dumps(json.loads(json.dumps(changed), parse_float=_number), sort_keys=True)
    readable = f"{config.task}-{config.variant}-{config.preset}-seed{config.seed}"
    return f"{readable}-{sha256(canonical.encode()).hexdigest()[:8]}"


def complete(run: Run, folder: str | Path) -> bool:
    """Return whether the run's metrics are in the sweep's folder.

    Raises:
        ValueError: another run's metrics are there.
    """
    metrics = read_metrics(Path(folder, run.name))
    if metrics is None:
        return False
    if TrainConfig.from_dict(metrics["config"]) != run.config:
        raise ValueError(f"{Path(folder, run.name)} holds the metrics of another run: choose another folder")
    return True


def _number(text: str) -> int | float:
    """Return 1 for "1.0", so that both are written alike."""
    value = float(text)
    return int(value) if value.is_integer() else value
