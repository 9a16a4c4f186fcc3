"""What all rendered scenes share: their settings, and how to paint backgrounds, shapes and noise.

While a clip is painted, it is float32, 0 to 255, with the color axis before height and width, (b 3 h w) or (b t 3 h w),
because NumPy is fast along a long last axis and slow along an axis of three colors.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Photographs = NDArray[np.uint8]

GRAY = 128.0
WHITE, BLACK = 255.0, 0.0
# the Okabe–Ito palette without black, and without yellow, on which a white dot is hard to see
PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0), (204, 121, 167)], dtype=np.float32
)
MIN_SIZE = 16


class Scene(ABC):
    """A kind of rendered clip. Its settings are the fields of a frozen dataclass.

    classes: names of the labels
    mirrored: for each label, the label of the clip after a flip from left to right
    query: role of the object whose tokens must look for the answer
    answer: role of the object that they must look at
    """

    classes: ClassVar[tuple[str, ...]]
    mirrored: ClassVar[tuple[int, ...]]
    query: ClassVar[str]
    answer: ClassVar[str]

    noise: int | float

    @property
    @abstractmethod
    def frames(self) -> int:
        """Number of frames of a clip."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Height and width of a frame in pixels."""

    @property
    @abstractmethod
    def roles(self) -> tuple[str, ...]:
        """Role of each object in ``Scenes.boxes``, in order."""

    @property
    def flip_keeps_label(self) -> bool:
        """Whether a clip may be flipped left to right with its label unchanged."""
        return self.mirrored == tuple(range(len(self.classes)))

    @abstractmethod
    def backdrop(self, rng: np.random.Generator, count: int, photographs: Photographs | None) -> Floats:
        """Return one still background per clip, (b 3 h w)."""

    @abstractmethod
    def paint(self, rng: np.random.Generator, background: Floats) -> tuple[Floats, Integers, Floats]:
        """Draw clips over their backgrounds: (b 3 h w) → frames (b t 3 h w), labels (b), boxes (b t objects 4)."""


@dataclass(frozen=True)
class PictureScene(Scene):
    """A scene whose objects lie on a background picture: cue match and motion.

    Args:
        frames: Number of frames of a clip, at least 2.
        size: Height and width in pixels, at least 16. Objects scale with it.
        clutter: Contrast of the background picture, 0 (flat gray) to 1 (full contrast).
        distractors: Number of objects besides the target, 0 to 5. Each has its own color.
        noise: Standard deviation of the pixel noise as a share of the full range, 0 to 1.

    Raises:
        ValueError: A setting is out of range.
    """

    frames: int = 8
    size: int = 32
    clutter: int | float = 0.0
    distractors: int = 2
    noise: int | float = 0.05

    backwards: ClassVar[tuple[int, ...]]

    def __post_init__(self) -> None:
        most = len(PALETTE) - 1
        within("frames", self.frames, 2, None, "a single frame shows no change; set frames=2 or more")
        within("size", self.size, MIN_SIZE, None, f"objects would be under 3 pixels; set size={MIN_SIZE} or more")
        within("clutter", self.clutter, 0, 1, "choose a contrast between flat gray and the full picture")
        within("distractors", self.distractors, 0, most, f"there are {most + 1} colors, one for the target")
        within("noise", self.noise, 0, 1, "give the standard deviation as a share of the range, such as 0.05")

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of each object in ``Scenes.boxes``, in order."""
        return ("target", *["distractor"] * self.distractors)

    def backdrop(self, rng: np.random.Generator, count: int, photographs: Photographs | None) -> Floats:
        """Return one still background per clip: gray + clutter · (picture − gray), (b 3 h w)."""
        if self.clutter == 0:
            return np.full((count, 3, self.size, self.size), GRAY, dtype=np.float32)
        picture = texture(rng, count, self.size) if photographs is None else crop(rng, count, self.size, photographs)
        return GRAY + np.float32(self.clutter) * (picture - GRAY)


def within(name: str, value: int | float, low: int, high: int | None, advice: str) -> None:
    """Raise ValueError if a setting is out of range."""
    if not low <= value <= (math.inf if high is None else high):
        limit = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name} is {value}, it must be {limit}: {advice}")


def distinct(rng: np.random.Generator, count: int, choices: int, picks: int) -> Integers:
    """Draw ``picks`` different integers below ``choices`` for each of ``count`` clips, (b picks)."""
    return rng.random((count, choices)).argsort(axis=1)[:, :picks]


def cover(paint: Floats, share: Floats, color: Floats | float) -> None:
    """Blend a color into each pixel in place: paint ← paint + share · (color − paint), with share (… 1 h w)."""
    paint += share * (color - paint)


def box_share(boxes: Floats, size: int) -> Floats:
    """Return the exact share of each pixel that lies inside a box, (b 4) → (b 1 h w)."""
    edge = np.arange(size, dtype=np.float32)
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    overlap = (np.minimum(high, edge + 1) - np.maximum(low, edge)).clip(0, 1)  # (b, xy, pixels)
    return overlap[:, 1, None, :, None] * overlap[:, 0, None, None, :]


def disk_share(boxes: Floats, scale: float, size: int) -> Floats:
    """Return the approximate share of each pixel inside a disk at the center of a square box, (b 4) → (b 1 h w).

    share = radius − distance + 1/2, clamped to 0 to 1, with radius = scale · half the side of the box
    """
    pixel = np.arange(size, dtype=np.float32) + 0.5
    center, side = (boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5), boxes[:, 2] - boxes[:, 0]
    dx, dy = pixel - center[:, :1], pixel - center[:, 1:]
    distance = np.sqrt(dx[:, None, :] ** 2 + dy[:, :, None] ** 2)
    return (np.float32(scale / 2) * side[:, None, None] - distance + np.float32(0.5)).clip(0, 1)[:, None]


def texture(rng: np.random.Generator, count: int, size: int) -> Floats:
    """Return colored noise with the spectrum of natural images, (b 3 h w).

    color_i = tint_i + 38 · (lightness + 0.35 · field_i), amplitude(f) ∝ 1/f^1.2 in each of the four fields

    Source: the spectrum is Tolhurst, Tadmor and Chao, Ophthalmic and Physiological Optics 12(2), 1992.
    """
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    amplitude = np.maximum(np.hypot(fy, fx), 1 / size) ** -1.2
    amplitude[0, 0] = 0
    twice = np.where((fx == 0) | (2 * fx == 1), 1, 2)  # a column of the half spectrum also counts for its mirror image
    amplitude *= size**2 / np.sqrt(2 * (twice * amplitude**2).sum())
    wave = rng.standard_normal((2, count, 4, *amplitude.shape), dtype=np.float32)
    field = np.fft.irfft2((wave[0] + 1j * wave[1]) * amplitude.astype(np.float32), s=(size, size))
    tint = rng.uniform(95, 160, (count, 3, 1, 1))
    # field 0 is the lightness; with a deviation of 38, nearly all values lie between 0 and 255
    return (tint + 38 * (field[:, :1] + 0.35 * field[:, 1:])).clip(0, 255).astype(np.float32)


def crop(rng: np.random.Generator, count: int, size: int, photographs: Photographs) -> Floats:
    """Return a random window of a random photograph per clip, about half its short side, (k H W 3) → (b 3 h w).

    Each pixel is the mean of f×f pixels of the photograph, f = max(1, ⌊min(H, W) / (2 · size)⌋).
    """
    f = max(1, min(photographs.shape[1:3]) // (2 * size))
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (f * size, f * size), axis=(1, 2))
    picture, y, x = (rng.integers(windows.shape[axis], size=count) for axis in (0, 1, 2))
    rows = windows[picture, y, x].reshape(count, 3, size, f, f * size).sum(axis=3, dtype=np.uint32)
    total = np.add.reduce([rows[..., column::f] for column in range(f)])
    return total.astype(np.float32) / np.float32(f * f)


# 256 equally likely levels of a standard normal variable, so that one random byte makes one value
_LEVELS = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
_LEVELS = (_LEVELS / _LEVELS.std()).astype(np.float32)


def add_noise(rng: np.random.Generator, frames: Floats, noise: int | float) -> None:
    """Add independent normal noise to each pixel, color and frame in place: frames ← frames + 255 · noise · ε."""
    if noise > 0:
        chance = np.frombuffer(rng.bytes(frames.size), dtype=np.uint8)
        frames += (255 * np.float32(noise) * _LEVELS)[chance].reshape(frames.shape)


def develop(frames: Floats) -> NDArray[np.uint8]:
    """Round to whole levels and move color to the last axis, (b t 3 h w) → (b t h w 3)."""
    np.rint(frames, out=frames)
    np.clip(frames, 0, 255, out=frames)
    return np.ascontiguousarray(np.moveaxis(frames.astype(np.uint8), 2, -1))
