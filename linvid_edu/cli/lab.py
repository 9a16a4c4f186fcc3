"""`linvid lab`: copy the lessons into the learner's folder and open them in JupyterLab."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .app import app

FOLDER = Path("linvid-lessons")


@app.command("lab")
def open_lessons(
    folder: Annotated[Path, typer.Argument(help="Folder of your copy; created if it is missing.")] = FOLDER,
    solved: Annotated[
        bool | None,
        typer.Option(
            "--solved/--blank", help="Copy exercises solved or blank.  [default: as in the folder, else blank]"
        ),
    ] = None,
    open_lab: Annotated[bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")] = True,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Options of JupyterLab itself.", show_default=False),
    ] = None,
) -> None:
    """Copy the lessons, with clips and results, into a folder of your own, and open them in JupyterLab.

    Later, the same command updates the folder. What you changed stays as it is: the new file is put beside it, as
    NAME.new.ipynb. For a fresh copy of a lesson, rename yours and run the command again.

    Example: linvid lab my-lessons -- --no-browser --port 8889
    """
    if str(folder).startswith("-"):
        raise ValueError(f"name the folder before --, as in: linvid lab {FOLDER} -- {folder}")
    if open_lab and find_spec("jupyterlab") is None:
        raise ModuleNotFoundError("jupyterlab is not installed", name="jupyterlab")
    from linvid_edu.course.learner_copy import CHANGED, compare_copy, copied_lessons, copy_course

    changed = {file.name for file in compare_copy(folder, solved=solved) if file.state == CHANGED}
    written = copy_course(folder, solved=solved)
    copied = len(written.keys() - changed)
    typer.echo(f"{folder}: {f'{copied} files copied' if copied else 'up to date'}")
    for name in sorted(changed):
        beside = f"; the new one is {written[name].relative_to(folder)}" if name in written else ""
        typer.echo(f"kept, since you changed it: {name}{beside}")
    if open_lab:
        first = copied_lessons(folder)[0][1].name
        raise typer.Exit(_run_jupyter_lab(folder, first, options or []))


def _run_jupyter_lab(folder: Path, lesson: str, options: list[str]) -> int:
    """Run JupyterLab until it ends; JupyterLab itself handles Ctrl-C, and asks before it stops."""
    place = (f"--ServerApp.root_dir={folder.resolve()}", f"--LabApp.default_url=/lab/tree/{lesson}")
    settings = str(Path(__file__).parents[1] / "course" / "jupyter")  # disables JupyterLab's news prompt
    paths = os.pathsep.join(filter(None, (settings, os.environ.get("JUPYTER_CONFIG_PATH"))))
    command = [sys.executable, "-m", "jupyterlab", *place, *options]
    with subprocess.Popen(command, env={**os.environ, "JUPYTER_CONFIG_PATH": paths}) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
