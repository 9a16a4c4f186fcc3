"""Run the lessons, and write a static site from them with Sphinx."""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from linvid_edu.course.lessons import LESSONS, CourseError, Lesson, find_lessons, run_lessons
from linvid_edu.video.reading import load_clip

from .notebooks import path_pattern
from .sources import Sources

SETTINGS: dict[str, Any] = {
    "project": "linvid-edu",
    "extensions": [
        "myst_nb",
        "sphinx.ext.autodoc",
        "sphinx.ext.napoleon",
        "sphinx_codeautolink",
        *(f"linvid_edu.course.book.{name}" for name in ("equations", "links", "notebooks", "reference")),
    ],
    "html_theme": "furo",
    "html_title": "linvid-edu",
    "html_static_path": [str(Path(__file__).with_name("static"))],
    "html_css_files": ["book.css"],
    "html_js_files": [("book.js", {"defer": "defer"})],
    "html_math_renderer": "mathml",
    "html_copy_source": False,
    "html_show_copyright": False,
    "html_show_search_summary": False,  # it fetches pages, which browsers do not allow on a site opened as files
    "html_use_index": False,
    "html_domain_indices": False,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "suppress_warnings": ["misc.highlighting_failure", "codeautolink.parse_block"],  # code with a shell command in it
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 4,
    "default_role": "literal",
    "smartquotes_action": "D",
    "autodoc_preserve_defaults": True,
    "autodoc_typehints_format": "short",
    "codeautolink_concat_default": True,  # the cells of a lesson share their imports
    "maximum_signature_line_length": 80,
    "pygments_style": "default",
}
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class BookError(RuntimeError):
    """Sphinx found faults in the sources. The book is written nevertheless."""


class Book:
    """A book in progress: change its sources, then build what depends on them.

    Use it as a context manager, which removes its temporary folder.

    Args:
        output: Folder of the book; other files in it are kept.
        root: Folder with notebooks/ and the other parts of the book, as far as it has them: results/, docs/,
            data_samples/.
        private: Folders whose names are removed from paths in notebooks, besides those of this machine.
        blank: Whether exercises are blank.
    """

    def __init__(self, output: str | Path, *, root: str | Path, private: Iterable[Path] = (), blank: bool = False):
        self.index = Path(output) / "index.html"
        self.warnings: list[str] = []
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name).resolve()
        root = Path(root).resolve()
        folders = [root, *private, Path(sys.prefix), Path(tempfile.gettempdir()), Path.home()]
        hidden = path_pattern(
            str(path) for folder in folders for path in {folder.absolute(), folder.resolve()} if path.name
        )
        self.sources = Sources(self._folder / "source", self._folder / "extra", root, hidden, blank=blank)

    def __enter__(self) -> "Book":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._temporary.cleanup()

    def build(self, *, draft: bool = False) -> None:
        """Write the pages whose sources changed to the output folder.

        Args:
            draft: Whether to leave out links in code, which halves the time; the next build then writes all pages.
        """
        messages = io.StringIO()
        settings = {**SETTINGS, "html_extra_path": [str(self._folder / "extra")]}
        if draft:
            settings["extensions"] = [name for name in settings["extensions"] if name != "sphinx_codeautolink"]
        source, site = self._folder / "source", self._folder / "site"
        with docutils_namespace():
            app = Sphinx(
                source,
                None,
                site,
                self._folder / ("draft" if draft else "doctrees"),
                "html",
                confoverrides=settings,
                status=None,
                warning=messages,
            )
            app.build()
        if not draft:  # the next build reports the same faults
            self.warnings += _COLOR.sub("", messages.getvalue()).replace(f"{source}/", "").splitlines()
        skip = shutil.ignore_patterns(".buildinfo", "codeautolink-cache.json")
        shutil.copytree(site, self.index.parent, dirs_exist_ok=True, ignore=skip, copy_function=_copy_if_changed)

    def check(self) -> None:
        """Raise BookError if Sphinx found faults."""
        if self.warnings:
            faults = dict.fromkeys(self.warnings)
            raise BookError("\n".join((f"the book is written, with faults: {self.index}", *faults)))


def build_book(
    lessons: Sequence[Lesson],
    output: str | Path,
    *,
    root: str | Path,
    note: str,
    private: Iterable[Path] = (),
    blank: bool = False,
) -> Path:
    """Write the book from executed lessons.

    Args:
        lessons: Lessons, each with the path of its executed notebook.
        output: Folder of the book; other files in it are kept.
        root: Folder with notebooks/ and the other parts of the book, as far as it has them: results/, docs/,
            data_samples/.
        note: Sentence for the first page about where the outputs come from, in Markdown.
        private: Folders whose names are removed from paths in notebooks, besides those of this machine.
        blank: Whether exercises are blank.

    Returns:
        The path of index.html.

    Raises:
        BookError: A source has a fault, such as a link that leads nowhere. The book is written nevertheless.
    """
    with Book(output, root=root, private=private, blank=blank) as book:
        book.sources.write_pages(lessons)
        book.sources.write_reference()
        book.sources.write_first_page(lessons, note)
        book.build()
        book.check()
        return book.index


def build_course(
    video: str | Path | None,
    output: str | Path,
    *,
    lessons: str | Path = LESSONS,
    report: Callable[[str], object] = print,
) -> Path:
    """Write the book with the stored outputs, then run every lesson and replace its page when it has finished.

    Args:
        video: Video file for the lessons that show one; None means each lesson's own sample clip.
        output: Folder of the book; its notebooks/ also holds the executed notebooks.
        lessons: Folder of the notebooks.
        report: Called with a line of text when the book can be opened, and when a lesson has finished.

    Returns:
        The path of index.html.

    Raises:
        VideoError: The clip cannot be read; nothing was run.
        CourseError: Some lessons stopped with an error. The book has their outputs up to the error.
        BookError: A source has a fault, such as a link that leads nowhere. The book is written nevertheless.
    """
    if video is not None:
        load_clip(video, num_frames=2, size=16)  # an unreadable clip is reported here rather than in a lesson
    latest = {lesson.name: lesson for lesson in find_lessons(lessons)}
    private = [] if video is None else [Path(video).parent]
    with Book(output, root=Path(lessons).parent, private=private) as book, tempfile.TemporaryDirectory() as folder:
        stored = list(latest.values())
        running = "The lessons are running now. Reload a page to see its new outputs."
        book.sources.write_pages(stored)
        book.sources.write_first_page(stored, running)
        book.build(draft=True)
        report(f"{book.index}: open it now; each lesson is replaced when it has run")
        with run_lessons(stored, folder, video, report=report) as finished:
            book.sources.write_reference()
            book.sources.write_first_page(stored, running)
            book.build()
            for batch in finished:
                latest.update((lesson.name, lesson) for lesson in batch)
                book.sources.write_pages(list(latest.values()))
                book.build()
        executed = list(latest.values())
        book.sources.write_first_page(executed, _note(video))
        book.build()
        failures = [lesson.failure for lesson in executed if lesson.failure]
        if failures:
            summary = f"{len(failures)} of {len(executed)} lessons stopped with an error; see {book.index}"
            raise CourseError("\n".join((summary, *failures)))
        book.check()
        return book.index


def _note(video: str | Path | None) -> str:
    clip = "its own sample clip" if video is None else f"the clip `{Path(video).name}`"
    today = date.today()
    day = f"{today:%B} {today.day}, {today.year}"
    return f"The lessons ran on {day}, each on {clip}. All numbers and figures are from that run."


def _copy_if_changed(source: str, target: str) -> str:
    old, new = Path(target), Path(source)
    if old.exists() and (old.stat().st_mtime_ns, old.stat().st_size) == (new.stat().st_mtime_ns, new.stat().st_size):
        return target
    return shutil.copy2(source, target)
