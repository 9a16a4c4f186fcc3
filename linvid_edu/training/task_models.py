"""The model of a task: its configuration, and whether the two fit each other."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from linvid_edu.models.color_transformer import make_model
from linvid_edu.models.config import PRESETS, ModelConfig
from linvid_edu.models.variants import find_variant
from linvid_edu.video.scenes import CELL, CellScene
from linvid_edu.video.tokens import pair

from .tasks import Data, Task


def model_config(task: Data, variant: str, preset: str, **changes: Any) -> ModelConfig:
    """Return the configuration of a variant for a task.

    Args:
        task: Task or folder of clips. It determines the classes; for scenes made of cells, also frames, size and
            patches.
        variant: Name of the variant, see ``VARIANTS``.
        preset: Name of the preset, one of ``PRESETS``. It determines width and depth; for all other clips, also frames
            and size.
        changes: Fields of the configuration that override those of task, variant and preset.

    Raises:
        ValueError: A name is unknown, or fields do not fit each other.
    """
    fields = task.model_fields(preset) if preset in PRESETS else {}  # variant_config names an unknown preset
    return variant_config(len(task.classes), fields, variant, preset, **changes)


def variant_config(
    num_classes: int, model_fields: Mapping[str, Any], variant: str, preset: str, **changes: Any
) -> ModelConfig:
    """Return the configuration of a variant, given the number of classes and the fields that the data determines.

    Args:
        num_classes: Number of classes.
        model_fields: Fields that the data determines.
        variant, preset, changes: As for ``model_config``.

    Raises:
        ValueError: A name is unknown, or fields do not fit each other.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown: choose one of {', '.join(PRESETS)}")
    chosen = find_variant(variant)
    try:
        config = PRESETS[preset](num_classes, **{**model_fields, **chosen.changes, **changes})
    except TypeError as error:
        raise ValueError(f"the changes {changes} do not fit a model configuration: {error}") from error
    if chosen.matched and "mlp_hidden" not in changes:
        config = replace(config, mlp_hidden=matched_hidden(config))
    return config


def matched_hidden(config: ModelConfig) -> int:
    """Return the smallest MLP width at which a model has as many weights as with cooperative fixation."""

    def weights(**changes: Any) -> int:
        return sum(weight.numel() for weight in make_model(replace(config, **changes)).parameters())

    plain = weights()
    missing = weights(fixation="cooperative") - plain
    of_a_channel = weights(mlp_hidden=config.mlp_hidden + 1) - plain
    return config.mlp_hidden + math.ceil(missing / of_a_channel)


def fitted(data: Data, config: ModelConfig, name: str) -> Data:
    """Return a task or a folder of clips in the number of frames and the size that a model takes.

    Args:
        data: Clips of any size.
        config: Configuration of the model.
        name: Name of the clips in error messages, such as "task 'cue'".

    Raises:
        ValueError: The model does not fit these clips; the message names the values of both.
    """
    if config.num_classes != len(data.classes):
        raise ValueError(f"the model distinguishes {config.num_classes} classes, {name} has {len(data.classes)}")
    check_square_frames(config, name)
    try:
        data = data.resized(config.num_frames, config.image_size)
    except ValueError as error:
        raise ValueError(f"the model does not fit {name}: {error}") from error
    for scene in (*data.training, *data.tests.values()) if isinstance(data, Task) else ():
        if isinstance(scene, CellScene):
            _check_cells(scene, config, name)
    return data


def check_square_frames(config: ModelConfig, name: str) -> None:
    """Raise ValueError unless the model's frames are square, as those of every task and folder of clips are.

    Args:
        config: Configuration of the model.
        name: Name of the clips in the error message.
    """
    height, width = pair(config.image_size)
    if height != width:
        raise ValueError(f"the model's frames are {height} × {width} pixels, those of {name} are square")


def _check_cells(scene: CellScene, config: ModelConfig, name: str) -> None:
    """Raise ValueError unless each token is one cell and the frames are the scene's."""
    if config.num_frames != scene.frames:
        raise ValueError(f"the model takes {config.num_frames} frames, clips of {name} have {scene.frames}")
    if (config.kernel, config.stride, config.padding) != (CELL, CELL, 0):
        raise ValueError(
            f"the model's patches are {config.kernel} pixels wide and {config.stride} apart, the cells of {name} "
            f"are {CELL} wide"
        )
    if config.spatial_embedding and config.image_size != scene.size:
        raise ValueError(
            f"the model's spatial embedding is for frames of {config.image_size} pixels, {name} also has frames of "
            f"{scene.size}"
        )
