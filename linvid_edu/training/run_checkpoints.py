"""Checkpoints of a run, from which it resumes to the same bits.

    checkpoint-000400/model.safetensors      weights and the model's configuration
    checkpoint-000400/optimizer.safetensors  moments of AdamW
    checkpoint-000400/run.json               format, settings of the run, and its progress: step, curve, seconds so far

A checkpoint is written under another name and renamed, so that every checkpoint is whole. A checkpoint needs no random
state other than the seed and the step, since the clips and the dropout of each step are drawn from these two numbers.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from linvid_edu.models.checkpoint import CheckpointError, load_model, save_model
from linvid_edu.models.transformer import VideoTransformer

from .config import TrainConfig
from .run_format import differing_settings, read_run_file, run_header

MODEL, OPTIMIZER, RUN = "model.safetensors", "optimizer.safetensors", "run.json"


@dataclass
class Progress:
    """How far a run has come.

    Args:
        step: Number of optimizer steps taken.
        seconds: Wall time of training so far, over all parts of the run, including validation.
        curve: Validation accuracy on the main test, as pairs of step and accuracy.
        losses: Mean training loss since the previous point, as pairs of step and loss in nats.
        pending: Training losses since the last point.
        unreadable: Name of each clip that was skipped, and the reason.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def add_step(self, step: int, loss: float) -> None:
        """Note a step and its training loss."""
        self.step = step
        self.pending.append(loss)

    def add_point(self, accuracy: float) -> None:
        """Add a point to the learning curve at the current step."""
        self.curve.append((self.step, accuracy))
        self.losses.append((self.step, sum(self.pending) / len(self.pending)))
        self.pending.clear()


def save_checkpoint(
    folder: Path, model: VideoTransformer, optimizer: torch.optim.Optimizer, config: TrainConfig, progress: Progress
) -> Path:
    """Write a checkpoint and remove the older ones.

    Args:
        folder: Path of the run's folder.
        model: Model as it was before ``fabric.setup`` wrapped it.
        optimizer: Optimizer as it was before ``fabric.setup`` wrapped it.
        config: Settings of the run.
        progress: Progress of the run.

    Returns:
        Path of the checkpoint's folder.
    """
    target = checkpoint_path(folder, progress.step)
    temporary = folder / ".writing-checkpoint"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(model, temporary / MODEL)
    save_file(_optimizer_tensors(model, optimizer), temporary / OPTIMIZER)
    run_file = json.dumps({**run_header(config), "progress": vars(progress)})
    (temporary / RUN).write_text(run_file, encoding="utf-8")
    os.rename(temporary, target)
    for older in checkpoints(folder)[:-1]:
        shutil.rmtree(older, ignore_errors=True)  # Windows cannot remove files in use; the next save retries
    return target


def load_checkpoint(
    checkpoint: Path, model: VideoTransformer, optimizer: torch.optim.Optimizer, config: TrainConfig
) -> Progress:
    """Fill model and optimizer from a checkpoint, and return how far the run had come.

    Args:
        checkpoint: Path of the checkpoint's folder.
        model: Model of the run, changed in place.
        optimizer: Optimizer of the run, changed in place.
        config: Settings of the run.

    Raises:
        CheckpointError: A file is missing, truncated, of another kind or of a newer format, or the checkpoint belongs
            to another run. Model and optimizer are unchanged.
    """
    progress = _read_progress(checkpoint, config)
    path = checkpoint / OPTIMIZER
    try:
        saved_model = load_model(checkpoint / MODEL)
        tensors = load_file(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}. To start without this checkpoint, remove {checkpoint}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): remove {checkpoint}") from error
    if saved_model.config != model.config:
        raise CheckpointError(
            f"{checkpoint / MODEL} holds a {saved_model.config.variant} model that does not fit its {RUN}: remove "
            f"{checkpoint}"
        )
    expected = _optimizer_tensors(model, optimizer)
    wrong = sorted(name for name in {*tensors, *expected} if _kind(tensors.get(name)) != _kind(expected.get(name)))
    if wrong:
        raise CheckpointError(
            f"{path}: {len(wrong)} tensors are missing, unknown or misshapen ({', '.join(wrong[:5])}): "
            f"remove {checkpoint}"
        )
    model.load_state_dict(saved_model.state_dict())
    _fill_optimizer(model, optimizer, tensors)
    return progress


def _read_progress(checkpoint: Path, config: TrainConfig) -> Progress:
    path = checkpoint / RUN
    try:
        run_file = read_run_file(path)
        values = dict(run_file["progress"])
        points = {name: [tuple(point) for point in values.get(name, [])] for name in ("curve", "losses")}
        progress = Progress(**{**values, **points})
        if checkpoint != checkpoint_path(checkpoint.parent, progress.step):
            raise ValueError(f"its step is {progress.step}")
        different = differing_settings(run_file, config)
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is missing or broken ({error}): remove {checkpoint}") from error
    if different:
        raise CheckpointError(
            f"{checkpoint} belongs to a run with other settings ({', '.join(different)}): "
            "choose another folder, or the settings it was started with"
        )
    return progress


def _kind(tensor: Tensor | None) -> tuple[torch.Size, torch.dtype] | None:
    return None if tensor is None else (tensor.shape, tensor.dtype)


def _optimizer_tensors(model: VideoTransformer, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's tensors by the names of their weights; they are 0 before the first step."""
    tensors: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        state = optimizer.state.get(weight) or {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": torch.zeros_like(weight),
        }
        tensors |= {f"{name}.{key}": value.detach().cpu().contiguous() for key, value in state.items()}
    return tensors


def _fill_optimizer(model: VideoTransformer, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Copy the tensors: those from the file would keep it open, and Windows cannot remove an open file."""
    for name, weight in model.named_parameters():
        moments = {key: tensors[f"{name}.{key}"].to(weight.device, copy=True) for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[weight] = {"step": tensors[f"{name}.step"].clone(), **moments}


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of a step's checkpoint.

    Args:
        folder: Path of the run's folder.
        step: Number of optimizer steps taken.
    """
    return folder / f"checkpoint-{step:06}"


def checkpoints(folder: Path) -> list[Path]:
    """Return the paths of a run's checkpoints, the newest last.

    Args:
        folder: Path of the run's folder.
    """
    paths = (path for path in folder.glob("checkpoint-*") if path.is_dir())
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def newest_model(path: Path) -> Path:
    """Return the path of the weights in a run's newest checkpoint.

    Args:
        path: Path of a run's folder, of a checkpoint's folder, or of the weights themselves.

    Raises:
        ValueError: The folder has no checkpoint.
    """
    if (path / MODEL).is_file():
        return path / MODEL
    if not path.is_dir():
        return path
    if not (saved := checkpoints(path)):
        raise ValueError(f"{path} holds no checkpoint: give a run's folder, a checkpoint's, or a {MODEL}")
    return saved[-1] / MODEL
