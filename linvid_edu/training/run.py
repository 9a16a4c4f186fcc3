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
from linvid_edu.models.color_transformer import make_model

from .config import Effort, TrainConfig
from .evaluation import accuracy
from .fabric import check_fabric
from .loop import Diverged, Record, initialize, make_optimizer, train
from .metrics import METRICS, final_metrics, read_metrics
from .run_checkpoints import Progress, checkpoint_path, checkpoints, load_checkpoint, save_checkpoint
from .run_format import differing_settings
from .run_lock import FolderTaken, claimed
from .run_provenance import commit
from .tasks import Data


class Stopped(RuntimeError):
    """The run was interrupted; the message names the checkpoint to resume from."""


def fit(
    config: TrainConfig,
    folder: str | Path,
    fabric: Any,
    *,
    resume: bool = False,
    effort: Effort = Effort(),  # noqa: B008
    watch: Callable[[Record], object] = lambda record: None,
) -> dict[str, Any]:
    """Train in a folder, from the start or from its newest checkpoint, then test, and write metrics.json.

    Args:
        config: Settings of the run.
        folder: Path of the run's folder; it is made if it is missing.
        fabric: Result of ``make_fabric``.
        resume: Whether to resume the run in the folder, if there is one.
        effort: Effort with which the run is carried out; it may change when a run is resumed.
        watch: Function called with the record of each step, in every process.

    Returns:
        The metrics, see ``final_metrics``. If the run is already complete, they are read from metrics.json.

    Raises:
        Stopped: Ctrl-C was pressed; the newest checkpoint is that of the last step.
        Diverged: The loss is not finite; the message names the last good checkpoint.
        ValueError: The folder of clips is missing or cannot be used, or the fabric's precision or number of processes
            does not fit; nothing was written.
        CheckpointError: The folder holds another run, or cannot be resumed; nothing was changed.
        FolderTaken: Another process trains in the folder; nothing was changed.
    """
    folder = Path(folder)
    check_fabric(fabric, config.batch)
    if metrics := _finished_metrics(folder, config, resume):
        return metrics
    data = effort.loading(config.data)
    if effort.threads:
        torch.set_num_threads(effort.threads)
    commit()  # cached now, since the run uses the code of this moment until it ends
    with _claimed_together(folder, fabric):
        if metrics := _finished_metrics(folder, config, resume):  # another process may have finished it meanwhile
            return metrics
        run = _Run(config, data, folder, fabric, effort)
        run.train(watch)
        return run.test()


class _Run:
    """A run under way: its model and optimizer, its clips, and its progress."""

    def __init__(self, config: TrainConfig, data: Data, folder: Path, fabric: Any, effort: Effort):
        self.config, self.data, self.folder, self.fabric, self.effort = config, data, folder, fabric, effort
        self.model = initialize(make_model(config.model_config), seed=config.seed, gain=config.gain)
        self.optimizer = make_optimizer(self.model, config)
        self.wrapped_model, self.wrapped_optimizer = fabric.setup(self.model, self.optimizer)
        saved = checkpoints(folder)
        self.progress = load_checkpoint(saved[-1], self.model, self.optimizer, config) if saved else Progress()
        if _mean(fabric, self.progress.step) != self.progress.step:
            raise CheckpointError(f"{folder} differs between the machines: put it on a disk that all of them share")

    def train(self, watch: Callable[[Record], object]) -> None:
        """Train up to the last step, with checkpoints and points of the learning curve on the way."""
        config, progress = self.config, self.progress
        batches = self.data.batches(seed=config.seed, batch=config.batch, start=progress.step, stop=config.steps)
        records = train(self.wrapped_model, self.wrapped_optimizer, batches, config, self.fabric, taken=progress.step)
        seconds_before, started = progress.seconds, time.perf_counter()
        with _first_interrupt() as interrupt, self._name_last_checkpoint():
            for record in records:
                progress.add_step(record.step, record.loss)
                progress.unreadable.update(self.data.unreadable)
                if record.step % max(1, config.steps // self.effort.points) == 0:
                    progress.add_point(self._validation_accuracy())
                progress.seconds = seconds_before + time.perf_counter() - started
                watch(record)
                stopping = _mean(self.fabric, interrupt.is_set()) > 0
                if stopping or record.step % self.effort.save_every == 0 or record.step == config.steps:
                    self._save()
                if stopping:
                    saved = checkpoint_path(self.folder, record.step)
                    raise Stopped(f"stopped after step {record.step} of {config.steps}, which is saved in {saved}")

    def test(self) -> dict[str, Any]:
        """Test the model and write metrics.json, in the first process; return the metrics in all of them."""
        metrics = None
        if self.fabric.is_global_zero:
            device, clips = str(self.fabric.device), self.effort.test_clips
            metrics = final_metrics(self.config, self.data, self.model, self.progress, device=device, clips=clips)
            metrics["processes"] = self.fabric.world_size
            with atomic_path(self.folder / METRICS) as temporary:
                temporary.write_text(json.dumps(metrics, indent=1), encoding="utf-8")
        return self.fabric.broadcast(metrics)

    def _validation_accuracy(self) -> float:
        main_test = next(iter(self.data.tests))
        validation = self.data.test_batches(main_test, clips=self.effort.validation_clips, validation=True)
        return accuracy(self.wrapped_model, validation, self.fabric.device)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(self.folder, self.model, self.optimizer, self.config, self.progress)

    @contextmanager
    def _name_last_checkpoint(self) -> Iterator[None]:
        """Add the newest checkpoint to the message if the run diverges."""
        try:
            yield
        except Diverged as error:
            saved = checkpoints(self.folder)
            good = saved[-1] if saved else "not written yet"
            raise Diverged(f"{error}; the last good checkpoint is {good}") from error


def _finished_metrics(folder: Path, config: TrainConfig, resume: bool) -> dict[str, Any] | None:
    """Return the metrics if the run is complete; raise CheckpointError if the folder must not be resumed."""
    metrics, saved = read_metrics(folder), checkpoints(folder)
    if metrics and not differing_settings(metrics, config):
        return metrics
    if metrics or (saved and not resume):
        content = "the metrics of a finished run" if metrics else f"{saved[-1].name} of an unfinished run"
        raise CheckpointError(f"{folder} holds {content}: choose another folder, or resume with the settings it had")
    return None


@contextmanager
def _claimed_together(folder: Path, fabric: Any) -> Iterator[None]:
    """Claim the folder in the first process; if that fails, raise its error in all of them."""
    with ExitStack() as stack:
        failure = None
        if fabric.is_global_zero:
            try:
                stack.enter_context(claimed(folder, wait=False))
            except (FolderTaken, OSError, ImportError) as error:
                failure = error
        if failure := fabric.broadcast(failure):
            raise failure
        yield


def _mean(fabric: Any, value: int | float) -> int | float:
    """Return the mean of a number over all processes."""
    if fabric.world_size == 1:
        return value
    return fabric.all_reduce(torch.tensor(float(value), device=fabric.device)).item()


@contextmanager
def _first_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that no step is cut in two; the second one interrupts at once."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield interrupted
        return

    def note(number: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        # None means that the handler was not set from Python, so Python cannot restore it
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
