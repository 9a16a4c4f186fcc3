"""`linvid book`: the lessons as a book, with their stored outputs."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command("book")
def write_book(
    output: Annotated[Path, typer.Option(help="Folder to write the book to.")] = Path("build/book"),
    blank: Annotated[bool, typer.Option("--blank", help="Leave the exercises blank, as for a projector.")] = False,
) -> None:
    """Write the book from the lessons with their stored outputs, without running them.

    Example: linvid book --blank --output build/book
    """
    from linvid_edu.course.book import build_book
    from linvid_edu.course.lessons import LESSONS, find_lessons

    note = "The outputs are those stored with the lessons; `linvid course` runs the lessons."
    typer.echo(build_book(find_lessons(), output, root=LESSONS.parent, note=note, blank=blank))
