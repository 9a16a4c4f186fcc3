"""The application that every command registers with."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from linvid_edu import __version__

from .errors import reported_errors


class Commands(TyperGroup):
    """The group of all commands, which reports their errors in one way."""

    def invoke(self, ctx: Any) -> Any:
        with reported_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="linvid",
    cls=Commands,
    help="Linear attention for video: explain a clip, train and test models, convert checkpoints, build the course.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"linvid {__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Linear attention for video: explain a clip, train and test models, convert checkpoints, build the course."""
