"""Cue match: look up the object that has the cue's color, and report what happens to it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .canvas import BLACK, PALETTE, WHITE, Floats, Integers, SceneConfig, box_share, cover, disk_share, rank

GRID = 3  # objects and cue stand in different cells of a 3×3 grid, so they never overlap
HALF_SIDE = (0.1, 0.13)  # of a square, as a share of the picture's size
CUE_HALF_SIDE = 0.145
GAP = 0.012  # between a square and the border of its cell
DOT = 0.5  # radius of the dot, as a share of the square's half side
FRAME = 0.034  # width of the cue's white frame, as a share of the size


@dataclass(frozen=True)
class CueMatch(SceneConfig):
    """Still colored squares, in each of which a dot appears or disappears; a white-framed cue shows the target's color.

    label = what happens to the square of the cue's color: class 2 · (dot is black) + (dot disappears)

    The time of the event is uniform over frames 1 to t − 1, for each square on its own. A clip played backwards is
    as likely as the clip itself, with "appears" and "disappears" exchanged, so a model blind to the order of frames
    is right half of the time at best.

    Args:
        frames: frames of a clip, at least 2.
        size: height and width in pixels, at least 16.
        clutter: strength of the background picture, 0 to 1.
        distractors: squares beside the target, 0 to 5.
        noise: standard deviation of the pixel noise, 0 to 1.
        hard: no distractor shares the target's label.

    Raises:
        ValueError: a knob lies outside its range.
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
        """What each object of ``Scenes.boxes`` is, in its order: the cue comes last."""
        return (*super().roles, "cue")

    def paint(self, rng: np.random.Generator, background: Floats) -> tuple[Floats, Integers, Floats]:
        """Draw clips over their backgrounds: (b 3 h w) → frames (b t 3 h w), labels (b), boxes (b t objects 4)."""
        count, squares = len(background), 1 + self.distractors
        events = self._events(rng, count)
        color = PALETTE[rank(rng, count, len(PALETTE), squares)][..., None, None]  # (b squares 3 1 1)
        boxes = self._place(rng, count)
        still = background.copy()
        for square in range(squares):
            cover(still, box_share(boxes[:, square], self.size), color[:, square])
        inner = boxes[:, -1] + np.float32(max(0.8, FRAME * self.size)) * np.array([1, 1, -1, -1], dtype=np.float32)
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
        cell = rank(rng, count, GRID * GRID, objects)
        corner = np.stack([cell % GRID, cell // GRID], axis=-1) / GRID  # x, y
        half = rng.uniform(*HALF_SIDE, (count, objects, 1))
        half[:, -1] = CUE_HALF_SIDE
        room = half + GAP
        center = corner + room + rng.random(corner.shape) * (1 / GRID - 2 * room)
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
