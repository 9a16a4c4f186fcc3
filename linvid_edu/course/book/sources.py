"""The sources of the book in a temporary folder: lessons, experiments, documents, reference, and the first page."""

import posixpath
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import nbformat
from plotly.offline import get_plotlyjs

from linvid_edu.course.blank_lessons import blank_lesson
from linvid_edu.course.lessons import Lesson

from .front_page import first_page
from .notebooks import cleaned, with_live_figures
from .reference import write_reference

DOCUMENTS = {  # parts of the book besides the lessons, as patterns below the root
    "Experiments": ("notebooks/experiments/*.ipynb",),
    "Documents": ("docs/*.md", "results/*.md", "data_samples/*.md", "data_samples/checkpoints/*.md"),
}
_LINK = re.compile(r"!?\[([^\]]*)\]\((?!\w+:)([^)\s#]+)(?:#[^)\s]*)?\)")


class Sources:
    """The folder that Sphinx reads, and the folder that it copies unchanged.

    Args:
        source: Folder that Sphinx reads.
        extra: Folder that is copied into the site: the notebooks themselves, and plotly.js for live figures.
        root: Folder with notebooks/ and the other parts of the book, as far as it has them.
        private: Pattern of the beginnings of paths that only this machine has; removed from notebooks and failures.
        blank: Whether exercises are blank.
    """

    def __init__(self, source: Path, extra: Path, root: Path, private: re.Pattern[str], *, blank: bool = False):
        self.source, self.extra, self.root = source, extra, root
        self.private, self.blank = private, blank
        self.documents = {
            part: sorted(path for pattern in patterns for path in root.glob(pattern))
            for part, patterns in DOCUMENTS.items()
        }
        self._written: dict[str, Path] = {}
        source.mkdir(parents=True)
        (extra / "_static").mkdir(parents=True)
        (extra / "_static" / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")

    def write_pages(self, lessons: Sequence[Lesson]) -> None:
        """Write lessons and documents; pages that were already written from the same path stay as they are.

        Args:
            lessons: Lessons, each with the path of its executed notebook.
        """
        pages = {f"notebooks/{lesson.path.name}": lesson.path for lesson in lessons}
        pages |= {self._name(path): path for paths in self.documents.values() for path in paths}
        for name, path in pages.items():
            if self._written.get(name) != path:
                self._write_page(name, path, pages)
                self._written[name] = path

    def write_reference(self) -> None:
        """Write a page for each module of the library."""
        write_reference(self.source / "reference")

    def write_first_page(self, lessons: Sequence[Lesson], note: str) -> None:
        """Write index.md.

        Args:
            lessons: Lessons of the book, in their order.
            note: Sentence about where the outputs come from, in Markdown.
        """
        trees = {"Lessons": [f"notebooks/{lesson.path.name}" for lesson in lessons]}
        trees |= {part: [self._name(path) for path in paths] for part, paths in self.documents.items()}
        if (self.source / "reference").exists():
            trees["Library"] = ["reference/index"]
        failures = [self.private.sub("", lesson.failure) for lesson in lessons if lesson.failure]
        text = first_page(lessons, note, failures, trees, self.source)
        (self.source / "index.md").write_text(text, encoding="utf-8")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _write_page(self, name: str, path: Path, pages: dict[str, Path]) -> None:
        target = self.source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".ipynb":
            target.write_text(self._settled(path.read_text(encoding="utf-8"), name, pages), encoding="utf-8")
            return
        notebook = nbformat.read(path, as_version=4)
        notebook = cleaned(blank_lesson(notebook) if self.blank else notebook, self.private)
        (self.extra / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, self.extra / name)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = self._settled(cell.source, name, pages)
        nbformat.write(with_live_figures(notebook), target)

    def _settled(self, markdown: str, name: str, pages: dict[str, Path]) -> str:
        """Keep links to pages of the book, copy other files that links lead to, and remove links to missing files."""

        def settle(link: re.Match[str]) -> str:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link[2]))
            path = self.root / target
            if target in pages:
                return link[0]
            if target.startswith("..") or not path.is_file() or path.suffix in (".md", ".ipynb"):
                return link[1]
            (self.source / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.source / target)
            return link[0]

        return _LINK.sub(settle, markdown)
