"""Cue match: find the object that has the color of the cue, and report what happens to it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .canvas import BLACK, PALETTE, WHITE, Floats, Integers, PictureScene, box_share, cover, disk_share, distinct

PLACES_PER_SIDE = 3  # objects and cue stand in different cells of a 3×3 grid, so they never overlap
# shares of the frame's size
SQUARE_HALF_SIDE = (0.1, 0.13)  # range for a square
CUE_HALF_SIDE = 0.145
GAP = 0.012  # distance between a square and the border of its cell
CUE_BORDER = 0.034  # width of the white frame of the cue
DOT = 0.5  # radius of the dot as a share of half the side of its square


@dataclass(frozen=True)
class CueMatch(PictureScene):
    """A dot appears or disappears in each of several still squares; a white-framed cue shows the color of the target.

    label = 2 · (dot is black) + (dot disappears), for the square that has the color of the cue

    The time of the event is uniform over frames 1 to t − 1 and independent for each square. A clip played backward is
    as likely as the clip itself, with "appears" and "disappears" exchanged. So a model that ignores the order of the
    frames is right at most half of the time.

    Args:
        frames: Number of frames of a clip, at least 2.
        size: Height and width in pixels, at least 16.
        clutter: Contrast of the background picture, 0 to 1.
        distractors: Number of squares besides the target, 0 to 5.
        noise: Standard deviation of the pixel noise as a share of the full range, 0 to 1.
        hard: Whether all distractors have labels other than that of the target.

    Raises:
        ValueError: A setting is out of range.
    """

    distractors: int = 3
    hard: bool = False

    classes: ClassVar[tuple[str, ...]] = (
        "white dot appears",
        "white dot disappears",
        "black dot appears",
        "black dot disappears",
    )
    mirrored: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    backwards: ClassVar[tuple[int, ...]] = (1, 0, 3, 2)
    query: ClassVar[str] = "cue"
    answer: ClassVar[str] = "target"

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of each object in ``Scenes.boxes``, in order; the cue comes last."""
        return (*super().roles, "cue")

    def paint(self, rng: np.random.Generator, background: Floats) -> tuple[Floats, Integers, Floats]:
        """Draw clips over their backgrounds: (b 3 h w) → frames (b t 3 h w), labels (b), boxes (b t objects 4)."""
        count, squares = len(background), 1 + self.distractors
        events = self._events(rng, count)
        color = PALETTE[distinct(rng, count, len(PALETTE), squares)][..., None, None]  # (b squares 3 1 1)
        boxes = self._place(rng, count)
        still = background.copy()
        for square in range(squares):
            cover(still, box_share(boxes[:, square], self.size), color[:, square])
        inner = boxes[:, -1] + np.float32(max(0.8, CUE_BORDER * self.size)) * np.array([1, 1, -1, -1], dtype=np.float32)
        cover(still, box_share(boxes[:, -1], self.size), WHITE)
        cover(still, box_share(inner, self.size), color[:, 0])
        frames = self._add_dots(rng, still, boxes, events)
        return frames, events[:, 0], np.repeat(boxes[:, None], self.frames, axis=1)

    def _events(self, rng: np.random.Generator, count: int) -> Integers:
        events = rng.integers(4, size=(count, 1 + self.distractors))
        if self.hard:
            others = rng.integers(1, 4, size=(count, self.distractors))
            events[:, 1:] = (events[:, :1] + others) % 4
        return events

    def _place(self, rng: np.random.Generator, count: int) -> Floats:
        objects = len(self.roles)
        cell = distinct(rng, count, PLACES_PER_SIDE * PLACES_PER_SIDE, objects)
        corner = np.stack([cell % PLACES_PER_SIDE, cell // PLACES_PER_SIDE], axis=-1) / PLACES_PER_SIDE  # x, y
        half = rng.uniform(*SQUARE_HALF_SIDE, (count, objects, 1))
        half[:, -1] = CUE_HALF_SIDE
        room = half + GAP
        center = corner + room + rng.random(corner.shape) * (1 / PLACES_PER_SIDE - 2 * room)
        return (self.size * np.concatenate([center - half, center + half], axis=-1)).astype(np.float32)

    def _add_dots(self, rng: np.random.Generator, still: Floats, boxes: Floats, events: Integers) -> Floats:
        count, squares = events.shape
        start = rng.integers(1, self.frames, size=(count, squares, 1))
        time = np.arange(self.frames)
        seen = np.where(events[..., None] % 2 == 0, time >= start, time < start).astype(np.float32)  # (b squares t)
        level = np.where(events < 2, WHITE, BLACK).astype(np.float32)[..., None, None, None]
        frames = np.repeat(still[:, None], self.frames, axis=1)
        for square in range(squares):
            change = disk_share(boxes[:, square], DOT, self.size) * (level[:, square] - still)  # (b 3 h w)
            frames += seen[:, square, :, None, None, None] * change[:, None]
        return frames
