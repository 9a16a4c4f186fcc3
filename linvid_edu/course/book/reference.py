"""The API reference: the sources of its pages, and docstrings as they are written here turned into Sphinx's markup."""

import ast
import pkgutil
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PACKAGE = Path(__file__).parents[2]
LEFT_OUT = ("cli", "course.book", "lazy")  # the command line has --help, the book is what makes these pages

_OWN_LINES = re.compile(r"^(?:(?:\w+\([^)]*\)|\S+) [=←≈] |\w[\w, ]*: )")
_MARKUP = re.compile(r"(``.+?``|`.+?`)|([|*])")


def setup(app: Sphinx) -> None:
    """Connect what reads the docstrings."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _mark_up, priority=400)  # before napoleon, which reads the sections


def modules() -> list[str]:
    """Return the names of the library's modules that the reference shows."""
    walked = pkgutil.walk_packages([str(PACKAGE)], "linvid_edu.")
    names = (module.name.removeprefix("linvid_edu.") for module in walked)
    return sorted(name for name in names if not any(name == left or name.startswith(f"{left}.") for left in LEFT_OUT))


def write_reference(folder: Path) -> None:
    """Write the sources of the reference: a page for each module, and one that lists them with their first sentence."""
    names = modules()
    folder.mkdir(parents=True)
    for name in names:
        title = f"linvid_edu.{name}"
        page = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n   :members:\n   :member-order: bysource\n"
        (folder / f"{name}.rst").write_text(page, encoding="utf-8")
    rows = "\n".join(f"| [linvid_edu.{name}]({name}.rst) | {_summary(name)} |" for name in names)
    tree = "\n".join(names)
    (folder / "index.md").write_text(
        "# Reference\n\nEvery public function and class, with its equation, shapes and sources. Sizes and axes: "
        f"`linvid_edu.shapes`.\n\n| module | what is in it |\n|---|---|\n{rows}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n",
        encoding="utf-8",
    )


def marked_up(docstring: str) -> str:
    """Return a docstring with equations and lists of names kept line by line, and with bars and stars as they stand.

    A paragraph keeps its lines where one of them begins like "out = " or "name: ".
    """
    return "\n\n".join(map(_paragraph, docstring.split("\n\n")))


def _paragraph(text: str) -> str:
    escaped = _MARKUP.sub(lambda found: found[1] or "\\" + found[2], text)
    if any(map(_OWN_LINES.match, text.splitlines())):
        return "\n".join(f"| {line}" for line in escaped.splitlines())
    return escaped


def _mark_up(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [*marked_up("\n".join(lines)).splitlines(), ""]


def _skip(app: Sphinx, what: str, name: str, found: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what is imported from elsewhere, and the fields of named tuples, which their docstring describes."""
    elsewhere = not (getattr(found, "__module__", None) or "linvid_edu").startswith("linvid_edu")
    return True if elsewhere or type(found).__name__ == "_tuplegetter" else None


def _summary(name: str) -> str:
    path = PACKAGE.joinpath(*name.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
