"""Which token of a clip asks."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.models.config import ModelConfig
from linvid_edu.video.clip import Clip

Place = tuple[int | None, int | None, int | None]


class Query(NamedTuple):
    """The token that asks: its place, counted from 0, and in words how it was chosen."""

    frame: int
    row: int
    column: int
    reason: str


def choose_query(clip: Clip, config: ModelConfig, query: Place = (None, None, None)) -> Query:
    """Choose the token that changes most from frame to frame, among those that the query leaves open.

    change(t, n) = mean of |frame t − frame t′| over the pixels of patch n and the neighbors t′ = t ± 1

    Args:
        clip: of any size; where nothing changes, the token in the middle is taken.
        config: its patch window is used.
        query: frame, row and column, counted from 0; None leaves it open.

    Raises:
        ValueError: there is no such token.
    """
    change = _change(clip, config)
    sizes = dict(zip(("frame", "row", "column"), change.shape, strict=True))
    given = {name: index_of(name, i, sizes[name]) for name, i in zip(sizes, query, strict=True) if i is not None}
    change = change[tuple(slice(given[name], given[name] + 1) if name in given else slice(None) for name in sizes)]
    if change.max() > 0:
        reason = "the token that changes most from frame to frame"
        found = [int(i) for i in torch.unravel_index(change.argmax(), change.shape)]
    else:
        reason, found = "the token in the middle, because nothing changes", [size // 2 for size in change.shape]
    reason = "given" if len(given) == 3 else reason + (f", with the {' and '.join(given)} given" if given else "")
    return Query(**(dict(zip(sizes, found, strict=True)) | given), reason=reason)


def index_of(name: str, value: int, size: int, *, lowest: int = 0) -> int:
    """Return an index that exists, or raise ValueError."""
    if not lowest <= value < size:
        raise ValueError(f"{name}={value} does not exist: choose {lowest} to {size - 1}")
    return value


def _change(clip: Clip, config: ModelConfig) -> Tensor:
    """Return change(t, n), (t rows columns)."""
    gray = clip.frames.float().mean(-1)
    step = gray.diff(dim=0).abs() if len(gray) > 1 else torch.zeros_like(gray)
    moved = (torch.cat([step[:1], step]) + torch.cat([step, step[-1:]]))[: len(gray)] / 2  # the ends: one neighbor
    window = torch.ones(1, 1, config.kernel, config.kernel)
    total, area = (
        F.conv2d(pixels.unsqueeze(1), window, stride=config.stride, padding=config.padding).squeeze(1)
        for pixels in (moved, torch.ones_like(moved))
    )
    return total / area.clamp(min=1)
