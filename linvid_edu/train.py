"""Train a model: a loop short enough to read, which yields one record for each step, on what ``devices`` sets up."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple, get_origin, get_type_hints
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .devices import make_fabric as make_fabric  # the lessons take the two from here
from .devices import plain_fabric as plain_fabric
from .fitting import fitted
from .folders import open_clips
from .layers import Mechanism
from .model import ModelConfig, VideoTransformer
from .tasks import Batch, Data, find_task, model_config

CLIPS = "clips"  # the task of a run on a folder of clips


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run; plain values, so that it goes into JSON, a command line or a notebook.

    Args:
        task: one of ``TASKS``, or "clips".
        variant: one of ``VARIANTS`` or ``FAMILY``, such as "performer-cooperative".
        preset: one of ``PRESETS``.
        seed: of the weights and of the training clips, 0 or more.
        steps: how many batches.
        batch: clips of a batch, over all processes.
        learning_rate: its maximum; a linear warm-up leads to it, half a cosine from it to 0.
        warmup: steps of the warm-up.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradient.
        gain: of the initial weights, see ``initialize``.
        model: fields of the model's configuration to change.
        scenes: knobs of the training scenes to change; where the task is "clips", ``root``, the folder that
            ``read_layout`` reads, and if need be ``flips``, ``workers`` and ``cache_mb``.

    Raises:
        ValueError: a value of the wrong type or out of range, or a task and a preset that do not fit each other; it
            names the value and the limit.
    """

    task: str = "cue"
    variant: str = "cooperative"
    preset: str = "compact"
    seed: int = 0
    steps: int = 1000
    batch: int = 32
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    gain: float = 1.0
    model: dict[str, Any] = field(default_factory=dict)
    scenes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, wanted = getattr(self, name), get_origin(kind) or kind
            allowed = (int, float) if wanted is float else wanted
            if isinstance(value, bool) or not isinstance(value, allowed):
                raise ValueError(f"{name}={value!r} is a {type(value).__name__}, expected {wanted.__name__}")
        for name, least in (("seed", 0), ("steps", 1), ("batch", 1), ("warmup", 0), ("weight_decay", 0)):
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least} and finite")
        for name in ("learning_rate", "clip_norm", "gain"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0 and finite")
        _ = self.data  # refuses unknown names and what does not fit

    @cached_property
    def data(self) -> Data:
        """The task or the folder of clips, changed as ``scenes`` says, and sized for the model."""
        config = self.model_config
        try:
            return fitted(self._task, config, f"task {self.task!r}")
        except ValueError as error:
            way_out = f"change model={self.model}" if self.model else f"choose another preset than {self.preset!r}"
            raise ValueError(f"{error}: {way_out}") from error

    @property
    def model_config(self) -> ModelConfig:
        """The model's configuration."""
        return model_config(self._task, self.variant, self.preset, **self.model)

    @cached_property
    def _task(self) -> Data:
        knobs = dict(self.scenes)
        if self.task == CLIPS and not isinstance(knobs.get("root"), str):
            raise ValueError(f"scenes={knobs} names no folder of clips: set scenes={{'root': 'ucf'}}, or --clips ucf")
        task = open_clips(knobs.pop("root")) if self.task == CLIPS else find_task(self.task)
        try:
            return task.changed(**knobs)
        except TypeError as error:
            raise ValueError(f"scenes={self.scenes} has a knob that task {self.task!r} lacks: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Read what ``to_dict`` wrote; unknown names raise ValueError."""
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown settings of a run: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(**values)


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
                module.draw(torch.Generator().manual_seed(crc32(f"{seed} {name}".encode())))
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
