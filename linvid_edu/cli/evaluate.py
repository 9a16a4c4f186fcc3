"""linvid evaluate: the accuracy of a trained model on every test, and where its attention lies."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linvid_edu.training.config import CLIPS, TrainConfig
from linvid_edu.training.tasks import TASKS, Data, Task, find_task
from linvid_edu.video.batch import Batch

from .shared import app, number, plain_errors, progress

if TYPE_CHECKING:
    from linvid_edu.models.transformer import VideoTransformer

AT_ONCE = 128  # clips
SHOWN = ("entropy", "effective_tokens", "query_entropy", "query_effective_tokens", "mass_on_answer", "share_answer")


@app.command(no_args_is_help=True)
def evaluate(
    checkpoint: Annotated[
        Path, typer.Argument(help="A run's folder, a checkpoint's folder, or a model.safetensors.", show_default=False)
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"What to test: {', '.join(TASKS)}.  [default: what the run was trained on]",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT", help="Test on these clips, laid out as for linvid train --clips.", show_default=False
        ),
    ] = None,
    count: Annotated[int, number("Clips of each test, at most.", min=1)] = 2048,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the numbers there.", show_default=False)
    ] = None,
) -> None:
    """Test a trained model: accuracy with its 95 % Clopper-Pearson interval, and concentration for each layer.

    On clips from files, it names those that cannot be read; where objects lie is not known there, so accuracy is all.

    Example: linvid evaluate runs/lookup-cooperative-probe-0
    """
    with plain_errors():
        from linvid_edu.files import atomic_path
        from linvid_edu.models.checkpoint import load_model

        weights = _model_file(checkpoint)
        model = load_model(weights)
        name, data = _data(weights, model, task, clips)
        found = {"task": name, "variant": model.config.variant, **_measure(model, data, count, device)}
        for clip, problem in found["unreadable"].items():
            typer.echo(f"skipped {clip}: {problem}", err=True)
        typer.echo("\n".join(_accuracies(found["accuracy"])))
        if found["concentration"]:
            typer.echo("\n".join(["", *_concentrations(found["concentration"])]))
        if output:
            with atomic_path(output) as temporary:
                temporary.write_text(json.dumps(found, indent=1))


def _model_file(path: Path) -> Path:
    """Return the weights of a run, a checkpoint or a file."""
    from linvid_edu.training.run_checkpoints import checkpoints

    if (path / "model.safetensors").is_file():
        return path / "model.safetensors"
    if not path.is_dir():
        return path
    found = checkpoints(path)
    if not found:
        raise ValueError(f"{path} holds no checkpoint: give a run's folder, a checkpoint's, or a model.safetensors")
    return found[-1] / "model.safetensors"


def _data(weights: Path, model: "VideoTransformer", task: str | None, clips: Path | None) -> tuple[str, Data]:
    """Return the name of what to test on, and itself in the model's size: as asked, or what the model learned from."""
    from linvid_edu.training.tasks import fitted
    from linvid_edu.video.clip_folder.folder import open_clips

    if task and clips:
        raise ValueError(f"--task {task} and --clips {clips} are two things to test on: choose one")
    data: Data
    if clips:
        name, told, data = CLIPS, f"the folder {clips}", open_clips(clips)
    else:
        name, data = (task, find_task(task)) if task else _learned(weights)
        told = f"task {name!r}"
    try:
        data = fitted(data, model.config, told)
    except ValueError as error:
        raise ValueError(f"{error}: choose the {'clips' if clips else 'task'} it was trained on") from error
    if clips:
        _refuse_other_classes(data, clips, weights)
    return name, data


def _learned(weights: Path) -> tuple[str, Data]:
    """Read from beside a model's weights what it was trained on."""
    path = weights.with_name("run.json")
    try:
        config = TrainConfig.from_dict(json.loads(path.read_text())["config"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} does not say what to test on ({problem}): give --task or --clips") from error
    return config.task, config.data


def _refuse_other_classes(data: Data, clips: Path, weights: Path) -> None:
    """Raise ValueError where a label stands for another class than in training, if those clips are still there."""
    try:
        name, before = _learned(weights)
    except ValueError:
        return
    for here, learned in zip(data.classes, before.classes, strict=False):
        if name == CLIPS and here != learned:
            raise ValueError(
                f"{clips} has class {here!r} where the model learned {learned!r}: name the classes as in training"
            )


def _measure(model: "VideoTransformer", data: Data, count: int, device: str) -> dict[str, Any]:
    """Test the model; concentration is measured where the clips' objects are known."""
    from linvid_edu.experiments.paired_tests import share_interval
    from linvid_edu.training.evaluation import concentration_per_layer, count_right
    from linvid_edu.training.fabric import make_fabric
    from linvid_edu.video.clip_folder.folder import ClipFolder

    place = make_fabric(device, precision="32-true").device
    rows, concentration = {}, []
    there = {name: len(data.layout.splits[name]) if isinstance(data, ClipFolder) else count for name in data.tests}
    with progress(sum(-(-min(count, most) // AT_ONCE) for most in there.values()) + isinstance(data, Task)) as step:
        if isinstance(data, Task):
            step("concentration")
            concentration = concentration_per_layer(model, data, next(iter(data.tests)), clips=min(count, AT_ONCE))
        model.to(place)
        for name in data.tests:
            batches = _told(data.test_batches(name, clips=count, batch=AT_ONCE), name, step)
            right, tested = count_right(model, batches, place)
            low, high = share_interval(right, tested)
            rows[name] = {"right": right, "clips": tested, "accuracy": right / tested, "low": low, "high": high}
    return {"accuracy": rows, "concentration": concentration, "unreadable": dict(data.unreadable)}


def _told(batches: Iterator[Batch], name: str, step: Callable[[str], object]) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        step(name)


def _accuracies(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Write one line a test."""
    width = max(map(len, rows))
    lines = [f"{'test':<{width}}  clips  right   95 % interval"]
    for name, row in rows.items():
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        lines.append(f"{name:<{width}}  {row['clips']:<5}  {row['accuracy']:.4f}  {interval}")
    return lines


def _concentrations(layers: list[dict[str, Any]]) -> list[str]:
    """Write one line a layer; a column is as wide as its name."""
    lines = ["block  span   " + "  ".join(name.replace("_", " ") for name in SHOWN)]
    for layer in layers:
        numbers = "  ".join(f"{layer[name]:<{len(name)}.4g}" for name in SHOWN)
        lines.append(f"{layer['block']:<5}  {layer['span']:<5}  {numbers}".rstrip())
    return lines
