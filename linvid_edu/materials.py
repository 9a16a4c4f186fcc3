"""Where the course lies: in a clone beside the package, in an installed wheel inside it."""

from pathlib import Path
from typing import NamedTuple

STAND_IN = "linvid-stand-in"  # the class of the picture that stands in for a saved widget without its kernel


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
