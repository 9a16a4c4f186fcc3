"""Neighborhood association: keys and values borrow channels from neighbors in time and space."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float, Grid


def temporal_association(x: Float[Tensor, "b t n width"], *, shift_div: int) -> Float[Tensor, "b t n width"]:
    """Borrow channels from the neighboring frames, for keys and values of spatial attention.

    With c = ⌊width / shift_div⌋: channels 0 to c come from the next frame, c to 2c from the previous; the rest stay.
    Missing frames are zeros.

    Args:
        x: keys or values, channels head-major; with shift_div 4 and 8 heads, heads 0–1 look ahead, 2–3 look back.
        shift_div: which fraction of the channels moves each way; at least 2. The paper's code uses 4 for
            Something-Something v2 and 8 for Kinetics.

    Raises:
        ValueError: shift_div below 2.

    Source: arXiv 2210.08164. Differs from the reference implementation: the shift runs over the whole clip, where
    the reference's Kinetics configuration cuts 16 frames into segments of 8.
    """
    if shift_div < 2:
        raise ValueError(f"shift_div={shift_div} would move more channels than there are: use 2 or more")
    c = x.shape[-1] // shift_div
    ahead, back, stay = x.split([c, c, x.shape[-1] - 2 * c], dim=-1)
    # pads come last axis first: channels, tokens, frames; −1 drops a frame at one end, 1 adds zeros at the other
    ahead, back = F.pad(ahead, (0, 0, 0, 0, -1, 1)), F.pad(back, (0, 0, 0, 0, 1, -1))
    return torch.cat([ahead, back, stay], dim=-1)


# (row, column) of the neighbor that each group of channels borrows from
NEIGHBORS = ((1, 0), (-1, 0), (0, 1), (0, -1), (-1, -1), (1, 1), (-1, 1), (1, -1))


def spatial_association(x: Float[Tensor, "b t n width"], *, grid: Grid) -> Float[Tensor, "b t n width"]:
    """Borrow channels from the 8 neighboring locations, for keys and values of temporal attention.

    With c = ⌊width / 16⌋: channels g·c to (g+1)·c come from the location at offset ``NEIGHBORS[g]``, g = 0 … 7; the
    rest, half of all channels, stay. Where the neighbor lies outside the frame, groups 0–3 are zero, but groups 4–7
    keep the location's own value: a quirk of the reference implementation, kept.

    Args:
        x: keys or values, channels head-major.
        grid: rows and columns of the n tokens of one frame.

    Raises:
        ValueError: the grid has another number of tokens.

    Source: arXiv 2210.08164.
    """
    if grid.tokens != x.shape[-2]:
        raise ValueError(f"a {grid.rows}×{grid.columns} grid has {grid.tokens} tokens, x has {x.shape[-2]}")
    c = x.shape[-1] // 16
    source = rearrange(x, "b t (h w) width -> b t h w width", h=grid.rows)
    *groups, stay = source.split([c] * 8 + [x.shape[-1] - 8 * c], dim=-1)
    inside = x.new_ones(*source.shape[2:4], 1)
    for g, (down, right) in enumerate(NEIGHBORS):
        pads = (0, 0, -right, right, -down, down)  # last axis first: channels, columns, rows
        shifted = F.pad(groups[g], pads)
        groups[g] = shifted if g < 4 else torch.where(F.pad(inside, pads) > 0, shifted, groups[g])
    return rearrange(torch.cat([*groups, stay], dim=-1), "b t h w width -> b t (h w) width")
