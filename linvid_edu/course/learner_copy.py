"""The learner's copy of the course: a folder that updates without touching what the learner changed."""

import difflib
import hashlib
import json
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from linvid_edu.files import atomic_path, materials

from .blank_lessons import blank_lesson
from .lessons import Lesson, find_lessons

RECORD = ".linvid-lessons.json"
NEW, UNCHANGED, CHANGED = "new", "unchanged", "changed by you"
FOR_TEACHERS = {"docs/teaching.md"}  # gives away results that students guess in a lesson


class CourseFile(NamedTuple):
    """One file of the course, and the learner's copy of it.

    name: path below the folder, such as "notebooks/00_start_here.ipynb"
    latest: content in this version of the course
    current: content of the learner's file; None if there is none
    copied: SHA-256 of the content that was last copied there; "" if nothing was
    """

    name: str
    latest: bytes
    current: bytes | None
    copied: str

    @property
    def state(self) -> str:
        """State of the learner's file: missing, as it was copied, or changed. Running a lesson changes it."""
        if self.current is None:
            return NEW
        return UNCHANGED if self.current == self.latest or sha256(self.current) == self.copied else CHANGED

    @property
    def has_update(self) -> bool:
        """Whether this version has content that was not copied to the folder yet."""
        return self.current != self.latest and (self.current is None or sha256(self.latest) != self.copied)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def compare_copy(folder: str | Path, *, solved: bool | None = None) -> list[CourseFile]:
    """Compare every file of the course with the learner's copy of it. Nothing is written.

    Args:
        folder: The learner's folder; it need not exist.
        solved: True for lessons with solutions, False for blank exercises; None keeps what the folder has, and means
            blank exercises in a new folder.

    Raises:
        ValueError: The folder is a file, or the folder of the course itself.
    """
    folder = _checked(folder)
    record = _record(folder)
    solved = record["solved"] if solved is None else solved
    return [
        CourseFile(name, _latest(path, solved), _read(folder / name), record["files"].get(name, ""))
        for name, path in _course_files()
    ]


def copied_lessons(folder: str | Path) -> list[tuple[Lesson, CourseFile]]:
    """Return the lessons of this version in their order, each with the learner's copy of it.

    Args:
        folder: The learner's folder; it need not exist.

    Raises:
        ValueError: The folder is a file, or the folder of the course itself.
    """
    files = {file.name: file for file in compare_copy(folder)}
    return [(lesson, files[f"notebooks/{lesson.path.name}"]) for lesson in find_lessons(materials().notebooks)]


def copy_course(folder: str | Path, *, solved: bool | None = None) -> dict[str, Path]:
    """Copy the course into a folder, or update the folder. Files that the learner changed stay as they are.

    Args:
        folder: The learner's folder; it is created if it does not exist.
        solved: True for lessons with solutions, False for blank exercises; None keeps what the folder has, and means
            blank exercises in a new folder.

    Returns:
        Name → path of every file that was written. If the learner changed a file that has an update, the update is
        written beside it, as NAME.new.ipynb.

    Raises:
        ValueError: The folder is a file, or the folder of the course itself.
    """
    folder = _checked(folder)
    record = _record(folder)
    solved = record["solved"] if solved is None else solved
    hashes, written = dict(record["files"]), {}
    for file in compare_copy(folder, solved=solved):
        if file.has_update:
            path = folder / file.name
            if file.state == CHANGED:
                path = _path_beside(path, file.latest, folder, hashes)
            with atomic_path(path) as temporary:
                temporary.write_bytes(file.latest)
            written[file.name] = path
            hashes[path.relative_to(folder).as_posix()] = sha256(file.latest)
        hashes[file.name] = sha256(file.latest)
    with atomic_path(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"solved": solved, "files": hashes}, indent=1), encoding="utf-8")
    return written


def notebook_diff(file: CourseFile) -> str:
    """Return what an update would change in the cells of a notebook, as a unified diff without outputs.

    Args:
        file: A notebook that the learner has.
    """
    current, latest = (_cell_lines(data) for data in (file.current or b"", file.latest))
    return "\n".join(difflib.unified_diff(current, latest, f"{file.name} (yours)", f"{file.name} (new)", lineterm=""))


def _cell_lines(data: bytes) -> list[str]:
    """Return the lines of all cells of a notebook; each cell begins with a line that names its type."""
    try:
        cells = json.loads(data)["cells"]
        return list(chain.from_iterable((f"[{c['cell_type']}]", *"".join(c["source"]).splitlines()) for c in cells))
    except (ValueError, KeyError, TypeError):
        return ["(not a notebook)"]


def _course_files() -> Iterator[tuple[str, Path]]:
    """Yield name and path of every file of the course, without scripts, hidden files and what is for teachers."""
    course = materials()
    for path in sorted(chain.from_iterable(folder.rglob("*") for folder in course)):
        name = path.relative_to(course.root).as_posix()
        is_for_learners = path.suffix not in (".py", ".pyc") and "/." not in name and name not in FOR_TEACHERS
        if path.is_file() and is_for_learners:
            yield name, path


def _latest(path: Path, solved: bool) -> bytes:
    if solved or path.suffix != ".ipynb":
        return path.read_bytes()
    return nbformat.writes(blank_lesson(nbformat.read(path, as_version=4))).encode()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _path_beside(path: Path, data: bytes, folder: Path, hashes: dict[str, str]) -> Path:
    """Return the first path beside a changed file that can be written without losing the learner's work."""
    names = (f"{path.stem}.new{number or ''}{path.suffix}" for number in chain([0], count(2)))
    return next(beside for beside in map(path.with_name, names) if _loses_nothing(beside, data, folder, hashes))


def _loses_nothing(path: Path, data: bytes, folder: Path, hashes: dict[str, str]) -> bool:
    """Return whether a path is free, holds the same data, or holds what the course wrote there."""
    old = _read(path)
    return old is None or old == data or sha256(old) == hashes.get(path.relative_to(folder).as_posix())


def _checked(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose a folder")
    if folder.resolve() == materials().root.resolve():
        raise ValueError(f"{folder} is the folder of the course itself: choose another folder for your copy")
    return folder


def _record(folder: Path) -> dict[str, Any]:
    """Read what was copied into a folder. Without a readable record, all files that differ count as changed."""
    empty: dict[str, Any] = {"solved": False, "files": {}}
    try:
        return {**empty, **json.loads((folder / RECORD).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        return empty
