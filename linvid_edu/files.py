"""Write files whole or not at all, and find the files of the course."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it there when the ``with`` block ends well.

    After an exception the temporary file is removed and `path` is as it was. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        os.replace(temporary, path)


class Materials(NamedTuple):
    """The folders of the course, side by side, so that a lesson's relative paths hold wherever they are copied.

    notebooks: lessons, and experiments/ with what a sweep runs and the report
    data_samples: clips, their manifest, and checkpoints/ with trained models
    results: the ablation's protocol, grids and tables
    docs: the teacher's guide, and paper, reference implementation and library row by row
    """

    notebooks: Path
    data_samples: Path
    results: Path
    docs: Path

    @property
    def root(self) -> Path:
        """The folder that holds the others."""
        return self.notebooks.parent


def materials() -> Materials:
    """Return the folders of the course that belong to this package; pyproject.toml puts them into the wheel."""
    package = Path(__file__).parent
    inside = package / "_course"
    root = inside if inside.is_dir() else package.parent
    return Materials(*(root / name for name in Materials._fields))
