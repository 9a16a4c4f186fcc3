"""What a command prints when something goes wrong: one line for what the user can change, a traceback for a bug."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

PACKAGE = Path(__file__).parents[1]
MOST_DETAILS = 5  # lines that are shown of a long message, after its first line
TEST_PACKAGES = ("skimage",)  # installed by the extra "test"; all others by "course"
BUG = "linvid: this is a bug: please report the lines above, the command, and the output of `linvid --version`"


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print an error on stderr and exit with code 1: one line if the user can act on it, else the traceback."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning  # type: ignore[assignment]
            yield
    except Exception as error:
        if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message"):
            raise  # Typer prints usage errors itself; they have format_message
        message = next((words(error) for applies, words in MESSAGES if applies(error)), None)
        if message is None:
            traceback.print_exception(error)
        typer.echo(BUG if message is None else f"linvid: {message}", err=True)
        raise typer.Exit(1) from error


def _print_warning(message: Warning | str, category: type[Warning], *place: object) -> None:
    """Print a warning about a damaged video in one line; another one as Python does, with its place."""
    if category.__name__ == "VideoWarning":  # by its name, without importing PyAV
        typer.echo(f"linvid: {message}", err=True)
    else:
        typer.echo(warnings.formatwarning(message, category, str(place[0]), int(str(place[1]))), err=True, nl=False)


def _is_ours(error: Exception) -> bool:
    """Whether this package raised the error on purpose: its class is ours, or a `raise` in our code raised it."""
    if type(error).__module__.partition(".")[0] == PACKAGE.name:
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        isinstance(error, ValueError)
        and Path(last.filename).is_relative_to(PACKAGE)
        and (last.line or "").startswith("raise ")
    )


def _missing_package(error: Exception) -> str:
    name = getattr(error, "name", None)
    extra = "test" if name in TEST_PACKAGES else "course"
    return f"{name} is not installed: pip install 'linvid-edu[{extra}]'"


def _out_of_memory(error: Exception) -> str:
    return "the GPU has too little memory: choose a smaller batch or a smaller model, or --device cpu"


def _one_line(error: Exception) -> str:
    first, *details = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if len(details) > MOST_DETAILS:
        details[MOST_DETAILS:] = [f"and {len(details) - MOST_DETAILS} more"]
    return " ".join((first, "; ".join(details))).strip()


# the first row that applies to an error decides; if no row applies, the error is a bug
MESSAGES: tuple[tuple[Callable[[Exception], bool], Callable[[Exception], str]], ...] = (
    (lambda error: isinstance(error, ModuleNotFoundError), _missing_package),
    (lambda error: isinstance(error, OSError), _one_line),
    (lambda error: type(error).__name__ == "OutOfMemoryError", _out_of_memory),  # torch's, without importing torch
    (_is_ours, _one_line),
)
