"""Keep a time limit: start only work that fits, and write what there is after each piece."""

import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

from linvid_edu.files import atomic_path

MARGIN = 1.2  # work may take this much longer than expected


class OutOfTime(RuntimeError):
    """The time limit came in the middle of a piece of work."""


class Report:
    """Rows of results by part, in one JSON file that is whole at any time.

    Args:
        path: the file.
        head: what stands first in it.
        seconds: the time limit, from now.
        clock: in seconds.
    """

    def __init__(self, path: Path, head: dict, *, seconds: float, clock: Callable[[], float] = time.monotonic):
        self.path, self.clock = path, clock
        self._start, self._seconds = clock(), seconds
        self.content: dict = {**head, "seconds": 0.0, "left_out": []}

    def left(self) -> float:
        """Return the seconds until the limit."""
        return self._start + self._seconds - self.clock()

    def check(self) -> None:
        """Raise OutOfTime where the limit is reached."""
        if self.left() <= 0:
            raise OutOfTime(f"the limit of {self._seconds:g} s is reached")

    def do(self, part: str, name: str, seconds: float, work: Callable[[], list[dict]]) -> list[dict]:
        """Do a piece of work if it fits, keep its rows, and write the file; return the rows.

        Args:
            part: under which its rows are kept.
            name: by which it is printed, and listed where it is left out.
            seconds: how long it is expected to take.
            work: returns its rows. A RuntimeError, such as OutOfTime or a GPU whose memory is full, leaves it out.
        """
        if MARGIN * seconds >= self.left():
            self.leave_out(part, name, f"may take {MARGIN * seconds:.0f} s, {max(0.0, self.left()):.0f} s are left")
            return []
        before = self.clock()
        try:
            rows = work()
        except RuntimeError as error:
            self.leave_out(part, name, f"{type(error).__name__}: {error}".splitlines()[0])
            return []
        print(f"{part:9} {name:60} {self.clock() - before:6.1f} s", flush=True)
        self.add(part, rows)
        return rows

    def leave_out(self, part: str, name: str, why: str) -> None:
        """List what is left out, and write the file."""
        print(f"{part:9} {name:60} left out: {why}", flush=True)
        self.add("left_out", [{"part": part, "name": name, "why": why}])

    def add(self, part: str, rows: list[dict]) -> None:
        """Keep rows, and write the file."""
        self.content[part] = [*self.content.get(part, []), *rows]
        self.content["seconds"] = self.clock() - self._start
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(rounded(self.content), indent=1, allow_nan=False))


def rounded(value: object) -> object:
    """Return JSON-able values with numbers to five significant digits, and None for what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def file_name(card: str) -> str:
    """Turn a card's name into a file's: "NVIDIA H100 80GB" into "nvidia-h100-80gb.json"."""
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-") + ".json"


def table(rows: list[dict], columns: dict[str, str]) -> str:
    """Lay rows out under headings.

    Args:
        rows: values by name; one that is missing or None shows as –.
        columns: name to heading.
    """

    def cell(value: object) -> str:
        return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = [list(columns.values()), *([cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
