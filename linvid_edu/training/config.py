"""The settings that define a run, and the effort with which the run is carried out."""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from linvid_edu.models.config import ModelConfig
from linvid_edu.video.clip_folder.folder import ClipFolder, check_flips, check_loading, open_clips

from .task_models import check_square_frames, fitted, model_config, variant_config
from .tasks import Data, find_task

CLIPS = "clips"  # the task of a run on a folder of clips
LOADING = ("workers", "cache_mb")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings that define a run, as plain values for JSON, a command line or a notebook.

    A folder of clips is read when ``data`` or ``model_config`` is first used, not before, so that the settings of an
    old run can be read even if its clips are gone.

    Args:
        task: Name of the task, one of ``TASKS``, "color" or "clips".
        variant: Name of the variant, such as "performer-cooperative", see ``VARIANTS``.
        preset: Name of the preset, one of ``PRESETS``.
        seed: Seed of the weights and of the training clips, 0 or more.
        steps: Number of optimizer steps, one batch each.
        batch: Number of clips in a batch, over all processes.
        learning_rate: Largest learning rate. The rate rises linearly to this value during the warm-up, and then falls
            to 0 along half a cosine.
        warmup: Number of warm-up steps.
        weight_decay: Weight decay of AdamW.
        clip_norm: Largest norm of the gradient; a larger gradient is scaled down to it.
        gain: Scale of the initial weights, see ``initialize``.
        model: Fields of the model's configuration to change.
        scenes: Knobs of the training scenes to change. For the task "clips": ``root``, path of a folder that
            ``read_layout`` reads, and optionally ``flips``, see ``ClipFolder``. For the task "color": arguments of
            ``ColorTask``.

    Raises:
        ValueError: A value has the wrong type or is out of range, or task, preset and model do not fit each other. The
            message names the value and the limit.
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
            value, expected = getattr(self, name), get_origin(kind) or kind
            allowed = (int, float) if expected is float else expected
            if isinstance(value, bool) or not isinstance(value, allowed):
                raise ValueError(f"{name}={value!r} is a {type(value).__name__}, expected {expected.__name__}")
        for name, least in (("seed", 0), ("steps", 1), ("batch", 1), ("warmup", 0), ("weight_decay", 0)):
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least} and finite")
        for name in ("learning_rate", "clip_norm", "gain"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0 and finite")
        if self.task == CLIPS:
            self._check_without_disk()
        else:
            self._resized(self._task)

    @cached_property
    def data(self) -> Data:
        """The task or the folder of clips, with the knobs of ``scenes``, in the size of the model.

        Raises:
            ValueError: The folder is missing or not laid out as ``read_layout`` expects, or the model does not fit it.
        """
        return self._resized(self._task)

    @property
    def model_config(self) -> ModelConfig:
        """The model's configuration; for a folder of clips, the number of classes comes from the folder."""
        return model_config(self._task, self.variant, self.preset, **self.model)

    @cached_property
    def _task(self) -> Data:
        """The task or the folder of clips with the knobs of ``scenes``."""
        knobs = dict(self.scenes)
        task: Data = open_clips(knobs.pop("root")) if self.task == CLIPS else find_task(self.task)
        try:
            return task.with_knobs(**knobs)
        except TypeError as error:
            raise ValueError(f"scenes={self.scenes} has a knob that task {self.task!r} lacks: {error}") from error

    def _resized(self, task: Data) -> Data:
        try:
            return fitted(task, self.model_config, f"task {self.task!r}")
        except ValueError as error:
            raise self._with_way_out(error) from error

    def _with_way_out(self, error: ValueError) -> ValueError:
        way_out = f"change model={self.model}" if self.model else f"choose another preset than {self.preset!r}"
        return ValueError(f"{error}: {way_out}")

    def _check_without_disk(self) -> None:
        """Check the settings of a run on a folder of clips, and normalize its path to forward slashes."""
        root = self.scenes.get("root")
        if not isinstance(root, str):
            raise ValueError(
                f"scenes={self.scenes} names no folder of clips: set scenes={{'root': 'ucf'}}, or --clips ucf"
            )
        for name in self.scenes:
            if name in LOADING:
                raise ValueError(f"scenes has {name!r}, which is no setting of a run: pass Effort({name}=…) to fit")
            if name not in ("root", "flips"):
                raise ValueError(
                    f"scenes={self.scenes} has a knob that task 'clips' lacks: {name!r} is none of root, flips"
                )
        check_flips(self.scenes.get("flips"))
        # the number of classes is not known yet, but nothing that is checked here depends on it
        config = variant_config(2, ClipFolder.model_fields(self.preset), self.variant, self.preset, **self.model)
        try:
            check_square_frames(config, "task 'clips'")
        except ValueError as error:
            raise self._with_way_out(error) from error
        object.__setattr__(self, "scenes", {**self.scenes, "root": Path(root).as_posix()})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Return the settings that ``to_dict`` wrote.

        Raises:
            ValueError: A setting is unknown, or its value is not allowed.
        """
        names = {setting.name for setting in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f"unknown settings of a run: {', '.join(unknown)}; known are {', '.join(sorted(names))}")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How a run is carried out and measured. A run may be resumed with another effort.

    Args:
        threads: Number of PyTorch's threads in each process. None leaves PyTorch's setting unchanged.
        save_every: Number of steps between checkpoints.
        points: Number of points of the learning curve.
        validation_clips: Number of validation clips for each point.
        test_clips: Number of test clips for each final accuracy.
        workers: Number of processes that decode clips from files. 0 decodes in the training process.
        cache_mb: Limit on the decoded frames kept in memory, in 10⁶ bytes.

    Raises:
        ValueError: A value is not a number, or is out of range.
    """

    threads: int | None = None
    save_every: int = 200
    points: int = 20
    validation_clips: int = 512
    test_clips: int = 2048
    workers: int = ClipFolder.workers
    cache_mb: int | float = ClipFolder.cache_mb

    def __post_init__(self) -> None:
        for name in ("threads", "save_every", "points", "validation_clips", "test_clips"):
            value = getattr(self, name)
            if (type(value) is not int or value < 1) and not (name == "threads" and value is None):
                raise ValueError(f"{name}={value!r} must be a whole number above 0")
        check_loading(self.workers, self.cache_mb)

    def loading(self, data: Data) -> Data:
        """Return the clips, loaded with this effort's ``workers`` and ``cache_mb`` if they are read from files."""
        if isinstance(data, ClipFolder):
            return replace(data, workers=self.workers, cache_mb=self.cache_mb)
        return data
