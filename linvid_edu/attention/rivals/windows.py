"""Functions that the rivals with windows share: cutting frames into windows, and a bias between places of a window.

A window of side × side places numbers them row by row.
"""

from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.functions import softmax_attention
from linvid_edu.attention.mechanisms import AttentionInputs
from linvid_edu.shapes import Bool, Extent, Float, Int

from .base import Rival, Setting, identity_values, whole_map

MASKED_SCORE = -100.0  # the published value; softmax turns it into a weight of almost 0


def window_partition(x: Float[Tensor, "b heads h w d"], side: int) -> Float[Tensor, "b windows heads places d"]:
    """Cut frames into windows of side × side tokens; side must divide h and w."""
    return rearrange(x, "b heads (y i) (x j) d -> b (y x) heads (i j) d", i=side, j=side)


def window_reverse(
    windows: Float[Tensor, "b windows heads places d"], side: int, h: int, w: int
) -> Float[Tensor, "b heads h w d"]:
    """Reassemble windows of side × side tokens into frames of h × w tokens: undo ``window_partition``."""
    return rearrange(
        windows, "b (y x) heads (i j) d -> b heads (y i) (x j) d", y=h // side, x=w // side, i=side, j=side
    )


def windowed_softmax(
    q: Float[Tensor, "*windows heads places d"],
    k: Float[Tensor, "*windows heads places d"],
    v: Float[Tensor, "*windows heads places d_v"],
    bias: Float[Tensor, "*bias places places"],
) -> Float[Tensor, "*windows heads places d_v"]:
    """Attend within each window: softmax(q kᵀ / √d + bias) v."""
    return (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(dim=-1) @ v


def bias_rows(side: int) -> int:
    """Return the number of rows of a relative bias, (2·side − 1)²: one for each offset between two places."""
    return (2 * side - 1) ** 2


@lru_cache(maxsize=64)
def bias_index(side: int, device: torch.device | str = "cpu") -> Int[Tensor, "places places"]:
    """Return the row of the relative bias for each query and key of a window.

    row = (Δy + side − 1)(2·side − 1) + Δx + side − 1, with (Δy, Δx) = place of the query − place of the key

    Args:
        side: Side of the window, in tokens.
        device: Device of the result, which is computed once for each side and device.
    """
    with torch.inference_mode(False):  # the cached tensor is used in training too
        axis = torch.arange(side, device=device)
        y, x = torch.cartesian_prod(axis, axis).unbind(-1)
        down, right = y[:, None] - y[None, :], x[:, None] - x[None, :]
        return (down + side - 1) * (2 * side - 1) + right + side - 1


def window_bias(relative_bias: Float[Tensor, "offsets heads"], side: int) -> Float[Tensor, "heads places places"]:
    """Return the bias between all pairs of positions in a window, from a table with one row for each offset."""
    return rearrange(relative_bias[bias_index(side, relative_bias.device)], "i j heads -> heads i j")


def check_grid(tokens: int, h: int, w: int) -> None:
    """Raise ValueError if h · w is not the number of tokens."""
    if h < 1 or w < 1 or h * w != tokens:
        raise ValueError(f"h={h}, w={w} make {h * w} tokens, q has {tokens}: pass the grid of one frame")


def pad_to_windows(x: Float[Tensor, "b heads h w d"], side: int) -> Float[Tensor, "b heads padded_h padded_w d"]:
    """Add zeros at the bottom and right, so that side divides rows and columns."""
    h, w = x.shape[2:4]
    return F.pad(x, (0, 0, 0, -w % side, 0, -h % side))


def shifted_window_attention(
    q: Float[Tensor, "b heads h w d"],
    k: Float[Tensor, "b heads h w d"],
    v: Float[Tensor, "b heads h w d_v"],
    relative_bias: Float[Tensor, "offsets heads"],
    side: int,
    shift: int,
) -> Float[Tensor, "b heads h w d_v"]:
    """Attend within windows of one size, which are moved down and right by `shift` tokens."""
    h, w = q.shape[2:4]
    q, k, v = (pad_to_windows(x, side) for x in (q, k, v))
    padded_h, padded_w = q.shape[2:4]
    q, k, v = (window_partition(x.roll((-shift, -shift), dims=(2, 3)), side) for x in (q, k, v))
    bias = window_bias(relative_bias, side)
    if shift:
        mask = wrapped_pairs(padded_h, padded_w, side, shift, q.device).unsqueeze(1)  # (windows 1 places places)
        bias = bias + MASKED_SCORE * mask.to(q.dtype)
    out = window_reverse(windowed_softmax(q, k, v, bias), side, padded_h, padded_w)
    return out.roll((shift, shift), dims=(2, 3))[:, :, :h, :w]


@lru_cache(maxsize=64)
def wrapped_pairs(h: int, w: int, side: int, shift: int, device: torch.device) -> Bool[Tensor, "windows places places"]:
    """Return which pairs of tokens share a window only because the shifted frame wraps around; cached.

    Args:
        h, w: Rows and columns of the padded frame.
        side: Side of the windows.
        shift: Number of tokens by which the windows are moved.
        device: Device of the result.
    """
    with torch.inference_mode(False):  # the cached tensor is used in training too
        rows, columns = (shift_bands(size, side, shift, device) for size in (h, w))
        region = 3 * rows[:, None] + columns[None, :]  # (h w), constant inside each of the 3 × 3 regions
        region = window_partition(region[None, None, :, :, None].float(), side)[0, :, 0, :, 0]  # (windows places)
        return region.unsqueeze(-1) != region.unsqueeze(-2)


def shift_bands(size: int, side: int, shift: int, device: torch.device | str = "cpu") -> Int[Tensor, "size"]:
    """Number the bands of a shifted axis: 0 up to size − side, 1 up to size − shift, 2 for the part that wraps."""
    place = torch.arange(size, device=device)
    return (place >= size - side).long() + (place >= size - shift).long()


class WindowRival(Rival):
    """A rival with windows inside each frame.

    Attention over time has no frame to cut into windows, so its tokens, one from each frame, use softmax attention.

    Args:
        setting: Place in the model.

    Raises:
        ValueError: If attention is joint over several frames, which windows would never mix.
    """

    def __init__(self, setting: Setting):
        super().__init__(setting)
        if setting.span == "joint" and setting.extent.t > 1:
            raise ValueError(
                f"windows lie inside one frame, joint attention over {setting.extent.t} frames would never mix them: "
                'use space_time="divided"'
            )
        self.over_time = setting.span == "time"

    def attend_in_frame(self, q: Tensor, k: Tensor, v: Tensor, h: int, w: int) -> Tensor:
        """Return the attended values of frames of h × w tokens."""
        raise NotImplementedError

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the whole map and the identity; over time, queries and keys of softmax attention."""
        if self.over_time:
            return AttentionInputs(q, k, similarity="softmax")
        return whole_map(self.forward(q, k, identity_values(v), extent))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        if self.over_time:
            return softmax_attention(q, k, v)
        _, h, w = extent or Extent(1, 1, q.shape[-2])
        return self.attend_in_frame(q, k, v, h, w)
