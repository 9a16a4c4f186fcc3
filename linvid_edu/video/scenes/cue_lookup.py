"""Cue lookup: in a single frame, the token of the cue must find one token among many by its content."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .canvas import WHITE, Floats, Integers
from .cells import CELL, CELL_COLORS, SIDES, CellScene, chances, cluttered, put, with_bars


@dataclass(frozen=True)
class CueLookup(CellScene):
    """A white-framed cue shows a color; the label is the side of the bar on the object of that color.

    Objects have different colors, and each has a bar on a random side. Clutter has the same colors and as many white
    pixels as a bar. A solver that ignores the cue and picks one of K objects is right for 1/K + (1 − 1/K)/4 of the
    clips.
    The best solver that ignores the cue names the most frequent side, and is right for .625, .531 and .442 of the clips
    for K = 2, 4 and 8.

    Args:
        grid: Number of cells along each side of the frame, at least 4.
        objects: Number of objects K including the target, 1 to 8.
        clutter: Number of textured cells.
        noise: Standard deviation of the pixel noise as a share of the full range, 0 to 1.

    Raises:
        ValueError: A setting is out of range, or the grid has too few cells.
    """

    classes: ClassVar[tuple[str, ...]] = tuple(f"bar on the {side}" for side in SIDES)
    mirrored: ClassVar[tuple[int, ...]] = (1, 0, 2, 3)
    query: ClassVar[str] = "cue"
    answer: ClassVar[str] = "target"

    @property
    def frames(self) -> int:
        """Number of frames: 1, since nothing moves."""
        return 1

    @property
    def colors(self) -> int:
        """Number of colors: the 8 bright ones."""
        return 8

    @property
    def occupied(self) -> int:
        """Number of cells with objects, cue or clutter."""
        return super().occupied + 1

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of each object in ``Scenes.boxes``, in order; the cue comes last."""
        return ("target", *["distractor"] * (self.objects - 1), "cue")

    def paint(self, rng: np.random.Generator, background: Floats) -> tuple[Floats, Integers, Floats]:
        """Draw clips over their backgrounds: (b 3 h w) → frames (b 1 3 h w), labels (b), boxes (b 1 objects 4)."""
        count, shown = len(background), self.objects + 1
        of_color, of_side = chances(rng, count, (self.colors,), (self.objects,))
        color, side = of_color.argsort(axis=1)[:, : self.objects], (4 * of_side).astype(np.int64)
        for_places, for_clutter = rng.spawn(2)
        cell = self.places(for_places, count)
        cue = np.full((count, 1, 3, CELL, CELL), WHITE, dtype=np.float32)
        cue[..., 1:-1, 1:-1] = CELL_COLORS[color[:, :1]][..., None, None]
        clutter = cluttered(for_clutter, (count, self.clutter), self.colors)
        pictures = np.concatenate([with_bars(color, side), cue, clutter], axis=1)
        frames = put(background[:, None], cell[:, None], pictures[:, None])
        return frames, side[:, 0], self.boxes(cell[:, None, :shown])
