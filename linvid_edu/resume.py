"""Checkpoints that a run goes on from to the same bits, written so that one that is there is whole.

    checkpoint-000400/model.safetensors      weights and the model's configuration
    checkpoint-000400/optimizer.safetensors  moments of AdamW, and the random state
    checkpoint-000400/run.json               the run's configuration, step, learning curve, seconds so far

The folder is written under another name and renamed.
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

from .checkpoint import CheckpointError, load_model, save_model
from .model import VideoTransformer
from .train import TrainConfig


@dataclass
class Progress:
    """Where a run stands.

    Args:
        step: optimizer steps taken.
        seconds: wall time of training so far, over all its parts, tests included.
        curve: validation accuracy on the task's first test, as (step, accuracy).
        losses: mean training loss since the previous point of the curve, as (step, nats).
        pending: training losses since the last point of the curve.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)


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
    target = folder / f"checkpoint-{progress.step:06}"
    temporary = folder / f".writing-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(model, temporary / "model.safetensors")
    save_file(_optimizer_tensors(model, optimizer), temporary / "optimizer.safetensors")
    (temporary / "run.json").write_text(json.dumps({"config": config.to_dict(), "progress": vars(progress)}))
    if target.exists():
        shutil.rmtree(temporary)
        return target
    os.rename(temporary, target)
    for older in checkpoints(folder)[:-1]:
        shutil.rmtree(older)
    return target


def load_checkpoint(
    checkpoint: Path, model: VideoTransformer, optimizer: torch.optim.Optimizer, config: TrainConfig
) -> Progress:
    """Fill model, optimizer and random state from a checkpoint, and return where the run stood.

    Raises:
        CheckpointError: a file is missing, cut or of another kind, or it belongs to another run.
    """
    try:
        saved = json.loads((checkpoint / "run.json").read_text())
        progress, wrote = Progress(**saved["progress"]), saved["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{checkpoint / 'run.json'} is missing or broken ({error}): remove {checkpoint}"
        ) from error
    asked = config.to_dict()
    different = sorted(name for name in {*wrote, *asked} if name not in wrote or wrote[name] != asked.get(name))
    if different:
        raise CheckpointError(
            f"{checkpoint} belongs to a run with other settings ({', '.join(different)}): "
            "choose another folder, or the settings it was started with"
        )
    weights = load_model(checkpoint / "model.safetensors")
    if weights.config != model.config:
        raise CheckpointError(f"{checkpoint} holds a {weights.config.variant} model that does not fit its run.json")
    path = checkpoint / "optimizer.safetensors"
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}): remove {checkpoint}") from error
    expected = _optimizer_tensors(model, optimizer, empty=True)
    wrong = sorted(
        name
        for name in {*tensors, *expected}
        if name not in tensors or name not in expected or tensors[name].shape != expected[name].shape
    )
    if wrong:
        raise CheckpointError(f"{path}: {len(wrong)} tensors are missing, unknown or misshapen: {', '.join(wrong[:5])}")
    model.load_state_dict(weights.state_dict())
    _fill_optimizer(model, optimizer, tensors)
    return progress


def _optimizer_tensors(
    model: VideoTransformer, optimizer: torch.optim.Optimizer, *, empty: bool = False
) -> dict[str, Tensor]:
    """Name the optimizer's tensors after the weights they belong to, and add the random state of the CPU."""
    tensors = {"random": torch.get_rng_state()}
    for name, weight in model.named_parameters():
        state = optimizer.state.get(weight, {})
        if empty or not state:
            state = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
            state = state if empty else {key: torch.zeros_like(value) for key, value in state.items()}
        tensors |= {f"{name}.{key}": value.detach().cpu().contiguous() for key, value in state.items()}
    return tensors


def _fill_optimizer(model: VideoTransformer, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for name, weight in model.named_parameters():
        keys = ("step", "exp_avg", "exp_avg_sq")
        places = {key: "cpu" if key == "step" else weight.device for key in keys}
        optimizer.state[weight] = {key: tensors[f"{name}.{key}"].to(places[key]) for key in keys}
    torch.set_rng_state(tensors["random"])


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run's folder, the newest last."""
    return sorted(path for path in folder.glob("checkpoint-*") if path.is_dir())
