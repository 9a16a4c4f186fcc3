"""The progress bar of all commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

Real = int | float


class Show(Protocol):
    """Move a progress bar to `completed` of `total`; keep the total if it is None."""

    def __call__(self, text: str, completed: Real, total: Real | None = None, *, line: bool = False) -> None: ...


@contextmanager
def progress_bar(total: Real | None = None) -> Iterator[Show]:
    """Show a bar on stderr. If stderr is not a terminal, print each text with ``line=True`` instead.

    Args:
        total: Value of `completed` at the end; None if it is not known.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = BarColumn(bar_width=20), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def show(text: str, completed: Real, total: Real | None = None, *, line: bool = False) -> None:
            bar.update(task, description=text, completed=completed, total=total)
            if line and not console.is_terminal:
                typer.echo(text, err=True)

        yield show


@contextmanager
def step_bar(total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of `total` steps on stderr; each call begins the next step and shows its name."""
    with progress_bar(total) as show:
        begun = 0

        def step(name: str) -> None:
            nonlocal begun
            begun += 1
            show(name, begun)

        yield step
