"""Flash: follow an object by its color from the frame in which it flashes to the next frame."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .canvas import BLACK, Floats, Integers, within
from .cells import CELL, SIDES, CellScene, chances, cluttered, put, with_bars


@dataclass(frozen=True)
class Flash(CellScene):
    """Objects jump to random cells in every frame. One flashes; the side of its bar in the next frame is the label.

    Each object keeps its color and has a bar on one side, which is drawn anew in every frame. A flash is one black
    corner pixel on one object in one frame. In every frame, the sides are as balanced as the number of objects allows,
    so only the object that flashed reveals the label. With K objects, a solver that knows when the flash is, but not on
    which object, is right for at most ⌈K/4⌉/K of the clips, which is 1/4 for multiples of 4.

    Args:
        grid: Number of cells along each side of the frame, at least 4.
        objects: Number of objects K, 1 to 16.
        clutter: Number of textured cells in each frame; their places change from frame to frame.
        noise: Standard deviation of the pixel noise as a share of the full range, 0 to 1.
        frames: Number of frames of a clip, at least 2. The flash is in any frame but the last.

    Raises:
        ValueError: A setting is out of range, or the grid has too few cells.
    """

    grid: int = 4
    objects: int = 4
    frames: int = 4

    classes: ClassVar[tuple[str, ...]] = tuple(f"bar on the {side}" for side in SIDES)
    mirrored: ClassVar[tuple[int, ...]] = (1, 0, 2, 3)
    query: ClassVar[str] = "flash"
    answer: ClassVar[str] = "answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("frames", self.frames, 2, None, "the label is in the frame after the flash; set frames=2 or more")

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of each object in ``Scenes.boxes``, in order.

        "flash" is the target in the frame in which it flashes, "answer" the target in the next frame. Their boxes are
        empty in all other frames.
        """
        return ("target", *["distractor"] * (self.objects - 1), "flash", "answer")

    def paint(self, rng: np.random.Generator, background: Floats) -> tuple[Floats, Integers, Floats]:
        """Draw clips over their backgrounds: (b 3 h w) → frames (b t 3 h w), labels (b), boxes (b t objects 4)."""
        count, t, clips = len(background), self.frames, np.arange(len(background))
        rounds = math.ceil(self.objects / 4)
        of_color, of_side, of_order, of_flash, of_corner = chances(
            rng, count, (self.colors,), (t, rounds, 4), (t, self.objects), (), (2,)
        )
        color = np.repeat(of_color.argsort(axis=1)[:, None, : self.objects], t, axis=1)
        # distribute the four sides as evenly as the objects allow, in random order
        dealt = of_side.argsort(axis=-1).reshape(count, t, 4 * rounds)[..., : self.objects]
        side = np.take_along_axis(dealt, of_order.argsort(axis=-1), axis=-1)
        flash = ((t - 1) * of_flash).astype(np.int64)
        for_places, for_clutter = rng.spawn(2)
        cell = self.places(for_places, count * t).reshape(count, t, self.occupied)
        clutter = cluttered(for_clutter, (count, t, self.clutter), self.colors)
        pictures = np.concatenate([with_bars(color, side), clutter], axis=2)
        row, column = (CELL - 1) * (2 * of_corner.T).astype(np.int64)
        pictures[clips, flash, 0, :, row, column] = BLACK
        frames = put(np.repeat(background[:, None], t, axis=1), cell, pictures)
        boxes = np.zeros((count, t, self.objects + 2, 4), dtype=np.float32)
        boxes[:, :, :-2] = self.boxes(cell[:, :, : self.objects])
        boxes[clips, flash, -2] = boxes[clips, flash, 0]
        boxes[clips, flash + 1, -1] = boxes[clips, flash + 1, 0]
        return frames, side[clips, flash + 1, 0], boxes
