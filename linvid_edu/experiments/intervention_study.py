"""Interventions on every trained model of a sweep: does accuracy change if maps are sharpened, or ratios opened?

`linvid report interventions` writes the table.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas

from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.interventions import averaged, changed_ratios, opened, sharpened
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.evaluation import accuracy, concentration_per_layer
from linvid_edu.training.run_checkpoints import newest_model
from linvid_edu.training.tasks import Task
from linvid_edu.video.batch import Batch

from .tables import complete_runs

STUDIED_VARIANTS = ("softmax", "linear", "separate", "cooperative", "linear-relu")
POWERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ACCURACY_CLIPS = 1024
MAP_CLIPS = 128


class Intervention(NamedTuple):
    """A change of a trained model.

    kind: "power", every map raised to the value; "opened", ratios r + value · (1 − r); "averaged", each ratio replaced
    by its mean
    value: the power or the share; NaN for "averaged"
    change: takes the model and returns a context manager that changes it
    """

    kind: str
    value: float
    change: Callable[[VideoTransformer], AbstractContextManager[Any]]


def interventions(model: VideoTransformer) -> Iterator[Intervention]:
    """Yield the interventions on a model: powers for every model, changed ratios if it has fixation."""
    for power in POWERS:
        yield Intervention("power", power, nullcontext if power == 1 else partial(sharpened, power=power))
    if model.config.fixation != "none":
        for share in SHARES:
            yield Intervention("opened", share, partial(changed_ratios, change=opened(share)))
        yield Intervention("averaged", float("nan"), partial(changed_ratios, change=averaged))


def intervene(
    folder: str | Path,
    *,
    variants: tuple[str, ...] = STUDIED_VARIANTS,
    accuracy_clips: int = ACCURACY_CLIPS,
    map_clips: int = MAP_CLIPS,
) -> pandas.DataFrame:
    """Change the trained model of each complete run in a folder, and test it again.

    Args:
        folder: Folder of a sweep. Runs may lie at any depth, each with its last checkpoint.
        variants: Names of the variants to study.
        accuracy_clips: Number of clips of the main test for each accuracy.
        map_clips: Number of clips whose attention maps are measured.

    Returns:
        One row per run and intervention: ``task``, ``variant``, ``seed``, ``steps``, ``run``, the ``kind`` and
        ``value`` of the intervention, ``accuracy`` over ``clips`` clips of the main test, and, for the query that
        decides, in the first layer, ``query_entropy`` (normalized) and ``mass_on_answer``.

    Raises:
        ValueError: There is no such run, one has no checkpoint or no joint attention, or its clips have no known
            objects.
    """
    rows: list[dict[str, Any]] = []
    batches: dict[tuple[str, str], list[Batch]] = {}
    for path, metrics in complete_runs(folder):
        if metrics["config"]["variant"] not in variants:
            continue
        config, model = TrainConfig.from_dict(metrics["config"]), load_model(newest_model(path))
        task = config.data
        if not isinstance(task, Task):
            raise ValueError(f"{path} was trained on {config.task!r}, whose clips have no known objects")
        scenes = (config.task, str(config.scenes))
        if scenes not in batches:
            batches[scenes] = list(task.test_batches(next(iter(task.tests)), clips=accuracy_clips))
        names = {name: getattr(config, name) for name in ("task", "variant", "seed", "steps")} | {"run": path.name}
        for kind, value, change in interventions(model):
            with change(model):
                measures = {"accuracy": accuracy(model, batches[scenes]), "clips": accuracy_clips}
                measures |= first_layer(model, task, clips=map_clips)
            rows.append(names | {"kind": kind, "value": value} | measures)
    if not rows:
        raise ValueError(f"{folder} holds no complete run of {', '.join(variants)}: start one with `linvid sweep`")
    return pandas.DataFrame(rows).sort_values(["task", "variant", "seed", "steps", "run"], kind="stable")


def first_layer(model: VideoTransformer, task: Task, *, clips: int = MAP_CLIPS) -> dict[str, float]:
    """Measure the first layer's weights for the query that decides, on the main test, averaged over heads and clips.

    Args:
        model: Model with joint attention. Inside an intervention, the changed map is measured.
        task: Task whose main test the model is run on.
        clips: Number of clips.

    Returns:
        ``query_entropy`` and ``mass_on_answer``, as ``concentration_per_layer`` defines them.

    Raises:
        ValueError: Attention is not joint.
    """
    if model.config.space_time != "joint":
        raise ValueError(f"space_time={model.config.space_time!r}: the query and its target need joint attention")
    first, *_ = concentration_per_layer(model, task, next(iter(task.tests)), clips=clips)
    return {name: first[name] for name in ("query_entropy", "mass_on_answer")}
