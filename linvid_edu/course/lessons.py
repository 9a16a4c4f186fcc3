"""Find the lessons, and run them with papermill."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from linvid_edu.figures.html import STAND_IN
from linvid_edu.files import materials

LESSONS = materials().notebooks
KERNEL = "python3"
WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_TIMEOUT_SECONDS = 600
LESSON_NAME = re.compile(r"\d\d[a-z]?_.+")  # of a file: a number, and a letter if it comes between two lessons
PROCESSES = 2  # lessons that run at the same time


class CourseError(RuntimeError):
    """A lesson stopped with an error; the message names the lesson, the cell and the error."""


class Lesson(NamedTuple):
    """One lesson.

    path: path of its notebook
    title, time, question: as its first cell states them; the question is its first question in italics
    failure: the error that stopped it; "" if there was none, or if it was not run
    """

    path: Path
    title: str
    time: str
    question: str = ""
    failure: str = ""

    @property
    def name(self) -> str:
        """Name of the file without its ending, such as "03_linear_attention"."""
        return self.path.stem

    @property
    def number(self) -> str:
        """What its name begins with, such as "03" or "03b"."""
        return self.name.split("_")[0]


def find_lessons(folder: str | Path = LESSONS) -> list[Lesson]:
    """Return the lessons of a folder, in the order of their file names.

    The first cell of a lesson has its title as a heading, its time as an item "**Time:** …", and its question in
    italics.

    Args:
        folder: Folder of the notebooks.

    Raises:
        CourseError: There is no lesson in the folder.
    """
    lessons = []
    for path in sorted(Path(folder).glob("*.ipynb")):
        if not LESSON_NAME.fullmatch(path.name):
            continue
        opening = nbformat.read(path, as_version=4).cells[0].source
        title = re.search(r"^# (.+)", opening, re.MULTILINE)
        time = re.search(r"^- \*\*Time:\*\* *(.+)", opening, re.MULTILINE)
        question = re.search(r"(?<!\*)\*([A-Z][^*]*\?)\*(?!\*)", opening)
        texts = [match[1] if match else "" for match in (title, time, question)]
        lessons.append(Lesson(path, texts[0] or path.stem, *texts[1:]))
    if not lessons:
        raise CourseError(f"there are no lessons in {folder}: install the wheel, which has them, or use a clone")
    return lessons


@contextmanager
def run_lessons(
    lessons: Sequence[Lesson],
    folder: str | Path,
    video: str | Path | None = None,
    *,
    report: Callable[[str], object] = print,
) -> Iterator[Iterator[list[Lesson]]]:
    """Start running lessons, two at a time, and yield an iterator over those that have finished.

    Each step of the iterator waits for at least one lesson. A lesson that stops with an error does not stop the others.
    Finished lessons have the paths of their executed notebooks, and the error that stopped them, if any.

    Args:
        lessons: Lessons to run.
        folder: Folder of the executed notebooks.
        video: Video file for the lessons that show one; None means each lesson's own sample clip.
        report: Called with a line of text when a lesson has finished, even if nobody waits for it.
    """
    finished: list[str] = []

    def report_lesson(future: Future[Lesson]) -> None:
        if not future.cancelled() and future.exception() is None:
            lesson = future.result()
            finished.append(lesson.name)
            outcome = f", with an error: {lesson.failure}" if lesson.failure else ""
            report(f"lesson {len(finished)} of {len(lessons)} has run: {lesson.name}{outcome}")

    processes = min(PROCESSES, len(lessons))
    with ProcessPoolExecutor(processes, get_context("spawn"), _share_cores, (processes,)) as pool:
        futures = {pool.submit(_try_lesson, lesson, Path(folder, lesson.path.name), video) for lesson in lessons}
        for future in futures:
            future.add_done_callback(report_lesson)
        try:
            yield _batches(futures)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _batches(futures: set[Future[Lesson]]) -> Iterator[list[Lesson]]:
    while futures:
        done, futures = wait(futures, return_when=FIRST_COMPLETED)
        yield [future.result() for future in done]


def _share_cores(processes: int) -> None:
    """Give each of the processes, and thus its kernel, its share of the cores, unless the user chose a number."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))


def _try_lesson(lesson: Lesson, target: Path, video: str | Path | None) -> Lesson:
    try:
        run_lesson(lesson, target, video, progress=False)
    except CourseError as error:
        return lesson._replace(path=target, failure=str(error))
    return lesson._replace(path=target)


def run_lesson(
    lesson: Lesson, target: Path, video: str | Path | None = None, *, progress: bool = True
) -> nbformat.NotebookNode:
    """Run one lesson, and return the executed notebook.

    Args:
        lesson: Lesson to run.
        target: Path of the executed notebook.
        video: Video file for the lesson to show; None means its own sample clip. Some lessons show no clip.
        progress: Whether to show a progress bar.

    Raises:
        CourseError: A cell stopped with an error; `target` holds the notebook up to there.
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
            execution_timeout=CELL_TIMEOUT_SECONDS,
            progress_bar={"desc": f"{lesson.name:28}"} if progress else False,
        )
    except PapermillExecutionError as error:
        raise CourseError(
            f"lesson {lesson.name} stopped in its cell {error.exec_count}: {error.ename}: {error.evalue}"
        ) from error
    except (TimeoutError, DeadKernelError) as error:
        raise CourseError(f"lesson {lesson.name} stopped: {' '.join(str(error).split())}") from error


def without_widgets(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy without widget views and widget state, which show nothing without a kernel.

    A widget with a picture is replaced by its picture; other widgets are removed.
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
