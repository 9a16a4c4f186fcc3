"""The task of copying colors: clips of which some frames are known in color, from photographs or from films."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from zlib import crc32

import torch
from torch import Tensor

from linvid_edu.video.batch import TEST, TRAINING, VALIDATION, ColorBatch
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.films import Film, even_windows, random_windows, read_film
from linvid_edu.video.photographs import load_photographs
from linvid_edu.video.recoloring import augment
from linvid_edu.video.tokens import pair
from linvid_edu.video.virtual_camera import virtual_clips

SPACING_SECONDS = (0.2, 0.5)  # between two frames of a training window
TEST_FRAMES = 6
TEST_FILMS = 5  # one of so many films is kept for tests
FILM_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")

# size of the model for a preset: 8, 12 or 16 tokens a side
_PROBE = {"num_frames": 3, "image_size": 48, "kernel": 10, "stride": 6, "padding": 2}
_COMPACT = {"num_frames": 3, "image_size": 96, "kernel": 12, "stride": 8, "padding": 2}
_GPU = {"num_frames": 16, "image_size": 128, "kernel": 12, "stride": 8, "padding": 2}
MODEL_FIELDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "probe": {**_PROBE, "width": 32, "depth": 1, "heads": 4, "mlp_hidden": 64, "head_hidden": 16},
        "compact": {**_COMPACT, "width": 64, "depth": 1, "heads": 4, "mlp_hidden": 128, "head_hidden": 32},
        "gpu": {**_GPU, "width": 192, "depth": 6, "heads": 6, "mlp_hidden": 768, "head_hidden": 64},
    }
)
COLOR_MODEL = {"output": "colors", "space_time": "space", "spatial_embedding": True, "dropout": 0.0}


@dataclass(frozen=True)
class ColorTask:
    """Clips of which some frames are known in color; the model colors the others.

    Without ``root``, training clips are photographs under a moving virtual camera, and tests are other photographs.
    With a film, the first half is for training and the second half for tests. With a folder of films, every fifth film
    is for tests. No labels are needed.

    Args:
        frames: Number of frames of a training clip. Clips of tests have 6.
        size: Height and width of the frames in pixels.
        references: Frames whose colors are known: "first", "every K" (frames 0, K, 2K, …) or "random N" (N frames,
            drawn for each batch).
        recolor: Whether each training clip gets other colors by a random smooth map, so that mixtures of colors
            mislead.
        lightness: Whether the lightness of training clips is scaled, shifted and made noisy.
        objects: Largest number of cut-outs that move over a photograph.
        root: Path of a film, or of a folder of films; "" means photographs.

    Raises:
        ValueError: A value is out of range, or there is no film under ``root``.
    """

    frames: int = 3
    size: int = 96
    references: str = "first"
    recolor: bool = False
    lightness: bool = True
    objects: int = 3
    root: str = ""
    unreadable: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    classes: ClassVar[tuple[str, ...]] = ("a", "b")
    ceiling: ClassVar[float] = 1.0
    most_test_clips: ClassVar[int] = 96

    def __post_init__(self) -> None:
        for name, least in (("frames", 2), ("size", 8), ("objects", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name}={value!r} must be a whole number of at least {least}")
        for name in ("recolor", "lightness"):
            if getattr(self, name) not in (True, False):
                raise ValueError(f"{name}={getattr(self, name)!r} must be true or false")
        for frames in (self.frames, TEST_FRAMES):
            reference_frames(self.references, frames, torch.Generator())

    @property
    def tests(self) -> tuple[str, ...]:
        """Names of the tests: the first one is followed by learning curves."""
        return ("unseen films",) if self.root else ("unseen photographs",)

    def model_fields(self, preset: str) -> dict[str, Any]:
        """Fields of the model's configuration that the task decides."""
        return {**MODEL_FIELDS[preset], **COLOR_MODEL}

    def with_knobs(self, **knobs: Any) -> "ColorTask":
        """Return the task with some of its settings changed; frames and size are the model's.

        Raises:
            TypeError: There is no such setting.
        """
        if unknown := sorted(set(knobs) & {"frames", "size"}):
            raise TypeError(f"{unknown[0]!r} is a field of the model: num_frames or image_size")
        return replace(self, **knobs)

    def resized(self, num_frames: int, image_size: int | tuple[int, int]) -> "ColorTask":
        """Return the task with clips of another length and size."""
        return replace(self, frames=num_frames, size=pair(image_size)[0])

    def batches(self, *, seed: int, batch: int, start: int = 0, stop: int) -> Iterator[ColorBatch]:
        """Make the training batches of steps `start` to `stop`; the clips of a step depend on seed and step alone.

        Args:
            seed: Seed of the clips, 0 or more.
            batch: Number of clips in a batch.
            start, stop: First step, and the step after the last, counted from 0.
        """
        for step in range(start, stop):
            generator = torch.Generator().manual_seed(seed_of(TRAINING, seed, step))
            lab = self._training_clips(batch, generator)
            lab = augment(lab, generator, lightness=self.lightness, curves=self.recolor)
            yield ColorBatch(lab, reference_frames(self.references, self.frames, generator))

    def test_batches(self, name: str, *, clips: int, batch: int = 16, validation: bool = False) -> Iterator[ColorBatch]:
        """Make a test; its clips are the same for every run.

        Args:
            name: Name of the test, one of ``tests``.
            clips: Largest number of clips in all.
            batch: Largest number of clips in a batch.
            validation: Whether to make validation clips, on which choices may be based, instead of test clips.
        """
        if name not in self.tests:
            raise ValueError(f"test {name!r} is unknown: choose {self.tests[0]!r}")
        generator = torch.Generator().manual_seed(seed_of(VALIDATION if validation else TEST, 0, 0))
        for lab in self.test_clips(min(clips, self.most_test_clips), validation=validation).split(batch):
            yield ColorBatch(lab, reference_frames(self.references, lab.shape[2], generator))

    def test_clips(self, count: int, *, validation: bool = False) -> Tensor:
        """Return the clips of the test in Lab, (b 3 t h w); for films, there may be fewer than asked for.

        Args:
            count: Largest number of clips.
            validation: Whether to return validation clips instead.
        """
        if not self.root:
            seed = seed_of(VALIDATION if validation else TEST, 0, 0)
            pictures = _photographs("training" if validation else "held_out")
            return virtual_clips(
                pictures, count=count, frames=TEST_FRAMES, size=self.size, objects=self.objects, seed=seed
            )
        films = self.films[VALIDATION if validation else TEST]
        share = max(1, count // len(films))
        windows = [film.frames[even_windows(film, frames=TEST_FRAMES, most=share)] for film in films]
        return to_lab(torch.cat(windows))

    def _training_clips(self, count: int, generator: torch.Generator) -> Tensor:
        if not self.root:
            seed = int(torch.randint(2**62, (), generator=generator))
            pictures = _photographs("training")
            return virtual_clips(
                pictures, count=count, frames=self.frames, size=self.size, objects=self.objects, seed=seed
            )
        films = self.films[TRAINING]
        chosen = torch.randint(len(films), (count,), generator=generator).tolist()
        clips = []
        for index in chosen:
            window = random_windows(
                films[index], count=1, frames=self.frames, spacing=SPACING_SECONDS, generator=generator
            )
            clips.append(films[index].frames[window])
        return to_lab(torch.cat(clips))

    @cached_property
    def films(self) -> tuple[Sequence[Film], Sequence[Film], Sequence[Film]]:
        """The films for training, validation and tests; files that cannot be read are noted in ``unreadable``."""
        films = []
        for path in film_files(self.root):
            try:
                films.append(read_film(path, size=self.size))
            except ValueError as error:
                self.unreadable[str(path)] = str(error)
        if not films:
            raise ValueError(f"{self.root}: no film can be read: " + "; ".join(self.unreadable.values()))
        if len(films) == 1:
            half = len(films[0].frames) // 2
            training, test = [films[0].part(0, half)], [films[0].part(half, len(films[0].frames))]
        else:
            chosen = set(range(TEST_FILMS - 1, len(films), TEST_FILMS)) or {len(films) - 1}
            test = [films[index] for index in sorted(chosen)]
            training = [film for index, film in enumerate(films) if index not in chosen]
        return training, training, test


@cache
def _photographs(split: str) -> Tensor:
    """Return the photographs of one split, which a run needs for each point of its learning curve."""
    return load_photographs(split)


def film_files(root: str | Path) -> list[Path]:
    """Return the films of a folder, in the order of their names, or the one file that is named.

    Raises:
        ValueError: There is no such file or folder, or the folder holds no film.
    """
    root = Path(root)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise ValueError(f"{root}: no such file or folder: check the path")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in FILM_SUFFIXES)
    if not files:
        raise ValueError(f"{root}: no film in it: expected files such as {', '.join(FILM_SUFFIXES[:4])}")
    return files


def reference_frames(references: str, frames: int, generator: torch.Generator) -> tuple[int, ...]:
    """Return the known frames of a clip.

    Args:
        references: "first", "every K" or "random N".
        frames: Number of frames of the clip.
        generator: Source of the random numbers.

    Raises:
        ValueError: The words are unknown, or no frame would be left to color.
    """
    kind, _, number = references.partition(" ")
    count = int(number) if number.isdigit() else 0
    if references == "first":
        return (0,)
    if kind == "every" and count > 1:
        return tuple(range(0, frames, count))
    if kind == "random" and 0 < count < frames:
        return tuple(sorted(torch.randperm(frames, generator=generator)[:count].tolist()))
    raise ValueError(
        f'references={references!r} is not possible for {frames} frames: choose "first", "every K" with K of at '
        f'least 2, or "random N" with N below {frames}'
    )


def seed_of(purpose: int, seed: int, step: int) -> int:
    """Return one seed for a purpose, the seed of a run and a step."""
    return crc32(f"color {purpose} {seed} {step}".encode())
