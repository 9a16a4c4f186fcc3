"""`linvid lessons`: list the lessons, or show what an update would change."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .lab import FOLDER

if TYPE_CHECKING:
    from linvid_edu.course.learner_copy import Item


@app.command("lessons")
def list_lessons(
    folder: Annotated[Path, typer.Argument(help="Folder of your copy of the lessons.")] = FOLDER,
    diff: Annotated[bool, typer.Option("--diff", help="Show what an update would change.")] = False,
) -> None:
    """List the lessons, how long each takes, and whether yours is new, unchanged, or changed by you.

    Example: linvid lessons --diff my-lessons
    """
    from linvid_edu.course.learner_copy import compare, lessons

    if diff:
        typer.echo(_describe_updates(compare(folder), folder))
        return
    rows = lessons(folder)
    width = max(len(lesson.title) for lesson, _ in rows)
    for lesson, item in rows:
        newer = ", and there is a newer one" if item.theirs is not None and item.update else ""
        typer.echo(f"{lesson.title:{width}}  {lesson.time:40}  {item.state}{newer}")


def _describe_updates(items: "Sequence[Item]", folder: Path) -> str:
    """Describe what `linvid lab` would change in a folder: notebooks cell by cell, other files by name."""
    from linvid_edu.course.learner_copy import CHANGED, NEW, difference

    paragraphs = []
    for item in items:
        if item.update and item.state == NEW:
            paragraphs.append(f"new: {item.name}")
        elif item.update:
            effect = "would be put beside yours, which you changed" if item.state == CHANGED else "would replace yours"
            paragraphs.append(f"{item.name}: the new one {effect}")
            if item.name.endswith(".ipynb"):
                paragraphs.append(difference(item) or "only outputs differ")
    return "\n".join(paragraphs) or f"nothing: {folder} is up to date"
