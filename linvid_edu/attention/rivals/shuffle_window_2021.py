"""Shuffle Transformer: softmax attention in windows of neighbors, and in windows of tokens far apart."""

from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from linvid_edu.shapes import Float

from .base import Facts, Setting
from .windows import WindowRival, bias_index, bias_rows, check_grid, window_bias, windowed_softmax

_NEIGHBORS = "b heads (y i x j) d -> b y x heads (i j) d"  # window (y, x) holds rows y·side + i, columns x·side + j
_SHUFFLED = "b heads (i y j x) d -> b y x heads (i j) d"  # window (y, x) holds rows i·h/side + y, columns j·w/side + x


def shuffle_window(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d_v"],
    relative_bias: Float[Tensor, "offsets heads"],
    h: int,
    w: int,
    window: int,
    shuffle: bool,
) -> Float[Tensor, "b heads n d_v"]:
    """Attend within each window of one frame.

    out = softmax(q kᵀ / √d + bias) v inside each window of side × side tokens

    Window (y, x) holds neighboring rows and columns. With shuffle it holds rows y, y + h/side, y + 2h/side, … and
    columns likewise: one token of every cell of a side × side partition. It takes 2·N·side²·d multiplications for q kᵀ
    and for the values together, and keeps N·side² numbers at the same time. Rows of the map sum to 1, no weight is
    negative, and most are 0: no token sees the whole frame.

    Args:
        q, k, v: Tokens of one frame, row by row.
        relative_bias: Table ((2 · side − 1)², heads), indexed by the offset between two places of the window. With
            shuffle, an offset of one step means h/side rows or w/side columns.
        h, w: Rows and columns of the frame.
        window: Side of a window, a divisor of h and w.
        shuffle: Whether the tokens of a window are far apart.

    Raises:
        ValueError: If the grid does not hold the tokens, the window does not divide it, or the bias has another size.

    Source: Shuffle Transformer: Rethinking Spatial Shuffle for Vision Transformer, 2021, arXiv 2106.03650. The
    published code accepts a bias for its projections and does not use it. The convolution between attention and MLP,
    through which windows exchange information, is not part of this function.
    """
    check_window(q, relative_bias, h, w, window)
    pattern = _SHUFFLED if shuffle else _NEIGHBORS
    sizes = {"y": h // window, "x": w // window, "i": window, "j": window}
    q, k, v = (rearrange(tokens, pattern, **sizes) for tokens in (q, k, v))
    out = windowed_softmax(q, k, v, window_bias(relative_bias, window))
    frame, windows = pattern.split(" -> ")
    return rearrange(out, f"{windows} -> {frame}", **sizes)


def check_window(q: Tensor, relative_bias: Tensor, h: int, w: int, window: int) -> None:
    """Raise ValueError if the arguments of ``shuffle_window`` do not fit together."""
    check_grid(q.shape[-2], h, w)
    if window < 1 or h % window or w % window:
        divisors = [side for side in range(1, min(h, w) + 1) if h % side == 0 and w % side == 0]
        raise ValueError(
            f"window={window} does not divide the {h}×{w} grid: choose one of {', '.join(map(str, divisors))}"
        )
    expected = (bias_rows(window), q.shape[1])
    if relative_bias.shape != expected:
        raise ValueError(
            f"relative_bias has shape {tuple(relative_bias.shape)}: window={window} with {q.shape[1]} heads needs "
            f"{expected}"
        )


def shuffle_window_map(
    q: Tensor, k: Tensor, relative_bias: Tensor, h: int, w: int, window: int, shuffle: bool
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``shuffle_window``: scores of all pairs of tokens, −∞ between windows."""
    rows, columns = torch.cartesian_prod(torch.arange(h), torch.arange(w)).unbind(-1)
    if shuffle:
        place = rows // (h // window) * window + columns // (w // window)
        number = rows % (h // window) * w + columns % (w // window)
    else:
        place = rows % window * window + columns % window
        number = rows // window * w + columns // window
    offset = bias_index(window)[place[:, None], place[None, :]].to(q.device)
    scores = q @ k.mT / q.shape[-1] ** 0.5 + relative_bias[offset].permute(2, 0, 1)
    apart = (number[:, None] != number[None, :]).to(q.device)
    return torch.softmax(scores.masked_fill(apart, -torch.inf), dim=-1)


def shuffle_window_oracle(
    q: Tensor, k: Tensor, v: Tensor, relative_bias: Tensor, h: int, w: int, window: int, shuffle: bool
) -> Tensor:
    """Compute ``shuffle_window`` through its explicit map."""
    return shuffle_window_map(q, k, relative_bias, h, w, window, shuffle) @ v


class ShuffleWindow(WindowRival):
    """``shuffle_window`` as a layer: windows of neighbors in even blocks, shuffled ones in odd blocks, as published.

    Args:
        setting: Place in the model.
        window: Side of a window, a divisor of rows and columns of a frame.

    Raises:
        ValueError: If the window does not divide the grid, or attention is joint over several frames.
    """

    facts = Facts(
        "Shuffle Transformer: Rethinking Spatial Shuffle for Vision Transformer",
        2021,
        "2106.03650",
        rows="1",
        signs="never negative",
        rank="N",
        operations="2·N·side²·d",
        memory="N·side²",
        sees="a window of neighbors, or a dilated grid; never the whole frame",
    )
    function: ClassVar[Any] = staticmethod(shuffle_window)

    def __init__(self, setting: Setting, *, window: int = 4):
        super().__init__(setting)
        self.window, self.shuffle = window, setting.block % 2 == 1
        if self.over_time:
            return
        self.relative_bias = nn.Parameter(torch.zeros(bias_rows(window), setting.heads))
        _, h, w = setting.extent
        check_window(torch.empty(1, setting.heads, h * w, 1), self.relative_bias, h, w, window)

    def attend_in_frame(self, q: Tensor, k: Tensor, v: Tensor, h: int, w: int) -> Tensor:
        """Return the attended values of frames of h × w tokens."""
        return shuffle_window(q, k, v, self.relative_bias, h, w, self.window, self.shuffle)
