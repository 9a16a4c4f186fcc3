"""Run many trainings on the cores of one machine or of many, so that nothing is lost and nothing runs twice.

The engine is dask.distributed rather than Ray: it is pure Python and small, hands the runs of a lost worker to another
one, and uses other machines through one address. There, start `dask scheduler`, then this on each machine, all of which
see the sweep's folder under the same path:

    MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=33554432 dask worker ADDRESS --nthreads 1 --nworkers 4

Without the two variables, dask's workers hand freed memory back at once, and a step takes about twice to three times
as long.

A run's state is in its folder alone: complete when metrics.json is there, resumed from its newest checkpoint otherwise,
and claimed by the one process that trains it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dask
import papermill
import torch
from distributed import Client, Future, LocalCluster, wait
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import load_notebook_node

from linvid_edu.files import materials
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import make_fabric
from linvid_edu.training.run import fit
from linvid_edu.training.run_lock import claimed

from .sweep_grid import Effort, Run, complete, plan

NOTEBOOK = materials().notebooks / "experiments" / "train_one.ipynb"
KERNEL = "python3"
# bytes: what glibc keeps of freed memory, and from what size on it maps memory anew, for workers on this machine
MEMORY = {"MALLOC_TRIM_THRESHOLD_": 1_000_000_000, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20}


class Standing(NamedTuple):
    """Where a sweep stands.

    total: runs asked for
    skipped: how many of them were complete before
    done: how many were completed by this sweep
    running: how many are being worked on
    failed: name of a run to the last line of its error
    """

    total: int
    skipped: int
    done: int = 0
    running: int = 0
    failed: Mapping[str, str] = {}


class RunFailed(RuntimeError):
    """A run that ended in an error; it tells the last line of the error."""


def sweep(
    settings: Iterable[Mapping[str, Any]],
    folder: str | Path,
    *,
    effort: Effort = Effort(),  # noqa: B008
    notebook: str | Path | None = NOTEBOOK,
    workers: int = 2,
    cluster: str | None = None,
    watch: Callable[[Standing], object] = lambda standing: None,
) -> Standing:
    """Carry out every run that is not complete yet; started again after a kill, it goes on.

    A script that calls this needs the usual ``if __name__ == "__main__":``, since workers import it.

    Args:
        settings: of each run, fields of ``TrainConfig``; all are checked before anything starts.
        folder: each run gets a folder in it, with its metrics and the executed notebook.
        effort: how each run is carried out and measured.
        notebook: what a run executes; None trains without a notebook and its kernel, which gives the same metrics.
        workers: processes on this machine, with one run each at a time.
        cluster: address of a dask scheduler whose workers are used instead.
        watch: called at least every second.

    Returns:
        Where the sweep stands at its end. A run that fails does not stop the others.

    Raises:
        ValueError: unknown settings, wrong types or values; nothing was started.
    """
    folder, runs = Path(folder).resolve(), plan(settings)
    task = run_plain if notebook is None else partial(run_notebook, notebook=_checked(Path(notebook)))
    left = [run for run in runs if not complete(run, folder)]
    standing = Standing(len(runs), len(runs) - len(left))
    watch(standing)
    if not left:
        return standing
    with _client(min(workers, len(left)), cluster) as client:
        pending = {
            client.submit(
                task, run.config.to_dict(), folder / run.name, effort, key=f"{folder}/{run.name}", priority=-index
            ): run
            for index, run in enumerate(left)
        }
        while pending:
            with suppress(TimeoutError):
                wait(list(pending), timeout=1, return_when="FIRST_COMPLETED")
            for future in [future for future in pending if future.done()]:
                standing = _counted(standing, pending.pop(future), future, folder)
            watch(standing._replace(running=_running(client)))
    return standing


def run_plain(values: dict[str, Any], folder: str | Path, effort: Effort = Effort()) -> None:  # noqa: B008
    """Carry out one run in this process, from its newest checkpoint if there is one.

    Args:
        values: fields of ``TrainConfig``.
        folder: of the run.
        effort: how it is carried out and measured.
    """
    how = asdict(effort)
    torch.set_num_threads(how.pop("threads"))
    with claimed(folder):
        fit(TrainConfig.from_dict(values), folder, make_fabric(), resume=True, **how)


def run_notebook(values: dict[str, Any], folder: Path, effort: Effort, *, notebook: tuple[str, NotebookNode]) -> None:
    """Execute a notebook for one run, in a kernel of its own.

    Args:
        values: fields of ``TrainConfig``.
        folder: of the run.
        effort: how it is carried out and measured.
        notebook: its file's name and itself; the executed one is written into the folder.

    Raises:
        RunFailed: a cell ended in an error.
    """
    name, source = notebook
    folder.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            source,
            str(folder / name),
            parameters={**values, **asdict(effort), "folder": str(folder)},
            kernel_name=KERNEL,
            extra_arguments=["--IPKernelApp.log_level=50"],
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        raise RunFailed(f"{error.ename}: {error.evalue}") from None


def _checked(path: Path) -> tuple[str, NotebookNode]:
    """Read a notebook, and refuse one that lacks a parameter, which papermill would only warn of."""
    wanted = {each.name for kind in (TrainConfig, Effort) for each in fields(kind)} | {"folder"}
    if missing := sorted(wanted - set(papermill.inspect_notebook(str(path)))):
        raise ValueError(f"{path} lacks {', '.join(missing)} in its cell that is tagged parameters")
    return path.name, load_notebook_node(str(path))


@contextmanager
def _client(workers: int, cluster: str | None) -> Iterator[Client]:
    """Connect to a scheduler, or start one with workers on this machine."""
    if cluster is not None:
        with Client(cluster) as client:
            yield client
        return
    environment = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MEMORY.items()}
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0, **environment}),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as local,
        Client(local) as client,
    ):
        yield client


def _counted(standing: Standing, run: Run, future: Future, folder: Path) -> Standing:
    """Return where the sweep stands after a run has ended, well or not."""
    if future.status == "finished" and complete(run, folder):
        return standing._replace(done=standing.done + 1)
    reason = f"its worker left no metrics in {folder}, which all machines must see"
    if future.status != "finished":
        error = future.exception()
        reason = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
    return standing._replace(failed={**standing.failed, run.name: reason.strip().splitlines()[-1]})


def _running(client: Client) -> int:
    """Return how many runs are being worked on; a worker may hold more that wait."""
    threads = client.nthreads()
    return sum(min(len(keys), threads.get(worker, 0)) for worker, keys in client.processing().items())
