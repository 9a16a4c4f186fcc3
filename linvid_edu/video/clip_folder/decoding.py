"""Decode labeled clips in several worker processes, and keep what fits in memory."""

import gc
import signal
from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from .layouts import LabeledClip

PATIENCE = 600  # seconds that a worker may take for one batch

Pixels = NDArray[np.uint8]  # (t h w 3)


class FrameCache(dict[LabeledClip, "Pixels | None"]):
    """Decoded frames up to a limit in bytes, which keeps those that came first; None marks an unreadable clip.

    Args:
        limit: bytes of pixels.
    """

    def __init__(self, limit: int):
        super().__init__()
        self.limit, self.used = limit, 0

    def offer(self, clip: LabeledClip, frames: Pixels | None) -> None:
        """Keep the frames of a clip if there is room."""
        size = 0 if frames is None else frames.nbytes
        if clip not in self and self.used + size <= self.limit:
            self[clip] = frames
            self.used += size


class Decoded(NamedTuple):
    """A clip's frames, or those of its replacement; None where there are none; and what could not be read."""

    clip: LabeledClip
    frames: Pixels | None
    failures: dict[Path, str]


class Decoder(Dataset[list[Decoded]]):
    """Decode clips by their indices, in whatever process it is asked."""

    def __init__(self, clips: Sequence[LabeledClip], num_frames: int, size: int, *, replaces: bool):
        self.clips, self.num_frames, self.size, self.replaces = clips, num_frames, size, replaces

    def __getitem__(self, indices: list[int]) -> list[Decoded]:
        return [self._decode(index) for index in indices]

    def _decode(self, index: int) -> Decoded:
        from linvid_edu.video.reading import VideoError, load_clip

        failures = {}
        for path in self._candidates(index):
            try:
                clip = load_clip(path, num_frames=self.num_frames, size=self.size)
            except VideoError as error:
                failures[path] = str(error).removeprefix(f"{path}: ")
            else:
                return Decoded(self.clips[index], clip.frames.numpy(), failures)
        return Decoded(self.clips[index], None, failures)

    def _candidates(self, index: int) -> Iterator[Path]:
        """Yield the clip, then those that may replace it: the others of its class, beginning after it."""
        yield self.clips[index].path
        if self.replaces:
            for other in (*self.clips[index + 1 :], *self.clips[:index]):
                if other.label == self.clips[index].label:
                    yield other.path


def decode(
    decoder: Decoder, orders: Iterable[list[int]], kept: FrameCache, *, workers: int
) -> Iterator[tuple[list[int], list[Pixels | None], dict[Path, str]]]:
    """Yield each order with the frames of its clips, from memory or decoded, and what could not be read.

    Args:
        decoder: of the clips that the orders index.
        orders: the clips of one batch each. It is read up to two orders for each worker ahead.
        kept: filled on the way.
        workers: processes that decode a batch each; 0 decodes in this one.
    """
    clips = decoder.clips
    orders, ahead = tee(orders)
    missing = ([index for index in dict.fromkeys(order) if clips[index] not in kept] for order in ahead)
    loader = DataLoader(
        decoder,
        batch_size=None,
        sampler=missing,
        num_workers=workers,
        collate_fn=list,  # arrays stay arrays: tensors would travel through /dev/shm, which containers keep small
        timeout=PATIENCE if workers else 0,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # else each loader would move the random state of the run
    )
    gc.collect()  # a decoder that is garbage here would be freed again in a forked worker, which its threads are not in
    for order, found in zip(orders, loader, strict=True):
        new = {each.clip: each.frames for each in found}
        failures = {path: words for each in found for path, words in each.failures.items()}
        for each in found:
            kept.offer(each.clip, each.frames)
        yield order, [new[clips[index]] if clips[index] in new else kept[clips[index]] for index in order], failures


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its step and stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
