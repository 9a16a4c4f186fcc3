"""Matrices as heat maps: attention from queries to keys, and small examples with their numbers written in the cells."""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linvid_edu.arrays import ArrayLike, to_numpy

from .interactive import heat_twin
from .picture import (
    DPI,
    MARGIN_INCHES,
    MISSING,
    NumberFormatter,
    Picture,
    Words,
    ink_on,
    number,
    sentence,
    styled,
    title_inches,
    wrap_title,
)

PANEL_INCHES = 5.3  # the longer side of a matrix
LARGEST_ANNOTATED = 10  # rows or columns with room for numbers at 11 points
LARGEST_TWIN = 10_000  # cells of an interactive twin: about 90 kB
SMALLEST_PANEL_INCHES = 1.2  # room for the name of an axis


class _Look(NamedTuple):
    colors: str
    limits: tuple[float, float]
    cell: float
    rows: Sequence[str] | None = None
    columns: Sequence[str] | None = None


@styled
def attention_heatmap(
    weights: ArrayLike,
    *,
    xlabel: str = "key",
    ylabel: str = "query",
    tokens_per_frame: int | None = None,
    top: float | None = None,
    title: str | None = None,
) -> Picture:
    """Show attention weights, one row for each query and one column for each key.

    Args:
        weights: Attention weights, at least 0, (queries keys).
        xlabel, ylabel: Names of the axes.
        tokens_per_frame: Number of tokens after which a line is drawn; None draws none.
        top: Weight at the upper end of the color scale, above 0; use the same value for maps that are to be compared.
            None takes the largest weight.
        title: Title of the figure, or None.

    Returns:
        The picture; with at most 10,000 cells, it has an interactive twin.

    Raises:
        ValueError: the weights are no matrix, not finite or negative, or top is not above 0.
    """
    values = _matrix(weights, "weights")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"weights must be finite and at least 0, the smallest is {number(float(values.min()))}")
    if top is not None and not top > 0:
        raise ValueError(f"top is {number(top)}, a color scale from 0 ends above 0")
    words = Words(title, xlabel, ylabel, "attention weight")
    look = _Look("viridis", (0.0, top or float(values.max()) or 1.0), _cell(values.shape))
    figure, ax = _draw(values, look, words)
    if tokens_per_frame is not None:
        _frame_lines(ax, values.shape, tokens_per_frame)
    queries, keys = values.shape
    sums = values.sum(1)
    even = np.allclose(sums, 1, atol=1e-2)
    alt = sentence(
        title,
        f"Attention weights of {queries:,} × {keys:,} cells: rows {ylabel}, columns {xlabel}",
        f"The largest is {number(values.max())} {_where(values, values.max())}"
        + (f", {number(values.max() * keys)} times the uniform 1/{keys:,}" if even else ""),
        "Each row sums to 1" if even else f"Rows sum to between {number(sums.min())} and {number(sums.max())}",
    )
    return Picture(figure, alt, _twin(values, look, words, figure))


@styled
def heatmap(
    values: ArrayLike,
    *,
    xlabel: str = "column",
    ylabel: str = "row",
    columns: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    label: str = "value",
    annotate: bool | None = None,
    digits: int = 2,
    title: str | None = None,
) -> Picture:
    """Show a matrix as colored cells, with the numbers written in the cells of a small one.

    Values of both signs get colors that diverge from white at 0; −∞ and NaN stay gray.

    Args:
        values: Any numbers, (n m).
        xlabel, ylabel: Names of the axes.
        columns, rows: Their labels, m and n; None writes indices.
        label: What the values are, with their unit; written beside the color bar.
        annotate: Whether to write the numbers; None writes them up to 8 × 8. At most 10 × 10 fit.
        digits: Decimals of the written numbers.
        title: Title of the figure, or None.

    Returns:
        The picture; without written numbers and with at most 10,000 cells, it has an interactive twin.

    Raises:
        ValueError: values are no matrix, labels do not match, or there is no room for numbers.
    """
    matrix = _matrix(values, "values")
    for name, labels, size in (("rows", rows, len(matrix)), ("columns", columns, matrix.shape[1])):
        if labels is not None and len(labels) != size:
            raise ValueError(f"{name} has {len(labels)} labels, values has {size} {name}: pass one for each")
    annotate = max(matrix.shape) <= 8 if annotate is None else annotate
    if annotate and max(matrix.shape) > LARGEST_ANNOTATED:
        most = f"{LARGEST_ANNOTATED} × {LARGEST_ANNOTATED}"
        raise ValueError(f"values has shape {matrix.shape}, numbers fit into at most {most}: use annotate=False")
    whole = to_numpy(values).dtype.kind in "iub"
    texts = [[_written(value, 0 if whole else digits) for value in row] for row in matrix.tolist()]
    longest = max(len(text) for row in texts for text in row) if annotate else None
    words = Words(title, xlabel, ylabel, label)
    look = _Look(*_scale(matrix), _cell(matrix.shape, longest), rows, columns)
    figure, ax = _draw(matrix, look, words)
    if annotate:
        cells = ax.images[0].to_rgba(np.ma.masked_invalid(matrix))
        for row, column in np.ndindex(matrix.shape):
            ink = ink_on(cells[row, column, :3])
            ax.text(column, row, texts[row][column], ha="center", va="center", color=ink)
    alt = sentence(title, _describe(matrix, words), _read_out(texts) if annotate else None)
    return Picture(figure, alt, None if annotate else _twin(matrix, look, words, figure))


def _matrix(values: ArrayLike, what: str) -> np.ndarray:
    matrix = to_numpy(values)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{what} have shape {matrix.shape}, expected a matrix (rows, columns)")
    return matrix.astype(float)


def _cell(shape: tuple[int, ...], longest: int | None = None) -> float:
    return min(PANEL_INCHES / max(shape), 0.6) if longest is None else max(0.55, 0.095 * longest + 0.16)


def _square(shape: tuple[int, ...], cell: float) -> bool:
    return min(shape) * cell >= SMALLEST_PANEL_INCHES  # a long, thin matrix is stretched instead


def _scale(values: np.ndarray) -> tuple[str, tuple[float, float]]:
    finite = values[np.isfinite(values)]
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    if low < 0 < high:
        return "RdBu_r", (-max(-low, high), max(-low, high))
    return "viridis", (low, high if high > low else low + 1)


def _draw(values: np.ndarray, look: _Look, words: Words) -> tuple[Figure, Axes]:
    panel = [max(SMALLEST_PANEL_INCHES, look.cell * size) for size in values.shape]
    texts = [textwrap.fill(text, max(10, int(10 * panel[0]))) for text in (words.y, words.value)]
    width = panel[1] + 2.1 + 0.2 * sum(text.count("\n") for text in texts)
    width += 0.08 * max((len(name) - 3 for name in look.rows or ("row",)), default=0)
    lines = wrap_title(words.title, width)
    height = panel[0] + 0.85 + (title_inches(lines) + 0.1 if lines else 0.0)
    crowded = sum(len(name) + 1 for name in look.columns or ()) * 0.09 > panel[1]
    height += 0.06 * max(len(name) for name in look.columns) if look.columns and crowded else 0.0
    figure = Figure(figsize=(width, height), layout="compressed")
    ax = figure.add_subplot()
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=matplotlib.colormaps[look.colors].with_extremes(bad=MISSING),
        vmin=look.limits[0],
        vmax=look.limits[1],
        aspect="equal" if _square(values.shape, look.cell) else "auto",
        interpolation="nearest",
    )
    ax.set(xlabel=textwrap.fill(words.x, max(10, int(10 * panel[1]))), ylabel=texts[0])
    ax.spines[:].set_visible(False)
    for axis, names, size in ((ax.yaxis, look.rows, values.shape[0]), (ax.xaxis, look.columns, values.shape[1])):
        if names is not None or size <= LARGEST_ANNOTATED:
            axis.set_ticks(range(size), names)
        else:
            axis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 4, 5, 10]))
    if crowded:
        ax.tick_params(axis="x", rotation=90)
    if lines:
        figure.suptitle(lines, fontsize=13, x=MARGIN_INCHES / width, ha="left")
    bar = figure.colorbar(image, ax=ax, aspect=24, pad=0.03, label=texts[1])
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(min(5, max(2, int(2 * panel[0]))), steps=[1, 2, 2.5, 5, 10])
    bar.formatter = NumberFormatter()
    return figure, ax


def _frame_lines(ax: Axes, shape: tuple[int, ...], tokens: int) -> None:
    if tokens < 1:
        raise ValueError(f"tokens_per_frame is {tokens}, a frame has at least 1")
    for draw, size in ((ax.axhline, shape[0]), (ax.axvline, shape[1])):
        for end in range(tokens, size, tokens):
            draw(end - 0.5, color="white", linewidth=0.8, alpha=0.8)


def _written(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else number(value)
    text = f"{value:.{digits}f}".replace("-", "−")
    return text if len(text) <= 8 else number(value)


def _twin(values: np.ndarray, look: _Look, words: Words, figure: Figure) -> go.Figure | None:
    if values.size > LARGEST_TWIN:
        return None
    width, height = figure.get_size_inches()
    return heat_twin(
        values,
        words,
        colors={"viridis": "Viridis", "RdBu_r": "RdBu_r"}[look.colors],
        limits=look.limits,
        rows=look.rows,
        columns=look.columns,
        size=(int(width * DPI), int(height * DPI)),  # so that one can replace the other in place
        square=_square(values.shape, look.cell),
    )


def _describe(values: np.ndarray, words: Words) -> str:
    shape = f"Matrix of {values.shape[0]} × {values.shape[1]} cells ({words.value}): rows {words.y}, columns {words.x}"
    finite = np.where(np.isfinite(values), values, np.nan)
    if np.isnan(finite).all():
        return f"{shape}. No value is finite"
    places = []
    for word, value in (("smallest", np.nanmin(finite)), ("largest", np.nanmax(finite))):
        places.append(f"the {word} value is {number(value)} {_where(finite, value)}")
    return f"{shape}. {', '.join(places).capitalize()}"


def _where(values: np.ndarray, value: float) -> str:
    places = np.argwhere(values == value)
    first = f"at row {places[0][0]}, column {places[0][1]}"
    return first if len(places) == 1 else f"in {len(places):,} cells, first {first}"


def _read_out(texts: list[list[str]]) -> str:
    return ". ".join(f"Row {index}: {', '.join(row)}" for index, row in enumerate(texts))
