"""The lessons in a folder of the learner's: copy them and open JupyterLab, list them, show what an update changes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .shared import app, plain_errors

if TYPE_CHECKING:
    from linvid_edu.course.learner_copy import Item

FOLDER = Path("linvid-lessons")


@app.command("lab")
def open_lessons(
    folder: Annotated[Path, typer.Argument(help="Where your lessons are, or shall be.")] = FOLDER,
    solved: Annotated[
        bool | None,
        typer.Option(
            "--solved/--blank", help="Exercises solved or blank.  [default: as the folder has them, else blank]"
        ),
    ] = None,
    open_lab: Annotated[bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")] = True,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Options of JupyterLab itself.", show_default=False),
    ] = None,
) -> None:
    """Copy the lessons into a folder of yours, with clips and results, and open them in JupyterLab.

    The same command later brings the folder up to date. What you changed stays as it is: the new file is put beside
    it, as NAME.new.ipynb. For a fresh copy of a lesson, rename yours and run the command again.

    Example: linvid lab my-lessons -- --no-browser --port 8889
    """
    with plain_errors():
        if str(folder).startswith("-"):
            raise ValueError(f"name the folder before --, as in: linvid lab {FOLDER} -- {folder}")
        if open_lab and find_spec("jupyterlab") is None:
            raise ModuleNotFoundError("jupyterlab is not installed", name="jupyterlab")
        from linvid_edu.course.learner_copy import CHANGED, compare, copy_course, lessons

        changed = {item.name for item in compare(folder, solved=solved) if item.state == CHANGED}
        written = copy_course(folder, solved=solved)
        copied = len(written.keys() - changed)
        typer.echo(f"{folder}: {f'{copied} files copied' if copied else 'up to date'}")
        for name in sorted(changed):
            beside = f"; the new one is {written[name].relative_to(folder)}" if name in written else ""
            typer.echo(f"kept, since you changed it: {name}{beside}")
        first = lessons(folder)[0][1].name
    if open_lab:
        raise typer.Exit(_jupyter_lab(folder, first, options or []))


@app.command("lessons")
def list_lessons(
    folder: Annotated[Path, typer.Argument(help="Where your lessons are.")] = FOLDER,
    diff: Annotated[bool, typer.Option("--diff", help="Show what an update would change.")] = False,
) -> None:
    """List the lessons, how long each takes, and whether yours is new, unchanged, or changed by you.

    Example: linvid lessons --diff my-lessons
    """
    with plain_errors():
        from linvid_edu.course.learner_copy import compare, lessons

        if diff:
            typer.echo(_updates(compare(folder), folder))
            return
        found = lessons(folder)
        width = max(len(lesson.title) for lesson, _ in found)
        for lesson, item in found:
            newer = ", and there is a newer one" if item.theirs is not None and item.update else ""
            typer.echo(f"{lesson.title:{width}}  {lesson.time:40}  {item.state}{newer}")


def _updates(items: "Sequence[Item]", folder: Path) -> str:
    """Write what `linvid lab` would change in a folder: notebooks cell by cell, other files by name."""
    from linvid_edu.course.learner_copy import CHANGED, NEW, difference

    paragraphs = []
    for item in items:
        if item.update and item.state == NEW:
            paragraphs.append(f"new: {item.name}")
        elif item.update:
            place = "would be put beside yours, which you changed" if item.state == CHANGED else "would replace yours"
            paragraphs.append(f"{item.name}: the new one {place}")
            if item.name.endswith(".ipynb"):
                paragraphs.append(difference(item) or "only outputs differ")
    return "\n".join(paragraphs) or f"nothing: {folder} is up to date"


def _jupyter_lab(folder: Path, lesson: str, options: list[str]) -> int:
    """Run JupyterLab until it ends; Ctrl-C is answered by JupyterLab, which asks before it stops."""
    place = (f"--ServerApp.root_dir={folder.resolve()}", f"--LabApp.default_url=/lab/tree/{lesson}")
    # our settings: no question, over the first figure, whether to fetch news from the network
    ours = str(Path(__file__).parents[1] / "course" / "jupyter")
    paths = os.pathsep.join(filter(None, (ours, os.environ.get("JUPYTER_CONFIG_PATH"))))
    command = [sys.executable, "-m", "jupyterlab", *place, *options]
    with subprocess.Popen(command, env={**os.environ, "JUPYTER_CONFIG_PATH": paths}) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
