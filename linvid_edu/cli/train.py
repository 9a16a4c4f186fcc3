"""`linvid train`: train a model, with a progress line; the run can be stopped and resumed."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linvid_edu.models.variants import ASSOCIATION, VARIANTS, find_variant

from .app import app
from .choices import PRECISION_NAMES, PRESET_NAMES, TASK_NAMES
from .command_line import command_line
from .options import ClipsRoot, Device, above_zero, name_option, numeric
from .progress import progress_bar

if TYPE_CHECKING:
    from linvid_edu.training.config import TrainConfig
    from linvid_edu.training.loop import Record

RECENT_STEPS = 20  # steps whose mean loss and accuracy are shown
SECONDS_BETWEEN_LINES = 10.0  # if stderr is not a terminal
DEFAULTS = {"--device": "auto", "--processes": 1}


def _positive(help: str) -> Any:
    return typer.Option(metavar="X", help=help, callback=above_zero)


def _check_variant(name: str) -> str:
    try:
        find_variant(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return name


@app.command("train")
def train_model(
    task: Annotated[str, name_option("Task to learn", TASK_NAMES)] = "cue",
    clips: ClipsRoot = None,
    variant: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"Mechanism of the model: {', '.join(VARIANTS)}; any may end in {ASSOCIATION}.",
            callback=_check_variant,
        ),
    ] = "cooperative",
    preset: Annotated[str, name_option("Size of the model", PRESET_NAMES)] = "compact",
    seed: Annotated[int, numeric("Seed of the weights and of the training clips.")] = 0,
    steps: Annotated[int, numeric("Number of batches to train on.", min=1)] = 1000,
    batch: Annotated[int, numeric("Number of clips in a batch, over all processes.", min=1)] = 32,
    learning_rate: Annotated[float, _positive("Largest learning rate.")] = 3e-3,
    warmup: Annotated[int, numeric("Number of steps until the largest learning rate.")] = 100,
    weight_decay: Annotated[float, numeric("Weight decay of AdamW.")] = 0.01,
    clip_norm: Annotated[float, _positive("Largest norm of the gradient.")] = 1.0,
    gain: Annotated[float, _positive("Scale of the initial weights.")] = 1.0,
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.  [default: runs/TASK-VARIANT-PRESET-SEED]", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint in the folder.")
    ] = False,
    device: Device = "auto",
    processes: Annotated[int, numeric("Number of processes that share each batch, one for each GPU.", min=1)] = 1,
    precision: Annotated[
        str | None,
        name_option("Precision of the computation, by default bf16-mixed on CUDA, else 32-true", PRECISION_NAMES),
    ] = None,
    threads: Annotated[
        int | None, numeric("Number of threads of each process.  [default: one for each core]", min=1)
    ] = None,
) -> None:
    """Train a model on rendered clips or on your own, test it, and write metrics.json into the folder of the run.

    Ctrl-C stops after the current step and saves. The same command with --resume continues; on a CPU, the result is the
    same bit for bit. The numbers depend on the options, the seed, the machine, and its number of threads.

    The task color needs no labels: the model learns to color a gray clip by attention, from photographs, or with
    --clips from your films, one file or a folder. Its accuracy is the share of the mean color's error that the model
    avoids.

    On several machines, Fabric's launcher decides device, processes and precision. Start it on each machine with that
    machine's rank, and with a folder on a disk that all machines share:

    \b
    fabric run --num-nodes 2 --node-rank 0 --main-address ADDRESS --devices 1 $(which linvid) train --folder RUN

    Example: linvid train --task cue --variant cooperative --preset compact --seed 0
    """
    if batch % processes:
        raise ValueError(f"a batch of {batch} clips cannot be shared by {processes} processes: choose a multiple")
    from linvid_edu.training.config import CLIPS, TrainConfig
    from linvid_edu.training.tasks import COLOR
    from linvid_edu.video.clip_folder.decoding import IN_PART

    config = TrainConfig(
        task=CLIPS if clips and task != COLOR else task,
        scenes={"root": str(clips)} if clips else {},
        variant=variant,
        preset=preset,
        seed=seed,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        warmup=warmup,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        gain=gain,
    )
    folder = folder or Path("runs", f"{config.task}-{variant}-{preset}-{seed}")
    options = {"--device": device, "--processes": processes, "--precision": precision, "--threads": threads}
    metrics = _run(config, folder, resume, options)
    if metrics:
        for name, problem in metrics["unreadable"].items():
            typer.echo(f"{name}: {problem}" if problem.startswith(IN_PART) else f"skipped {name}: {problem}", err=True)
        typer.echo(_accuracies(metrics))
        typer.echo(f"metrics: {folder / 'metrics.json'}")


def _run(config: "TrainConfig", folder: Path, resume: bool, options: dict[str, Any]) -> dict[str, Any] | None:
    """Train in one of the processes; only the first one returns the metrics, shows progress and reports errors."""
    import torch

    from linvid_edu.models.checkpoint import CheckpointError
    from linvid_edu.training.config import Effort
    from linvid_edu.training.fabric import make_fabric
    from linvid_edu.training.loop import Diverged
    from linvid_edu.training.run import Stopped, fit
    from linvid_edu.training.run_lock import FolderTaken

    logging.disable(logging.INFO)  # Fabric's, from each process
    fabric = make_fabric(options["--device"], options["--processes"], options["--precision"])
    effort = Effort(threads=options["--threads"])
    try:
        with training_progress(config) if fabric.is_global_zero else nullcontext(lambda record: None) as watch:
            metrics = fit(config, folder, fabric, resume=resume, effort=effort, watch=watch)
    except (Stopped, KeyboardInterrupt) as stop:
        if not fabric.is_global_zero:
            raise typer.Exit() from stop
        reason = str(stop) or f"stopped at once; {folder} has its newest checkpoint, if any"
        typer.echo(f"linvid: {reason}: resume with\n{_resuming_command(config, folder, options)}", err=True)
        raise typer.Exit(130) from stop
    except (Diverged, CheckpointError, FolderTaken) as error:
        if not fabric.is_global_zero:  # all processes raise it; with another code than 0 Fabric would kill the first
            raise typer.Exit() from error
        raise
    finally:
        if fabric.world_size > 1:  # end gloo's threads before the process ends
            torch.distributed.destroy_process_group()
    return metrics if fabric.is_global_zero else None


@contextmanager
def training_progress(config: "TrainConfig") -> Iterator[Callable[["Record"], None]]:
    """Show step, loss, accuracy, clips/s and time left on stderr: a bar on a terminal, else a line every 10 seconds."""
    describe, last_line = _describer(config), time.monotonic()
    with progress_bar(config.steps) as show:

        def watch(record: "Record") -> None:
            nonlocal last_line
            line = record.step == config.steps or time.monotonic() - last_line > SECONDS_BETWEEN_LINES
            show(describe(record), record.step, line=line)
            if line:
                last_line = time.monotonic()

        yield watch


def _describer(config: "TrainConfig") -> Callable[["Record"], str]:
    """Return a function that describes each record in a line."""
    recent: deque[Record] = deque(maxlen=RECENT_STEPS)
    first: tuple[int, float] | None = None

    def describe(record: "Record") -> str:
        nonlocal first
        recent.append(record)
        first = first or (record.step, time.monotonic())
        taken, seconds = record.step - first[0], time.monotonic() - first[1]
        loss = sum(record.loss for record in recent) / len(recent)
        accuracy = sum(record.accuracy for record in recent) / len(recent)
        text = f"step {record.step}/{config.steps}  loss {loss:.3f}  accuracy {accuracy:.3f}"
        if taken:
            minutes, rest = divmod(round(seconds / taken * (config.steps - record.step)), 60)
            text += f"  {config.batch * taken / seconds:.0f} clips/s  {minutes}:{rest:02} left"
        return f"{text}  testing" if record.step == config.steps else text

    return describe


def _accuracies(metrics: dict[str, Any]) -> str:
    """Write the accuracy on each test, one per line."""
    width = max(map(len, metrics["accuracy"]))
    return "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in metrics["accuracy"].items())


def _resuming_command(config: "TrainConfig", folder: Path, options: dict[str, Any]) -> str:
    """Write the command that resumes a run."""
    from linvid_edu.training.config import TrainConfig

    changed = {
        f"--{name.replace('_', '-')}": value
        for name, value in config.to_dict().items()
        if value != getattr(TrainConfig, name, value)
    }
    if config.scenes.get("root"):
        changed["--clips"] = config.scenes["root"]
    changed |= {name: value for name, value in options.items() if value != DEFAULTS.get(name)}
    return command_line("train", {**changed, "--folder": str(folder), "--resume": True})
