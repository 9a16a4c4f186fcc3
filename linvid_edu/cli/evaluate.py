"""linvid evaluate: the accuracy of a trained model on every test of a task, and where its attention lies."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..tasks import TASKS, Batch, Task, find_task
from .shared import app, number, plain_errors, progress

if TYPE_CHECKING:
    from ..model import ModelConfig

AT_ONCE = 128  # clips
SHOWN = ("entropy", "effective_tokens", "query_entropy", "query_effective_tokens", "mass_on_answer", "share_answer")


@app.command(no_args_is_help=True)
def evaluate(
    checkpoint: Annotated[
        Path, typer.Argument(help="A run's folder, a checkpoint's folder, or a model.safetensors.", show_default=False)
    ],
    task: Annotated[str, typer.Option(metavar="NAME", help=f"What to test: {', '.join(TASKS)}.", show_default=False)],
    clips: Annotated[int, number("Clips of each test.", min=1)] = 2048,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the numbers there.", show_default=False)
    ] = None,
) -> None:
    """Test a trained model: accuracy with its 95 % Clopper-Pearson interval, and concentration for each layer.

    Example: linvid evaluate runs/lookup-cooperative-probe-0 --task lookup
    """
    with plain_errors():
        from ..checkpoint import load_model
        from ..comparison import share_interval
        from ..evaluate import accuracy, concentration_per_layer
        from ..files import atomic_path
        from ..train import make_fabric

        model = load_model(_model_file(checkpoint))
        chosen = _fitting_task(task, model.config)
        place = make_fabric(device, precision="32-true").device
        rows = {}
        with progress(len(chosen.tests) * -(-clips // AT_ONCE) + 1) as step:
            step("concentration")
            concentration = concentration_per_layer(model, chosen, next(iter(chosen.tests)), clips=min(clips, AT_ONCE))
            model.to(place)
            for name in chosen.tests:
                batches = _told(chosen.test_batches(name, clips=clips, batch=AT_ONCE), name, step)
                right = round(accuracy(model, batches, place) * clips)
                low, high = share_interval(right, clips)
                rows[name] = {"right": right, "clips": clips, "accuracy": right / clips, "low": low, "high": high}
        typer.echo("\n".join([*_accuracies(rows), "", *_concentrations(concentration)]))
        if output:
            found = {"task": task, "variant": model.config.variant, "accuracy": rows, "concentration": concentration}
            with atomic_path(output) as temporary:
                temporary.write_text(json.dumps(found, indent=1))


def _model_file(path: Path) -> Path:
    """Return the weights of a run, a checkpoint or a file."""
    from ..resume import checkpoints

    if (path / "model.safetensors").is_file():
        return path / "model.safetensors"
    if not path.is_dir():
        return path
    found = checkpoints(path)
    if not found:
        raise ValueError(f"{path} holds no checkpoint: give a run's folder, a checkpoint's, or a model.safetensors")
    return found[-1] / "model.safetensors"


def _fitting_task(name: str, config: "ModelConfig") -> Task:
    """Return a task in the model's size; raise ValueError where the model cannot see its clips as they are meant."""
    from ..scenes import CELL, CellScene

    task = find_task(name)
    if config.num_classes != len(task.classes):
        raise ValueError(
            f"the model tells {config.num_classes} classes apart, task {name!r} has {len(task.classes)}: "
            "choose the task it was trained on"
        )
    try:
        task = task.sized(config)
    except ValueError as error:
        raise ValueError(f"the model does not fit task {name!r}: {error}") from error
    for scene in task.tests.values():
        if not isinstance(scene, CellScene):
            continue
        if config.num_frames != scene.frames:
            raise ValueError(
                f"the model takes {config.num_frames} frames, clips of task {name!r} have {scene.frames}: "
                "choose the task it was trained on"
            )
        if (config.kernel, config.stride, config.padding) != (CELL, CELL, 0):
            raise ValueError(
                f"the model's patches are {config.kernel} pixels wide and {config.stride} apart, the cells of task "
                f"{name!r} are {CELL} wide: choose the task it was trained on"
            )
        if config.spatial_embedding and config.image_size != scene.size:
            raise ValueError(
                f"the model's spatial embedding is for frames of {config.image_size} pixels, task {name!r} also has "
                f"frames of {scene.size}: train without spatial_embedding"
            )
    return task


def _told(batches: Iterator[Batch], name: str, step: Callable[[str], object]) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        step(name)


def _accuracies(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Write one line a test."""
    width = max(map(len, rows))
    lines = [f"{'test':<{width}}  right   95 % interval"]
    for name, row in rows.items():
        lines.append(f"{name:<{width}}  {row['accuracy']:.4f}  {row['low']:.4f} to {row['high']:.4f}")
    return lines


def _concentrations(layers: list[dict[str, Any]]) -> list[str]:
    """Write one line a layer; a column is as wide as its name."""
    lines = ["block  span   " + "  ".join(name.replace("_", " ") for name in SHOWN)]
    for layer in layers:
        numbers = "  ".join(f"{layer[name]:<{len(name)}.4g}" for name in SHOWN)
        lines.append(f"{layer['block']:<5}  {layer['span']:<5}  {numbers}".rstrip())
    return lines
