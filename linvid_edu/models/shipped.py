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
    return _load(list((materials().data_samples / "checkpoints").glob("*.safetensors")))


def shipped_color_models() -> dict[str, VideoTransformer]:
    """Load the trained color models in ``data_samples``, by the names of their variants.

    They are sorted: softmax, linear, separate, cooperative, then the others by name.

    Raises:
        ValueError: There are none, as in an installation without the course's files.
    """
    return _load(list(color_checkpoints().values()))


def color_checkpoints() -> dict[str, Path]:
    """Return the files of the shipped color models by the names of their variants; empty if there are none."""
    folder = materials().data_samples / "checkpoints" / COLOR_FOLDER
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def color_models_for(mechanisms: Sequence[str]) -> dict[str, VideoTransformer]:
    """Load the shipped color models of some mechanisms, or that of softmax if no such model ships.

    Args:
        mechanisms: Names of variants; none means softmax, linear, separate and cooperative.
    """
    shipped, (softmax, *_) = color_checkpoints(), SHOWN_FIRST
    names = shipped.keys() & set(mechanisms or SHOWN_FIRST) or shipped.keys() & {softmax}
    return _load([shipped[name] for name in names])


def _load(paths: Sequence[Path]) -> dict[str, VideoTransformer]:
    if not paths:
        raise ValueError("the course's files have no checkpoints: pass models={name: model}")
    models = {model.config.variant: model for model in map(load_model, paths)}
    rank = {name: index for index, name in enumerate(SHOWN_FIRST)}
    return dict(sorted(models.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))
