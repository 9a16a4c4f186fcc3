"""Many runs: `linvid sweep`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .shared import app, number, plain_errors

if TYPE_CHECKING:
    from linvid_edu.experiments.sweep_grid import Grid
    from linvid_edu.experiments.sweep_runs import Standing


@app.command(no_args_is_help=True)
def sweep(
    folder: Annotated[Path, typer.Option(help="Each run gets a folder in it.", show_default=False)],
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What to run, a JSON file.", show_default=False)
    ] = None,
    workers: Annotated[int, number("Processes on this machine, one run each at a time.", min=1)] = 2,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask scheduler whose workers to use.  [default: this machine]"),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Train without executing a notebook for each run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and what is complete, and stop.")] = False,
    collect: Annotated[
        bool, typer.Option("--collect", help="Write the tables runs.csv, layers.csv and curves.csv into the folder.")
    ] = False,
) -> None:
    """Carry out all runs of a grid that are not complete yet, and collect their metrics.

    A grid is a JSON object: {"fixed": {"task": "cue"}, "vary": {"variant": ["linear", "softmax"], "seed": [0, 1]}}.
    Its "runs", a list of settings that belong together, are each combined with that. After a kill, the same command
    goes on. For many machines: `dask scheduler` on one, `dask worker ADDRESS --nthreads 1` on each, and --cluster.

    Example: linvid sweep --grid grid.json --folder runs/first --workers 2 --collect
    """
    with plain_errors():
        from linvid_edu.experiments.sweep_grid import read_grid

        if grid is None and not collect:
            raise ValueError("nothing to do: say what to run with --grid, or --collect what was run")
        if grid is not None:
            wanted = read_grid(grid)
            if dry_run:
                return _list(wanted, folder)
            standing = _carry_out(wanted, folder, workers, cluster, plain)
            _report(standing)
        if collect:
            from linvid_edu.experiments import tables as results

            typer.echo("\n".join(map(str, results.write(results.collect(folder), folder))))
        if grid is not None and standing.failed:
            raise typer.Exit(1)


def _carry_out(grid: "Grid", folder: Path, workers: int, cluster: str | None, plain: bool) -> "Standing":
    from linvid_edu.experiments.sweep_runs import NOTEBOOK, sweep

    try:
        with _watching() as watch:
            return sweep(
                grid.settings,
                folder,
                effort=grid.effort,
                notebook=None if plain else NOTEBOOK,
                workers=workers,
                cluster=cluster,
                watch=watch,
            )
    except KeyboardInterrupt as stop:
        typer.echo("linvid: stopped: the same command goes on from the runs' newest checkpoints", err=True)
        raise typer.Exit(130) from stop


def _report(standing: "Standing") -> None:
    typer.echo(_in_words(standing))
    for name, reason in standing.failed.items():
        typer.echo(f"failed: {name}: {reason}", err=True)


def _list(grid: "Grid", folder: Path) -> None:
    """Tell what a sweep would do."""
    from linvid_edu.experiments.sweep_grid import complete, plan
    from linvid_edu.training.run_checkpoints import checkpoints

    for run in plan(grid.settings):
        begun = checkpoints(folder / run.name)
        state = "complete" if complete(run, folder) else begun[-1].name if begun else "to do"
        typer.echo(f"{state:20}{run.name}")


@contextmanager
def _watching() -> Iterator[Callable[["Standing"], object]]:
    """Show a bar on stderr; where that is no terminal, write a line for each run that ends."""
    from rich.console import Console
    from rich.progress import Progress

    console, started, told = Console(stderr=True), time.monotonic(), 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")

        def watch(standing: "Standing") -> None:
            nonlocal told
            ended = standing.done + len(standing.failed)
            left = standing.total - standing.skipped - ended
            words = _in_words(standing)
            if ended and left:
                words += f", {left * (time.monotonic() - started) / ended / 60:.0f} min left"
            bar.update(task, total=standing.total, completed=standing.total - left, description=words)
            if ended > told and not console.is_terminal:
                typer.echo(words, err=True)
            told = ended

        yield watch


def _in_words(standing: "Standing") -> str:
    counts = {
        "complete before": standing.skipped,
        "done": standing.done,
        "running": standing.running,
        "failed": len(standing.failed),
    }
    return f"{standing.total} runs: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
