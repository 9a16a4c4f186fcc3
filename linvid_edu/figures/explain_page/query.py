"""Choice of the query token of a clip."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.models.clip_trace import KNOWN_FRAME
from linvid_edu.models.config import ModelConfig
from linvid_edu.shapes import Bool, Float, UInt8
from linvid_edu.video.clip import Clip

QueryPlace = tuple[int | None, int | None, int | None]


class Query(NamedTuple):
    """The query token: its place, counted from 0, and how it was chosen, in words."""

    frame: int
    row: int
    column: int
    reason: str


def choose_query(clip: Clip, config: ModelConfig, query: QueryPlace = (None, None, None)) -> Query:
    """Choose the token that changes most from frame to frame, among those that the query leaves open.

    Tokens at the border of the frames are left out if tokens inside change too: what changes most there is often only
    what the camera has moved over. For a color model, unless the query names a frame, the first frame is left out,
    since its colors are known. So is the half of the others that is least like it, such as those after a cut: the
    neighbors t′ of a frame are then the ones that remain.

    change(t, n) = mean of |frame t − frame t′| over the pixels of patch n and the neighbors t′ = t ± 1

    Args:
        clip: Clip of any size; if nothing in it changes, the token in the middle is taken.
        config: Configuration whose patch window is used.
        query: Frame, row and column, counted from 0; None leaves a coordinate open.

    Raises:
        ValueError: There is no such token.
    """
    change = _change(clip.frames, config)
    if config.output == "colors" and query[0] is None:
        like = _like_known(clip)
        change[like], change[~like] = _change(clip.frames[like], config), 0
        change[KNOWN_FRAME] = 0  # its colors are known
    sizes = dict(zip(("frame", "row", "column"), change.shape, strict=True))
    given = {name: index_of(name, i, sizes[name]) for name, i in zip(sizes, query, strict=True) if i is not None}
    change = change[tuple(slice(given[name], given[name] + 1) if name in given else slice(None) for name in sizes)]
    inside = _inside(change)
    if inside.max() > 0:
        change = inside
    if change.max() > 0:
        reason = "the token that changes most from frame to frame"
        place = [int(i) for i in torch.unravel_index(change.argmax(), change.shape)]
    else:
        reason, place = "the token in the middle, because nothing changes", [size // 2 for size in change.shape]
    if len(given) == 3:
        reason = "given"
    elif given:
        reason += f", with the {' and '.join(given)} given"
    return Query(**(dict(zip(sizes, place, strict=True)) | given), reason=reason)


def _like_known(clip: Clip) -> Bool[Tensor, "t"]:
    """Mark the known frame, and the half of the others that is most like it."""
    gray = clip.frames.float().mean(-1)
    difference = (gray - gray[KNOWN_FRAME]).abs().mean(dim=(1, 2))
    others = torch.arange(len(gray)) != KNOWN_FRAME
    typical = difference[others].median() if others.any() else 0
    return ~others | (difference <= typical)


def _inside(change: Tensor) -> Tensor:
    """Set change(t, n) at the border of the frames to 0; a row or column that stands alone has no border."""
    inside = change.clone()
    if inside.shape[1] > 2:
        inside[:, [0, -1]] = 0
    if inside.shape[2] > 2:
        inside[:, :, [0, -1]] = 0
    return inside


def index_of(name: str, value: int, size: int, *, lowest: int = 0) -> int:
    """Return an index if it exists, else raise ValueError."""
    if not lowest <= value < size:
        raise ValueError(f"{name}={value} does not exist: choose {lowest} to {size - 1}")
    return value


def _change(frames: UInt8[Tensor, "t h w 3"], config: ModelConfig) -> Float[Tensor, "t rows columns"]:
    """Return change(t, n)."""
    gray = frames.float().mean(-1)
    step = gray.diff(dim=0).abs() if len(gray) > 1 else torch.zeros_like(gray)
    # the first and the last frame have one neighbor only
    moved = (torch.cat([step[:1], step]) + torch.cat([step, step[-1:]]))[: len(gray)] / 2
    window = torch.ones(1, 1, config.kernel, config.kernel)
    total, area = (
        F.conv2d(pixels.unsqueeze(1), window, stride=config.stride, padding=config.padding).squeeze(1)
        for pixels in (moved, torch.ones_like(moved))
    )
    return total / area.clamp(min=1)
