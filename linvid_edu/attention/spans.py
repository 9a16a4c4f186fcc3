"""Which tokens of a clip attend to each other: over time, over space, or all of them."""

from typing import Literal

from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float

Span = Literal["time", "space", "joint"]


def divided_row(
    space_row: Float[Tensor, "*batch n"], time_rows: Float[Tensor, "*batch n t"]
) -> Float[Tensor, "*batch t n"]:
    """Compose temporal and then spatial attention into the weights of one query on all tokens of the clip.

    The query (t, n) gathers from location n' of its own frame. That token had gathered from frame t' of its location:
    a(t', n') = A_space(n, n') · A_time[n'](t, t')

    Args:
        space_row: Weights of the query on the locations of its frame.
        time_rows: Weights of frame t on all frames, for each location.

    Returns:
        Weights on all frames and locations, which sum to 1 if both arguments do. Values, residuals and the layers in
        between are left out: the weights describe where attention looks, not everything that reaches the output.
    """
    return rearrange(space_row.unsqueeze(-1) * time_rows, "... n t -> ... t n")


_FOLDED = {"time": "(b n) heads t d", "space": "(b t) heads n d", "joint": "b heads (t n) d"}


def fold(x: Float[Tensor, "b t n width"], span: Span, heads: int) -> Float[Tensor, "batch heads tokens d"]:
    """Split the heads, and put the tokens that attend to each other on one axis.

    The span "time" joins the tokens of one location in all frames, "space" those of one frame, and "joint" those of the
    whole clip.

    Args:
        x: Queries, keys or values of a clip; width = heads · d, and the channels of a head are neighbors.
        span: Which tokens attend to each other.
        heads: Number of attention heads, a divisor of width.
    """
    # make one contiguous copy here so that the matrix products need none
    return rearrange(x, f"b t n (heads d) -> {_FOLDED[span]}", heads=heads).contiguous()


def unfold(x: Float[Tensor, "batch heads tokens d"], span: Span, *, t: int, n: int, merge_heads: bool = True) -> Tensor:
    """Undo ``fold``.

    Args:
        x: Result of ``fold`` or of an attention function.
        span: Span that was passed to ``fold``.
        t, n: Number of frames of the clip and of tokens of one frame.
        merge_heads: Whether to return (b t n width) or (b heads t n d).
    """
    unfolded = "b t n (heads d)" if merge_heads else "b heads t n d"
    sizes = {"time": {"n": n}, "space": {"t": t}, "joint": {"t": t}}[span]
    return rearrange(x, f"{_FOLDED[span]} -> {unfolded}", **sizes)
