"""Whether a model and its clips fit each other, told before anything starts."""

from linvid_edu.models.config import ModelConfig
from linvid_edu.video.scenes import CELL, CellScene
from linvid_edu.video.tokens import pair

from .tasks import Data, Task


def fitted(data: Data, config: ModelConfig, name: str) -> Data:
    """Return a task or a folder of clips in the size of a model.

    Args:
        data: of any size.
        config: of the model.
        name: of the data in the words of an error, such as "task 'cue'".

    Raises:
        ValueError: the model cannot see these clips as they are meant; it names both values.
    """
    if config.num_classes != len(data.classes):
        raise ValueError(f"the model tells {config.num_classes} classes apart, {name} has {len(data.classes)}")
    height, width = pair(config.image_size)
    if height != width:
        raise ValueError(f"the model's frames are {height} × {width} pixels, those of {name} are square")
    try:
        data = data.sized(config.num_frames, config.image_size)
    except ValueError as error:
        raise ValueError(f"the model does not fit {name}: {error}") from error
    for scene in (*data.training, *data.tests.values()) if isinstance(data, Task) else ():
        if isinstance(scene, CellScene):
            _refuse_other_cells(scene, config, name)
    return data


def _refuse_other_cells(scene: CellScene, config: ModelConfig, name: str) -> None:
    """Raise ValueError where a token is not one cell, or the frames are others than the scene's."""
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
