"""Shape annotations such as ``Float[Tensor, "b t n width"]``, used as the signature's shape contract.

The axis vocabulary, everywhere in this package:

====== =====================================================
letter meaning
====== =====================================================
b      clips in a batch
c      color channels of a video
t      frames of a clip
h, w   height and width, in pixels or in tokens of one frame
n      tokens of one frame, n = h * w of the token grid
width  channels of a token, over all heads
heads  attention heads
d      head width, d = width / heads
d_v    head width of the values, where it differs
f      features of a query or key, f = d in the paper
m      keys, where their number differs from that of the queries
====== =====================================================

The annotations come from jaxtyping and are checked at run time in the tests only. Where jaxtyping is not
installed they stand for the plain tensor type, so that the library needs torch, einops and numpy alone.
"""

from typing import NamedTuple

try:
    from jaxtyping import Bool, Float, Int, UInt8
except ImportError:

    class _Unchecked:
        def __class_getitem__(cls, item: tuple) -> type:
            return item[0]

    Bool = Float = Int = UInt8 = _Unchecked  # type: ignore[assignment, misc]

__all__ = ["Bool", "Extent", "Float", "Grid", "Int", "UInt8"]


class Grid(NamedTuple):
    """The tokens of one frame, arranged as they lie in the picture.

    Token n stands at row n // columns and column n % columns.
    """

    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """n = rows · columns, the tokens of one frame."""
        return self.rows * self.columns

    def position(self, token: int) -> tuple[int, int]:
        """Return the row and the column of a token; raise IndexError where the grid has no such token."""
        if not 0 <= token < self.tokens:
            raise IndexError(f"token {token} is outside a {self.rows}×{self.columns} grid: use 0 to {self.tokens - 1}")
        return divmod(token, self.columns)

    def token(self, row: int, column: int) -> int:
        """Return the token at a row and a column; raise IndexError where the grid has no such place."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise IndexError(f"(row {row}, column {column}) is outside a {self.rows}×{self.columns} grid")
        return row * self.columns + column


class Extent(NamedTuple):
    """Frames, rows and columns of the tokens that attend to each other, which lie in this order on one axis.

    The whole clip for joint attention, (1, h, w) for attention over space, (t, 1, 1) for attention over time.
    """

    t: int
    h: int
    w: int

    @property
    def tokens(self) -> int:
        """N = t · h · w."""
        return self.t * self.h * self.w

    @classmethod
    def over(cls, span: str, t: int, grid: Grid) -> "Extent":
        """Return what attends to each other in a clip of t frames, by span: "time", "space" or "joint"."""
        return {"time": cls(t, 1, 1), "space": cls(1, *grid), "joint": cls(t, *grid)}[span]

    def expect(self, tokens: int) -> None:
        """Raise ValueError where there are not as many tokens as this extent holds."""
        if tokens != self.tokens or min(self) < 1:
            t, h, w = self
            raise ValueError(f"t={t}, h={h}, w={w} make {self.tokens} tokens, q has {tokens}: pass their own grid")
