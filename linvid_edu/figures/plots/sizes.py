"""The two orders of (Q Kᵀ) V, drawn to scale."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .frame_layout import axes_at
from .picture import (
    FAINT,
    MARGIN_INCHES,
    PAGE_INCHES,
    SOFT_INK,
    Picture,
    number,
    sentence,
    styled,
    title_inches,
    wrap_title,
)

PRODUCT_INK = "#a84300"
THINNEST_INCHES = 0.03  # a matrix that would be thinner to scale is drawn this thin, to stay visible
TALLEST_INCHES = 1.9
OPERATOR_INCHES = 0.26  # of a bracket or an equals sign


class _Block(NamedTuple):
    name: str
    rows: int
    columns: int
    shape: str
    color: str
    product: bool = False


@styled
def matrix_product_sizes(tokens: int, d: int, *, title: str | None = None) -> Picture:
    """Draw (Q Kᵀ) V and Q (Kᵀ V) to scale, to show where an N × N matrix appears and where it does not.

    (Q Kᵀ) V takes 2 N² d multiplications, Q (Kᵀ V) takes 2 N d².

    Args:
        tokens: N, at least 1.
        d: Head width, at least 1.
        title: Title of the figure, or None.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: a size below 1.
    """
    if tokens < 1 or d < 1:
        raise ValueError(f"there are {tokens} tokens of {d} channels: both numbers are at least 1")
    q, k = _Block("Q", tokens, d, "N × d", "#8fbfe6"), _Block("Kᵀ", d, tokens, "d × N", "#8fd0b5")
    v, out = _Block("V", tokens, d, "N × d", "#f2d58f"), _Block("output", tokens, d, "N × d", "#c4cad0")
    square = _Block("Q Kᵀ", tokens, tokens, f"N × N\n{tokens * tokens:,} numbers", "#f4b183", product=True)
    state = _Block("Kᵀ V", d, d, f"d × d\n{d * d:,} numbers", "#f4b183", product=True)
    first, second = f"2 N² d = {2 * tokens * tokens * d:,}", f"2 N d² = {2 * tokens * d * d:,}"
    rows: tuple[tuple[str, str, Sequence[_Block | str]], ...] = (
        (
            "(Q Kᵀ) V: first every query with every key",
            f"{first} multiplications",
            ("(", q, k, ")", v, "=", square, v, "=", out),
        ),
        (
            "Q (Kᵀ V): first one sum over all keys",
            f"{second} multiplications",
            (q, "(", k, v, ")", "=", q, state, "=", out),
        ),
    )
    scale = TALLEST_INCHES / max(tokens, d)
    while max(_width(items, scale) for _, _, items in rows) > PAGE_INCHES - 2 * MARGIN_INCHES:
        scale *= 0.98
    heading = f"N = {tokens:,} tokens, d = {d:,} channels; blocks drawn to scale"
    figure, ax, top, pitch = _page(title, heading, max(tokens, d) * scale)
    for index, (text, cost, items) in enumerate(rows):
        y = top + index * pitch
        ax.plot((MARGIN_INCHES, PAGE_INCHES - MARGIN_INCHES), (y, y), color=FAINT, linewidth=0.8)
        ax.text(MARGIN_INCHES, y + 0.12, text, va="top", fontweight="bold")
        ax.text(PAGE_INCHES - MARGIN_INCHES, y + 0.12, cost, va="top", ha="right")
        _draw_row(ax, items, y + 0.72 + max(tokens, d) * scale / 2, scale)
    alt = sentence(
        title,
        f"Two orders of the same product, drawn to scale for N = {tokens:,} tokens and d = {d:,} channels",
        f"(Q Kᵀ) V forms an N × N matrix of {tokens * tokens:,} numbers and takes {first} multiplications",
        f"Q (Kᵀ V) forms a d × d matrix of {d * d:,} numbers and takes {second} multiplications",
        _ratio(tokens, d),
    )
    return Picture(figure, alt)


def _ratio(tokens: int, d: int) -> str:
    if tokens == d:
        return "Both orders take the same number of multiplications"
    left, right = "(Q Kᵀ) V", "Q (Kᵀ V)"
    more, less, factor = (left, right, "N / d") if tokens > d else (right, left, "d / N")
    return f"{more} takes {number(max(tokens, d) / min(tokens, d))} times as many multiplications as {less}: {factor}"


def _page(title: str | None, heading: str, tallest: float) -> tuple[Figure, Axes, float, float]:
    lines = wrap_title(title, PAGE_INCHES)
    top = MARGIN_INCHES + 0.3 + (title_inches(lines) + 0.06 if title else 0.0)
    pitch = tallest + 1.36
    figure = Figure(figsize=(PAGE_INCHES, top + 2 * pitch - 0.08))
    height = figure.get_figheight()
    ax = axes_at(figure, 0.0, 0.0, PAGE_INCHES, height)
    ax.set(xlim=(0, PAGE_INCHES), ylim=(height, 0))  # data units are inches, from the top left corner
    ax.axis("off")
    if title:
        ax.text(MARGIN_INCHES, MARGIN_INCHES, lines, fontsize=13, va="top")
    ax.text(MARGIN_INCHES, top - 0.12, heading, va="bottom", color=SOFT_INK)
    return figure, ax, top, pitch


def _slot(item: "_Block | str", scale: float) -> float:
    if isinstance(item, str):
        return OPERATOR_INCHES
    letters = max(len(line) for line in item.shape.split("\n"))
    return max(item.columns * scale, letters * (0.108 if item.product else 0.094)) + 0.1


def _width(items: Sequence["_Block | str"], scale: float) -> float:
    return sum(_slot(item, scale) for item in items)


def _draw_row(ax: Axes, items: Sequence["_Block | str"], middle: float, scale: float) -> None:
    x = (PAGE_INCHES - _width(items, scale)) / 2
    for item in items:
        center = x + _slot(item, scale) / 2
        x += _slot(item, scale)
        if isinstance(item, str):
            ax.text(center, middle, item, ha="center", va="center", fontsize=16 if item == "=" else 30, color=SOFT_INK)
            continue
        wide, tall = max(item.columns * scale, THINNEST_INCHES), max(item.rows * scale, THINNEST_INCHES)
        edge, line = (PRODUCT_INK, 1.6) if item.product else (SOFT_INK, 0.7)
        corner = center - wide / 2, middle - tall / 2
        ax.add_patch(Rectangle(corner, wide, tall, facecolor=item.color, edgecolor=edge, linewidth=line))
        ax.text(center, middle - tall / 2 - 0.06, item.name, ha="center", va="bottom")
        ax.text(
            center,
            middle + tall / 2 + 0.06,
            item.shape,
            ha="center",
            va="top",
            linespacing=1.25,
            color=PRODUCT_INK if item.product else SOFT_INK,
            fontweight="bold" if item.product else "normal",
        )
