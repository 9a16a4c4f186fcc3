"""Carry out many runs on the cores of one machine or of several: no run is lost or trained twice.

dask.distributed does the work. It is pure Python and small, gives the runs of a lost worker to another worker, and
reaches other machines through one address. To use several machines, start `dask scheduler` on one of them, then this on
each; all must see the folder of the sweep under the same path:

    MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=33554432 dask worker ADDRESS --nthreads 1 --nworkers 4

Without the two variables dask's workers return freed memory to the system at once, and a step takes two to three times
as long.

The state of a run is in its folder alone. A run is complete when metrics.json is there; otherwise it resumes from its
newest checkpoint. A lock on the folder keeps a second process from training the same run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dask
import papermill
from distributed import Client, Future, LocalCluster, wait
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import load_notebook_node

from linvid_edu.files import materials
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.fabric import make_fabric
from linvid_edu.training.run import fit
from linvid_edu.training.run_lock import claimed

from .sweep_grid import ONE_THREAD, PlannedRun, is_complete, plan_runs

NOTEBOOK = materials().notebooks / "experiments" / "train_one.ipynb"
JUPYTER_KERNEL = "python3"
# in bytes: how much freed memory glibc keeps, and the size from which it maps memory anew
WORKER_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": 1_000_000_000, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20}


class SweepProgress(NamedTuple):
    """How far a sweep is.

    total: number of runs in the sweep
    skipped: number of runs that were complete before
    done: number of runs that this sweep has completed
    running: number of runs in progress
    failed: name of each failed run and the last line of its error
    """

    total: int
    skipped: int
    done: int = 0
    running: int = 0
    failed: Mapping[str, str] = {}


class RunFailed(RuntimeError):
    """A run ended in an error; the message is the last line of the error."""


def run_sweep(
    settings: Iterable[Mapping[str, Any]],
    folder: str | Path,
    *,
    effort: Effort = ONE_THREAD,
    notebook: str | Path | None = NOTEBOOK,
    workers: int = 2,
    cluster: str | None = None,
    watch: Callable[[SweepProgress], object] = lambda progress: None,
) -> SweepProgress:
    """Carry out every run that is not complete yet. If a sweep was killed, start it again to continue.

    A script that calls this needs the usual ``if __name__ == "__main__":``, because workers import it.

    Args:
        settings: Settings of each run, fields of ``TrainConfig``. All are checked before anything starts.
        folder: Folder of the sweep. Each run gets a folder in it, with its metrics and the executed notebook.
        effort: How each run is carried out and measured.
        notebook: Notebook that a run executes. None trains without a notebook and its kernel, with the same metrics.
        workers: Number of processes on this machine, each with one run at a time.
        cluster: Address of a dask scheduler whose workers are used instead.
        watch: Function that is called at least every second.

    Returns:
        The progress at the end. A failed run does not stop the others.

    Raises:
        ValueError: A setting is unknown, of the wrong type or out of range. Nothing was started.
    """
    folder, runs = Path(folder).resolve(), plan_runs(settings)
    task = run_plain if notebook is None else partial(run_notebook, notebook=_read_notebook(Path(notebook)))
    unfinished = [run for run in runs if not is_complete(run, folder)]
    progress = SweepProgress(len(runs), len(runs) - len(unfinished))
    watch(progress)
    if not unfinished:
        return progress
    with _client(min(workers, len(unfinished)), cluster) as client:
        pending = {_submit(client, task, run, folder, effort, -index): run for index, run in enumerate(unfinished)}
        while pending:
            with suppress(TimeoutError):
                wait(list(pending), timeout=1, return_when="FIRST_COMPLETED")
            for future in [future for future in pending if future.done()]:
                progress = _count_ended(progress, pending.pop(future), future, folder)
            watch(progress._replace(running=_count_running(client)))
    return progress


def _submit(
    client: Client, task: Callable[..., None], run: PlannedRun, folder: Path, effort: Effort, priority: int
) -> Future:
    key = f"{folder}/{run.name}"
    return client.submit(task, run.config.to_dict(), folder / run.name, effort, key=key, priority=priority)


def run_plain(values: dict[str, Any], folder: str | Path, effort: Effort = ONE_THREAD) -> None:
    """Carry out one run in this process, from its newest checkpoint if there is one.

    Args:
        values: Fields of ``TrainConfig``.
        folder: Folder of the run.
        effort: How the run is carried out and measured.
    """
    with claimed(folder):
        fit(TrainConfig.from_dict(values), folder, make_fabric(), resume=True, effort=effort)


def run_notebook(values: dict[str, Any], folder: Path, effort: Effort, *, notebook: tuple[str, NotebookNode]) -> None:
    """Execute a notebook for one run, in a kernel of its own.

    Args:
        values: Fields of ``TrainConfig``.
        folder: Folder of the run.
        effort: How the run is carried out and measured.
        notebook: Name of the notebook's file, and the notebook. The executed notebook is written into the folder.

    Raises:
        RunFailed: A cell ended in an error.
    """
    name, source = notebook
    folder.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            source,
            str(folder / name),
            parameters={**values, **asdict(effort), "folder": str(folder)},
            kernel_name=JUPYTER_KERNEL,
            extra_arguments=["--IPKernelApp.log_level=50"],
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        raise RunFailed(f"{error.ename}: {error.evalue}") from None


def _read_notebook(path: Path) -> tuple[str, NotebookNode]:
    """Read a notebook; raise ValueError if it lacks a parameter, which papermill would only warn of."""
    expected = {field.name for settings in (TrainConfig, Effort) for field in fields(settings)} | {"folder"}
    missing = sorted(expected - set(papermill.inspect_notebook(str(path))))
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)} in its cell that is tagged parameters")
    return path.name, load_notebook_node(str(path))


@contextmanager
def _client(workers: int, cluster: str | None) -> Iterator[Client]:
    """Connect to a scheduler, or start one with workers on this machine."""
    if cluster is not None:
        with Client(cluster) as client:
            yield client
        return
    environment = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in WORKER_ENVIRONMENT.items()}
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0, **environment}),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as local,
        Client(local) as client,
    ):
        yield client


def _count_ended(progress: SweepProgress, run: PlannedRun, future: Future, folder: Path) -> SweepProgress:
    """Return the progress after a run has ended, well or not."""
    if future.status == "finished" and is_complete(run, folder):
        return progress._replace(done=progress.done + 1)
    if future.status == "finished":
        reason = f"its worker left no metrics in {folder}, which all machines must see"
    else:
        error = future.exception()
        reason = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
    return progress._replace(failed={**progress.failed, run.name: reason.strip().splitlines()[-1]})


def _count_running(client: Client) -> int:
    """Return the number of runs in progress; a worker may also hold runs that wait."""
    threads = client.nthreads()
    return sum(min(len(keys), threads.get(worker, 0)) for worker, keys in client.processing().items())
