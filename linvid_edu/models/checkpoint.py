"""Save and load models: weights as safetensors with the configuration inside, and nothing that can run code."""

import json
import pickle
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from linvid_edu.files import atomic_path

from .color_transformer import make_model
from .config import ModelConfig
from .transformer import VideoTransformer

WRAPPED = ("_orig_mod", "module", "model")  # where torch.compile, Fabric and autocast keep the model that they wrap
MODEL_FORMAT = 2  # increment when older versions cannot read new files; files without a number count as 1


class CheckpointError(ValueError):
    """A checkpoint cannot be read; the message names the file, what is wrong and what to do."""


def save_model(model: nn.Module, path: str | Path) -> Path:
    """Write weights and configuration into one safetensors file, atomically.

    The new file is read once before it replaces an older one.

    Args:
        model: ``VideoTransformer`` on any device, as it is or wrapped by torch.compile or Lightning Fabric.
        path: Path of the file. Parent folders are made.

    Returns:
        Path of the file.

    Raises:
        CheckpointError: If the model is of another kind, or if the new file cannot be read; an older file is unchanged.
    """
    model = _unwrapped(model)
    weights = {name: weight.detach().cpu().contiguous() for name, weight in _values(model).items()}
    # one entry, because safetensors writes several in random order, and equal models give equal bytes
    metadata = {"config": json.dumps({"format": MODEL_FORMAT, **model.config.to_dict()})}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, metadata=metadata)
        try:
            with torch.random.fork_rng(devices=[]):  # a saved model changes no random number of the caller
                load_model(temporary)
        except CheckpointError as error:
            raise CheckpointError(f"{path} was not written, because it could not be read again: {error}") from error
    return Path(path)


def _unwrapped(model: nn.Module) -> VideoTransformer:
    """Return the video transformer inside the wrappers of a model."""
    inner: object = model
    while not isinstance(inner, VideoTransformer):
        attributes = inner.__dict__ | inner.__dict__.get("_modules", {}) if isinstance(inner, nn.Module) else {}
        inside = [attributes[name] for name in (*WRAPPED, "_original_module") if name in attributes]
        if not inside:
            raise CheckpointError(f"save_model writes a VideoTransformer, not a {type(model).__name__}: pass the model")
        inner = inside[0]
    return inner


def load_model(path: str | Path) -> VideoTransformer:
    """Read a file that ``save_model`` wrote.

    Args:
        path: Path of the file.

    Returns:
        Model on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the file is missing, truncated, of another kind or of a newer format, or if its weights do
            not fit its configuration.
    """
    path = _existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}): `linvid convert` turns a reference checkpoint into one"
        ) from error
    if "config" not in metadata:
        raise CheckpointError(f"{path} holds weights but no model configuration: write it with save_model")
    try:
        config = dict(json.loads(metadata["config"]))
        _check_format(config.pop("format", 1), path)
        model = make_model(ModelConfig.from_dict(config))
    except CheckpointError:
        raise
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} holds a broken model configuration: {error}") from error
    _fill(model, weights, path)
    return model.eval()


def _check_format(version: object, path: Path) -> None:
    """Raise if a file has a newer format than this version of the library reads."""
    if not isinstance(version, int) or version > MODEL_FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, this linvid-edu reads formats up to {MODEL_FORMAT}: update "
            "linvid-edu"
        )


def _values(model: VideoTransformer) -> dict[str, Tensor]:
    """Return the weights of a model and its buffers, such as Performer's random projection."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _fill(model: VideoTransformer, weights: dict[str, Tensor], path: Path) -> None:
    parameters = _values(model)
    wrong = sorted(
        name
        for name in set(parameters) | set(weights)
        if name not in weights or name not in parameters or weights[name].shape != parameters[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"{path}: {len(wrong)} weights are missing, unknown or misshapen for its {model.config.variant} model: "
            + ", ".join(wrong)
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read weights by name from a file that another program wrote, without running any code in it.

    Args:
        path: Path of a .safetensors or .npz file, or of a file that torch.save wrote, possibly with the weights under
            "state_dict" or "model". If names in an .npz file begin with "state/", this prefix is removed and all other
            arrays are left out.

    Raises:
        CheckpointError: If the file is missing or truncated, or holds anything other than weights.
    """
    path = _existing(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                names = [name for name in arrays.files if name.startswith("state/")] or arrays.files
                return {name.removeprefix("state/"): torch.from_numpy(arrays[name]) for name in names}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError, TypeError, EOFError, RuntimeError, BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read as weights ({error}): is it cut or of another kind?") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than weights, and loading it could run code, so it is refused: "
            "save model.state_dict() alone"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(weight, Tensor) for weight in state.values()):
        raise CheckpointError(f"{path} is not a mapping of names to weights: save model.state_dict() alone")
    return state


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is {'a folder' if path.is_dir() else 'missing'}: pass a checkpoint file")
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if not start:
        raise CheckpointError(f"{path} is empty: download it again")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} is a web page, not weights: open it in a browser to see what it says, then download the file"
        )
    return path
