"""Find the lessons, and run them with papermill on one clip."""

import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from linvid_edu.figures.html import STAND_IN
from linvid_edu.files import materials
from linvid_edu.video.reading import load_clip

LESSONS = materials().notebooks
KERNEL = "python3"
WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_SECONDS = 600  # a cell that hangs ends in an error


class CourseError(RuntimeError):
    """A lesson that did not run; it names the lesson, the cell and what went wrong."""


class Lesson(NamedTuple):
    """One lesson.

    path: of its notebook
    title, time: as its first cell states them
    failure: why it did not run to its end; "" if it did, or was not run
    """

    path: Path
    title: str
    time: str
    failure: str = ""

    @property
    def name(self) -> str:
        """The file's name without its ending, such as "03_linear_attention"."""
        return self.path.stem


def find_lessons(folder: str | Path = LESSONS) -> list[Lesson]:
    """Return the lessons of a folder in their order, which is that of their file names.

    A lesson's first cell holds its title as a heading, and its time as an item "**Time:** …".

    Raises:
        CourseError: there is no lesson in the folder.
    """
    lessons = []
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        opening = nbformat.read(path, as_version=4).cells[0].source
        title = re.search(r"^# (.+)", opening, re.MULTILINE)
        time = re.search(r"^- \*\*Time:\*\* *(.+)", opening, re.MULTILINE)
        lessons.append(Lesson(path, title[1] if title else path.stem, time[1] if time else ""))
    if not lessons:
        raise CourseError(f"no lessons in {folder}: install the wheel, which has them, or run from a clone")
    return lessons


def run_course(video: str | Path | None, folder: str | Path, lessons: str | Path = LESSONS) -> list[Lesson]:
    """Execute every lesson on a clip, with a progress bar for each; one that fails does not stop the others.

    Args:
        video: a video file for the lessons that take one; None means each lesson's own sample clip.
        folder: where the executed notebooks are written.
        lessons: the folder of the notebooks.

    Returns:
        The lessons, with the paths of their executed notebooks, and with the reason where one did not run to its end.

    Raises:
        VideoError: the clip cannot be read; nothing was run.
    """
    if video is not None:
        load_clip(video, num_frames=2, size=16)  # refused here, in words, rather than inside a lesson
    executed = []
    for lesson in find_lessons(lessons):
        target, failure = Path(folder, lesson.path.name), ""
        try:
            run_lesson(lesson, target, video)
        except CourseError as error:
            failure = str(error)
        executed.append(lesson._replace(path=target, failure=failure))
    return executed


def run_lesson(lesson: Lesson, target: Path, video: str | Path | None = None) -> nbformat.NotebookNode:
    """Execute one lesson into `target` and return the executed notebook; a lesson without `video` runs as it is.

    Raises:
        CourseError: a cell failed; `target` holds the notebook up to there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    takes_video = "video" in papermill.inspect_notebook(str(lesson.path))
    try:
        return papermill.execute_notebook(
            str(lesson.path),
            str(target),
            parameters={"video": str(Path(video).resolve())} if takes_video and video is not None else {},
            kernel_name=KERNEL,
            extra_arguments=["--IPKernelApp.log_level=40"],
            cwd=str(lesson.path.parent),
            execution_timeout=CELL_SECONDS,
            progress_bar={"desc": f"{lesson.name:28}"},
        )
    except PapermillExecutionError as error:
        raise CourseError(
            f"lesson {lesson.name} stopped in its cell {error.exec_count}: {error.ename}: {error.evalue}"
        ) from error
    except (TimeoutError, DeadKernelError) as error:
        raise CourseError(f"lesson {lesson.name} stopped: {' '.join(str(error).split())}") from error


def without_widgets(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy without widget views and widget state, which show nothing where no kernel runs.

    A widget that brings a picture is shown by that; others had only their name to show, and leave nothing.
    """
    notebook = nbformat.from_dict(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if output.get("data", {}).pop(WIDGET, None) is not None and set(output.data) <= {"text/plain"}:
                    output.data.clear()
                if STAND_IN in output.get("data", {}).get("text/html", ""):
                    output.data.clear()
            cell.outputs = [output for output in cell.outputs if output.get("data") != {}]
    return notebook
