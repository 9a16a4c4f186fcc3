"""Shape annotations such as ``Float[Tensor, "b t n width"]``, which state the shapes that a function takes and returns.

The axes, everywhere in this package:

======== =======================================================================
axis     meaning
======== =======================================================================
b        clips of a batch
c        color channels of a video
t        frames of a clip
h, w     height and width, in pixels or in tokens of one frame
n        tokens of one frame, n = h · w of the token grid; queries of a function
m        keys, if their number may differ from that of the queries
width    channels of a token, over all heads
heads    attention heads
d        head width, d = width / heads
d_v      head width of the values, if it may differ from d
f        features of a query or key, f = d in the paper
======== =======================================================================

All other axes are whole words, such as ``landmarks`` or ``classes``. The letter e is never a size, because φ(x) =
ReLU(x) + e^(−1/2) would read as Euler's number.

The annotations come from jaxtyping and are checked at run time in the tests only. Without jaxtyping they mean the plain
tensor type, so that the core of the library needs torch, einops and numpy alone.
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
    """The rows and columns of the tokens of one frame.

    Token n is at row n // columns and column n % columns.
    """

    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """Number of tokens of one frame, n = rows · columns."""
        return self.rows * self.columns

    def position(self, token: int) -> tuple[int, int]:
        """Return the row and the column of a token; raise IndexError if the token is outside the grid."""
        if not 0 <= token < self.tokens:
            raise IndexError(f"token {token} is outside a {self.rows}×{self.columns} grid: use 0 to {self.tokens - 1}")
        return divmod(token, self.columns)

    def token(self, row: int, column: int) -> int:
        """Return the token at a row and a column; raise IndexError if they are outside the grid."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise IndexError(f"(row {row}, column {column}) is outside a {self.rows}×{self.columns} grid")
        return row * self.columns + column


class Extent(NamedTuple):
    """The frames, rows and columns of the tokens that attend to each other, which share one axis in this order.

    (t, h, w) for joint attention, (1, h, w) for attention over space, (t, 1, 1) for attention over time.
    """

    t: int
    h: int
    w: int

    @property
    def tokens(self) -> int:
        """Number of tokens, t · h · w."""
        return self.t * self.h * self.w

    @classmethod
    def over(cls, span: str, t: int, grid: Grid) -> "Extent":
        """Return the extent of attention over "time", "space" or "joint" in a clip of t frames."""
        return {"time": cls(t, 1, 1), "space": cls(1, *grid), "joint": cls(t, *grid)}[span]

    def expect(self, tokens: int) -> None:
        """Raise ValueError unless this extent holds the given number of tokens."""
        if tokens != self.tokens or min(self) < 1:
            t, h, w = self
            raise ValueError(
                f"t={t}, h={h}, w={w} make {self.tokens} tokens, q has {tokens}: pass the frames, rows and columns of q"
            )
