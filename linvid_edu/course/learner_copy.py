"""The course in a folder of the learner's: copied there, and brought up to date without touching what they changed."""

import difflib
import hashlib
import json
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from linvid_edu.files import atomic_path, materials

from .exercises.student import student_notebook
from .lessons import Lesson, find_lessons

RECORD = ".linvid-lessons.json"
NEW, UNCHANGED, CHANGED = "new", "unchanged", "changed by you"


class Item(NamedTuple):
    """One file of the course, and the learner's copy of it.

    name: below the folder, such as "notebooks/00_start_here.ipynb"
    ours: what this version of the course puts there
    theirs: what the learner has there; None where there is nothing
    copied: SHA-256 of what the course put there last; "" where it put nothing
    """

    name: str
    ours: bytes
    theirs: bytes | None
    copied: str

    @property
    def state(self) -> str:
        """Is the learner's file missing, as it was copied, or changed since? A lesson that was run is changed."""
        if self.theirs is None:
            return NEW
        return UNCHANGED if self.theirs == self.ours or sha256(self.theirs) == self.copied else CHANGED

    @property
    def update(self) -> bool:
        """Does this version bring something that the folder was not given yet?"""
        return self.theirs != self.ours and (self.theirs is None or sha256(self.ours) != self.copied)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def compare(folder: str | Path, *, solved: bool | None = None) -> list[Item]:
    """Compare every file of the course with the learner's copy of it; nothing is written.

    Args:
        folder: the learner's; it need not exist.
        solved: lessons with the exercises' solutions in place, or with blanks; None means as the folder has them,
            and blanks in a new one.

    Raises:
        ValueError: the folder is a file, or the course's own.
    """
    folder = _checked(folder)
    record = _record(folder)
    solved = record["solved"] if solved is None else solved
    return [
        Item(name, _ours(path, solved), _read(folder / name), record["files"].get(name, ""))
        for name, path in _sources()
    ]


def lessons(folder: str | Path) -> list[tuple[Lesson, Item]]:
    """Return the lessons of this version in their order, each with the learner's copy of it.

    Raises:
        ValueError: as for ``compare``.
    """
    items = {item.name: item for item in compare(folder)}
    return [(lesson, items[f"notebooks/{lesson.path.name}"]) for lesson in find_lessons(materials().notebooks)]


def copy_course(folder: str | Path, *, solved: bool | None = None) -> dict[str, Path]:
    """Copy the course into a folder, or bring the folder up to date; files that the learner changed stay as they are.

    Args:
        folder: the learner's; made if it is missing.
        solved: as for ``compare``.

    Returns:
        Name → path of every file that was written. Where the learner changed a file that this version has anew, the
        path is another one beside it: NAME.new.ipynb.

    Raises:
        ValueError: as for ``compare``.
    """
    folder = _checked(folder)
    record = _record(folder)
    solved = record["solved"] if solved is None else solved
    files, written = dict(record["files"]), {}
    for item in compare(folder, solved=solved):
        if item.update:
            path = folder / item.name
            if item.state == CHANGED:
                path = _beside(path, item.ours, folder, files)
            with atomic_path(path) as temporary:
                temporary.write_bytes(item.ours)
            written[item.name] = path
            files[path.relative_to(folder).as_posix()] = sha256(item.ours)
        files[item.name] = sha256(item.ours)
    with atomic_path(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"solved": solved, "files": files}, indent=1), encoding="utf-8")
    return written


def difference(item: Item) -> str:
    """Return what an update would change in a notebook's cells, as a unified diff; outputs are left out.

    Args:
        item: a notebook that both sides have.
    """
    theirs, ours = (_cells(data) for data in (item.theirs or b"", item.ours))
    return "\n".join(difflib.unified_diff(theirs, ours, f"{item.name} (yours)", f"{item.name} (new)", lineterm=""))


def _cells(data: bytes) -> list[str]:
    """Return the lines of a notebook's cells, each cell under a line that names its type."""
    try:
        cells = json.loads(data)["cells"]
        return list(chain.from_iterable((f"[{c['cell_type']}]", *"".join(c["source"]).splitlines()) for c in cells))
    except (ValueError, KeyError, TypeError):
        return ["(not a notebook)"]


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield name and path of every file of the course; scripts and hidden files are the authors' own."""
    course = materials()
    for path in sorted(chain.from_iterable(folder.rglob("*") for folder in course)):
        name = path.relative_to(course.root).as_posix()
        if path.is_file() and path.suffix not in (".py", ".pyc") and "/." not in name:
            yield name, path


def _ours(path: Path, solved: bool) -> bytes:
    if solved or path.suffix != ".ipynb":
        return path.read_bytes()
    return nbformat.writes(student_notebook(nbformat.read(path, as_version=4))).encode()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _beside(path: Path, data: bytes, folder: Path, files: dict[str, str]) -> Path:
    """Return a path beside a changed file that is free, or holds what the course put there."""
    names = (f"{path.stem}.new{number or ''}{path.suffix}" for number in chain([0], count(2)))
    return next(beside for beside in map(path.with_name, names) if _free(beside, data, folder, files))


def _free(path: Path, data: bytes, folder: Path, files: dict[str, str]) -> bool:
    """May `data` be written to a path without a loss?"""
    old = _read(path)
    return old is None or old == data or sha256(old) == files.get(path.relative_to(folder).as_posix())


def _checked(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder, or one to be made")
    if folder.resolve() == materials().root.resolve():
        raise ValueError(f"{folder} holds the course itself: name another folder for your copy")
    return folder


def _record(folder: Path) -> dict[str, Any]:
    """Read what was copied into a folder; where that is not known, every file that differs counts as the learner's."""
    empty: dict[str, Any] = {"solved": False, "files": {}}
    try:
        return {**empty, **json.loads((folder / RECORD).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        return empty
