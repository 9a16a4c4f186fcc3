"""Train a model: a loop short enough to read, which yields one record for each step, on what ``devices`` sets up."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.attention.mechanisms import Mechanism
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.batch import Batch

from .config import TrainConfig


class Record(NamedTuple):
    """One step of training.

    step: counted from 1
    loss: mean cross entropy of the batch, in nats, before the step
    accuracy: share of the batch that was right, before the step
    learning_rate: of this step
    gradient_norm: before it was clipped
    """

    step: int
    loss: float
    accuracy: float
    learning_rate: float
    gradient_norm: float


class Diverged(RuntimeError):
    """The loss or its gradient is not finite; it names the step and what to try."""


def initialize(model: VideoTransformer, *, seed: int, gain: float = 1.0) -> VideoTransformer:
    """Draw a model's weights anew, so that variants of one seed share the weights that they have in common.

    W ~ N(0, gain² / fan_in), biases and raw scales 0, embeddings ~ N(0, gain² / 4)

    Each weight has a random stream of its own, named after it. With biases of 0 the fixation ratios start around 1/2.

    Args:
        model: changed in place; the weights of norms stay 1.
        seed: 0 or more.
        gain: above 0.

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
    return model


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the rate of a step, counted from 1: linear up to step `warmup`, then half a cosine down to 0.

    rate · min(step / warmup, (1 + cos(π · (step − warmup) / (steps − warmup))) / 2)
    """
    if step <= config.warmup:
        return config.learning_rate * step / config.warmup
    return config.learning_rate * (1 + math.cos(math.pi * (step - config.warmup) / (config.steps - config.warmup))) / 2


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW; biases, norms and embeddings do not decay."""
    decayed: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in model.named_parameters():
        (others if weight.ndim == 1 or name.endswith("embedding") else decayed).append(weight)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, foreach=True)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    config: TrainConfig,
    fabric: Any,
    *,
    taken: int = 0,
) -> Iterator[Record]:
    """Take one optimizer step for each batch, and yield its record.

    Args:
        model, optimizer: as ``fabric.setup`` returned them.
        batches: of all processes; each process takes its share.
        config: the run.
        fabric: Lightning Fabric, launched, or ``plain_fabric``.
        taken: how many steps were taken before.

    Raises:
        Diverged: the loss or its gradient is not finite; the weights are those before the step.
    """
    model.train()
    dropout = config.model_config.dropout > 0
    for step, batch in enumerate(batches, start=taken + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        if dropout:  # drawn for each step and process anew, so that a resumed run needs no more than its step
            torch.manual_seed(crc32(f"{config.seed} {step} {fabric.global_rank}".encode()))
        video, label, readout = _share(batch, fabric)
        logits = model(video, readout)
        loss = F.cross_entropy(logits, label)
        right = (logits.argmax(dim=-1) == label).float().mean()
        mean_loss, accuracy = fabric.all_reduce(torch.stack([loss.detach(), right])).tolist()
        _refuse_infinite("loss", mean_loss, step, config)
        optimizer.zero_grad()
        fabric.backward(loss)
        norm = fabric.clip_gradients(model, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False).item()
        _refuse_infinite("norm of the gradient", norm, step, config)
        optimizer.step()
        yield Record(step, mean_loss, accuracy, learning_rate(config, step), norm)


def _refuse_infinite(name: str, value: float, step: int, config: TrainConfig) -> None:
    if not math.isfinite(value):
        raise Diverged(
            f"the {name} of step {step} is {value}: try a lower learning rate than {config.learning_rate}, "
            f"a longer warm-up than {config.warmup} steps or a smaller gain than {config.gain}"
        )


def _share(batch: Batch, fabric: Any) -> Batch:
    """Return this process's clips of a batch, on its device."""
    if len(batch.label) % fabric.world_size:
        raise ValueError(
            f"a batch of {len(batch.label)} clips cannot be shared by {fabric.world_size} processes: choose a multiple"
        )
    mine = slice(fabric.global_rank, None, fabric.world_size)
    readout = None if batch.readout is None else batch.readout[mine].to(fabric.device)
    return Batch(batch.video[mine].to(fabric.device), batch.label[mine].to(fabric.device), readout)
