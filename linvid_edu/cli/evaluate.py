"""`linvid evaluate`: the accuracy of a trained model on every test, and where its attention lies."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app
from .choices import TASK_NAMES
from .options import ClipsRoot, Device, name_option, numeric
from .progress import step_bar

if TYPE_CHECKING:
    from linvid_edu.models.transformer import VideoTransformer
    from linvid_edu.training.tasks import Data
    from linvid_edu.video.batch import Batch

BATCH = 128  # clips
COLUMNS = ("entropy", "effective_tokens", "query_entropy", "query_effective_tokens", "mass_on_answer", "share_answer")


@app.command("evaluate", no_args_is_help=True)
def evaluate_model(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a run or of a checkpoint, or a model.safetensors.", show_default=False),
    ],
    task: Annotated[str | None, name_option("Task to test on, by default the training task", TASK_NAMES)] = None,
    clips: ClipsRoot = None,
    count: Annotated[int, numeric("Largest number of clips in a test.", min=1)] = 2048,
    device: Device = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="File to which the numbers are also written.", show_default=False),
    ] = None,
) -> None:
    """Test a trained model: accuracy with its 95 % Clopper-Pearson interval, and concentration for each layer.

    For clips from files, the command lists those that cannot be read. It reports only accuracy, because the files do
    not say where the objects are. For the task color, it reports the error of the copied colors, relative to the mean
    color, beside baselines that need no training.

    Example: linvid evaluate runs/lookup-cooperative-probe-0
    """
    if task and clips:
        raise ValueError(f"--task {task} and --clips {clips} are two things to test on: choose one")
    from linvid_edu.files import atomic_path
    from linvid_edu.models.checkpoint import load_model
    from linvid_edu.training.run_checkpoints import newest_model

    weights = newest_model(checkpoint)
    model = load_model(weights)
    name, data = _data(weights, model, task, clips)
    results = {"task": name, "variant": model.config.variant, **_measure(model, data, count, device)}
    for clip, problem in results["unreadable"].items():
        typer.echo(f"skipped {clip}: {problem}", err=True)
    if results["color"]:
        typer.echo("\n".join(_colors(results["color"])))
    else:
        typer.echo("\n".join(_accuracies(results["accuracy"])))
    if results["concentration"]:
        typer.echo("\n".join(["", *_concentrations(results["concentration"])]))
    if output:
        with atomic_path(output) as temporary:
            temporary.write_text(json.dumps(results, indent=1))


def _data(weights: Path, model: "VideoTransformer", task: str | None, clips: Path | None) -> "tuple[str, Data]":
    """Return the name of the test data, and the data resized for the model; by default those of the training."""
    from linvid_edu.training.config import CLIPS
    from linvid_edu.training.task_models import fitted
    from linvid_edu.training.tasks import find_task
    from linvid_edu.video.clip_folder.folder import open_clips

    data: Data
    if clips:
        name, description, data = CLIPS, f"the folder {clips}", open_clips(clips)
    else:
        name, data = (task, find_task(task)) if task else _training_data(weights)
        description = f"task {name!r}"
    try:
        data = fitted(data, model.config, description)
    except ValueError as error:
        raise ValueError(f"{error}: choose the {'clips' if clips else 'task'} it was trained on") from error
    if clips:
        _check_classes(data, clips, weights)
    return name, data


def _training_data(weights: Path) -> "tuple[str, Data]":
    """Return the name of the data that a model was trained on, and the data; run.json beside the weights says which."""
    from linvid_edu.training.config import TrainConfig
    from linvid_edu.training.run_checkpoints import RUN
    from linvid_edu.training.run_format import read_run_file

    path = weights.with_name(RUN)
    try:
        config = TrainConfig.from_dict(read_run_file(path)["config"])
        return config.task, config.data
    except (OSError, KeyError, TypeError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise ValueError(f"{path} does not say what to test on ({problem}): give --task or --clips") from error


def _check_classes(data: "Data", clips: Path, weights: Path) -> None:
    """Raise ValueError if a label stands for another class than in training; skip this without training data."""
    from linvid_edu.training.config import CLIPS

    try:
        name, training_data = _training_data(weights)
    except ValueError:
        return
    for tested, learned in zip(data.classes, training_data.classes, strict=False):
        if name == CLIPS and tested != learned:
            raise ValueError(
                f"{clips} has class {tested!r} where the model learned {learned!r}: name the classes as in training"
            )


def _measure(model: "VideoTransformer", data: "Data", count: int, device: str) -> dict[str, Any]:
    """Test the model; measure concentration if the positions of the objects are known."""
    from linvid_edu.experiments.paired_tests import share_interval
    from linvid_edu.training.color_evaluation import colors_of_test
    from linvid_edu.training.color_task import ColorTask
    from linvid_edu.training.evaluation import concentration_per_layer, count_right
    from linvid_edu.training.fabric import make_fabric
    from linvid_edu.training.tasks import Task
    from linvid_edu.video.clip_folder.folder import ClipFolder

    torch_device = make_fabric(device, precision="32-true").device
    rows, concentration = {}, []
    clips = {
        name: min(count, len(data.layout.splits[name])) if isinstance(data, ClipFolder) else count
        for name in data.tests
    }
    if isinstance(data, ColorTask):
        color = colors_of_test(model, data, clips=min(count, data.most_test_clips))
        return {"accuracy": {}, "concentration": [], "color": color, "unreadable": dict(data.unreadable)}
    rendered = isinstance(data, Task)
    with step_bar(sum(math.ceil(number / BATCH) for number in clips.values()) + int(rendered)) as step:
        if isinstance(data, Task):
            step("concentration")
            concentration = concentration_per_layer(model, data, next(iter(data.tests)), clips=min(count, BATCH))
        model.to(torch_device)
        for name in data.tests:
            batches = _counted(data.test_batches(name, clips=count, batch=BATCH), name, step)
            right, tested = count_right(model, batches, torch_device)
            low, high = share_interval(right, tested)
            rows[name] = {"right": right, "clips": tested, "accuracy": right / tested, "low": low, "high": high}
    return {"accuracy": rows, "concentration": concentration, "color": None, "unreadable": dict(data.unreadable)}


def _counted(batches: "Iterator[Any]", name: str, step: Callable[[str], object]) -> "Iterator[Batch]":
    """Yield the batches of a test and move the progress bar after each."""
    for batch in batches:
        yield batch
        step(name)


def _accuracies(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Write one line for each test."""
    width = max(map(len, rows))
    lines = [f"{'test':<{width}}  clips  right   95 % interval"]
    for name, row in rows.items():
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        lines.append(f"{name:<{width}}  {row['clips']:<5}  {row['accuracy']:.4f}  {interval}")
    return lines


def _colors(color: dict[str, Any]) -> list[str]:
    """Write the errors of the model and of the baselines, one per line, and where the model looked."""
    rows = {"this model": color, **color["baselines"]}
    width = max(map(len, rows))
    lines = [f"{'relative color error':<{width}}  all tokens  moving tokens"]
    for name, row in rows.items():
        lines.append(f"{name:<{width}}  {row['relative_error']:<10.4f}  {row['relative_error_moving']:.4f}")
    return [
        *lines,
        "",
        f"{color['clips']} clips; {100 * color['moving']:.0f} % of the tokens moved",
        f"attention on tokens of the right color: {color['selectivity']:.4f}",
        f"effective tokens: {color['effective_tokens']:.1f}, normalized entropy: {color['entropy']:.4f}",
    ]


def _concentrations(layers: list[dict[str, Any]]) -> list[str]:
    """Write one line for each layer; a column is as wide as its name."""
    lines = ["block  span   " + "  ".join(name.replace("_", " ") for name in COLUMNS)]
    for layer in layers:
        numbers = "  ".join(f"{layer[name]:<{len(name)}.4g}" for name in COLUMNS)
        lines.append(f"{layer['block']:<5}  {layer['span']:<5}  {numbers}".rstrip())
    return lines
