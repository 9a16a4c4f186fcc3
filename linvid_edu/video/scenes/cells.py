"""What scenes made of cells share: a grid of cells of 4 × 4 pixels on a blank canvas, one cell per token."""

import colorsys
import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .canvas import GRAY, WHITE, Floats, Integers, Photographs, Scene, distinct, within

CELL = 4  # side of a cell in pixels
SIDES = ("left", "right", "top", "bottom")
# 8 bright hues, then the same hues at half the brightness: white is for bars, black for the flash, gray for blank cells
CELL_COLORS = np.array(
    [[255 * c for c in colorsys.hsv_to_rgb(hue / 8, 0.9, value)] for value in (1.0, 0.5) for hue in range(8)],
    dtype=np.float32,
)
# pixels of the bar on each side of a cell, (side row column)
BARS = np.zeros((4, CELL, CELL), dtype=bool)
BARS[0, :, 0] = BARS[1, :, -1] = BARS[2, 0, :] = BARS[3, -1, :] = True
# every set of as many pixels as a bar has, except the four bars themselves, (texture row column)
_CHOICES = np.array(list(combinations(range(CELL * CELL), CELL)))
TEXTURES = (_CHOICES[..., None] == np.arange(CELL * CELL)).any(axis=1).reshape(-1, CELL, CELL)
TEXTURES = TEXTURES[~(TEXTURES[:, None] == BARS).all(axis=(-1, -2)).any(axis=1)]


@dataclass(frozen=True)
class CellScene(Scene):
    """A scene made of cells. Each token of a model with kernel 4 and stride 4 sees one cell.

    Args:
        grid: Number of cells along each side of a frame. Blank cells are tokens too, so a larger grid adds irrelevant
            tokens.
        objects: Number of colored objects, including the target.
        clutter: Number of clutter cells. Each shows one of the object colors and four random white pixels that form no
            bar.
        noise: Standard deviation of the pixel noise as a share of the full range, 0 to 1.

    Raises:
        ValueError: A setting is out of range, or the grid has too few cells.
    """

    grid: int = 8
    objects: int = 2
    clutter: int = 0
    noise: int | float = 0.1

    def __post_init__(self) -> None:
        within("objects", self.objects, 1, self.colors, "each object has its own color")
        within("clutter", self.clutter, 0, None, "clutter is the number of textured cells in a frame")
        within("noise", self.noise, 0, 1, "give the standard deviation as a share of the range, such as 0.1")
        least = max(4, int(np.ceil(np.sqrt(self.occupied))))
        within("grid", self.grid, least, None, f"{self.occupied} cells are occupied; set grid={least} or more")

    @property
    def size(self) -> int:
        """Height and width of a frame in pixels."""
        return CELL * self.grid

    @property
    def colors(self) -> int:
        """Number of colors of objects and clutter."""
        return len(CELL_COLORS)

    @property
    def occupied(self) -> int:
        """Number of cells in a frame that are not blank."""
        return self.objects + self.clutter

    def backdrop(self, rng: np.random.Generator, count: int, photographs: Photographs | None) -> Floats:
        """Return one blank canvas per clip, (b 3 h w)."""
        if photographs is not None:
            raise ValueError(f"{type(self).__name__} takes no photographs: leave them out")
        return np.full((count, 3, self.size, self.size), GRAY, dtype=np.float32)

    def places(self, rng: np.random.Generator, count: int) -> Integers:
        """Choose a different cell for everything in a frame, clutter last, (count occupied)."""
        return distinct(rng, count, self.grid**2, self.occupied)

    def boxes(self, cell: Integers) -> Floats:
        """Return the boxes of cells in pixels, (…) → (… 4)."""
        corner = np.stack([cell % self.grid, cell // self.grid], axis=-1)
        return (CELL * np.concatenate([corner, corner + 1], axis=-1)).astype(np.float32)


def chances(rng: np.random.Generator, count: int, *shapes: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Draw uniform numbers from 0 to 1, clip by clip, so that the result does not depend on the size of a batch.

    Colors and sides of objects come from this stream; places and clutter come from its children. So a clip keeps its
    objects if only clutter or grid change, and also their places if only clutter changes.

    Args:
        rng: Random stream of the objects.
        count: Number of clips.
        shapes: Shapes of the arrays, per clip.

    Returns:
        One array per shape, (count, *shape).
    """
    sizes = [math.prod(shape) for shape in shapes]
    parts = np.split(rng.random((count, sum(sizes))), np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(count, *shape) for part, shape in zip(parts, shapes, strict=True)]


def with_bars(color: Integers, side: Integers) -> Floats:
    """Return cells of a color with a white bar on one side, (…) → (… 3 4 4)."""
    return np.where(BARS[side][..., None, :, :], np.float32(WHITE), CELL_COLORS[color][..., None, None])


def cluttered(rng: np.random.Generator, shape: tuple[int, ...], colors: int) -> Floats:
    """Return cells of a random color with four random white pixels that form no bar, (… 3 4 4)."""
    white = TEXTURES[rng.integers(len(TEXTURES), size=shape)]
    color = CELL_COLORS[rng.integers(colors, size=shape)]
    return np.where(white[..., None, :, :], np.float32(WHITE), color[..., None, None])


def put(background: Floats, cell: Integers, pictures: Floats) -> Floats:
    """Paint pictures (b t k 3 4 4) into the cells (b t k) of frames (b t 3 h w), in place."""
    b, t, _, h, w = background.shape
    cells = background.reshape(b, t, 3, h // CELL, CELL, w // CELL, CELL)
    clip, frame = np.ogrid[:b, :t]
    row, column = np.divmod(cell, w // CELL)
    cells[clip[..., None], frame[..., None], :, row, :, column, :] = pictures
    return background
