"""Run the lessons, and let Sphinx write a static site from them."""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from linvid_edu.course.lessons import LESSONS, CourseError, Lesson, run_course

from .notebooks import beginning
from .sources import write_sources

SETTINGS: dict[str, Any] = {
    "project": "linvid-edu",
    "extensions": [
        "myst_nb",
        "sphinx.ext.autodoc",
        "sphinx.ext.napoleon",
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
    "html_show_search_summary": False,  # it fetches pages, which browsers refuse to a site opened as files
    "html_use_index": False,
    "html_domain_indices": False,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "suppress_warnings": ["misc.highlighting_failure"],  # code with a shell command in it is still highlighted
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 4,
    "default_role": "literal",
    "smartquotes_action": "D",
    "autodoc_preserve_defaults": True,
    "autodoc_typehints_format": "short",
    "maximum_signature_line_length": 80,
    "pygments_style": "default",
}
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class BookError(RuntimeError):
    """Sphinx warned of something in the sources; the book is written all the same."""


def build_course(video: str | Path | None, output: str | Path, *, lessons: str | Path = LESSONS) -> Path:
    """Execute every lesson on a clip, with a progress bar for each, and write the book from them.

    Args:
        video: a video file for the lessons that take one; None means each lesson's own sample clip.
        output: the folder for the book; its notebooks/ also holds the executed notebooks.
        lessons: the folder of the notebooks.

    Returns:
        The path of index.html.

    Raises:
        VideoError: the clip cannot be read; nothing was run.
        CourseError: some lessons did not run to their end. The book is there, with what they did until then.
        BookError: as for ``build_book``.
    """
    clip = "each lesson's own sample" if video is None else f"`{Path(video).name}`"
    note = f"The lessons were executed just now; every number and figure in them comes from that run. Clip: {clip}."
    with tempfile.TemporaryDirectory() as folder:
        executed = run_course(video, folder, lessons)
        private = [] if video is None else [Path(video).parent]
        index = build_book(executed, output, root=Path(lessons).parent, note=note, private=private)
    failures = [lesson.failure for lesson in executed if lesson.failure]
    if failures:
        count = f"{len(failures)} of {len(executed)} lessons did not run to their end"
        raise CourseError("\n".join((f"{count}; the book has them up to there: {index}", *failures)))
    return index


def build_book(
    lessons: Sequence[Lesson], output: str | Path, *, root: str | Path, note: str, private: Iterable[Path] = ()
) -> Path:
    """Write the book from executed lessons.

    Args:
        lessons: each with the path of its executed notebook.
        output: the folder for the book; files of other names in it stay.
        root: the folder that holds notebooks/ and the other parts of the book, as far as it has them: results/, docs/,
            data_samples/.
        note: a sentence for the first page on where the outputs come from, in Markdown.
        private: more folders whose names are cut off paths in the notebooks, beside those of this machine.

    Returns:
        The path of index.html.

    Raises:
        BookError: a source has a fault, such as a link that leads nowhere. The book is there.
    """
    root, output = Path(root).resolve(), Path(output)
    own = [root, *private, Path(sys.prefix), Path(tempfile.gettempdir()), Path.home()]
    hidden = beginning(str(path) for folder in own for path in {folder.absolute(), folder.resolve()} if path.name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        write_sources(folder / "source", folder / "extra", lessons, root, note, hidden)
        warnings = _run_sphinx(folder)
        shutil.copytree(folder / "site", output, dirs_exist_ok=True)
    if warnings:
        raise BookError("\n".join((f"the book is written, with faults: {output / 'index.html'}", *warnings)))
    return output / "index.html"


def _run_sphinx(folder: Path) -> list[str]:
    """Write `folder`/site from `folder`/source, and return the warnings."""
    told = io.StringIO()
    settings = {**SETTINGS, "html_extra_path": [str(folder / "extra")]}
    with docutils_namespace():
        app = Sphinx(
            folder / "source",
            None,
            folder / "site",
            folder / "doctrees",
            "html",
            confoverrides=settings,
            status=None,
            warning=told,
        )
        app.build()
    (folder / "site" / ".buildinfo").unlink(missing_ok=True)
    return _COLOR.sub("", told.getvalue()).replace(f"{folder / 'source'}/", "").splitlines()
