"""Clips from video files to train and test on, with the same interface as a rendered task."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from linvid_edu.video.batch import TEST, TRAINING, VALIDATION, Batch
from linvid_edu.video.clip import normalize
from linvid_edu.video.tokens import pair

from .decoding import ClipDecoder, DecodedBatch, FrameCache, decode
from .labeled_clips import LabeledClip, Layout, content_hash
from .layouts import read_layout

HELD_OUT = 10  # one in ten training clips of a class is for validation if the layout has no other split for it
ORDER, FLIPS = range(2)  # the first number of a seed


@dataclass(frozen=True)
class ClipFolder:
    """The clips of a folder, with the interface of a ``Task``.

    Each epoch has every training clip once, in an order that depends on the seed and the number of the epoch alone. An
    unreadable training clip is replaced by the next readable one of its class, an unreadable test clip is left out, and
    ``unreadable`` names both. Flips from left to right are the only augmentation.

    Worker processes are forked on Linux. On macOS and Windows, and from Python 3.14 on, they start anew and import the
    calling script, which then needs ``if __name__ == "__main__":``, unless ``workers`` is 0.

    Args:
        layout: Result of ``read_layout``. Tests use its split "test", or "val" if there is no "test". Unless the layout
            has both, validation uses the last tenth of the training clips of each class, sorted by name. Clips cut from
            one video usually have similar names, so they mostly stay on the same side.
        num_frames: Number of frames of a clip, t.
        size: Height and width of the frames in pixels.
        flips: Whether half of the training clips are flipped. None follows the layout: yes for folders of classes,
            unless the name of a class contains a direction; no for label files in the format of Something-Something.
        workers: Number of processes that decode. 0 decodes in this process. It does not change the clips.
        cache_mb: Limit on the decoded frames kept in memory, in 10⁶ bytes, for all splits together; a clip takes
            t · h · w · 3 bytes. Clips that were decoded first stay in memory, since every clip is used once per epoch.
            In addition, up to two batches for each worker are in memory.

    Raises:
        ValueError: A number is out of range, or there are too few clips.
    """

    layout: Layout
    num_frames: int = 16
    size: int = 224
    flips: bool | None = None
    workers: int = 2
    cache_mb: int | float = 512
    unreadable: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    ceiling: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_flips(self.flips)
        for name in ("num_frames", "size"):
            _check_number(name, getattr(self, name), int, least=1)
        check_loading(self.workers, self.cache_mb)
        self.unreadable.update(self.layout.left_out)
        if not self._splits[VALIDATION]:
            raise ValueError(f"{self.layout.root} has one training clip a class: add more, or both 'val' and 'test'")

    @staticmethod
    def model_fields(preset: str) -> Mapping[str, Any]:
        """Fields of the model's configuration that the clips decide: none."""
        return {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.layout.classes

    @property
    def tests(self) -> tuple[str, ...]:
        """Name of the split that is used for tests, as the only element."""
        return ("test",) if "test" in self.layout.splits else ("val",)

    @cached_property
    def frame_cache(self) -> FrameCache:
        """The decoded frames in memory."""
        return FrameCache(int(self.cache_mb * 1e6))

    @cached_property
    def content_hash(self) -> str:
        """A hash of the classes, and of the name, label and size of every clip; the path of the folder is not in it."""
        return content_hash(self.layout)

    @property
    def flips_training_clips(self) -> bool:
        """Whether half of the training clips are flipped."""
        return self.layout.flip_keeps_label if self.flips is None else self.flips

    def with_knobs(self, **knobs: Any) -> "ClipFolder":
        """Return the same clips with ``flips`` changed.

        Raises:
            TypeError: A knob other than ``flips`` is given.
        """
        if unknown := sorted(set(knobs) - {"flips"}):
            raise TypeError(f"{unknown[0]!r} is not flips")
        return replace(self, **knobs)

    def resized(self, num_frames: int, image_size: int | tuple[int, int]) -> "ClipFolder":
        """Return the same clips with another number of frames, in another size."""
        return replace(self, num_frames=num_frames, size=pair(image_size)[0])

    def batches(self, *, seed: int, batch: int, start: int = 0, stop: int) -> Iterator[Batch]:
        """Decode the training batches of steps `start` to `stop`; the clips of a step depend on seed and step alone.

        Args:
            seed: Seed of order and flips, 0 or more.
            batch: Number of clips in a batch, which may belong to two epochs.
            start, stop: First step, and the step after the last, counted from 0.

        Raises:
            ValueError: No training clip of a class can be read.
        """
        indices = epochs(len(self._splits[TRAINING]), seed=seed, batch=batch, start=start, stop=stop)
        for step, decoded in enumerate(self._decode(TRAINING, indices), start):
            for clip, frames in zip(decoded.clips, decoded.frames, strict=True):
                if frames is None:
                    self._check_class_is_readable(TRAINING, clip.label)
            pixels = np.stack([frames for frames in decoded.frames if frames is not None])
            if self.flips_training_clips:
                mirrored = np.random.default_rng((FLIPS, seed, step)).random(batch) < 0.5
                pixels[mirrored] = pixels[mirrored, :, :, ::-1]
            yield _batch(decoded.clips, pixels)

    def test_batches(self, name: str, *, clips: int, batch: int = 128, validation: bool = False) -> Iterator[Batch]:
        """Decode a test; its clips are the same for every run.

        Args:
            name: Name of the test, one of ``tests``.
            clips: Largest number of clips in all, evenly spread over the classes; unreadable ones are left out.
            batch: Largest number of clips in a batch.
            validation: Whether to decode validation clips, on which choices may be based, instead of test clips.

        Raises:
            ValueError: The name is unknown, or no clip of a class can be read.
        """
        if name not in self.tests:
            raise ValueError(f"test {name!r} is unknown: choose {self.tests[0]!r}")
        purpose = VALIDATION if validation else TEST
        available = len(self._splits[purpose])
        count = min(clips, available)
        chosen = [index * available // count for index in range(count)]
        any_readable, unreadable_labels = False, set()
        for decoded in self._decode(purpose, (chosen[first : first + batch] for first in range(0, count, batch))):
            pairs = list(zip(decoded.clips, decoded.frames, strict=True))
            readable = [(clip, frames) for clip, frames in pairs if frames is not None]
            unreadable_labels |= {clip.label for clip, frames in pairs if frames is None}
            if readable:
                any_readable = True
                yield _batch([clip for clip, _ in readable], np.stack([frames for _, frames in readable]))
        for label in sorted(unreadable_labels):
            self._check_class_is_readable(purpose, label)
        if not any_readable:
            raise ValueError(f"none of the {count} clips of this test can be read: ask for more than {clips}")

    @cached_property
    def _splits(self) -> tuple[Sequence[LabeledClip], ...]:
        """The clips for training, for validation and for tests."""
        splits = self.layout.splits
        if {"val", "test"} <= set(splits):
            return splits["train"], splits["val"], splits["test"]
        training: list[LabeledClip] = []
        validation: list[LabeledClip] = []
        for _, group in groupby(splits["train"], key=lambda clip: clip.label):
            clips = list(group)
            held_out = min(math.ceil(len(clips) / HELD_OUT), len(clips) - 1)
            training += clips[: len(clips) - held_out]
            validation += clips[len(clips) - held_out :]
        return training, validation, splits[self.tests[0]]

    def _decode(self, purpose: int, batches: Iterable[list[int]]) -> Iterator[DecodedBatch]:
        """Decode batches of clips for one purpose, and note the clips that cannot be read."""
        decoder = ClipDecoder(self._splits[purpose], self.num_frames, self.size, replaces=purpose == TRAINING)
        for decoded in decode(decoder, batches, self.frame_cache, workers=self.workers):
            self.unreadable.update({self._name(path): reason for path, reason in decoded.errors.items()})
            yield decoded

    def _check_class_is_readable(self, purpose: int, label: int) -> None:
        """Raise ValueError if no clip of a class can be read."""
        names = [self._name(clip.path) for clip in self._splits[purpose] if clip.label == label]
        if names and set(names) <= set(self.unreadable):
            raise ValueError(
                f"none of the {len(names)} clips of class {self.classes[label]!r} can be read, the first of them being "
                f"{names[0]}: {self.unreadable[names[0]]}"
            )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.layout.root).as_posix()


def epochs(count: int, *, seed: int, batch: int, start: int, stop: int) -> Iterator[list[int]]:
    """Yield the indices of the clips of each step.

    The epochs follow each other without a gap: step s takes the clips at positions s · batch … (s + 1) · batch − 1 of
    their concatenation.

    Args:
        count: Number of clips, each of which comes once in an epoch.
        seed: Seed of the orders, 0 or more.
        batch: Number of clips in a step.
        start, stop: First step, and the step after the last, counted from 0.
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
    """Return the clips of a folder; see ``read_layout`` for what the folder may contain.

    Raises:
        ValueError: The folder is missing, or not laid out as ``read_layout`` expects.
    """
    return ClipFolder(read_layout(root))


def check_flips(flips: bool | None) -> None:
    """Raise ValueError unless a value is allowed for ``flips``."""
    if flips not in (None, False, True):
        raise ValueError(f"flips={flips!r} must be true or false, or None to follow the layout")


def check_loading(workers: int, cache_mb: int | float) -> None:
    """Raise ValueError unless values are allowed for ``workers`` and ``cache_mb``."""
    _check_number("workers", workers, int, least=0)
    _check_number("cache_mb", cache_mb, (int, float), least=0)


def _check_number(name: str, value: int | float, kinds: type | tuple[type, ...], *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < math.inf:
        raise ValueError(f"{name}={value!r} must be a number of at least {least}")


def _batch(clips: list[LabeledClip], pixels: NDArray[np.uint8]) -> Batch:
    return Batch(normalize(torch.from_numpy(pixels)), torch.tensor([clip.label for clip in clips]))
