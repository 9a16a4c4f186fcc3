"""DW-ViT: groups of heads with windows of several sizes."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from linvid_edu.shapes import Float

from .base import Facts, Setting
from .windows import (
    MASKED_SCORE,
    WindowRival,
    bias_index,
    bias_rows,
    check_grid,
    pad_to_windows,
    shift_bands,
    shifted_window_attention,
)


def dynamic_window_attention(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d_v"],
    relative_bias: Float[Tensor, "offsets group_heads"],
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
) -> Float[Tensor, "b heads n d_v"]:
    """Attend within windows of one frame; each group of heads has windows of its own size.

    out = softmax(q kᵀ / √d + bias) v inside each window; group g of the heads has windows of side windows[g]

    A head with windows of side × side takes 2·N·side²·d multiplications and keeps N·side² numbers at the same time.
    The frame is padded at the bottom and right with zeros to whole windows. Padded keys are not masked: their score
    is the bias alone and their value is 0, so the rows of such windows sum to less than 1. All other rows sum to 1.
    No weight is negative.

    Args:
        q, k, v: Tokens of one frame, row by row; the heads are split into len(windows) groups of consecutive heads.
        relative_bias: Tables of all windows stacked, (Σ (2 · side − 1)², heads of a group), indexed by the position of
            the query minus that of the key.
        h, w: Rows and columns of the frame.
        windows: Side of the windows of each group, at least 1.
        shifts: Number of tokens by which the windows of each group move down and right, 0 to side − 1. The shifted
            frame wraps around; if two tokens share a window only for this reason, their score is lowered by 100.

    Raises:
        ValueError: If h · w is not the number of tokens, the heads cannot be split into equal groups, or shifts or bias
            do not fit.

    Source: Beyond Fixation: Dynamic Window Visual Transformer, 2022, arXiv 2203.12856. The released file has a syntax
    error and always moves the bias to a GPU; this function reproduces its results without these two faults.
    """
    check_windows(q, relative_bias, h, w, windows, shifts)
    groups = zip(
        *(x.unflatten(2, (h, w)).chunk(len(windows), dim=1) for x in (q, k, v)),
        relative_bias.split([bias_rows(side) for side in windows]),
        windows,
        shifts,
        strict=True,
    )
    return torch.cat([shifted_window_attention(*group).flatten(2, 3) for group in groups], dim=1)


def check_windows(
    q: Tensor, relative_bias: Tensor, h: int, w: int, windows: Sequence[int], shifts: Sequence[int]
) -> None:
    """Raise ValueError if the arguments of ``dynamic_window_attention`` do not fit together."""
    check_grid(q.shape[-2], h, w)
    heads, groups = q.shape[1], len(windows)
    if not groups or heads % groups:
        raise ValueError(f"{heads} heads cannot be cut into {groups} equal groups: pass as many windows as divide them")
    if min(windows) < 1:
        raise ValueError(f"windows={list(windows)}: each side must be at least 1")
    if len(shifts) != groups or any(not 0 <= shift < side for shift, side in zip(shifts, windows, strict=True)):
        raise ValueError(
            f"shifts={list(shifts)} of windows={list(windows)}: pass one for each window, from 0 to its side − 1"
        )
    expected = (sum(bias_rows(side) for side in windows), heads // groups)
    if relative_bias.shape != expected:
        raise ValueError(
            f"relative_bias has shape {tuple(relative_bias.shape)}: windows={list(windows)} and {heads} heads need "
            f"{expected}"
        )


def dynamic_window_attention_map(
    q: Tensor, k: Tensor, relative_bias: Tensor, h: int, w: int, windows: Sequence[int], shifts: Sequence[int]
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``dynamic_window_attention``: every pair of tokens is scored, even across windows."""
    check_windows(q, relative_bias, h, w, windows, shifts)
    tables = relative_bias.split([bias_rows(side) for side in windows])
    q_groups, k_groups = (x.chunk(len(windows), dim=1) for x in (q, k))
    groups = zip(q_groups, k_groups, tables, windows, shifts, strict=True)
    return torch.cat([_group_map(*group, h, w) for group in groups], dim=1)


def _group_map(
    q: Tensor, k: Tensor, relative_bias: Tensor, side: int, shift: int, h: int, w: int
) -> Float[Tensor, "b heads n n"]:
    """Score all pairs of tokens of the padded frame, −∞ between windows; drop the padding after the softmax."""
    padded_q, padded_k = (pad_to_windows(x.unflatten(2, (h, w)), side) for x in (q, k))
    padded_h, padded_w = padded_q.shape[2:4]
    rows, columns = torch.cartesian_prod(torch.arange(padded_h), torch.arange(padded_w)).unbind(-1)
    y, x = (rows - shift) % padded_h, (columns - shift) % padded_w  # position of each token in the shifted frame
    window = (y // side) * (padded_w // side) + x // side
    place = (y % side) * side + x % side
    scores = padded_q.flatten(2, 3) @ padded_k.flatten(2, 3).mT / q.shape[-1] ** 0.5
    offset = bias_index(side)[place[:, None], place[None, :]].to(q.device)
    scores = scores + relative_bias[offset].permute(2, 0, 1)
    if shift:
        region = 3 * shift_bands(padded_h, side, shift)[y] + shift_bands(padded_w, side, shift)[x]
        scores = scores + MASKED_SCORE * (region[:, None] != region[None, :]).to(scores)
    scores = scores.masked_fill((window[:, None] != window[None, :]).to(q.device), -torch.inf)
    tokens = torch.arange(padded_h * padded_w).unflatten(0, (padded_h, padded_w))[:h, :w].flatten().to(q.device)
    return scores.softmax(dim=-1)[:, :, tokens][:, :, :, tokens]


def dynamic_window_attention_oracle(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    relative_bias: Tensor,
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
) -> Tensor:
    """Compute ``dynamic_window_attention`` through its explicit map."""
    return dynamic_window_attention_map(q, k, relative_bias, h, w, windows, shifts) @ v


class DynamicWindowAttention(WindowRival):
    """``dynamic_window_attention`` as a layer: windows are shifted by half their side in odd blocks.

    As published, a window that is not smaller than the shorter side of the frame gets that side and is not shifted.

    Args:
        setting: Place in the model.
        windows: Side of the windows of each group; their number must divide the number of heads.

    Raises:
        ValueError: If the heads cannot be split into equal groups, or attention is joint over several frames.
    """

    facts = Facts(
        "Beyond Fixation: Dynamic Window Visual Transformer",
        2022,
        "2203.12856",
        rows="1, less where a window holds padding",
        signs="never negative",
        rank="N",
        operations="2·N·side²·d",
        memory="N·side²",
        sees="windows of several sizes; never the whole frame",
    )
    function: ClassVar[Any] = staticmethod(dynamic_window_attention)

    def __init__(self, setting: Setting, *, windows: Sequence[int] = (2, 4)):
        super().__init__(setting)
        _, h, w = setting.extent
        if not windows or min(windows) < 1:
            raise ValueError(f"windows={list(windows)}: pass at least one side, each at least 1")
        self.windows = [min(side, h, w) for side in windows]
        moves = setting.block % 2 == 1
        self.shifts = [side // 2 if moves and side < min(h, w) else 0 for side in self.windows]
        if self.over_time:
            return
        offsets = sum(bias_rows(side) for side in self.windows)
        self.relative_bias = nn.Parameter(torch.zeros(offsets, setting.heads // len(windows)))
        tokens = torch.empty(1, setting.heads, h * w, 1)
        check_windows(tokens, self.relative_bias, h, w, self.windows, self.shifts)

    def attend_in_frame(self, q: Tensor, k: Tensor, v: Tensor, h: int, w: int) -> Tensor:
        """Return the attended values of frames of h × w tokens."""
        return dynamic_window_attention(q, k, v, self.relative_bias, h, w, self.windows, self.shifts)
