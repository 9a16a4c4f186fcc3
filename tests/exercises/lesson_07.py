"""Right and wrong answers to the exercises of lesson 07; a wrong one stands under words of its message."""

from fractions import Fraction

import numpy as np
import torch
from einops import rearrange
from torch.nn import functional as F

from linvid_edu.attention.association import NEIGHBORS, spatial_association, temporal_association
from linvid_edu.shapes import Grid

# 07.1


def by_loop(x, shift_div):
    s, frames = x.size(-1) // shift_div, []
    for f in range(x.size(1)):
        zeros = torch.zeros_like(x[:, f])
        after = x[:, f + 1] if f + 1 < x.size(1) else zeros
        before = x[:, f - 1] if f else zeros
        frames.append(torch.cat([after[..., :s], before[..., s : 2 * s], x[:, f, :, 2 * s :]], -1))
    return torch.stack(frames, 1)


def by_mask(shift_div, x):
    """With the arguments in another order, rolled and then masked."""
    channel, frame = torch.arange(x.shape[3]), torch.arange(x.shape[1])[:, None, None]
    s = x.shape[3] // shift_div
    ahead, back = channel < s, (channel >= s) & (channel < 2 * s)
    rolled = torch.where(ahead, x.roll(-1, 1), torch.where(back, x.roll(1, 1), x))
    missing = ahead & (frame == x.shape[1] - 1) | back & (frame == 0)
    return rolled.masked_fill(missing, 0)


def by_padding(x, shift_div):
    s = x.shape[-1] // shift_div
    padded = F.pad(x, (0, 0, 0, 0, 1, 1))
    return torch.cat([padded[:, 2:, :, :s], padded[:, :-2, :, s : 2 * s], x[..., 2 * s :]], dim=-1)


def rolled(x, shift_div):
    s = x.shape[-1] // shift_div
    return torch.cat([x[..., :s].roll(-1, 1), x[..., s : 2 * s].roll(1, 1), x[..., 2 * s :]], -1)


def in_place(x, shift_div):
    x[:] = temporal_association(x.clone(), shift_div=shift_div)
    return x


def by_chunk(x, shift_div):
    parts = list(x.chunk(shift_div, dim=-1))
    parts[0] = F.pad(parts[0][:, 1:], (0, 0, 0, 0, 0, 1))
    if len(parts) > 1:
        parts[1] = F.pad(parts[1][:, :-1], (0, 0, 0, 0, 1, 0))
    return torch.cat(parts, -1)


# 07.3


def by_library(x, rows, columns):
    return spatial_association(x, grid=Grid(rows, columns))


def by_place(columns, rows, x, offsets=NEIGHBORS, zero=(0, 1, 2, 3)):
    """Token by token; with the arguments in another order, known by their names."""
    s, tokens = x.shape[-1] // 16, []
    for row in range(rows):
        for column in range(columns):
            own = x[:, :, row * columns + column]
            parts = []
            for g, (down, right) in enumerate(offsets):
                r, c, group = row + down, column + right, slice(g * s, g * s + s)
                if r in range(rows) and c in range(columns):
                    parts.append(x[:, :, r * columns + c, group])
                else:
                    parts.append(own[..., group] * (g not in zero))
            tokens.append(torch.cat([*parts, own[..., 8 * s :]], -1))
    return torch.stack(tokens, 2)


def by_flat_index(x, rows, columns):
    """Right inside, but left and right of a row it runs on into the next one."""
    s, n = x.shape[-1] // 16, rows * columns
    y = x.clone()
    for g, (down, right) in enumerate(NEIGHBORS):
        for here in range(n):
            there = here + down * columns + right
            if 0 <= there < n:
                y[:, :, here, g * s : g * s + s] = x[:, :, there, g * s : g * s + s]
            elif g < 4:
                y[:, :, here, g * s : g * s + s] = 0
    return y


def hasty(x, rows, columns):
    return by_place(columns, rows, x, [(right, down) for down, right in NEIGHBORS], zero=())


def rolling(x, rows, columns):
    s = x.shape[-1] // 16
    y = rearrange(x, "b t (h w) d -> b t h w d", h=rows).clone()
    for g, (down, right) in enumerate(NEIGHBORS):
        y[..., g * s : g * s + s] = torch.roll(y[..., g * s : g * s + s], (-down, -right), (2, 3))
    return y.flatten(2, 3)


RIGHT = {
    "07.1": [by_loop, by_mask, by_padding, lambda x, shift_div: temporal_association(x, shift_div=shift_div)],
    "07.2": [(6, 4, 5), [6.0, Fraction(4), np.int64(5)], torch.tensor([6, 4, 5])],
    "07.3": [by_library, by_place],
    "07.4": [(8, 44), np.array([8, 44]), [2 * 4, 32 + 3 * 4]],
}
WRONG = {
    "07.1": {
        "wraps around": rolled,
        "moves tokens": lambda x, shift_div: by_loop(x.transpose(1, 2), shift_div).transpose(1, 2),
        "clips of the batch": lambda x, shift_div: by_padding(x.transpose(0, 1), shift_div).transpose(0, 1),
        "directions are swapped": lambda x, shift_div: by_loop(x.flip(1), shift_div).flip(1),
        "it is the divisor": lambda x, shift_div: torch.cat(
            [
                F.pad(x[:, 1:, :, :shift_div], (0, 0, 0, 0, 0, 1)),
                F.pad(x[:, :-1, :, shift_div : 2 * shift_div], (0, 0, 0, 0, 1, 0)),
                x[..., 2 * shift_div :],
            ],
            -1,
        ),
        "round the count up": by_chunk,
        "in each direction, not in total": lambda x, shift_div: by_loop(x, 2 * shift_div),
        "that should stay are zero": lambda x, shift_div: (
            by_loop(x, shift_div) * (torch.arange(x.shape[-1]) < 2 * (x.shape[-1] // shift_div))
        ),
        "changes its input x": in_place,
        "no gradient reaches x": lambda x, shift_div: by_loop(x.detach(), shift_div),
        "returns None": lambda x, shift_div: print(by_loop(x, shift_div)),
        "values differ": lambda x, shift_div: by_loop(by_loop(x, shift_div), shift_div),
    },
    "07.2": {
        "for shift_div 4": (6, 6, 4),
        "first channels come from the next": (4, 6, 5),
        "each head by itself": (4, 5, 4),
        "borrow from other places": (5, 5, 5),
        "number 3 is wrong": (6, 4, 4),
        "you give 2 numbers": (6, 4),
        "the answer is 3 numbers": "ahead",
    },
    "07.3": {
        "both bugs": hasty,
        "an offset is (row, column)": lambda x, rows, columns: by_place(
            columns, rows, x, [(right, down) for down, right in NEIGHBORS]
        ),
        "the border is not": lambda x, rows, columns: by_place(columns, rows, x, zero=()),
        "zero in all groups: groups 4": lambda x, rows, columns: by_place(columns, rows, x, zero=range(8)),
        "takes values from the place": lambda x, rows, columns: by_place(
            columns, rows, x, [(-down, -right) for down, right in NEIGHBORS]
        ),
        "wraps around": rolling,
        "counted row by row": lambda x, rows, columns: by_library(x, columns, rows),
        "no gradient reaches x": lambda x, rows, columns: by_library(x.detach(), rows, columns),
        "values differ": by_flat_index,
        "should have": lambda x, rows, columns: by_library(x, rows, columns).unflatten(2, (rows, columns)),
    },
    "07.4": {
        "only groups 0 to 3": (20, 32),
        "are its own, too": (8, 32),
        "only groups 4 to 7": (0, 52),
        "on an edge": (4, 40),
        "you count groups": (2, 3),
        "number 2 is wrong": (8, 56),
        "the answer is 2 numbers": 8,
    },
}
