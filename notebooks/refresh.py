"""Execute the committed notebooks in place: fresh outputs, and nothing in them that belongs to this machine.

    python notebooks/refresh.py [NOTEBOOK.ipynb ...]

An unchanged lesson keeps every byte. Cells that show measured times are tagged "timing": see ``keep_timings``.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode

from linvid_edu.course.lessons import KERNEL, LESSONS, Lesson, find_lessons, run_lesson, without_widgets
from linvid_edu.files import atomic_path

CELL_METADATA = {"tags", "jupyter"}
TIMING = "timing"


def refresh(lesson: Lesson) -> None:
    """Execute one notebook and write it back with its outputs alone."""
    stored = nbformat.read(lesson.path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        executed = without_widgets(run_lesson(lesson, Path(folder, lesson.path.name)))
    # text arrives in pieces, and how many depends on how busy the machine is
    executed, _ = CoalesceStreamsPreprocessor(enabled=True).preprocess(executed, {})
    executed.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(executed.cells):
        cell.id = f"{lesson.name.split('_')[0]}-{index:02}"
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in CELL_METADATA}
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
    keep_timings(executed, stored)
    with atomic_path(lesson.path) as temporary:
        nbformat.write(executed, temporary)


def keep_timings(executed: NotebookNode, stored: NotebookNode) -> None:
    """Give cells tagged "timing" their stored outputs, as long as nothing that they could depend on has changed.

    The first code cell whose source differs from the stored one, or whose outputs do although it is not tagged, ends
    this: from there on all outputs are new.
    """
    for new, old in zip(_code_cells(executed), _code_cells(stored), strict=False):
        if new.source != old.source:
            return
        if TIMING in new.metadata.get("tags", []):
            new.outputs = old.outputs
        elif new.outputs != old.outputs:
            return


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


if __name__ == "__main__":
    names = {Path(name).name for name in sys.argv[1:]}
    experiments = [Lesson(path, path.stem, "") for path in sorted(LESSONS.glob("experiments/*.ipynb"))]
    for lesson in find_lessons(LESSONS) + experiments:
        if not names or lesson.path.name in names:
            refresh(lesson)
