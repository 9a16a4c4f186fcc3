"""The two orders of (Q Kᵀ) V, drawn to scale."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .picture import FAINT, LINE_HEIGHT, MARGIN, SOFT_INK, WIDTH, Picture, number, sentence, styled, wrap_title
from .sheet import place

PRODUCT_INK = "#a84300"
THINNEST = 0.03  # inches: what is thinner to scale is drawn this thin, so that it can be seen
TALLEST = 1.9  # inches
OPERATOR = 0.26  # inches a bracket or an equals sign takes


class _Block(NamedTuple):
    name: str
    rows: int
    columns: int
    shape: str
    color: str
    product: bool = False


@styled
def matrix_product_sizes(n: int, d: int, *, title: str | None = None) -> Picture:
    """Draw (Q Kᵀ) V and Q (Kᵀ V) to scale, to show where an n × n matrix appears and where it does not.

    (Q Kᵀ) V takes 2 n² d multiplications, Q (Kᵀ V) takes 2 n d².

    Args:
        n: number of tokens, at least 1.
        d: channels of a token, at least 1.
        title: a line above.

    Returns:
        the picture, without an interactive twin.

    Raises:
        ValueError: a size below 1.
    """
    if n < 1 or d < 1:
        raise ValueError(f"n is {n} and d is {d}: both are at least 1")
    q, k = _Block("Q", n, d, "n × d", "#8fbfe6"), _Block("Kᵀ", d, n, "d × n", "#8fd0b5")
    v, out = _Block("V", n, d, "n × d", "#f2d58f"), _Block("output", n, d, "n × d", "#c4cad0")
    square = _Block("Q Kᵀ", n, n, f"n × n\n{n * n:,} numbers", "#f4b183", product=True)
    state = _Block("Kᵀ V", d, d, f"d × d\n{d * d:,} numbers", "#f4b183", product=True)
    rows: tuple[tuple[str, str, Sequence[_Block | str]], ...] = (
        (
            "(Q Kᵀ) V: first every query with every key",
            f"2 n² d = {2 * n * n * d:,} multiplications",
            ("(", q, k, ")", v, "=", square, v, "=", out),
        ),
        (
            "Q (Kᵀ V): first one sum over all keys",
            f"2 n d² = {2 * n * d * d:,} multiplications",
            (q, "(", k, v, ")", "=", q, state, "=", out),
        ),
    )
    scale = TALLEST / max(n, d)
    while max(_width(items, scale) for _, _, items in rows) > WIDTH - 2 * MARGIN:
        scale *= 0.98
    heading = f"n = {n:,} tokens, d = {d:,} channels; blocks drawn to scale"
    figure, ax, top, pitch = _page(title, heading, max(n, d) * scale)
    for index, (text, cost, items) in enumerate(rows):
        y = top + index * pitch
        ax.plot((MARGIN, WIDTH - MARGIN), (y, y), color=FAINT, linewidth=0.8)
        ax.text(MARGIN, y + 0.12, text, va="top", fontweight="bold")
        ax.text(WIDTH - MARGIN, y + 0.12, cost, va="top", ha="right")
        _draw_row(ax, items, y + 0.72 + max(n, d) * scale / 2, scale)
    alt = sentence(
        title,
        f"Two orders of the same product, drawn to scale for n = {n:,} tokens and d = {d:,} channels",
        f"(Q Kᵀ) V forms an n × n matrix of {n * n:,} numbers and takes 2 n² d = {2 * n * n * d:,} multiplications",
        f"Q (Kᵀ V) forms a d × d matrix of {d * d:,} numbers and takes 2 n d² = {2 * n * d * d:,} multiplications",
        _ratio(n, d),
    )
    return Picture(figure, alt)


def _ratio(n: int, d: int) -> str:
    if n == d:
        return "Both orders take the same number of multiplications"
    first, second, factor = ("(Q Kᵀ) V", "Q (Kᵀ V)", "n / d") if n > d else ("Q (Kᵀ V)", "(Q Kᵀ) V", "d / n")
    return f"{first} takes {number(max(n, d) / min(n, d))} times as many multiplications as {second}: {factor}"


def _page(title: str | None, heading: str, tallest: float) -> tuple[Figure, Axes, float, float]:
    lines = wrap_title(title, WIDTH)
    top = MARGIN + 0.3 + (LINE_HEIGHT * (lines.count("\n") + 1) + 0.06 if title else 0.0)
    pitch = tallest + 1.36
    figure = Figure(figsize=(WIDTH, top + 2 * pitch - 0.08))
    height = figure.get_figheight()
    ax = place(figure, 0.0, 0.0, WIDTH, height)
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))  # data units are inches, from the top left corner
    ax.axis("off")
    if title:
        ax.text(MARGIN, MARGIN, lines, fontsize=13, va="top")
    ax.text(MARGIN, top - 0.12, heading, va="bottom", color=SOFT_INK)
    return figure, ax, top, pitch


def _slot(item: "_Block | str", scale: float) -> float:
    if isinstance(item, str):
        return OPERATOR
    letters = max(len(line) for line in item.shape.split("\n"))
    return max(item.columns * scale, letters * (0.108 if item.product else 0.094)) + 0.1


def _width(items: Sequence["_Block | str"], scale: float) -> float:
    return sum(_slot(item, scale) for item in items)


def _draw_row(ax: Axes, items: Sequence["_Block | str"], middle: float, scale: float) -> None:
    x = (WIDTH - _width(items, scale)) / 2
    for item in items:
        center = x + _slot(item, scale) / 2
        x += _slot(item, scale)
        if isinstance(item, str):
            ax.text(center, middle, item, ha="center", va="center", fontsize=16 if item == "=" else 30, color=SOFT_INK)
            continue
        wide, tall = max(item.columns * scale, THINNEST), max(item.rows * scale, THINNEST)
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
