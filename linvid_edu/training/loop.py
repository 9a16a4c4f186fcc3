"""Train a model: a short loop that yields a record of each step."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor, nn

from linvid_edu.attention.mechanisms import Mechanism
from linvid_edu.models.color_transformer import CopyHead
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.batch import Batch, ColorBatch

from .config import TrainConfig
from .objective import outcome


class Record(NamedTuple):
    """One step of training.

    step: number of the step, counted from 1
    loss: loss of the batch before the step, see ``outcome``
    accuracy: accuracy on the batch before the step, see ``outcome``
    learning_rate: learning rate of the step
    gradient_norm: norm of the gradient before it was clipped
    """

    step: int
    loss: float
    accuracy: float
    learning_rate: float
    gradient_norm: float


class Diverged(RuntimeError):
    """The loss or its gradient is not finite; the message names the step and what to try."""


def initialize(model: VideoTransformer, *, seed: int, gain: float = 1.0) -> VideoTransformer:
    """Reinitialize a model's weights, so that variants with the same seed start from the same weights.

    W ~ N(0, gain² / fan_in), biases and raw scales 0, embeddings ~ N(0, gain² / 4)

    The random numbers of a weight depend on the seed and its name alone, so a weight that two variants have in common
    starts from the same values in both. With biases of 0 the fixation ratios start around 1/2.

    Args:
        model: Model to change in place; the weights of its LayerNorms stay 1.
        seed: Seed of the weights, 0 or more.
        gain: Scale of the weights, above 0.

    Returns:
        The model.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            generator = torch.Generator().manual_seed(crc32(f"{seed} {name}".encode()))
            if name.endswith("embedding"):
                weight.normal_(std=gain / 2, generator=generator)
            elif name.endswith(("bias", "scale")):
                weight.zero_()
            elif weight.ndim > 1:
                weight.normal_(std=gain * weight[0].numel() ** -0.5, generator=generator)
        for name, module in model.named_modules():
            if isinstance(module, Mechanism):
                module.randomize_buffers(torch.Generator().manual_seed(crc32(f"{seed} {name}".encode())))
            elif isinstance(module, CopyHead):
                module.start_equal()
    return model


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of a step: linear up to step `warmup`, then half a cosine down to 0.

    rate · min(step / warmup, (1 + cos(π · (step − warmup) / (steps − warmup))) / 2)

    Args:
        config: Settings of the run.
        step: Number of the step, counted from 1.
    """
    if step <= config.warmup:
        return config.learning_rate * step / config.warmup
    return config.learning_rate * (1 + math.cos(math.pi * (step - config.warmup) / (config.steps - config.warmup))) / 2


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW without weight decay for biases, norms and embeddings.

    Args:
        model: Model to train.
        config: Settings of the run.
    """
    decayed: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in model.named_parameters():
        (others if weight.ndim == 1 or name.endswith("embedding") else decayed).append(weight)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, foreach=True)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch | ColorBatch],
    config: TrainConfig,
    fabric: Any,
    *,
    taken: int = 0,
) -> Iterator[Record]:
    """Take one optimizer step for each batch, and yield its record.

    Args:
        model: Model that ``fabric.setup`` returned.
        optimizer: Optimizer that ``fabric.setup`` returned.
        batches: Batches of clips; each process takes its share of each batch.
        config: Settings of the run.
        fabric: Result of ``make_fabric``.
        taken: Number of steps taken before.

    Raises:
        Diverged: The loss or its gradient is not finite; the weights are those before the step.
    """
    model.train()
    dropout = config.model_config.dropout > 0
    for step, batch in enumerate(batches, start=taken + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        if dropout:  # seeded in each step and process, so that a resumed run draws the same dropout
            torch.manual_seed(crc32(f"{config.seed} {step} {fabric.global_rank}".encode()))
        loss, right = outcome(model, _share(batch, fabric), config.model_config)
        mean_loss, accuracy = fabric.all_reduce(torch.stack([loss.detach(), right])).tolist()
        _check_finite("loss", mean_loss, step, config)
        optimizer.zero_grad()
        fabric.backward(loss)
        norm = fabric.clip_gradients(model, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False).item()
        _check_finite("norm of the gradient", norm, step, config)
        optimizer.step()
        yield Record(step, mean_loss, accuracy, learning_rate(config, step), norm)


def _check_finite(name: str, value: float, step: int, config: TrainConfig) -> None:
    if not math.isfinite(value):
        raise Diverged(
            f"the {name} of step {step} is {value}: try a lower learning rate than {config.learning_rate}, "
            f"a longer warm-up than {config.warmup} steps or a smaller gain than {config.gain}"
        )


def _share(batch: Batch | ColorBatch, fabric: Any) -> Batch | ColorBatch:
    """Return this process's clips of a batch, on its device."""
    if batch.clips % fabric.world_size:
        raise ValueError(
            f"a batch of {batch.clips} clips cannot be shared by {fabric.world_size} processes: choose a multiple"
        )
    return batch.share(slice(fabric.global_rank, None, fabric.world_size), fabric.device)
