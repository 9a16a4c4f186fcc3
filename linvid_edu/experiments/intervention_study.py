"""Intervene on every trained model of a sweep: does accuracy follow when attention is sharpened or fixation lifted?

`python -m linvid_edu.experiments.intervention_study RUNS results/lookup/cause.csv` writes the table.
"""

import argparse
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import torch
from torch import Tensor

from linvid_edu.attention.measures import mass_on, normalized_entropy
from linvid_edu.files import atomic_path
from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.interventions import averaged, changed_ratios, opened, sharpened
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Bool
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.evaluation import accuracy
from linvid_edu.training.run import METRICS, read_metrics
from linvid_edu.training.run_checkpoints import checkpoints
from linvid_edu.training.tasks import Task
from linvid_edu.video.batch import TEST, Batch
from linvid_edu.video.scenes import render, role_mask

VARIANTS = ("softmax", "linear", "separate", "cooperative", "linear-relu")
POWERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
CLIPS = 1024  # of the main test, for each accuracy
SEEN = 128  # clips whose maps are measured


class Intervention(NamedTuple):
    """A change of a trained model.

    kind: "power", every map raised to it; "opened", ratios r + value · (1 − r); "averaged", each ratio its mean
    value: the power or the share; NaN for "averaged"
    change: takes the model, and changes it for a ``with`` block
    """

    kind: str
    value: float
    change: Any


def interventions(model: VideoTransformer) -> Iterator[Intervention]:
    """Yield those that a model takes: powers for all, changed ratios where there is fixation."""
    for power in POWERS:
        yield Intervention("power", power, partial(sharpened, power=power) if power != 1 else nullcontext)
    if model.config.fixation != "none":
        for share in SHARES:
            yield Intervention("opened", share, partial(changed_ratios, change=opened(share)))
        yield Intervention("averaged", float("nan"), partial(changed_ratios, change=averaged))


def cause(
    folder: str | Path, *, variants: tuple[str, ...] = VARIANTS, clips: int = CLIPS, seen: int = SEEN
) -> pandas.DataFrame:
    """Change the trained model of each complete run in a folder, and test it again.

    Args:
        folder: of a sweep; runs may lie at any depth, each with its last checkpoint.
        variants: whose runs are taken.
        clips: of the main test.
        seen: clips whose maps are measured.

    Returns:
        A row for each run and intervention: ``task``, ``variant``, ``seed``, ``steps``, ``run``, ``kind`` and
        ``value`` of the intervention, ``accuracy`` over ``clips`` clips of the main test; and for the query that
        decides, in the first layer, ``query_entropy`` (normalized) and ``mass_on_answer``.

    Raises:
        ValueError: there is no such run, one has no checkpoint, or its attention is not joint.
    """
    rows: list[dict[str, Any]] = []
    batches: dict[tuple[str, str], list[Batch]] = {}
    for path in sorted(Path(folder).rglob(METRICS)):
        metrics = read_metrics(path.parent)
        if metrics is None or metrics["config"]["variant"] not in variants:
            continue
        config, model = TrainConfig.from_dict(metrics["config"]), last_model(path.parent)
        task = config.data
        if not isinstance(task, Task):
            raise ValueError(f"{path.parent} was trained on {config.task!r}, whose clips have no known objects")
        key = (config.task, str(config.scenes))
        if key not in batches:
            batches[key] = list(task.test_batches(next(iter(task.tests)), clips=clips))
        names = {name: getattr(config, name) for name in ("task", "variant", "seed", "steps")}
        for each in interventions(model):
            change: AbstractContextManager[Any] = each.change(model)
            with change:
                found = {"accuracy": accuracy(model, batches[key]), "clips": clips}
                found |= first_layer(model, task, power=each.value if each.kind == "power" else 1.0, clips=seen)
            rows.append(names | {"run": path.parent.name, "kind": each.kind, "value": each.value} | found)
    if not rows:
        raise ValueError(f"{folder} holds no complete run of {', '.join(variants)}: start one with `linvid sweep`")
    return pandas.DataFrame(rows).sort_values(["task", "variant", "seed", "steps", "run"], kind="stable")


def last_model(folder: Path) -> VideoTransformer:
    """Return the model of a run's last checkpoint.

    Raises:
        ValueError: there is no checkpoint.
    """
    found = checkpoints(folder)
    if not found:
        raise ValueError(f"{folder} has no checkpoint: take the folder in which the run was trained")
    return load_model(found[-1] / "model.safetensors")


@torch.no_grad()
def first_layer(model: VideoTransformer, task: Task, *, power: float = 1.0, clips: int = SEEN) -> dict[str, float]:
    """Measure the first layer's weights for the query that decides, on the main test, averaged over heads and clips.

    Args:
        model: with joint attention; it may be inside an intervention.
        task: whose main test is shown.
        power: to which ``sharpened`` raises the map.
        clips: how many.

    Returns:
        ``query_entropy``, normalized, and ``mass_on_answer``; a row without any weight counts as uniform,
        and shares |a_j| / Σ |a_j| stand for weights that may be negative.

    Raises:
        ValueError: attention is not joint.
    """
    scene = next(iter(task.tests.values()))
    scenes = render(scene, count=clips, seed=(TEST, 0))
    tokens = model.config.grid
    query, answer = (
        role_mask(scenes, role, grid=(tokens.rows, tokens.columns)).flatten(1) for role in (scene.query, scene.answer)
    )
    with record(model) as trace:
        model(scenes.video)
    if "joint" not in trace.blocks[0]:
        raise ValueError(f"space_time={model.config.space_time!r}: the query and its target need joint attention")
    weights = _rows(trace.blocks[0]["joint"].map(), query, power)
    on_answer = answer.unsqueeze(1).expand(-1, query.shape[1], -1)[query]
    return {
        "query_entropy": normalized_entropy(weights).mean().item(),
        "mass_on_answer": mass_on(weights, on_answer).mean().item(),
    }


def _rows(maps: Tensor, query: Bool[Tensor, "b n"], power: float) -> Tensor:
    """Return the queries' rows raised to a power, (heads queries tokens), uniform where there is no weight."""
    rows = maps.abs().transpose(0, 1)[:, query]
    rows = rows / rows.amax(dim=-1, keepdim=True).clamp(min=1e-30)  # so that no power underflows
    return torch.where(rows.sum(dim=-1, keepdim=True) > 0, rows, torch.ones_like(rows)) ** power


def main() -> None:
    """Write the table of a folder's runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a sweep")
    parser.add_argument("output", type=Path, help="a CSV file")
    chosen = parser.parse_args()
    table = cause(chosen.folder)
    with atomic_path(chosen.output) as temporary:
        table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
