"""Shuffle Transformer: softmax attention in windows of neighbors, and in windows of tokens far apart."""

from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from linvid_edu.attention.mechanisms import AttentionInputs
from linvid_edu.shapes import Extent, Float

from .base import Facts, Rival, Setting, whole_map
from .windows import bias_index, check_grid, one_frame, window_bias, windowed_softmax

_NEAR = "b heads (y i x j) d -> b y x heads (i j) d"  # window (y, x) holds rows y·s + i, columns x·s + j
_FAR = "b heads (i y j x) d -> b y x heads (i j) d"  # window (y, x) holds rows i·h/s + y, columns j·w/s + x


def shuffle_window(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d2"],
    relative_bias: Float[Tensor, "*table"],
    h: int,
    w: int,
    window: int,
    shuffle: bool,
) -> Float[Tensor, "b heads n d2"]:
    """Attend within each window of one frame.

    out = softmax(q kᵀ / √d + bias) v inside each window of s × s tokens

    Window (y, x) holds s rows and s columns that follow each other; with shuffle rows y, y + h/s, y + 2h/s, …, and
    columns likewise: one token of every cell of an s × s partition. 2·N·s²·d multiplications for q kᵀ and for the
    values together, N·s² numbers at once. Rows of the map sum to 1; no weight is negative; most are 0: no token sees
    the whole frame.

    Args:
        q, k, v: one frame's tokens, row by row.
        relative_bias: ((2s − 1)², heads), by place inside the window, so that with shuffle one step stands for h/s
            rows or w/s columns.
        h, w: rows and columns of the frame.
        window: s; must divide both.
        shuffle: which of the two kinds of window.

    Raises:
        ValueError: a grid that does not hold the tokens, a window that does not divide it, or a bias of another size.

    Source: Shuffle Transformer: Rethinking Spatial Shuffle for Vision Transformer, 2021, arXiv 2106.03650. The
    published code accepts a bias for its projections and does not use it; the convolution between attention and MLP
    that lets windows meet is outside this function.
    """
    _check(q, relative_bias, h, w, window)
    kind, sizes = _FAR if shuffle else _NEAR, _sizes(h, w, window)
    q, k, v = (rearrange(x, kind, **sizes) for x in (q, k, v))
    out = windowed_softmax(q, k, v, window_bias(relative_bias, window))
    before, after = kind.split(" -> ")
    return rearrange(out, f"{after} -> {before}", **sizes)


def _sizes(h: int, w: int, window: int) -> dict[str, int]:
    return {"y": h // window, "x": w // window, "i": window, "j": window}


def _check(q: Tensor, relative_bias: Tensor, h: int, w: int, window: int) -> None:
    check_grid(q.shape[-2], h, w)
    if window < 1 or h % window or w % window:
        both = [side for side in range(1, min(h, w) + 1) if h % side == 0 and w % side == 0]
        raise ValueError(f"window={window} does not divide the {h}×{w} grid: choose one of {', '.join(map(str, both))}")
    rows, heads = (2 * window - 1) ** 2, q.shape[1]
    if relative_bias.shape != (rows, heads):
        raise ValueError(
            f"relative_bias has shape {tuple(relative_bias.shape)}: window={window} with {heads} heads needs "
            f"({rows}, {heads})"
        )


def shuffle_window_map(
    q: Tensor, k: Tensor, relative_bias: Tensor, h: int, w: int, window: int, shuffle: bool
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``shuffle_window``: scores of all pairs of tokens, −∞ between windows."""
    rows, columns = torch.cartesian_prod(torch.arange(h), torch.arange(w)).unbind(-1)
    if shuffle:
        in_window = [(rows // (h // window)), (columns // (w // window))]
        of_window = [rows % (h // window), columns % (w // window)]
    else:
        in_window, of_window = [rows % window, columns % window], [rows // window, columns // window]
    same = torch.stack([each[:, None] == each[None, :] for each in of_window]).all(dim=0)
    place = in_window[0] * window + in_window[1]
    bias = relative_bias[bias_index(window)[place[:, None], place[None, :]]].permute(2, 0, 1)
    scores = q @ k.mT / q.shape[-1] ** 0.5 + bias
    return torch.softmax(scores.masked_fill(~same.to(q.device), -torch.inf), dim=-1)


def shuffle_window_oracle(
    q: Tensor, k: Tensor, v: Tensor, relative_bias: Tensor, h: int, w: int, window: int, shuffle: bool
) -> Tensor:
    """Compute ``shuffle_window`` the long way, through its explicit map."""
    return shuffle_window_map(q, k, relative_bias, h, w, window, shuffle) @ v


class ShuffleWindow(Rival):
    """``shuffle_window`` as a layer: plain windows in even blocks, shuffled ones in odd blocks, as published.

    Attention over time has no frame to cut: its few tokens, one a frame, are one window.

    Args:
        setting: where it stands.
        window: s; must divide rows and columns of a frame.

    Raises:
        ValueError: a window that does not divide the grid, or joint attention over several frames.
    """

    facts = Facts(
        "Shuffle Transformer: Rethinking Spatial Shuffle for Vision Transformer",
        2021,
        "2106.03650",
        rows="1",
        signs="never negative",
        rank="N",
        operations="2·N·s²·d",
        memory="N·s²",
        sees="a window of neighbors, or a dilated grid; never the whole frame",
    )
    function: ClassVar[Any] = staticmethod(shuffle_window)

    def __init__(self, setting: Setting, *, window: int = 4):
        super().__init__(setting)
        one_frame(setting)
        self.window, self.shuffle, self.over_time = window, setting.block % 2 == 1, setting.span == "time"
        if self.over_time:
            return
        self.relative_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, setting.heads))
        _, h, w = setting.extent
        _check(torch.empty(1, setting.heads, h * w, 1), self.relative_bias, h, w, window)

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the whole map beside the identity; over time, queries and keys of softmax attention."""
        if self.over_time:
            return AttentionInputs(q, k, similarity="softmax")
        identity = torch.eye(q.shape[-2], dtype=v.dtype, device=v.device).expand(*v.shape[:-1], -1)
        return whole_map(self.forward(q, k, identity, extent))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        if self.over_time:
            return nn.functional.scaled_dot_product_attention(q, k, v)
        _, h, w = extent or Extent(1, 1, q.shape[-2])
        return shuffle_window(q, k, v, self.relative_bias, h, w, self.window, self.shuffle)
