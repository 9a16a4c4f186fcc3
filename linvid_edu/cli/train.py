"""linvid train: one run in a folder, with a progress line, that can be stopped and gone on with."""

import logging
import shlex
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from linvid_edu.models.config import PRESETS
from linvid_edu.models.variants import FAMILY, VARIANTS
from linvid_edu.training.config import CLIPS, TrainConfig
from linvid_edu.training.fabric import PRECISIONS
from linvid_edu.training.loop import Record
from linvid_edu.training.tasks import TASKS

from .shared import app, number, plain_errors

RECENT = 20  # steps whose mean loss and accuracy are told
SECONDS_BETWEEN_LINES = 10.0  # where there is no terminal
DEFAULTS = {"--device": "auto", "--processes": 1}


def _real(help: str) -> Any:
    return typer.Option(metavar="X", help=help)


def _name(help: str, names: Any) -> Any:
    return typer.Option(metavar="NAME", help=f"{help}: {', '.join(names)}.")


@app.command()
def train(
    task: Annotated[str, _name("What to learn", TASKS)] = TrainConfig.task,
    clips: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            help="Learn these clips: ROOT/train/CLASS/clip.mp4 with val or test beside train, or label files as of "
            "Something-Something.  [default: clips are rendered]",
            show_default=False,
        ),
    ] = None,
    variant: Annotated[str, _name("The mechanism", (*VARIANTS, *FAMILY))] = TrainConfig.variant,
    preset: Annotated[str, _name("The model's size", PRESETS)] = TrainConfig.preset,
    seed: Annotated[int, number("Seed of the weights and of the training clips.", min=None)] = TrainConfig.seed,
    steps: Annotated[int, number("Batches to train on.", min=None)] = TrainConfig.steps,
    batch: Annotated[int, number("Clips of a batch, over all processes.", min=None)] = TrainConfig.batch,
    learning_rate: Annotated[float, _real("The largest learning rate.")] = TrainConfig.learning_rate,
    warmup: Annotated[int, number("Steps until the largest learning rate.", min=None)] = TrainConfig.warmup,
    weight_decay: Annotated[float, _real("Weight decay of AdamW.")] = TrainConfig.weight_decay,
    clip_norm: Annotated[float, _real("Largest norm of the gradient.")] = TrainConfig.clip_norm,
    gain: Annotated[float, _real("Scale of the initial weights.")] = TrainConfig.gain,
    folder: Annotated[
        Path | None, typer.Option(help="Of the run.  [default: runs/TASK-VARIANT-PRESET-SEED]", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's newest checkpoint.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    processes: Annotated[int, number("Processes that share each batch, one for each GPU.", min=1)] = 1,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"{' or '.join(PRECISIONS)}.  [default: bf16-mixed on CUDA, else 32-true]"),
    ] = None,
    threads: Annotated[int | None, number("Threads of each process.  [default: the cores]", min=1)] = None,
) -> None:
    """Train a model on rendered clips or on your own, test it, and write metrics.json into the run's folder.

    Ctrl-C stops after the step and saves; the same command with --resume goes on, to the same bits on a CPU. Options
    and seed decide the numbers, together with the machine and its threads.

    On several machines, Fabric's launcher decides device, processes and precision. Start on each, with its rank, and
    with the folder on a disk that all of them share:

    \b
    fabric run --num-nodes 2 --node-rank 0 --main-address ADDRESS --devices 1 $(which linvid) train --folder RUN

    Example: linvid train --task cue --variant cooperative --preset compact --seed 0
    """
    with plain_errors():
        config = TrainConfig(
            task=CLIPS if clips else task,
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
        if batch % processes:
            raise ValueError(f"a batch of {batch} clips cannot be shared by {processes} processes: choose a multiple")
        options = {"--device": device, "--processes": processes, "--precision": precision, "--threads": threads}
        metrics = _run(config, folder, resume, options)
        if metrics:
            for name, problem in metrics["unreadable"].items():
                typer.echo(f"skipped {name}: {problem}", err=True)
            typer.echo(_table(metrics))
            typer.echo(f"metrics: {folder / 'metrics.json'}")


def _run(config: TrainConfig, folder: Path, resume: bool, options: dict[str, Any]) -> dict[str, Any] | None:
    """Train in one of the processes; only the first one returns the metrics, shows progress and tells errors."""
    import torch

    from linvid_edu.models.checkpoint import CheckpointError
    from linvid_edu.training.fabric import make_fabric
    from linvid_edu.training.loop import Diverged
    from linvid_edu.training.run import Stopped, fit
    from linvid_edu.training.run_lock import FolderTaken

    logging.disable(logging.INFO)  # Fabric's, from each process
    fabric = make_fabric(options["--device"], options["--processes"], options["--precision"])
    if options["--threads"]:
        torch.set_num_threads(options["--threads"])
    try:
        with training_progress(config) if fabric.is_global_zero else nullcontext(lambda record: None) as watch:
            metrics = fit(config, folder, fabric, resume=resume, watch=watch)
    except (Stopped, KeyboardInterrupt) as stop:
        if not fabric.is_global_zero:
            raise typer.Exit() from stop
        what = str(stop) or f"stopped at once; {folder} has its newest checkpoint, if any"
        typer.echo(f"linvid: {what}: go on with\n{_command(config, folder, options)}", err=True)
        raise typer.Exit(130) from stop
    except (Diverged, CheckpointError, FolderTaken) as error:
        if not fabric.is_global_zero:  # all processes raise it; with another code than 0 Fabric would kill the first
            raise typer.Exit() from error
        raise
    finally:
        if fabric.world_size > 1:  # gloo's threads end before the process does
            torch.distributed.destroy_process_group()
    return metrics if fabric.is_global_zero else None


@contextmanager
def training_progress(config: TrainConfig) -> Iterator[Callable[[Record], None]]:
    """Show step, loss, accuracy, clips/s and time left on stderr: a bar on a terminal, else a line every 10 seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console, tell = Console(stderr=True), _teller(config)
    terminal, last = console.is_terminal, time.monotonic()
    columns = BarColumn(bar_width=20), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True, disable=not terminal) as bar:
        task = bar.add_task("", total=config.steps)

        def watch(record: Record) -> None:
            nonlocal last
            text = tell(record)
            bar.update(task, completed=record.step, description=text)
            if not terminal and (record.step == config.steps or time.monotonic() - last > SECONDS_BETWEEN_LINES):
                typer.echo(text, err=True)
                last = time.monotonic()

        yield watch


def _teller(config: TrainConfig) -> Callable[[Record], str]:
    """Return a function that turns each record into a line."""
    recent: deque[Record] = deque(maxlen=RECENT)
    first: tuple[int, float] | None = None

    def tell(record: Record) -> str:
        nonlocal first
        recent.append(record)
        first = first or (record.step, time.monotonic())
        taken, seconds = record.step - first[0], time.monotonic() - first[1]
        loss = sum(each.loss for each in recent) / len(recent)
        accuracy = sum(each.accuracy for each in recent) / len(recent)
        text = f"step {record.step}/{config.steps}  loss {loss:.3f}  accuracy {accuracy:.3f}"
        if taken:
            minutes, rest = divmod(round(seconds / taken * (config.steps - record.step)), 60)
            text += f"  {config.batch * taken / seconds:.0f} clips/s  {minutes}:{rest:02} left"
        return text + "  testing" * (record.step == config.steps)

    return tell


def _table(metrics: dict[str, Any]) -> str:
    """Write the accuracy on each test, one a line."""
    width = max(map(len, metrics["accuracy"]))
    return "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in metrics["accuracy"].items())


def _command(config: TrainConfig, folder: Path, options: dict[str, Any]) -> str:
    """Write the command that goes on with a run."""
    given = {
        f"--{name.replace('_', '-')}": value
        for name, value in config.to_dict().items()
        if value != getattr(TrainConfig, name, value)
    }
    if config.task == CLIPS:
        given["--clips"] = config.scenes["root"]
    given |= {name: value for name, value in options.items() if value not in (None, DEFAULTS.get(name))}
    words = [word for name, value in given.items() for word in (name, str(value))]
    return shlex.join(["linvid", "train", *words, "--folder", str(folder), "--resume"])
