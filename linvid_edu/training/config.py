"""The settings of a run."""

import math
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, get_origin, get_type_hints

from linvid_edu.models.config import ModelConfig
from linvid_edu.video.clip_folder.folder import open_clips

from .tasks import Data, find_task, fitted, model_config

CLIPS = "clips"  # the task of a run on a folder of clips


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run; plain values, so that it goes into JSON, a command line or a notebook.

    Args:
        task: one of ``TASKS``, or "clips".
        variant: Name of a variant, such as "performer-cooperative", see ``VARIANTS``.
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
            return task.with_knobs(**knobs)
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
