"""`linvid course`: run the lessons and write the book."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command("course")
def course_command(
    video: Annotated[
        Path | None, typer.Option(help="Video file for the lessons to show.  [default: a sample clip]")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to write the course to.")] = Path("build/course"),
) -> None:
    """Run all lessons and write them as a book of HTML pages that opens without a network.

    Example: linvid course --video clip.mp4 --output build/course
    """
    from linvid_edu.course.book import build_course

    typer.echo(build_course(video, output))
