"""Decode labeled clips in worker processes, and keep their frames in memory up to a limit."""

import gc
import signal
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from .labeled_clips import LabeledClip

IN_PART = "read in part"  # begins the message about a damaged clip that is used
SECONDS_PER_BATCH = 600  # time limit for a worker to decode one batch

Pixels = NDArray[np.uint8]  # (t h w 3)


class FrameCache(dict[LabeledClip, "Pixels | None"]):
    """Decoded frames of the clips that were added first, up to a limit in bytes; None marks an unreadable clip.

    Args:
        limit: Largest total size of the frames, in bytes.
    """

    def __init__(self, limit: int):
        super().__init__()
        self.limit, self.used_bytes = limit, 0

    def add_if_room(self, clip: LabeledClip, frames: Pixels | None) -> None:
        """Keep the frames of a clip if they fit into the limit."""
        size = 0 if frames is None else frames.nbytes
        if clip not in self and self.used_bytes + size <= self.limit:
            self[clip] = frames
            self.used_bytes += size


class DecodedClip(NamedTuple):
    """A clip with its frames.

    clip: the clip that was requested
    frames: its frames, or those of its replacement; None if there is no readable one
    errors: for each unreadable or damaged clip that was tried, its path and the reason
    """

    clip: LabeledClip
    frames: Pixels | None
    errors: dict[Path, str]


class DecodedBatch(NamedTuple):
    """The clips of one batch.

    clips: the requested clips
    frames: frames of each clip; None if neither the clip nor a replacement can be read
    errors: for each unreadable or damaged clip that was tried, its path and the reason
    """

    clips: list[LabeledClip]
    frames: list[Pixels | None]
    errors: dict[Path, str]


class ClipDecoder(Dataset[list[DecodedClip]]):
    """Decode lists of clips, in the process that asks for them.

    Args:
        clips: Clips that may be requested, by index.
        num_frames: Number of frames of each clip.
        size: Height and width in pixels.
        replaces: Whether an unreadable clip is replaced by the next readable one of its class.
    """

    def __init__(self, clips: Sequence[LabeledClip], num_frames: int, size: int, *, replaces: bool):
        self.clips, self.num_frames, self.size, self.replaces = clips, num_frames, size, replaces

    def __getitem__(self, indices: list[int]) -> list[DecodedClip]:
        return [self._decode(index) for index in indices]

    def _decode(self, index: int) -> DecodedClip:
        from linvid_edu.video.opening import VideoError, VideoWarning, printable
        from linvid_edu.video.reading import load_clip

        errors = {}
        for path in self._candidates(index):
            try:
                with warnings.catch_warnings(record=True) as damage:
                    warnings.simplefilter("always", VideoWarning)
                    clip = load_clip(path, num_frames=self.num_frames, size=self.size)
            except VideoError as error:
                errors[path] = str(error).removeprefix(f"{printable(path)}: ")
            else:
                for warning in damage:
                    errors[path] = f"{IN_PART}: " + str(warning.message).removeprefix(f"{printable(path)}: ")
                return DecodedClip(self.clips[index], clip.frames.numpy(), errors)
        return DecodedClip(self.clips[index], None, errors)

    def _candidates(self, index: int) -> Iterator[Path]:
        """Yield the clip, then the clips that may replace it: others of its class, first those that come after it."""
        yield self.clips[index].path
        if self.replaces:
            for other in (*self.clips[index + 1 :], *self.clips[:index]):
                if other.label == self.clips[index].label:
                    yield other.path


def decode(
    decoder: ClipDecoder, batches: Iterable[list[int]], cache: FrameCache, *, workers: int
) -> Iterator[DecodedBatch]:
    """Yield the clips of each batch with their frames, from the cache or decoded.

    Args:
        decoder: Decoder of the clips.
        batches: Indices of the clips of each batch. Up to two batches for each worker are read ahead.
        cache: Frames in memory; decoded frames are added.
        workers: Number of processes, each of which decodes one batch at a time. 0 decodes in this process.
    """
    clips = decoder.clips
    batches, ahead = tee(batches)
    missing = ([index for index in dict.fromkeys(batch) if clips[index] not in cache] for batch in ahead)
    loader = DataLoader(
        decoder,
        batch_size=None,
        sampler=missing,
        num_workers=workers,
        collate_fn=list,  # arrays stay arrays: tensors would travel through /dev/shm, which containers keep small
        timeout=SECONDS_PER_BATCH if workers else 0,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # otherwise each loader would advance the random state of the run
    )
    # Collect now: a dead decoder freed in a forked worker would hang, because its threads do not exist there.
    gc.collect()
    for batch, decoded in zip(batches, loader, strict=True):
        new = {result.clip: result.frames for result in decoded}
        errors = {path: reason for result in decoded for path, reason in result.errors.items()}
        for result in decoded:
            cache.add_if_room(result.clip, result.frames)
        requested = [clips[index] for index in batch]
        yield DecodedBatch(requested, [new[clip] if clip in new else cache[clip] for clip in requested], errors)


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the training process, which finishes its step and stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
