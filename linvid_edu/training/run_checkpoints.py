"""Checkpoints that a run goes on from to the same bits, written so that one that is there is whole.

    checkpoint-000400/model.safetensors      weights and the model's configuration
    checkpoint-000400/optimizer.safetensors  moments of AdamW
    checkpoint-000400/run.json               the run's configuration, step, learning curve, seconds so far

The folder is written under another name and renamed. Seed and step are the whole random state: clips and dropout of a
step are drawn from the two, whatever came before.
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


@dataclass
class Progress:
    """Where a run stands.

    Args:
        step: optimizer steps taken.
        seconds: wall time of training so far, over all its parts, tests included.
        curve: validation accuracy on the task's first test, as (step, accuracy).
        losses: mean training loss since the previous point of the curve, as (step, nats).
        pending: training losses since the last point of the curve.
        unreadable: clips that were skipped so far, and why.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def save_checkpoint(
    folder: Path, model: VideoTransformer, optimizer: torch.optim.Optimizer, config: TrainConfig, progress: Progress
) -> Path:
    """Write everything that the run needs to go on, as one folder that appears whole; older ones are removed.

    Args:
        folder: of the run.
        model, optimizer: the unwrapped ones.
        config, progress: the run.

    Returns:
        The checkpoint's folder.
    """
    target = checkpoint_path(folder, progress.step)
    temporary = folder / ".writing-checkpoint"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(model, temporary / "model.safetensors")
    save_file(_optimizer_tensors(model, optimizer), temporary / "optimizer.safetensors")
    (temporary / "run.json").write_text(json.dumps({"config": config.to_dict(), "progress": vars(progress)}))
    os.rename(temporary, target)
    for older in checkpoints(folder)[:-1]:
        shutil.rmtree(older)
    return target


def load_checkpoint(
    checkpoint: Path, model: VideoTransformer, optimizer: torch.optim.Optimizer, config: TrainConfig
) -> Progress:
    """Fill model and optimizer from a checkpoint, and return where the run stood.

    Raises:
        CheckpointError: a file is missing, cut or of another kind, or it belongs to another run; nothing was filled.
    """
    progress = _read_progress(checkpoint, config)
    path = checkpoint / "optimizer.safetensors"
    try:
        weights = load_model(checkpoint / "model.safetensors")
        tensors = load_file(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}. To start without this checkpoint, remove {checkpoint}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): remove {checkpoint}") from error
    if weights.config != model.config:
        raise CheckpointError(
            f"{checkpoint / 'model.safetensors'} holds a {weights.config.variant} model that does not fit its "
            f"run.json: remove {checkpoint}"
        )
    expected = _optimizer_tensors(model, optimizer)
    wrong = sorted(name for name in {*tensors, *expected} if _kind(tensors.get(name)) != _kind(expected.get(name)))
    if wrong:
        raise CheckpointError(
            f"{path}: {len(wrong)} tensors are missing, unknown or misshapen ({', '.join(wrong[:5])}): "
            f"remove {checkpoint}"
        )
    model.load_state_dict(weights.state_dict())
    _fill_optimizer(model, optimizer, tensors)
    return progress


def _read_progress(checkpoint: Path, config: TrainConfig) -> Progress:
    path = checkpoint / "run.json"
    try:
        saved = json.loads(path.read_text())
        wrote, stood = dict(saved["config"]), dict(saved["progress"])
        points = {name: [tuple(point) for point in stood.get(name, [])] for name in ("curve", "losses")}
        progress = Progress(**stood | points)
        if checkpoint != checkpoint_path(checkpoint.parent, progress.step):
            raise ValueError(f"its step is {progress.step}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is missing or broken ({error}): remove {checkpoint}") from error
    asked = config.to_dict()
    different = sorted(name for name in {*wrote, *asked} if name not in wrote or wrote[name] != asked.get(name))
    if different:
        raise CheckpointError(
            f"{checkpoint} belongs to a run with other settings ({', '.join(different)}): "
            "choose another folder, or the settings it was started with"
        )
    return progress


def _kind(tensor: Tensor | None) -> tuple[torch.Size, torch.dtype] | None:
    return None if tensor is None else (tensor.shape, tensor.dtype)


def _optimizer_tensors(model: VideoTransformer, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name the optimizer's tensors after the weights that they belong to; they are 0 before the first step."""
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
    for name, weight in model.named_parameters():
        moments = {key: tensors[f"{name}.{key}"].to(weight.device) for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[weight] = {"step": tensors[f"{name}.step"], **moments}


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"checkpoint-{step:06}"


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run's folder, the newest last."""
    found = (path for path in folder.glob("checkpoint-*") if path.is_dir())
    return sorted(found, key=lambda path: (len(path.name), path.name))
