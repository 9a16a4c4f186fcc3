"""A training run in a folder: checkpoints that survive a kill, a learning curve, and metrics.json at the end."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from linvid_edu.files import atomic_path
from linvid_edu.models.checkpoint import CheckpointError
from linvid_edu.models.transformer import VideoTransformer

from .config import TrainConfig
from .evaluation import accuracy, concentration_per_layer
from .loop import Diverged, Record, initialize, make_optimizer, train
from .provenance import commit, peak_memory_mb, provenance
from .run_checkpoints import Progress, checkpoint_path, checkpoints, load_checkpoint, save_checkpoint
from .run_lock import FolderTaken, claimed
from .tasks import Task

METRICS = "metrics.json"
VALIDATION_CLIPS = 512  # for each point of the learning curve
TEST_CLIPS = 2048  # for each final accuracy


class Stopped(RuntimeError):
    """The run was asked to stop; it names the checkpoint to go on from."""


def fit(
    config: TrainConfig,
    folder: str | Path,
    fabric: Any,
    *,
    resume: bool = False,
    save_every: int = 200,
    points: int = 20,
    validation_clips: int = VALIDATION_CLIPS,
    test_clips: int = TEST_CLIPS,
    watch: Callable[[Record], object] = lambda record: None,
) -> dict[str, Any]:
    """Train in a folder, from the start or from its newest checkpoint, then test; return what metrics.json holds.

    Args:
        config: the run.
        folder: made if missing.
        fabric: of ``make_fabric``.
        resume: go on from what the folder holds, if anything.
        save_every: steps between checkpoints.
        points: of the learning curve.
        validation_clips: for each point of it.
        test_clips: for each final accuracy.
        watch: called with the record of each step, in every process.

    Returns:
        The metrics; those of a run that was complete already are only read.

    Raises:
        Stopped: Ctrl-C came; the newest checkpoint is that of the last step.
        Diverged: the loss is not finite; names the last good checkpoint.
        CheckpointError: the folder holds another run, or one that is not to be resumed; nothing was changed.
        FolderTaken: another process trains in the folder; nothing was changed.
    """
    folder = Path(folder)
    if done := _finished(folder, config, resume):
        return done
    commit()  # of the code that begins now
    with _claimed(folder, fabric):
        if done := _finished(folder, config, resume):  # by another process in between
            return done
        model = initialize(VideoTransformer(config.model_config), seed=config.seed, gain=config.gain)
        optimizer = make_optimizer(model, config)
        wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
        found = checkpoints(folder)
        progress = load_checkpoint(found[-1], model, optimizer, config) if found else Progress()
        if _mean(fabric, progress.step) != progress.step:
            raise CheckpointError(f"{folder} differs between the machines: put it on a disk that all of them share")
        with _stop_signal() as stop_asked, _last_good(folder):
            interval = max(1, config.steps // points)
            for record in _watched(config, wrapped, wrapped_optimizer, fabric, progress, interval, validation_clips):
                watch(record)
                stopping = _mean(fabric, stop_asked.is_set()) > 0
                if fabric.is_global_zero and (stopping or record.step % save_every == 0 or record.step == config.steps):
                    save_checkpoint(folder, model, optimizer, config, progress)
                if stopping:
                    saved = checkpoint_path(folder, record.step)
                    raise Stopped(f"stopped after step {record.step} of {config.steps}, which is saved in {saved}")
        metrics = None
        if fabric.is_global_zero:
            metrics = judge(config, model, progress, str(fabric.device), clips=test_clips)
            metrics["processes"] = fabric.world_size
            with atomic_path(folder / METRICS) as temporary:
                temporary.write_text(json.dumps(metrics, indent=1))
        return fabric.broadcast(metrics)


def _finished(folder: Path, config: TrainConfig, resume: bool) -> dict[str, Any] | None:
    """Return the metrics of the run if it is complete; refuse what is not to be gone on with."""
    done, found = read_metrics(folder), checkpoints(folder)
    if done and done["config"] == config.to_dict():
        return done
    if done or (found and not resume):
        what = "the metrics of a finished run" if done else f"{found[-1].name} of an unfinished run"
        raise CheckpointError(f"{folder} holds {what}: choose another folder, or resume with the settings it had")
    return None


@contextmanager
def _claimed(folder: Path, fabric: Any) -> Iterator[None]:
    """Claim the folder through the first process; where that fails, all of them raise it."""
    with ExitStack() as stack:
        failure = None
        if fabric.is_global_zero:
            try:
                stack.enter_context(claimed(folder, wait=False))
            except (FolderTaken, OSError) as error:
                failure = error
        if failure := fabric.broadcast(failure):
            raise failure
        yield


def _mean(fabric: Any, value: int | float) -> int | float:
    """Return the mean of a number over all processes."""
    if fabric.world_size == 1:
        return value
    return fabric.all_reduce(torch.tensor(float(value), device=fabric.device)).item()


def _watched(
    config: TrainConfig, model: Any, optimizer: Any, fabric: Any, progress: Progress, interval: int, clips: int
) -> Iterator[Record]:
    """Train, keep `progress` up to date, and test at each point of the learning curve."""
    task, name = config.data, next(iter(config.data.tests))
    batches = task.batches(seed=config.seed, batch=config.batch, start=progress.step, stop=config.steps)
    before, clock = progress.seconds, time.perf_counter()
    for record in train(model, optimizer, batches, config, fabric, taken=progress.step):
        progress.pending.append(record.loss)
        progress.step = record.step
        progress.unreadable.update(task.unreadable)
        if record.step % interval == 0:
            validation = task.test_batches(name, clips=clips, validation=True)
            progress.curve.append((record.step, accuracy(model, validation, fabric.device)))
            progress.losses.append((record.step, sum(progress.pending) / len(progress.pending)))
            progress.pending.clear()
        progress.seconds = before + time.perf_counter() - clock
        yield record


@contextmanager
def _last_good(folder: Path) -> Iterator[None]:
    """Add the newest checkpoint to the words of a run that diverged."""
    try:
        yield
    except Diverged as error:
        found = checkpoints(folder)
        raise Diverged(f"{error}; the last good checkpoint is {found[-1] if found else 'not written yet'}") from error


def judge(
    config: TrainConfig, model: VideoTransformer, progress: Progress, device: str = "cpu", *, clips: int = TEST_CLIPS
) -> dict[str, Any]:
    """Test a trained model, and say where the numbers come from.

    Args:
        config, progress: the run.
        model: on any device.
        device: where it was trained.
        clips: of each test.

    Returns:
        ``config``; ``accuracy`` by test, and ``test_clips``; ``ceiling`` of the first test; ``curve`` and ``losses``;
        ``concentration``, the rows of ``concentration_per_layer`` on the first test, none where no objects are known;
        ``unreadable``, the clips of a folder that were skipped, and why; ``parameters``;
        ``seconds`` of training, ``clips_per_second`` and ``peak_memory_mb`` of the process; and ``provenance``.
    """
    task = config.data
    tests = {
        name: accuracy(model, task.test_batches(name, clips=clips), next(model.parameters()).device)
        for name in task.tests
    }
    seen = VideoTransformer(model.config)
    seen.load_state_dict({name: weight.detach().cpu() for name, weight in model.state_dict().items()})
    return {
        "config": config.to_dict(),
        "variant": model.config.variant,
        "accuracy": tests,
        "test_clips": clips,
        "ceiling": task.ceiling,
        "curve": progress.curve,
        "losses": progress.losses,
        "concentration": concentration_per_layer(seen, task, next(iter(task.tests))) if isinstance(task, Task) else [],
        "unreadable": progress.unreadable | dict(task.unreadable),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": round(progress.seconds, 2),
        "clips_per_second": round(config.batch * progress.step / progress.seconds, 1) if progress.seconds else None,
        "peak_memory_mb": peak_memory_mb(),
        "provenance": provenance(device),
    }


def read_metrics(folder: str | Path) -> dict[str, Any] | None:
    """Return the metrics of a finished run, or None where there are none.

    Raises:
        CheckpointError: the file is no metrics.
    """
    path = Path(folder) / METRICS
    if not path.exists():
        return None
    try:
        metrics = json.loads(path.read_text())
        _ = metrics["config"], metrics["accuracy"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not the metrics of a run ({error}): remove it, or choose another folder"
        ) from error
    return metrics


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that a step is never cut in two; a second one interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
