"""Exercises of lesson 07: neighborhood association."""

import math
from collections.abc import Iterator, Sequence

import torch
from einops import rearrange
from torch import Generator, Tensor
from torch.nn import functional as F

from linvid_edu.attention.association import NEIGHBORS

from .exercise import Case, Exercise, Mistake, Trial, draw

# 07.1 in time


def clip_cases(generator: Generator) -> Iterator[Case]:
    """Yield clips of several lengths, widths and divisors; in edge cases, there is nothing to shift."""
    for *shape, shift_div in ((2, 4, 3, 8, 4), (1, 5, 6, 12, 3), (3, 7, 5, 16, 8), (2, 6, 4, 20, 4)):
        yield Case((*draw(generator, tuple(shape)), shift_div))
    yield Case((*draw(generator, (2, 1, 4, 8)), 4), "one frame")
    yield Case((*draw(generator, (2, 5, 1, 8)), 4), "one token a frame")
    yield Case((*draw(generator, (1, 4, 3, 8)), 2), "no channel that stays")
    yield Case((*draw(generator, (1, 4, 3, 11)), 4), "channels that shift_div does not divide")
    yield Case((*draw(generator, (1, 4, 3, 3)), 8), "fewer channels than shift_div")
    yield Case((*draw(generator, (1, 3, 2, 8), dtype=torch.float64), 4), "float64")


def temporal_by_hand(x: Tensor, shift_div: int) -> Tensor:
    count = x.shape[-1] // shift_div
    y = torch.zeros_like(x)
    y[:, :-1, :, :count] = x[:, 1:, :, :count]
    y[:, 1:, :, count : 2 * count] = x[:, :-1, :, count : 2 * count]
    y[..., 2 * count :] = x[..., 2 * count :]
    return y


def moved(x: Tensor, steps: int, axis: int = 1) -> Tensor:
    """Take values from the next (1) or the previous (−1) place along an axis, and zeros from outside."""
    size, zeros = x.shape[axis], torch.zeros_like(x.narrow(axis, 0, 1))
    pieces = (x.narrow(axis, 1, size - 1), zeros) if steps > 0 else (zeros, x.narrow(axis, 0, size - 1))
    return torch.cat(pieces, dim=axis)


def three(x: Tensor, count: int, ahead: Tensor, back: Tensor, stay: Tensor) -> Tensor:
    return torch.cat([ahead[..., :count], back[..., count : 2 * count], stay[..., 2 * count :]], dim=-1)


def shifted(x: Tensor, count: int, axis: int = 1) -> Tensor:
    return three(x, count, moved(x, 1, axis), moved(x, -1, axis), x)


def kept_at_the_ends(x: Tensor, count: int) -> Tensor:
    return three(x, count, torch.cat([x[:, 1:], x[:, -1:]], 1), torch.cat([x[:, :1], x[:, :-1]], 1), x)


def interleaved(x: Tensor, shift_div: int) -> Tensor:
    y = x.clone()
    y[..., ::shift_div] = moved(x, 1)[..., ::shift_div]
    y[..., 1::shift_div] = moved(x, -1)[..., 1::shift_div]
    return y


# 07.3 in space

Offsets = Sequence[tuple[int, int]]
ALL = range(8)


def grid_cases(generator: Generator) -> Iterator[Case]:
    """Yield clips with grids of several shapes and widths; in edge cases, tokens have few neighbors."""
    for b, t, rows, columns, d in ((1, 2, 3, 3, 16), (2, 1, 4, 6, 32), (1, 3, 5, 2, 35), (2, 2, 3, 4, 48)):
        yield Case((*draw(generator, (b, t, rows * columns, d)), rows, columns))
    yield Case((*draw(generator, (1, 2, 1, 16)), 1, 1), "one token a frame")
    yield Case((*draw(generator, (1, 2, 4, 16)), 1, 4), "one row")
    yield Case((*draw(generator, (1, 2, 3, 32)), 3, 1), "one column")
    yield Case((*draw(generator, (1, 2, 6, 15)), 2, 3), "fewer than 16 channels, so that none moves")
    yield Case((*draw(generator, (1, 2, 6, 16), dtype=torch.float64), 2, 3), "float64")


def spatial(
    x: Tensor, rows: int, columns: int, offsets: Offsets = NEIGHBORS, zero: Sequence[int] = range(4), share: int = 16
) -> Tensor:
    """Take values from the places at the offsets; outside, groups in `zero` are 0 and the others keep their value."""
    count = x.shape[-1] // share
    picture = rearrange(x, "b t (h w) d -> b t h w d", h=rows)
    inside = x.new_ones(rows, columns, 1)
    y = picture.clone()
    for g, (down, right) in enumerate(offsets):
        pads, group = (0, 0, -right, right, -down, down), slice(g * count, (g + 1) * count)
        outside = torch.zeros_like(picture[..., group]) if g in zero else picture[..., group]
        y[..., group] = torch.where(F.pad(inside, pads) > 0, F.pad(picture[..., group], pads), outside)
    return rearrange(y, "b t h w d -> b t (h w) d")


def repaired(x: Tensor, rows: int, columns: int) -> Tensor:
    return spatial(x, rows, columns)


def in_a_circle(x: Tensor, rows: int, columns: int) -> Tensor:
    count = x.shape[-1] // 16
    picture = rearrange(x, "b t (h w) d -> b t h w d", h=rows)
    groups = [picture[..., g * count : (g + 1) * count].roll((-y, -x), (2, 3)) for g, (y, x) in enumerate(NEIGHBORS)]
    return rearrange(torch.cat([*groups, picture[..., 8 * count :]], dim=-1), "b t h w d -> b t (h w) d")


def grid_turned(x: Tensor, rows: int, columns: int) -> Tensor:
    return spatial(x, columns, rows)


TURNED = tuple((right, down) for down, right in NEIGHBORS)
OPPOSITE = tuple((-down, -right) for down, right in NEIGHBORS)

EXERCISES = (
    Exercise(
        id="07.1",
        question="Write temporal association (7.1) without a loop over frames or channels: (b t n width) → (b t n "
        "width).",
        answer=temporal_by_hand,
        why="With count = width // shift_div, which rounds down, each frame but the last takes the first count "
        "channels from the next frame. Each frame but the first takes the following count channels from the previous "
        "frame. The rest stays. Channels that would come from a missing frame stay zero.",
        hints=(
            "Start with zeros. (7.1) has three lines. Which channels does each of them fill?",
            "Frames are axis 1. `y[:, :-1] = x[:, 1:]` gives each frame but the last the values of the next frame. "
            "Restrict it to channels :count, and write the same for looking back.",
            "y[:, :-1, :, :count] = x[:, 1:, :, :count], then y[:, 1:, :, count : 2 * count] = "
            "x[:, :-1, :, count : 2 * count], then the rest.",
        ),
        mistakes=(
            Mistake(
                "your shift wraps around: torch.roll gives the last frame the values of the first one. Missing frames "
                "are zeros",
                lambda x, shift_div: three(x, x.shape[-1] // shift_div, x.roll(-1, 1), x.roll(1, 1), x),
            ),
            Mistake(
                "your shift moves tokens instead of frames: frames are axis 1 of (b t n d)",
                lambda x, shift_div: shifted(x, x.shape[-1] // shift_div, axis=2),
            ),
            Mistake(
                "your shift moves clips of the batch instead of frames: frames are axis 1 of (b t n d)",
                lambda x, shift_div: shifted(x, x.shape[-1] // shift_div, axis=0),
            ),
            Mistake(
                "the two directions are swapped: the first channels come from the next frame, so values of frame f + 1 "
                "go to frame f",
                lambda x, shift_div: three(x, x.shape[-1] // shift_div, moved(x, -1), moved(x, 1), x),
            ),
            Mistake(
                "at the ends your frames keep their own value: a frame that does not exist counts as zeros",
                lambda x, shift_div: kept_at_the_ends(x, x.shape[-1] // shift_div),
            ),
            Mistake(
                "you move shift_div channels in each direction: it is the divisor, so width // shift_div channels move",
                lambda x, shift_div: shifted(x, shift_div),
            ),
            Mistake(
                "you round the count up: width // shift_div rounds down, but torch.chunk rounds up",
                lambda x, shift_div: shifted(x, math.ceil(x.shape[-1] / shift_div)),
            ),
            Mistake(
                "only half as many channels move as should: 1/shift_div of them moves in each direction, not in total",
                lambda x, shift_div: shifted(x, x.shape[-1] // (2 * shift_div)),
            ),
            Mistake(
                "you move every shift_div-th channel: the channels that move are side by side, first those that "
                "look ahead, then those that look back",
                interleaved,
            ),
            Mistake(
                "you move the last channels: (7.1) moves the first 2 · count, and the rest stays",
                lambda x, shift_div: shifted(x.flip(-1), x.shape[-1] // shift_div).flip(-1),
            ),
            Mistake(
                "the channels that should stay are zero in your result",
                lambda x, shift_div: three(x, x.shape[-1] // shift_div, moved(x, 1), moved(x, -1), torch.zeros_like(x)),
            ),
            Mistake(
                "your channels look ahead, and none looks back",
                lambda x, shift_div: three(x, x.shape[-1] // shift_div, moved(x, 1), x, x),
            ),
        ),
        trial=Trial(clip_cases, gradients=True),
    ),
    Exercise(
        id="07.2",
        question="With 512 channels in 8 heads, shift_div 8 and attention over space, which frames do channels 10, "
        "100 and 200 of the keys of frame 5 come from?",
        answer=(6, 4, 5),
        why="The count is 512 / 8 = 64. Channel 10 is below 64, so it comes from the next frame. Channel 100 is "
        "between 64 and 128, so it comes from the previous frame. Channel 200 stays. (7.1) counts channels over all "
        "heads; here the count is the width of one head.",
        hints=(
            "How many channels move in each direction? This is the count in (7.1).",
            "The count is 64. Which channels look ahead, which look back, and which stay?",
            "0–63 look ahead, 64–127 look back, 128–511 stay. A channel that looks ahead comes from frame 5 + 1.",
        ),
        mistakes=(
            Mistake("these are the frames for shift_div 4: with 8, only 64 channels move in each direction", (6, 6, 4)),
            Mistake("the two directions are swapped: the first channels come from the next frame", (4, 6, 5)),
            Mistake("you split each head by itself: (7.1) counts the channels of all heads together", (4, 5, 4)),
            Mistake(
                "you move shift_div channels in each direction: it is the divisor, and 512 / 8 channels move", (4, 5, 5)
            ),
            Mistake("you move every eighth channel: the channels that move are side by side", (5, 5, 6)),
            Mistake("1/shift_div of the channels moves in each direction, not in total: 64 channels", (6, 5, 5)),
            Mistake(
                "this is attention over time, in which keys borrow from other places: over space they borrow from "
                "other frames",
                (5, 5, 5),
            ),
        ),
    ),
    Exercise(
        id="07.3",
        question="Repair the spatial shift (7.3): (b t n d) with n = rows · columns → (b t n d).",
        answer=repaired,
        why="The offsets are (row, column). Unpacked as (right, down), rows and columns are swapped. If the neighbor "
        "does not exist, groups 0 to 3 are zero and groups 4 to 7 keep their value, as in the reference.",
        hints=(
            "The token in the middle of 1 to 9 gets 6 in group 0, but it should get 8. Where are 6 and 8?",
            "Group 0 has the offset (+1, 0), one row down. How does the loop name these two numbers?",
            "Write for g, (down, right) in …, and at the border use torch.zeros_like(moved) if g < 4.",
        ),
        mistakes=(
            Mistake(
                "both bugs are still there: compare the middle and the corner with the numbers above",
                lambda x, rows, columns: spatial(x, rows, columns, TURNED, zero=()),
            ),
            Mistake(
                "rows and columns are swapped: an offset is (row, column), so (+1, 0) is the place below",
                lambda x, rows, columns: spatial(x, rows, columns, TURNED),
            ),
            Mistake(
                "the directions are right, but the border is not: there groups 0 to 3 are zero, but yours keep their "
                "value",
                lambda x, rows, columns: spatial(x, rows, columns, zero=()),
            ),
            Mistake(
                "your border is zero in all groups: groups 4 to 7 keep their value, as in the reference",
                lambda x, rows, columns: spatial(x, rows, columns, zero=ALL),
            ),
            Mistake(
                "the groups at the border are swapped: groups 0 to 3 are zero there, 4 to 7 keep their value",
                lambda x, rows, columns: spatial(x, rows, columns, zero=range(4, 8)),
            ),
            Mistake(
                "all directions are reversed: a token takes values from the place at the offset, it does not give to "
                "it",
                lambda x, rows, columns: spatial(x, rows, columns, OPPOSITE),
            ),
            Mistake("your shift wraps around: values must not come from the opposite side of the frame", in_a_circle),
            Mistake("tokens are counted row by row: in your grid rows and columns are swapped", grid_turned),
            Mistake(
                "in yours all channels move: each direction gets d // 16 of them, and half of all channels stay",
                lambda x, rows, columns: spatial(x, rows, columns, share=8),
            ),
        ),
        trial=Trial(grid_cases, gradients=True),
    ),
    Exercise(
        id="07.4",
        question="With 64 channels, 8 × 8 tokens and attention over time, how many channels of the key in the top "
        "right corner are zero, and how many are its own?",
        answer=(8, 44),
        why="The count is 64 / 16 = 4. Groups 1 (above) and 2 (right) have no neighbor: 2 · 4 zeros. Groups 4, 5 and 6 "
        "are diagonals without a neighbor and keep their value, and half of all channels never move: 3 · 4 + 32.",
        hints=(
            "Which of the eight neighbors exist in the top right corner?",
            "Below, left, and below left exist. Of the five groups without a neighbor, which are zero, and which keep "
            "their value?",
            "A group has 4 channels. Groups 1 and 2 are zero. Groups 4, 5 and 6 and the 32 channels that never move "
            "keep their value.",
        ),
        mistakes=(
            Mistake("at the border only groups 0 to 3 are zero: 4 to 7 keep their value", (20, 32)),
            Mistake("the zeros are right, but channels that keep their value at the border are its own, too", (8, 32)),
            Mistake("only groups 4 to 7 keep their value at the border: groups 1 and 2 are zero here", (0, 52)),
            Mistake("this is a token on an edge: in a corner two sides are missing", (4, 40)),
            Mistake("each direction gets a sixteenth of the channels: half of all channels never move", (16, 24)),
            Mistake("you count groups: each has 4 channels", (2, 3)),
            Mistake("the two are swapped: zeros first", (44, 8)),
            Mistake("the groups at the border are swapped: groups 0 to 3 are zero, 4 to 7 keep their value", (12, 40)),
        ),
    ),
)
