"""Neighborhood association: keys and values borrow channels from neighbors in time and space."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float, Grid


def temporal_association(x: Float[Tensor, "b t n width"], *, shift_div: int) -> Float[Tensor, "b t n width"]:
    """Borrow channels from the neighboring frames, for keys and values of spatial attention.

    The first channels come from the next frame and as many after them from the previous one:
    count = ⌊width / shift_div⌋ in each direction. All other channels stay in place. Missing frames are zeros.

    Args:
        x: Keys or values. The channels of each head are adjacent: with shift_div 4 and 8 heads, heads 0–1 look ahead
            and heads 2–3 look back.
        shift_div: Divisor of the width that gives the count, at least 2. The paper's code uses 4 for
            Something-Something v2 and 8 for Kinetics.

    Raises:
        ValueError: If shift_div is below 2.

    Source: arXiv 2210.08164. Differs from the reference implementation: the shift runs over the whole clip, while
    the Kinetics configuration of the reference cuts 16 frames into segments of 8.
    """
    if shift_div < 2:
        raise ValueError(f"shift_div={shift_div} would move more channels than there are: use 2 or more")
    count = x.shape[-1] // shift_div
    ahead, back, stay = x.split([count, count, x.shape[-1] - 2 * count], dim=-1)
    # F.pad lists the last axis first: channels, tokens, frames; −1 drops the frame at that end, 1 adds a frame of zeros
    ahead, back = F.pad(ahead, (0, 0, 0, 0, -1, 1)), F.pad(back, (0, 0, 0, 0, 1, -1))
    return torch.cat([ahead, back, stay], dim=-1)


# offset (row, column) of the neighbor from which each group of channels borrows
NEIGHBORS = ((1, 0), (-1, 0), (0, 1), (0, -1), (-1, -1), (1, 1), (-1, 1), (1, -1))


def spatial_association(x: Float[Tensor, "b t n width"], *, grid: Grid) -> Float[Tensor, "b t n width"]:
    """Borrow channels from the 8 neighboring locations, for keys and values of temporal attention.

    With count = ⌊width / 16⌋, channels g·count to (g + 1)·count come from the location at offset ``NEIGHBORS[g]``, for
    g = 0 … 7. The other half of the channels stay in place. If the neighbor lies outside the frame, groups 0–3 become
    zero, but groups 4–7 keep the location's own value. This is a quirk of the reference implementation, kept on
    purpose.

    Args:
        x: Keys or values, in which the channels of each head are adjacent.
        grid: Rows and columns of the n tokens of one frame.

    Raises:
        ValueError: If rows · columns of the grid is not n.

    Source: arXiv 2210.08164.
    """
    if grid.tokens != x.shape[-2]:
        raise ValueError(
            f"a {grid.rows}×{grid.columns} grid has {grid.tokens} tokens, x has {x.shape[-2]}: pass the grid of x"
        )
    count = x.shape[-1] // 16
    source = rearrange(x, "b t (h w) width -> b t h w width", h=grid.rows)
    *groups, stay = source.split([count] * 8 + [x.shape[-1] - 8 * count], dim=-1)
    inside = x.new_ones(*source.shape[2:4], 1)
    for g, (down, right) in enumerate(NEIGHBORS):
        pads = (0, 0, -right, right, -down, down)  # channels, columns, rows
        shifted = F.pad(groups[g], pads)
        groups[g] = shifted if g < 4 else torch.where(F.pad(inside, pads) > 0, shifted, groups[g])
    return rearrange(torch.cat([*groups, stay], dim=-1), "b t h w width -> b t (h w) width")
