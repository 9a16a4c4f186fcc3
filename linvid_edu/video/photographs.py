"""The photographs in ``data_samples``, as squares in CIE Lab."""

import numpy as np
import torch
from torch import Tensor

from linvid_edu.files import materials
from linvid_edu.shapes import Float

from .cielab import to_lab

PHOTOGRAPH_SPLITS = ("training", "held_out")
CROP = 0.6  # side of a crop as a share of the shorter side of its photograph


def load_photographs(split: str, side: int = 144) -> Float[Tensor, "m 3 side side"]:
    """Return squares cut from the photographs of one split.

    Each photograph gives six squares: the two largest ones, which together show all of a picture of ordinary shape,
    and a crop at each corner, whose side is 0.6 of the shorter side.

    Args:
        split: "training", or "held_out" for photographs that no model is trained on.
        side: Side of a square in pixels; 1.5 times the side of a frame suits ``virtual_clips``.

    Returns:
        Lab as ``to_lab`` describes it, float32, six squares for each photograph in the order of their names.

    Raises:
        ValueError: There is no such split.
        FileNotFoundError: The folder of the course has no photographs.
        ModuleNotFoundError: Pillow is not installed.
    """
    if split not in PHOTOGRAPH_SPLITS:
        raise ValueError(f"there is no split {split!r} of the photographs: use {' or '.join(PHOTOGRAPH_SPLITS)}")
    folder = materials().data_samples / "photographs" / split
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no photographs: install linvid-edu again, or copy that folder from it")
    from PIL import Image

    squares = []
    for path in paths:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
        boxes = _boxes(*rgb.size)
        squares += [np.array(rgb.resize((side, side), Image.Resampling.LANCZOS, box=box)) for box in boxes]
    return to_lab(torch.from_numpy(np.stack(squares))[:, None])[:, :, 0]


def _boxes(width: int, height: int) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom, in pixels, of the squares of one photograph."""
    large = float(min(width, height))
    small = CROP * large
    corners = [(0.0, 0.0, large), (width - large, height - large, large)]
    corners += [(x, y, small) for x in (0.0, width - small) for y in (0.0, height - small)]
    return [(x, y, x + square, y + square) for x, y, square in corners]
