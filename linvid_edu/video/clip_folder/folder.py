"""Clips from video files as data to train and test on, with the same interface as a rendered task."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from linvid_edu.video.batch import TEST, TRAINING, VALIDATION, Batch
from linvid_edu.video.clip import normalize
from linvid_edu.video.tokens import pair

from .decoding import Decoder, FrameCache, Pixels, decode
from .layouts import LabeledClip, Layout, read_layout

HELD_OUT = 10  # one of so many training clips of a class is for validation, where there is no split for it
ORDER, FLIPS = range(2)  # the first number of a seed


@dataclass(frozen=True)
class ClipFolder:
    """Clips of a folder, with what training and testing ask of a ``Task``.

    Each epoch takes every training clip once, in an order that depends on the seed and the number of the epoch alone.
    A clip that cannot be read is replaced by the next readable one of its class, in a test it is left out, and
    ``unreadable`` names it. Flips from left to right are the only augmentation.

    Args:
        layout: of ``read_layout``. Tests are on its split "test", or on "val" if there is none; then the last tenth of
            each class's training clips, by name, is for validation (clips cut from one video mostly have names that
            are close, and so stay on one side).
        num_frames: t, frames of a clip.
        size: h = w in pixels.
        flips: whether half of the training clips are flipped. None is what the layout says: yes for folders of
            classes, unless the name of a class has a direction in it; no for label files as of Something-Something.
        workers: processes that decode; 0 decodes in this one. The clips are the same for any number.
        cache_mb: at most so many 10⁶ bytes of decoded frames (t · h · w · 3 a clip) are kept, in this process, for all
            splits together. As all clips come once an epoch, it keeps those that came first and replaces none. Beside
            them, memory holds up to two batches for each worker.

    Raises:
        ValueError: a number is out of range.
    """

    layout: Layout
    num_frames: int = 16
    size: int = 224
    flips: bool | None = None
    workers: int = 2
    cache_mb: int | float = 512
    unreadable: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    ceiling: ClassVar[float] = 1.0
    model_fields: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __post_init__(self) -> None:
        if self.flips not in (None, False, True):
            raise ValueError(f"flips={self.flips!r} must be true or false, or None for what the layout says")
        for name, least in (("num_frames", 1), ("size", 1), ("workers", 0), ("cache_mb", 0)):
            value, kinds = getattr(self, name), (int, float) if name == "cache_mb" else int
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < math.inf:
                raise ValueError(f"{name}={value!r} must be a number of at least {least}")
        _ = self._parts  # refuses too few clips

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.layout.classes

    @property
    def tests(self) -> tuple[str, ...]:
        """The one split that is for tests."""
        return ("test",) if "test" in self.layout.splits else ("val",)

    @cached_property
    def kept(self) -> FrameCache:
        """The decoded frames in memory."""
        return FrameCache(int(self.cache_mb * 1e6))

    @property
    def flipped(self) -> bool:
        """Whether training clips are flipped."""
        return self.layout.flip_keeps_label if self.flips is None else self.flips

    def with_knobs(self, **knobs: Any) -> "ClipFolder":
        """Return the same clips with ``flips``, ``workers`` or ``cache_mb`` changed."""
        if unknown := sorted(set(knobs) - {"flips", "workers", "cache_mb"}):
            raise TypeError(f"{unknown[0]!r} is none of flips, workers, cache_mb")
        return replace(self, **knobs)

    def resized(self, num_frames: int, image_size: int | tuple[int, int]) -> "ClipFolder":
        """Return the same clips with so many frames, of another size."""
        return replace(self, num_frames=num_frames, size=pair(image_size)[0])

    def batches(self, *, seed: int, batch: int, start: int = 0, stop: int) -> Iterator[Batch]:
        """Decode the training batches of steps `start` to `stop`; a step has the same clips whatever came before.

        Args:
            seed: 0 or more, of order and flips.
            batch: clips of one batch, which may belong to two epochs.
            start, stop: steps, as in ``range``.

        Raises:
            ValueError: no training clip of a class can be read.
        """
        orders = epochs(len(self._parts[TRAINING]), seed=seed, batch=batch, start=start, stop=stop)
        for step, (clips, frames) in enumerate(self._stream(TRAINING, orders), start):
            for clip in (clip for clip, found in zip(clips, frames, strict=True) if found is None):
                self._refuse_unreadable(TRAINING, clip.label)
            pixels = np.stack([found for found in frames if found is not None])
            if self.flipped:
                mirrored = np.random.default_rng((FLIPS, seed, step)).random(batch) < 0.5
                pixels[mirrored] = pixels[mirrored, :, :, ::-1]
            yield _batch(clips, pixels)

    def test_batches(self, name: str, *, clips: int, batch: int = 128, validation: bool = False) -> Iterator[Batch]:
        """Decode a test, the same for every run; the validation clips are others than the test's.

        Args:
            name: one of ``tests``.
            clips: at most how many in all, evenly spread over the classes; unreadable ones are left out.
            batch: clips at a time.
            validation: whether choices may be based on the result.

        Raises:
            ValueError: the name is unknown, or no clip of a class can be read.
        """
        if name not in self.tests:
            raise ValueError(f"test {name!r} is unknown: choose {self.tests[0]!r}")
        part = VALIDATION if validation else TEST
        count = len(self._parts[part])
        wanted = [index * count // min(clips, count) for index in range(min(clips, count))]
        read, failed = 0, set()
        for asked, frames in self._stream(part, [wanted[i : i + batch] for i in range(0, len(wanted), batch)]):
            found = [(clip, pixels) for clip, pixels in zip(asked, frames, strict=True) if pixels is not None]
            failed |= {clip.label for clip, pixels in zip(asked, frames, strict=True) if pixels is None}
            read += len(found)
            if found:
                yield _batch([clip for clip, _ in found], np.stack([pixels for _, pixels in found]))
        for label in sorted(failed):
            self._refuse_unreadable(part, label)
        if not read:
            raise ValueError(f"none of the {len(wanted)} clips of this test can be read: ask for more than {clips}")

    @cached_property
    def _parts(self) -> tuple[Sequence[LabeledClip], ...]:
        """The clips for training, validation and test."""
        splits = self.layout.splits
        if {"val", "test"} <= set(splits):
            return splits["train"], splits["val"], splits["test"]
        training: list[LabeledClip] = []
        validation: list[LabeledClip] = []
        for _, of_class in groupby(splits["train"], key=lambda clip: clip.label):
            clips = list(of_class)
            first = len(clips) - min(-(-len(clips) // HELD_OUT), len(clips) - 1)
            training += clips[:first]
            validation += clips[first:]
        if not validation:
            raise ValueError(f"{self.layout.root} has one training clip a class: add more, or both 'val' and 'test'")
        return training, validation, splits[self.tests[0]]

    def _stream(
        self, part: int, orders: Iterable[list[int]]
    ) -> Iterator[tuple[list[LabeledClip], list[Pixels | None]]]:
        """Yield the clips of each order with their frames."""
        clips = self._parts[part]
        decoder = Decoder(clips, self.num_frames, self.size, replaces=part == TRAINING)
        for order, frames, failures in decode(decoder, orders, self.kept, workers=self.workers):
            self.unreadable.update({self._name(path): words for path, words in failures.items()})
            yield [clips[index] for index in order], frames

    def _refuse_unreadable(self, part: int, label: int) -> None:
        """Raise ValueError if no clip of a class was readable."""
        names = [self._name(clip.path) for clip in self._parts[part] if clip.label == label]
        if names and set(names) <= set(self.unreadable):
            raise ValueError(
                f"none of the {len(names)} clips of class {self.classes[label]!r} can be read, the first of them being "
                f"{names[0]}: {self.unreadable[names[0]]}"
            )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.layout.root).as_posix()


def epochs(count: int, *, seed: int, batch: int, start: int, stop: int) -> Iterator[list[int]]:
    """Yield the indices of each step's clips; step s has the places s · batch … (s + 1) · batch − 1 of all epochs.

    Args:
        count: clips of an epoch, each of which comes once in it.
        seed: of the orders, 0 or more.
        batch: clips of a step.
        start, stop: steps, as in ``range``.
    """
    epoch, order = -1, np.arange(count)
    for step in range(start, stop):
        indices = []
        for place in range(step * batch, (step + 1) * batch):
            if place // count != epoch:
                epoch = place // count
                order = np.random.default_rng((ORDER, seed, epoch)).permutation(count)
            indices.append(int(order[place % count]))
        yield indices


def open_clips(root: str | Path) -> ClipFolder:
    """Return the clips of a folder; ``read_layout`` says what may be in it, and what it raises."""
    return ClipFolder(read_layout(root))


def _batch(clips: list[LabeledClip], pixels: NDArray[np.uint8]) -> Batch:
    return Batch(normalize(torch.from_numpy(pixels)), torch.tensor([clip.label for clip in clips]))
