"""Clips rendered ahead by other processes, kept on the host as bytes, and moved to the GPU step by step.

Rendering takes about as long as training does, and every variant of a seed sees the same clips: so each is rendered
once, while the GPU does something else.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import numpy as np
import torch

from linvid_edu.training.config import TrainConfig
from linvid_edu.video.batch import Batch
from linvid_edu.video.clip import denormalize, normalize

Packed = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # frames 0 to 255 (b t h w 3), labels (b), readout


def pack(batch: Batch) -> Packed:
    """Turn a batch into arrays that travel between processes, the clips as bytes."""
    readout = None if batch.readout is None else batch.readout.numpy()
    return denormalize(batch.video).numpy(), batch.label.numpy(), readout


def render_step(config: TrainConfig, step: int) -> list[Packed]:
    """Render the training batch of one step, counted from 0."""
    batches = config.data.batches(seed=config.seed, batch=config.batch, start=step, stop=step + 1)
    return [pack(batch) for batch in batches]


def render_test(config: TrainConfig, name: str, clips: int) -> list[Packed]:
    """Render a test, 64 clips at a time."""
    return [pack(batch) for batch in config.data.test_batches(name, clips=clips, batch=64)]


class Clips:
    """The clips of all runs, rendered once.

    Args:
        device: where batches are handed out.
        workers: processes that render; 0 renders here, when a batch is asked for.
        distinct: training batches of one seed that are kept at most; later steps take them again, in turn.
        test_clips: clips of each test.
    """

    def __init__(self, device: str, *, workers: int, distinct: int, test_clips: int):
        self.device, self.distinct, self.test_clips = torch.device(device), distinct, test_clips
        self._rendered: dict[tuple, Future | list[Packed]] = {}
        self._pool = None
        if workers:
            context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
            self._pool = ProcessPoolExecutor(
                workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
            )

    def ahead(self, config: TrainConfig, stop: int | None = None) -> None:
        """Start to render the training clips of a run, up to step `stop`; nothing happens without workers."""
        if self._pool is not None:
            for step in range(min(config.steps if stop is None else stop, self.distinct)):
                self._ask((config.task, config.seed, step), render_step, config, step)

    def ahead_tests(self, config: TrainConfig) -> None:
        """Start to render the tests of a run's task."""
        if self._pool is not None:
            for name in config.data.tests:
                self._ask((config.task, name), render_test, config, name, self.test_clips)

    def batches(self, config: TrainConfig) -> Iterator[Batch]:
        """Yield the batches of a run on the device: those of its task, for its seed."""
        for step in range(config.steps):
            kept = step % self.distinct
            yield from self._unpacked(self._ask((config.task, config.seed, kept), render_step, config, kept))

    def test(self, config: TrainConfig, name: str) -> Iterator[Batch]:
        """Yield the batches of a test on the device."""
        yield from self._unpacked(self._ask((config.task, name), render_test, config, name, self.test_clips))

    def close(self) -> None:
        """Drop what is not rendered yet, and end the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _ask(self, key: tuple, render: Callable[..., list[Packed]], *arguments: Any) -> Future | list[Packed]:
        if key not in self._rendered:
            self._rendered[key] = self._pool.submit(render, *arguments) if self._pool else render(*arguments)
        return self._rendered[key]

    def _unpacked(self, rendered: Future | list[Packed]) -> Iterator[Batch]:
        for frames, *others in rendered.result() if isinstance(rendered, Future) else rendered:
            label, readout = (None if part is None else self._move(part) for part in others)
            yield Batch(normalize(self._move(frames)), label, readout)

    def _move(self, values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(values)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()  # else the copy waits until the GPU has done all before
        return tensor.to(self.device, non_blocking=True)
