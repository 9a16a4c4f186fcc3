"""Write a file completely or not at all, and find the folders of the course."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, and move the file to `path` when the ``with`` block ends without an exception.

    After an exception the temporary file is removed and `path` is unchanged. Missing parent folders are created.

    Args:
        path: Path of the file to write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        os.replace(temporary, path)


class Materials(NamedTuple):
    """The folders of the course. They are side by side, so that relative paths of a lesson work in any copy.

    notebooks: the lessons, and experiments/ with the notebook that a sweep runs and the report
    data_samples: clips, their manifest, and checkpoints/ with trained models
    results: protocol, grids and tables of the ablation
    docs: the teacher's guide, and a comparison of paper, reference implementation and library
    """

    notebooks: Path
    data_samples: Path
    results: Path
    docs: Path

    @property
    def root(self) -> Path:
        """The folder that contains the others."""
        return self.notebooks.parent


def materials() -> Materials:
    """Return the folders of the course: those in the wheel (see pyproject.toml), or those of the repository."""
    package = Path(__file__).parent
    in_wheel = package / "_course"
    root = in_wheel if in_wheel.is_dir() else package.parent
    return Materials(*(root / name for name in Materials._fields))
