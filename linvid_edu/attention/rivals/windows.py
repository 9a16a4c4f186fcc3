"""What the rivals with windows share: tokens cut into windows, and a bias for where two of them stand in theirs."""

import torch
from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float, Int

from .base import Setting


def bias_index(side: int) -> Int[Tensor, "s s"]:
    """Return the row of the relative bias for each query and key of a window.

    row = (Δy + side − 1)(2·side − 1) + Δx + side − 1, with (Δy, Δx) = place of the query − place of the key

    Args:
        side: of the window, in tokens.

    Returns:
        (side², side²), places row by row.
    """
    y, x = torch.cartesian_prod(torch.arange(side), torch.arange(side)).unbind(-1)
    down, right = y[:, None] - y[None, :], x[:, None] - x[None, :]
    return (down + side - 1) * (2 * side - 1) + right + side - 1


def window_bias(relative_bias: Float[Tensor, "rows heads"], side: int) -> Float[Tensor, "heads s s"]:
    """Return the bias between all places of a window, from its table of (2·side − 1)² rows."""
    return rearrange(relative_bias[bias_index(side).to(relative_bias.device)], "i j heads -> heads i j")


def windowed_softmax(
    q: Float[Tensor, "*windows heads s d"],
    k: Float[Tensor, "*windows heads s d"],
    v: Float[Tensor, "*windows heads s d2"],
    bias: Float[Tensor, "*add"],
) -> Float[Tensor, "*windows heads s d2"]:
    """Attend within each window: softmax(q kᵀ / √d + bias) v."""
    return (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(dim=-1) @ v


def check_grid(tokens: int, h: int, w: int) -> None:
    """Raise ValueError where h · w is not the number of tokens."""
    if h < 1 or w < 1 or h * w != tokens:
        raise ValueError(f"h={h}, w={w} make {h * w} tokens, q has {tokens}: pass the grid of one frame")


def one_frame(setting: Setting) -> None:
    """Raise ValueError where windows would leave frames apart for good."""
    if setting.span == "joint" and setting.extent.t > 1:
        raise ValueError(
            f"windows lie inside one frame, joint attention over {setting.extent.t} frames would never mix them: "
            'use space_time="divided"'
        )
