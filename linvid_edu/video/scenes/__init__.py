"""Rendered clips with known objects: four scenes in which the answer and its position are known exactly.

``CueMatch`` asks for a lookup: which object has the color of the cue, and what happens to it? ``Motion`` asks how an
object moves. ``CueLookup`` and ``Flash`` ask the same two questions in frames made of cells, one cell per token, in
which a single token among many determines the answer. ``render`` makes clips of any scene; ``box_coverage`` and
``role_mask`` say which tokens its objects cover.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linvid_edu.shapes import Bool, Float, Int, UInt8
from linvid_edu.video.clip import normalize

from .canvas import MIN_SIZE, PALETTE, Photographs, PictureScene, Scene, add_noise, develop
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
    "Flash",
    "Motion",
    "PictureScene",
    "Scene",
    "Scenes",
    "box_coverage",
    "render",
    "role_mask",
]

VALUES_PER_CHUNK = 2**19  # few enough to stay in the CPU's cache


class Scenes(NamedTuple):
    """Rendered clips and their objects.

    Args:
        frames: RGB values, 0 to 255, (b t h w 3).
        label: Class of each clip, an index into ``classes`` of the scene, (b).
        boxes: x0, y0, x1, y1 of each object in pixels, (b t objects 4). Object 0 is the target; then come the
            distractors, then other objects such as the cue of ``CueMatch``.
        roles: Role of each object, such as "target", "distractor" or "cue", in the order of ``boxes``.
    """

    frames: UInt8[Tensor, "b t h w 3"]
    label: Int[Tensor, "b"]
    boxes: Float[Tensor, "b t objects 4"]
    roles: tuple[str, ...]

    @property
    def video(self) -> Float[Tensor, "b 3 t h w"]:
        """The clips as a model takes them, ``normalize(frames)``."""
        return normalize(self.frames)


def render(
    scene: Scene, *, count: int, seed: int | tuple[int, ...], photographs: NDArray[np.uint8] | None = None
) -> Scenes:
    """Render clips with known objects. The same arguments and the same version of NumPy give the same bytes.

    frame = round(noise + objects over (gray + clutter · (picture − gray)))

    Objects, backgrounds and noise use three random streams of the seed, so the objects of a clip do not change if only
    clutter, photographs or noise change.

    Args:
        scene: Scene with its settings, such as ``CueMatch(...)`` or ``Flash(...)``.
        count: Number of clips, at least 1. Their labels are uniform.
        seed: Integer, or a tuple such as (experiment, step); each number at least 0.
        photographs: Pictures for the background, 0 to 255, (k H W 3), each side at least ``scene.size``. Each clip
            shows a random window of one picture. Without photographs the background is colored 1/f noise.

    Returns:
        Frames, labels, boxes and roles, on the CPU.

    Raises:
        ValueError: Count or seed is out of range, or the photographs do not fit.
    """
    if count < 1:
        raise ValueError(f"count is {count}, it must be at least 1: set count=1 or more")
    if min(seed if isinstance(seed, tuple) else (seed,), default=-1) < 0:
        raise ValueError(f"seed is {seed}, each number must be at least 0: use an int or a tuple such as (run, step)")
    if photographs is not None:
        _check_photographs(photographs, scene.size)
    streams = [np.random.Generator(np.random.SFC64(child)) for child in np.random.SeedSequence(seed).spawn(3)]
    frames, label, boxes = zip(*_chunks(scene, count, streams, photographs), strict=True)
    tensors = [torch.from_numpy(np.concatenate(part)) for part in (frames, label, boxes)]
    return Scenes(tensors[0], tensors[1], tensors[2], scene.roles)


def _chunks(
    scene: Scene, count: int, streams: list[np.random.Generator], photographs: Photographs | None
) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    objects, background, noise = streams
    chunk = max(1, VALUES_PER_CHUNK // (3 * scene.frames * scene.size**2))
    for first in range(0, count, chunk):
        clips = min(chunk, count - first)
        frames, label, boxes = scene.paint(objects, scene.backdrop(background, clips, photographs))
        add_noise(noise, frames, scene.noise)
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
    """Return the share of each cell of a regular grid that lies inside a box.

    share = overlap in x · overlap in y, each divided by the side of the cell

    Args:
        boxes: x0, y0, x1, y1 in pixels, with any leading axes.
        size: Height and width of the frame in pixels, at least 1.
        grid: Rows and columns of the grid, each at least 1.

    Returns:
        Values from 0 (outside) to 1 (inside), one grid per box.

    Raises:
        ValueError: Size or grid is less than 1.
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
    """Return which tokens of a regular grid lie at least half inside an object of a role.

    mask = max over the objects of the role of ``box_coverage`` ≥ 1/2

    Args:
        scenes: Output of ``render``, with square frames.
        role: Role of the objects, such as "cue"; one of ``scenes.roles``.
        grid: Rows and columns of the tokens of one frame, n = rows · columns.

    Raises:
        ValueError: No object has this role.
    """
    objects = [index for index, name in enumerate(scenes.roles) if name == role]
    if not objects:
        roles = ", ".join(dict.fromkeys(scenes.roles))
        raise ValueError(f"no object of these scenes has the role {role!r}: choose one of {roles}")
    coverage = box_coverage(scenes.boxes[:, :, objects], size=scenes.frames.shape[2], grid=grid)
    return (coverage.amax(dim=2) >= 0.5).flatten(-2)
