"""Interventions on every trained model of a sweep: does accuracy follow when maps are sharpened, or fixation opened?

`linvid report interventions` writes the table.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import torch
from torch import Tensor

from linvid_edu.attention.measures import mass_on, normalized_entropy
from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.interventions import averaged, changed_ratios, opened, sharpened
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Bool
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.evaluation import accuracy
from linvid_edu.training.run_checkpoints import checkpoints
from linvid_edu.training.tasks import Task
from linvid_edu.video.batch import TEST, Batch
from linvid_edu.video.scenes import render, role_mask

from .tables import complete_runs

STUDIED_VARIANTS = ("softmax", "linear", "separate", "cooperative", "linear-relu")
POWERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ACCURACY_CLIPS = 1024
MAP_CLIPS = 128


class Intervention(NamedTuple):
    """A change of a trained model.

    kind: "power", every map raised to the value; "opened", ratios r + value · (1 − r); "averaged", each ratio its mean
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
        config, model = TrainConfig.from_dict(metrics["config"]), last_model(path)
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
                measures |= first_layer(model, task, power=value if kind == "power" else 1.0, clips=map_clips)
            rows.append(names | {"kind": kind, "value": value} | measures)
    if not rows:
        raise ValueError(f"{folder} holds no complete run of {', '.join(variants)}: start one with `linvid sweep`")
    return pandas.DataFrame(rows).sort_values(["task", "variant", "seed", "steps", "run"], kind="stable")


def last_model(folder: Path) -> VideoTransformer:
    """Return the model of a run's last checkpoint.

    Raises:
        ValueError: There is no checkpoint.
    """
    saved = checkpoints(folder)
    if not saved:
        raise ValueError(f"{folder} has no checkpoint: take the folder in which the run was trained")
    return load_model(saved[-1] / "model.safetensors")


@torch.no_grad()
def first_layer(model: VideoTransformer, task: Task, *, power: float = 1.0, clips: int = MAP_CLIPS) -> dict[str, float]:
    """Measure the first layer's weights for the query that decides, on the main test, averaged over heads and clips.

    Args:
        model: Model with joint attention. It may be inside an intervention.
        task: Task whose main test is shown.
        power: Power to which ``sharpened`` raises the map.
        clips: Number of clips.

    Returns:
        ``query_entropy``, normalized, and ``mass_on_answer``. A row without any weight counts as uniform, and shares
        |a_j| / Σ |a_j| stand for weights that may be negative.

    Raises:
        ValueError: Attention is not joint.
    """
    scene = next(iter(task.tests.values()))
    scenes = render(scene, count=clips, seed=(TEST, 0))
    grid = (model.config.grid.rows, model.config.grid.columns)
    query, answer = (role_mask(scenes, role, grid=grid).flatten(1) for role in (scene.query, scene.answer))
    with record(model) as trace:
        model(scenes.video)
    if "joint" not in trace.blocks[0]:
        raise ValueError(f"space_time={model.config.space_time!r}: the query and its target need joint attention")
    weights = _query_rows(trace.blocks[0]["joint"].map(), query, power)
    on_answer = answer.unsqueeze(1).expand(-1, query.shape[1], -1)[query]
    return {
        "query_entropy": normalized_entropy(weights).mean().item(),
        "mass_on_answer": mass_on(weights, on_answer).mean().item(),
    }


def _query_rows(maps: Tensor, query: Bool[Tensor, "b n"], power: float) -> Tensor:
    """Return the queries' rows raised to a power, (heads queries tokens), uniform if a row has no weight."""
    rows = maps.abs().transpose(0, 1)[:, query]
    rows = rows / rows.amax(dim=-1, keepdim=True).clamp(min=1e-30)  # so that no power underflows
    return torch.where(rows.sum(dim=-1, keepdim=True) > 0, rows, torch.ones_like(rows)) ** power
