"""Execute the committed notebooks in place: fresh outputs, and nothing in them that belongs to this machine.

    python notebooks/refresh.py [NOTEBOOK.ipynb ...]
"""

import sys
import tempfile
from pathlib import Path

import nbformat

from linvid_edu.course.lessons import KERNEL, LESSONS, Lesson, find_lessons, run_lesson, without_widgets
from linvid_edu.files import atomic_path

CELL_METADATA = {"tags", "jupyter"}


def refresh(lesson: Lesson) -> None:
    """Execute one notebook and write it back with its outputs alone."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = without_widgets(run_lesson(lesson, Path(folder, lesson.path.name)))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{lesson.name.split('_')[0]}-{index:02}"
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in CELL_METADATA}
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
    with atomic_path(lesson.path) as temporary:
        nbformat.write(notebook, temporary)


if __name__ == "__main__":
    asked = {Path(name).name for name in sys.argv[1:]}
    experiments = [Lesson(path, path.stem, "") for path in sorted(LESSONS.glob("experiments/*.ipynb"))]
    for lesson in find_lessons(LESSONS) + experiments:
        if not asked or lesson.path.name in asked:
            refresh(lesson)
