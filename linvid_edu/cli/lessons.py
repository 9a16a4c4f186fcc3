"""`linvid lessons`: list the lessons, or show what an update would change."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .lab import FOLDER

if TYPE_CHECKING:
    from linvid_edu.course.learner_copy import CourseFile


@app.command("lessons")
def list_lessons(
    folder: Annotated[Path, typer.Argument(help="Folder of your copy of the lessons.")] = FOLDER,
    diff: Annotated[bool, typer.Option("--diff", help="Show what an update would change.")] = False,
) -> None:
    """List the lessons, how long each takes, and whether your copy is new, unchanged, or changed by you.

    Example: linvid lessons --diff my-lessons
    """
    from linvid_edu.course.learner_copy import compare_copy, copied_lessons

    if diff:
        typer.echo(_describe_updates(compare_copy(folder), folder))
        return
    rows = copied_lessons(folder)
    width = max(len(lesson.title) for lesson, _ in rows)
    for lesson, file in rows:
        newer = ", and there is a newer one" if file.current is not None and file.has_update else ""
        typer.echo(f"{lesson.title:{width}}  {lesson.time:40}  {file.state}{newer}")


def _describe_updates(files: "Sequence[CourseFile]", folder: Path) -> str:
    """Describe what `linvid lab` would change in a folder: notebooks cell by cell, other files by name."""
    from linvid_edu.course.learner_copy import CHANGED, NEW, notebook_diff

    paragraphs = []
    for file in files:
        if file.has_update and file.state == NEW:
            paragraphs.append(f"new: {file.name}")
        elif file.has_update:
            effect = "would be put beside yours, which you changed" if file.state == CHANGED else "would replace yours"
            paragraphs.append(f"{file.name}: the new one {effect}")
            if file.name.endswith(".ipynb"):
                paragraphs.append(notebook_diff(file) or "only outputs differ")
    return "\n".join(paragraphs) or f"nothing: {folder} is up to date"
