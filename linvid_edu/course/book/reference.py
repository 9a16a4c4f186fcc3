"""The reference: sources of its pages, and the markup of docstrings."""

import ast
import pkgutil
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PACKAGE_FOLDER = Path(__file__).parents[2]
LEFT_OUT = (  # modules without public functions to call, and the solutions of the exercises
    "cli",
    "course.book",
    "course.exercises.lesson_",
    "lazy",
)
SHARED = "Files that every room may use."

_OWN_LINES = re.compile(r"^(?:(?:\w+\([^)]*\)|\S+) [=←≈] |\w[\w, ]*: )")
_MARKUP = re.compile(r"(``.+?``|`.+?`)|([|*])")


def setup(app: Sphinx) -> None:
    """Register the functions that process docstrings."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _mark_up, priority=400)  # before napoleon, which reads the sections


def modules() -> list[str]:
    """Return the names of the modules and packages in the reference, without "linvid_edu."."""
    walked = pkgutil.walk_packages([str(PACKAGE_FOLDER)], "linvid_edu.")
    names = (module.name.removeprefix("linvid_edu.") for module in walked)
    return sorted(name for name in names if not name.startswith(LEFT_OUT))


def write_reference(folder: Path) -> None:
    """Write the sources of the reference: a page for each module, grouped by room.

    Args:
        folder: Folder of the sources; it must not exist.
    """
    names = modules()
    folder.mkdir(parents=True)
    rooms = [name for name in names if "." not in name and is_package(name)]
    files = [name for name in names if "." not in name and not is_package(name)]
    for name in names:
        children = [child for child in names if child.rpartition(".")[0] == name]
        page = _package_page(name, children) if is_package(name) else _module_page(name)
        (folder / _file(name)).write_text(page, encoding="utf-8")
    sections = [f"## [{room}](<{room}.md>)\n\n{_docstring(room)}\n\n{_table(_below(room, names))}" for room in rooms]
    sections.append(f"## Shared\n\n{SHARED}\n\n{_table(files)}")
    introduction = (
        "# Reference\n\nEvery public function and class, with its equation, shapes and sources. The letters of sizes "
        "and axes are in `linvid_edu.shapes`. Each room has one folder of the library."
    )
    index = "\n\n".join([introduction, *sections, _toctree([*rooms, *files])])
    (folder / "index.md").write_text(index, encoding="utf-8")


def marked_up(docstring: str) -> str:
    """Return a docstring with equations and lists of names kept line by line, and with escaped bars and stars.

    A paragraph keeps its lines if one of them begins like "out = " or "name: ".
    """
    return "\n\n".join(map(_paragraph, docstring.split("\n\n")))


def _paragraph(text: str) -> str:
    escaped = _MARKUP.sub(lambda match: match[1] or "\\" + match[2], text)
    if any(map(_OWN_LINES.match, text.splitlines())):
        return "\n".join(f"| {line}" for line in escaped.splitlines())
    return escaped


def _mark_up(app: Sphinx, what: str, name: str, object: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [*marked_up("\n".join(lines)).splitlines(), ""]


def _skip(app: Sphinx, what: str, name: str, object: Any, skip: bool, options: Any) -> bool | None:
    """Leave out imports from elsewhere, and the fields of named tuples, which the docstring of the class describes."""
    elsewhere = not (getattr(object, "__module__", None) or "linvid_edu").startswith("linvid_edu")
    return True if elsewhere or type(object).__name__ == "_tuplegetter" else None


def is_package(name: str) -> bool:
    """Return whether a name of ``modules`` is a package."""
    return PACKAGE_FOLDER.joinpath(*name.split(".")).is_dir()


def _below(package: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{package}.") and not is_package(name)]


def _module_page(name: str) -> str:
    """Return the page of a module, which is not in the sidebar: all modules there would cost a quarter of the time."""
    title = f"linvid_edu.{name}"
    return (
        f":orphan:\n\n{title}\n{'=' * len(title)}\n\n"
        f".. automodule:: {title}\n   :members:\n   :member-order: bysource\n"
    )


def _package_page(name: str, children: list[str]) -> str:
    """Return a page with the modules of a package. Its public names are documented where they are defined."""
    title = f"linvid_edu.{name}"
    parts = [f"# {title}", f"```{{eval-rst}}\n.. py:module:: {title}\n```", _docstring(name), _table(children)]
    return "\n\n".join([*parts, _toctree([child for child in children if is_package(child)])])


def _table(names: list[str]) -> str:
    rows = [f"| [linvid_edu.{name}](<{_file(name)}>) | {_summary(name)} |" for name in names]
    return "\n".join(["| module | content |", "|---|---|", *rows])


def _toctree(names: list[str]) -> str:
    entries = "\n".join(names)
    return f"```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def _file(name: str) -> str:
    return f"{name}.{'md' if is_package(name) else 'rst'}"


def _docstring(name: str) -> str:
    path = PACKAGE_FOLDER.joinpath(*name.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def _summary(name: str) -> str:
    return _docstring(name).split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
