"""The trained checkpoints that come with the course."""

from collections.abc import Sequence
from pathlib import Path

from linvid_edu.files import materials

from .checkpoint import load_model
from .transformer import VideoTransformer

COLOR_FOLDER = "color"
SHOWN_FIRST = ("softmax", "linear", "separate", "cooperative")


def shipped_models() -> dict[str, VideoTransformer]:
    """Load the trained models of motion in ``data_samples``, by the names of their variants.

    They are sorted as in ``shipped_color_models``.

    Raises:
        ValueError: There are none, as in an installation without the course's files.
    """
    return _load(materials().data_samples / "checkpoints")


def shipped_color_models() -> dict[str, VideoTransformer]:
    """Load the trained color models in ``data_samples``, by the names of their variants.

    They are sorted: softmax, linear, separate, cooperative, then the others by name.

    Raises:
        ValueError: There are none, as in an installation without the course's files.
    """
    return _load(materials().data_samples / "checkpoints" / COLOR_FOLDER)


def color_checkpoints() -> dict[str, Path]:
    """Return the files of the shipped color models by the names of their variants; empty if there are none."""
    folder = materials().data_samples / "checkpoints" / COLOR_FOLDER
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def color_models_for(mechanisms: Sequence[str]) -> dict[str, VideoTransformer]:
    """Load the shipped color models of some mechanisms, or of the first if none of them has one.

    Args:
        mechanisms: Names of variants; none means softmax, linear, separate and cooperative.
    """
    folder = materials().data_samples / "checkpoints" / COLOR_FOLDER
    wanted = {name for name in mechanisms or SHOWN_FIRST if (folder / f"{name}.safetensors").is_file()}
    return _load(folder, wanted or {SHOWN_FIRST[0]})


def _load(folder: Path, names: set[str] | None = None) -> dict[str, VideoTransformer]:
    paths = sorted(path for path in folder.glob("*.safetensors") if names is None or path.stem in names)
    if not paths:
        raise ValueError(f"there are no checkpoints in {folder}: pass models={{name: model}}")
    models = {model.config.variant: model for model in map(load_model, paths)}
    rank = {name: index for index, name in enumerate(SHOWN_FIRST)}
    return dict(sorted(models.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))
