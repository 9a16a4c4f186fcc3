"""`linvid sweep`: carry out many runs, each one once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .options import numeric
from .progress import progress_bar

if TYPE_CHECKING:
    from linvid_edu.experiments.sweep_grid import SweepGrid
    from linvid_edu.experiments.sweep_runs import SweepProgress


@app.command("sweep", no_args_is_help=True)
def start_sweep(
    folder: Annotated[Path, typer.Option(help="Folder in which each run gets its own.", show_default=False)],
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file of the runs.", show_default=False)
    ] = None,
    workers: Annotated[int, numeric("Number of processes on this machine, each with one run at a time.", min=1)] = 2,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler that hands out the runs.  [default: this machine]"),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Train without executing a notebook for each run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and their state; run nothing.")] = False,
    collect: Annotated[
        bool, typer.Option("--collect", help="Write the tables runs.csv, layers.csv and curves.csv into the folder.")
    ] = False,
) -> None:
    """Carry out all runs of a grid that are not complete yet, and collect their metrics.

    A grid is a JSON object: {"fixed": {"task": "cue"}, "vary": {"variant": ["linear", "softmax"], "seed": [0, 1]}}.
    It may also have "runs", a list of settings that belong together; each is combined with every value of "vary". If a
    sweep is killed, the same command continues it. To use many machines, start `dask scheduler` on one of them and
    `dask worker ADDRESS --nthreads 1` on each, and pass --cluster.

    Example: linvid sweep --grid grid.json --folder runs/first --workers 2 --collect
    """
    if grid is None and not collect:
        raise ValueError("nothing to do: say what to run with --grid, or --collect what was run")
    failed = False
    if grid is not None:
        from linvid_edu.experiments.sweep_grid import read_sweep_grid

        sweep_grid = read_sweep_grid(grid)
        if dry_run:
            return _list_runs(sweep_grid, folder)
        progress = _carry_out(sweep_grid, folder, workers, cluster, plain)
        typer.echo(_summarize(progress))
        for name, reason in progress.failed.items():
            typer.echo(f"failed: {name}: {reason}", err=True)
        failed = bool(progress.failed)
    if collect:
        from linvid_edu.experiments.tables import collect as collect_tables
        from linvid_edu.experiments.tables import write_results

        typer.echo("\n".join(map(str, write_results(collect_tables(folder), folder))))
    if failed:
        raise typer.Exit(1)


def _carry_out(grid: "SweepGrid", folder: Path, workers: int, cluster: str | None, plain: bool) -> "SweepProgress":
    from linvid_edu.experiments.sweep_runs import NOTEBOOK, run_sweep

    try:
        with _sweep_progress() as watch:
            return run_sweep(
                grid.settings,
                folder,
                effort=grid.effort,
                notebook=None if plain else NOTEBOOK,
                workers=workers,
                cluster=cluster,
                watch=watch,
            )
    except KeyboardInterrupt as stop:
        typer.echo("linvid: stopped: the same command continues from the newest checkpoints of the runs", err=True)
        raise typer.Exit(130) from stop


def _list_runs(grid: "SweepGrid", folder: Path) -> None:
    """Print the state of each run of a grid."""
    from linvid_edu.experiments.sweep_grid import is_complete, plan_runs
    from linvid_edu.training.run_checkpoints import checkpoints

    for run in plan_runs(grid.settings):
        saved = checkpoints(folder / run.name)
        state = "complete" if is_complete(run, folder) else saved[-1].name if saved else "to do"
        typer.echo(f"{state:20}{run.name}")


@contextmanager
def _sweep_progress() -> Iterator[Callable[["SweepProgress"], object]]:
    """Show a bar on stderr; if stderr is not a terminal, print a line for each run that ends."""
    started, ended_before = time.monotonic(), 0
    with progress_bar() as show:

        def watch(progress: "SweepProgress") -> None:
            nonlocal ended_before
            ended = progress.done + len(progress.failed)
            left = progress.total - progress.skipped - ended
            text = _summarize(progress)
            if ended and left:
                text += f", {left * (time.monotonic() - started) / ended / 60:.0f} min left"
            show(text, progress.total - left, progress.total, line=ended > ended_before)
            ended_before = ended

        yield watch


def _summarize(progress: "SweepProgress") -> str:
    """Write how many runs a sweep has, and how many of them are complete, running or failed."""
    counts = {
        "complete before": progress.skipped,
        "done": progress.done,
        "running": progress.running,
        "failed": len(progress.failed),
    }
    return f"{progress.total} runs: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
