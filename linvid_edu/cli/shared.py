"""What the commands share: the application, its errors in one line, and its progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from linvid_edu import __version__

MOST_PROBLEMS = 5  # lines of a long error that are told

app = typer.Typer(
    name="linvid",
    help="Linear attention for video: explain a clip, train and test models, convert checkpoints, make the course.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Tell the library's errors in one line on stderr, and exit with code 1."""
    try:
        yield
    except typer.Exit:
        raise
    except ModuleNotFoundError as error:
        extra = "test" if error.name == "skimage" else "course"
        message = f"{error.name} is not installed: pip install 'linvid-edu[{extra}]'"
    except (ValueError, OSError, RuntimeError) as error:
        first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        hidden = len(rest) - MOST_PROBLEMS
        rest[MOST_PROBLEMS:] = [f"and {hidden} more"] if hidden > 0 else []
        message = " ".join((first, "; ".join(rest))).strip()
    else:
        return
    typer.echo(f"linvid: {message}", err=True)
    raise typer.Exit(1)


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], object]]:
    """Show a bar on stderr that moves by one step, and tells its name, at each call."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)


def number(help: str, min: int | None = 0, max: int | None = None) -> Any:
    """Return an option that is a whole number within limits."""
    return typer.Option(metavar="N", min=min, max=max, help=help)


def _tell_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"linvid {__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Linear attention for video: explain a clip, train and test models, convert checkpoints, make the course."""
