"""Which tokens of a clip attend to each other: over time, over space, or all of them."""

from typing import Literal

from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float

Span = Literal["time", "space", "joint"]


def divided_row(
    space_row: Float[Tensor, "*batch n"], time_rows: Float[Tensor, "*batch n t"]
) -> Float[Tensor, "*batch t n"]:
    """Compose temporal attention, then spatial attention, into the weights of one query on all tokens of the clip.

    The query (t, n) collects from location n' of its frame, which had collected from frame t' of its location:
    a(t', n') = A_space(n, n') · A_time[n'](t, t')

    Args:
        space_row: the query's weights on the locations of its frame.
        time_rows: for each location, the weights of frame t on all frames.

    Returns:
        Weights on all frames and locations; they sum to 1 where the arguments do. Values, residuals and the layers
        between the two are left out, so this describes where attention looks, not all that flows.
    """
    return rearrange(space_row.unsqueeze(-1) * time_rows, "... n t -> ... t n")


_FOLDED = {"time": "(b n) heads t d", "space": "(b t) heads n d", "joint": "b heads (t n) d"}


def fold(x: Float[Tensor, "b t n width"], span: Span, heads: int) -> Float[Tensor, "batch heads tokens d"]:
    """Split the heads and put on one axis the tokens that attend to each other.

    time: the same location over frames; space: one frame; joint: the whole clip. Channels are head-major.

    Args:
        x: queries, keys or values of a clip, width = heads · d.
        span: which tokens attend to each other.
        heads: attention heads; must divide width.
    """
    # the one copy of a layer: whatever follows, up to the matrix products, finds its operands in order
    return rearrange(x, f"b t n (heads d) -> {_FOLDED[span]}", heads=heads).contiguous()


def unfold(
    x: Float[Tensor, "batch heads tokens d"], span: Span, *, t: int, n: int, merge_heads: bool = True
) -> Tensor:
    """Undo ``fold``.

    Args:
        x: what ``fold`` or an attention function returned.
        span: as given to ``fold``.
        t, n: frames of the clip and tokens of one frame.
        merge_heads: return (b t n width) if true, (b heads t n d) if not.
    """
    unfolded = "b t n (heads d)" if merge_heads else "b heads t n d"
    sizes = {"time": {"n": n}, "space": {"t": t}, "joint": {"t": t}}[span]
    return rearrange(x, f"{_FOLDED[span]} -> {unfolded}", **sizes)
