"""The sources of the book in a folder of their own: lessons, experiments, documents, and the first page."""

import posixpath
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import nbformat
from plotly.offline import get_plotlyjs

from linvid_edu.course.lessons import Lesson

from .notebooks import cleaned, with_live_figures
from .reference import write_reference

PARTS = {  # what is in the book beside the lessons, from the folder that holds theirs
    "Experiments": ("notebooks/experiments/*.ipynb",),
    "Documents": ("docs/*.md", "results/*.md", "data_samples/*.md", "data_samples/checkpoints/*.md"),
}
_LINK = re.compile(r"!?\[([^\]]*)\]\((?!\w+:)([^)\s#]+)(?:#[^)\s]*)?\)")


def write_sources(
    source: Path, extra: Path, lessons: Sequence[Lesson], root: Path, note: str, private: re.Pattern[str]
) -> None:
    """Write what Sphinx reads, and what it copies as it is.

    Args:
        source: the folder that Sphinx reads.
        extra: the folder that is copied into the site: the notebooks themselves, and plotly.js for live figures.
        lessons: each with the path of its executed notebook.
        root: the folder that holds notebooks/ and the other parts of the book, as far as it has them.
        note: a sentence for the first page, in Markdown.
        private: how paths begin that nobody else has; cut off in notebooks and failures.
    """
    parts = {"Lessons": {f"notebooks/{lesson.path.name}": lesson.path for lesson in lessons}}
    for part, patterns in PARTS.items():
        found = sorted(path for pattern in patterns for path in root.glob(pattern))
        parts[part] = {path.relative_to(root).as_posix(): path for path in found}
    pages = {name: path for part in parts.values() for name, path in part.items()}
    for name, path in pages.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            notebook = cleaned(nbformat.read(path, as_version=4), private)
            (extra / name).parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, extra / name)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = _settled(cell.source, name, pages, root, source)
            nbformat.write(with_live_figures(notebook), source / name)
        else:
            text = _settled(path.read_text(encoding="utf-8"), name, pages, root, source)
            (source / name).write_text(text, encoding="utf-8")
    write_reference(source / "reference")
    (source / "index.md").write_text(_first_page(lessons, parts, note, private), encoding="utf-8")
    (extra / "_static").mkdir(parents=True)
    (extra / "_static" / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def _settled(markdown: str, name: str, pages: dict[str, Path], root: Path, source: Path) -> str:
    """Keep the links to pages of the book, bring the files that others lead to, and unlink what is not in the book."""

    def settle(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link[2]))
        path = root / target
        if target in pages:
            return link[0]
        if target.startswith("..") or not path.is_file() or path.suffix in (".md", ".ipynb"):
            return link[1]
        (source / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, source / target)
        return link[0]

    return _LINK.sub(settle, markdown)


def _first_page(
    lessons: Sequence[Lesson], parts: dict[str, dict[str, Path]], note: str, private: re.Pattern[str]
) -> str:
    rows = []
    for lesson in lessons:
        page = f"notebooks/{lesson.path.name}"
        time = "stopped, see above" if lesson.failure else lesson.time
        rows.append(f'| [](<{page}>) | {time} | <a href="{page}" download>notebook</a> |')
    failures = [
        f"```{{admonition}} Stopped\n:class: error\n~~~text\n{private.sub('', lesson.failure)}\n~~~\n```"
        for lesson in lessons
        if lesson.failure
    ]
    trees = [_tree(part, names) for part, names in parts.items() if names]
    return "\n\n".join(
        [
            "# Linear attention for video, and why it needs help",
            note,
            *failures,
            "\n".join(["| lesson | time | |", "|---|---|---|", *rows]),
            "To change and run them yourself: `linvid lab`, or `make lab` in a clone. Inline code that names something "
            "of the library leads to its place in the [reference](reference/index.md).",
            *trees,
            _tree("Library", ["reference/index"]),
        ]
    )


def _tree(caption: str, names: Sequence[str] | dict[str, Path]) -> str:
    entries = "\n".join(f"/{posixpath.splitext(name)[0]}" for name in names)
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"
