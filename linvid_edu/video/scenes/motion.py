"""Motion: report how the marked object moves, which no single frame shows, as in Something-Something v2."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .canvas import PALETTE, WHITE, Floats, Integers, PictureScene, cover, distinct

# change of x, y (down), log size and angle (clockwise), in units of the ranges below
MOVES = {
    "left": (-1, 0, 0, 0),
    "right": (1, 0, 0, 0),
    "up": (0, -1, 0, 0),
    "down": (0, 1, 0, 0),
    "approaches": (0, 0, 1, 0),
    "recedes": (0, 0, -1, 0),
    "rotates clockwise": (0, 0, 0, 1),
    "rotates counterclockwise": (0, 0, 0, -1),
}
# changes over a clip
TRAVEL = (0.22, 0.34)  # distance that a center travels, as a share of the frame's size
GROWTH = (0.36, 0.46)  # change of the logarithm of the object's size: ×1.43 to ×1.58
TURN_RADIANS = (math.pi / 2, 5 * math.pi / 6)
CHANGES = (TRAVEL, TRAVEL, GROWTH, TURN_RADIANS)  # ranges of the changes of x, y, log size and angle
# shares of the frame's size
OBJECT_HALF_SIDE = (0.095, 0.205)  # range for an object at any time
MARGIN = 0.16  # smallest distance between the center of an object and the border of the frame
BORDER = 0.03  # width of the white border of the target
NOTCH = 0.3  # largest distance of the inner corner of an L from its middle, as a share of half the side


@dataclass(frozen=True)
class Motion(PictureScene):
    """L-shaped objects move, grow, shrink or rotate; the target has a white border.

    label = motion of the target; each distractor has another motion

    Over a clip, a center travels 0.22 to 0.34 of the size of the frame, a size changes by a factor of 1.43 to 1.58, or
    an angle by 90° to 150°, evenly in time. The random draw sets the middle of the path, not its start. So a clip
    played backward is as likely as the clip itself with the opposite label, and a model that ignores the order of the
    frames is right at most half of the time. A single frame still gives a hint: an object that travels right must start
    further left. No scene in a bounded frame avoids this. The best guess from the exact center and size in the first
    frame is right for 26 % of the clips (chance: 12.5 %).

    Args:
        frames: Number of frames of a clip, at least 2.
        size: Height and width in pixels, at least 16.
        clutter: Contrast of the background picture, 0 to 1.
        distractors: Number of objects besides the target, 0 to 5. The target lies on top of them.
        noise: Standard deviation of the pixel noise as a share of the full range, 0 to 1.

    Raises:
        ValueError: A setting is out of range.

    Source: the kinds of motion follow the labels of Something-Something v2, arXiv 1706.04261.
    """

    classes: ClassVar[tuple[str, ...]] = tuple(MOVES)
    mirrored: ClassVar[tuple[int, ...]] = (1, 0, 2, 3, 4, 5, 7, 6)
    backwards: ClassVar[tuple[int, ...]] = (1, 0, 3, 2, 5, 4, 7, 6)
    query: ClassVar[str] = "target"
    answer: ClassVar[str] = "target"

    def paint(self, rng: np.random.Generator, background: Floats) -> tuple[Floats, Integers, Floats]:
        """Draw clips over their backgrounds: (b 3 h w) → frames (b t 3 h w), labels (b), boxes (b t objects 4)."""
        count, objects = len(background), 1 + self.distractors
        motions = rng.integers(len(MOVES), size=(count, objects))
        others = rng.integers(1, len(MOVES), size=(count, self.distractors))
        motions[:, 1:] = (motions[:, :1] + others) % len(MOVES)
        center, half, turn = self._paths(rng, motions)
        notch = half[..., None] * rng.uniform(-NOTCH, NOTCH, (count, objects, 1, 2)).astype(np.float32)
        color = PALETTE[distinct(rng, count, len(PALETTE), objects)][:, None, :, :, None, None]  # (b 1 objects 3 1 1)
        frames = np.repeat(background[:, None], self.frames, axis=1)
        for item in reversed(range(objects)):
            outside = self._distance(center[:, item], half[:, item], turn[:, item], notch[:, item])
            if item == 0:
                cover(frames, (0.5 - outside).clip(0, 1), WHITE)
                outside += np.float32(max(1.0, BORDER * self.size))
            cover(frames, (0.5 - outside).clip(0, 1), color[:, :, item])
        return frames, motions[:, 0], self._boxes(center, half, turn, notch)

    def _paths(self, rng: np.random.Generator, motions: Integers) -> tuple[Floats, Floats, Floats]:
        """Return centers (b objects t 2) and half sides (b objects t) in pixels, and cos and sin of angles (… 2)."""
        amount = np.stack([rng.uniform(*limits, motions.shape) for limits in CHANGES], axis=-1)
        change = amount * np.array(list(MOVES.values()))[motions]  # x, y, log size, angle: (b objects 4)
        low, high = np.log(OBJECT_HALF_SIDE)
        lowest = np.array([MARGIN, MARGIN, low, -math.pi])
        highest = np.array([1 - MARGIN, 1 - MARGIN, high, math.pi])
        # the whole path must stay within the limits; an angle has none
        room = highest - lowest - np.array([1, 1, 1, 0]) * np.abs(change)
        middle = (lowest + highest) / 2 + rng.uniform(-0.5, 0.5, change.shape) * room
        time = np.linspace(-0.5, 0.5, self.frames)[:, None]
        path = middle[..., None, :] + time * change[..., None, :]  # (b objects t 4)
        turn = np.stack([np.cos(path[..., 3]), np.sin(path[..., 3])], axis=-1)
        center, half = self.size * path[..., :2], self.size * np.exp(path[..., 2])
        return center.astype(np.float32), half.astype(np.float32), turn.astype(np.float32)

    def _distance(self, center: Floats, half: Floats, turn: Floats, notch: Floats) -> Floats:
        """Return the distance of each pixel from the L in pixels, negative inside, (b t 1 h w).

        In the axes u, v of the object, with the inner corner of the L at notch: max(|u| − half, |v| − half, min(u −
            notch_u, v − notch_v))
        """
        pixel = np.arange(self.size, dtype=np.float32) + 0.5
        dx, dy = pixel - center[..., :1], pixel - center[..., 1:]  # (b t pixels)
        cos, sin = turn[..., :1], turn[..., 1:]
        u = (cos * dx)[..., None, :] + (sin * dy)[..., :, None]
        v = (-sin * dx)[..., None, :] + (cos * dy)[..., :, None]
        inner = np.minimum(u - notch[..., :1, None], v - notch[..., 1:, None])
        outer = np.maximum(np.abs(u, out=u), np.abs(v, out=v)) - half[..., None, None]
        return np.maximum(outer, inner, out=outer)[:, :, None]

    def _boxes(self, center: Floats, half: Floats, turn: Floats, notch: Floats) -> Floats:
        """Return the smallest boxes around the five outer corners of the L, clamped to the frame, (b t objects 4)."""
        u = np.stack([-half, half, half, notch[..., 0], -half], axis=-1)
        v = np.stack([-half, -half, notch[..., 1], half, half], axis=-1)
        cos, sin = turn[..., :1], turn[..., 1:]
        x, y = center[..., :1] + cos * u - sin * v, center[..., 1:] + sin * u + cos * v
        boxes = np.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], axis=-1).clip(0, self.size)
        return np.ascontiguousarray(boxes.swapaxes(1, 2))
