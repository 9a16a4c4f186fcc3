"""Rendered clips with known objects: four tasks whose answer, and where it is to be seen, are known exactly.

``CueMatch`` asks for a lookup (which object has the cue's color, and what happens to it), ``Motion`` for following an
object through time. ``CueLookup`` and ``Flash`` ask for the same two in frames made of cells, one for each token, where
attention to one token of many decides. ``render`` makes clips of any of them, ``box_coverage`` turns their boxes into
shares of tokens and ``role_mask`` into masks.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linvid_edu.shapes import Bool, Float, Int, UInt8
from linvid_edu.video.clip import normalize

from .canvas import MIN_SIZE, PALETTE, Family, Photographs, SceneConfig, add_noise, develop
from .cells import CELL, CellScene
from .cue_lookup import CueLookup
from .cue_match import CueMatch
from .flash import Flash
from .motion import Motion

__all__ = [
    "CELL",
    "MIN_SIZE",
    "PALETTE",
    "CellScene",
    "CueLookup",
    "CueMatch",
    "Family",
    "Flash",
    "Motion",
    "SceneConfig",
    "Scenes",
    "box_coverage",
    "render",
    "role_mask",
]

PIXELS_AT_ONCE = 2**19  # values painted together: few enough to stay in the cache


class Scenes(NamedTuple):
    """Clips with what is known about them.

    Args:
        frames: RGB, 0 to 255, (b t h w 3).
        label: the class of each clip, an index into ``config.classes``, (b).
        boxes: x0, y0, x1, y1 of each object in pixels, (b t objects 4), x to the right and y down; object 0 is the
            target, the distractors follow, then what else the family has, such as the cue of ``CueMatch``.
        roles: "target", "distractor", "cue", … for each object, in the order of ``boxes``.
    """

    frames: UInt8[Tensor, "b t h w 3"]
    label: Int[Tensor, "b"]
    boxes: Float[Tensor, "b t objects 4"]
    roles: tuple[str, ...]

    @property
    def video(self) -> Float[Tensor, "b 3 t h w"]:
        """The clips as a model takes them: ``normalize(frames)``."""
        return normalize(self.frames)


def render(
    config: Family, *, count: int, seed: int | tuple[int, ...], photographs: NDArray[np.uint8] | None = None
) -> Scenes:
    """Render clips with known objects; the same arguments and version of NumPy give the same bytes.

    frame = round(noise + objects over (gray + clutter · (picture − gray)))

    Objects, backgrounds and noise draw from three streams of the seed, so the objects of a clip stay as they are
    when only clutter, photographs or noise change.

    Args:
        config: the family and its knobs, such as ``CueMatch(...)`` or ``Flash(...)``.
        count: number of clips, at least 1; their labels are uniform.
        seed: an integer, or several such as (experiment, step), each at least 0.
        photographs: pictures for the background, 0 to 255, (k H W 3), each side at least ``config.size``; a random
            window of one is taken for each clip. Without them the background is colored 1/f noise.

    Returns:
        frames, labels, boxes and the objects' roles, on the CPU.

    Raises:
        ValueError: count or seed is out of range, or the photographs do not fit.
    """
    if count < 1:
        raise ValueError(f"count is {count}, at least 1 clip can be rendered: set count=1 or more")
    if min(seed if isinstance(seed, tuple) else (seed,), default=-1) < 0:
        raise ValueError(f"seed is {seed}, each number must be at least 0: use an int or a tuple such as (run, step)")
    if photographs is not None:
        _check_photographs(photographs, config.size)
    streams = [np.random.Generator(np.random.SFC64(child)) for child in np.random.SeedSequence(seed).spawn(3)]
    frames, label, boxes = zip(*_chunks(config, count, streams, photographs), strict=True)
    tensors = [torch.from_numpy(np.concatenate(part)) for part in (frames, label, boxes)]
    return Scenes(tensors[0], tensors[1], tensors[2], config.roles)


def _chunks(
    config: Family, count: int, streams: list[np.random.Generator], photographs: Photographs | None
) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    objects, background, noise = streams
    chunk = max(1, PIXELS_AT_ONCE // (3 * config.frames * config.size**2))
    for first in range(0, count, chunk):
        clips = min(chunk, count - first)
        frames, label, boxes = config.paint(objects, config.backdrop(background, clips, photographs))
        add_noise(noise, frames, config.noise)
        yield develop(frames), label, boxes


def _check_photographs(photographs: Photographs, size: int) -> None:
    if photographs.dtype != np.uint8 or photographs.ndim != 4 or photographs.shape[-1] != 3 or not len(photographs):
        raise ValueError(
            f"photographs are {photographs.dtype} {photographs.shape}, expected uint8 (k H W 3) with k at least 1: "
            "stack pictures of one size with np.stack"
        )
    if min(photographs.shape[1:3]) < size:
        raise ValueError(
            f"photographs are {photographs.shape[1]}×{photographs.shape[2]} pixels, size is {size}: "
            "give larger photographs or set a smaller size"
        )


def box_coverage(
    boxes: Float[Tensor, "*batch 4"], *, size: int, grid: tuple[int, int]
) -> Float[Tensor, "*batch rows columns"]:
    """Share of each cell of a regular grid that lies inside a box: the mask of the box over tokens.

    share = overlap in x · overlap in y, each divided by the cell's side

    Args:
        boxes: x0, y0, x1, y1 in pixels, with any leading axes.
        size: height and width of the picture in pixels, at least 1.
        grid: rows and columns of the grid that divides the picture, each at least 1.

    Returns:
        0 (outside) to 1 (inside), one grid per box.

    Raises:
        ValueError: size or grid is less than 1.
    """
    if size < 1 or min(grid) < 1:
        raise ValueError(f"size is {size} and grid is {grid}, each must be at least 1: pass the token grid's shape")
    overlaps = []
    for cells, low, high in ((grid[0], 1, 3), (grid[1], 0, 2)):
        edge = torch.arange(cells + 1, device=boxes.device, dtype=boxes.dtype) * (size / cells)
        shared = torch.minimum(boxes[..., high, None], edge[1:]) - torch.maximum(boxes[..., low, None], edge[:-1])
        overlaps.append((shared * (cells / size)).clamp(0, 1))
    return overlaps[0][..., :, None] * overlaps[1][..., None, :]


def role_mask(scenes: Scenes, role: str, *, grid: tuple[int, int]) -> Bool[Tensor, "b t n"]:
    """Say which tokens of a regular grid lie at least half inside an object of a role, such as "cue".

    mask = max over the objects of the role of ``box_coverage`` ≥ 1/2

    Args:
        scenes: what ``render`` returned, on square frames.
        role: one of ``scenes.roles``.
        grid: rows and columns of the tokens of one frame, n = rows · columns.

    Raises:
        ValueError: no object has this role.
    """
    wanted = [index for index, each in enumerate(scenes.roles) if each == role]
    if not wanted:
        known = ", ".join(dict.fromkeys(scenes.roles))
        raise ValueError(f"no object of these scenes is a {role!r}: choose one of {known}")
    coverage = box_coverage(scenes.boxes[:, :, wanted], size=scenes.frames.shape[2], grid=grid)
    return (coverage.amax(dim=2) >= 0.5).flatten(-2)
