"""One dot for each run: variants below each other with their intervals, or two measures against each other."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from linvid_edu.arrays import ArrayLike, to_numpy

from .charts import LOOKS, label_above, looks_of, panel
from .interactive import SYMBOLS, plotly_text, rounded, ticks, twin_figure
from .picture import (
    DPI,
    INK,
    LINE_INCHES,
    ROW_CHARACTERS,
    SERIES_CHARACTERS,
    SOFT_INK,
    X_CHARACTERS,
    Y_CHARACTERS,
    NumberFormatter,
    Picture,
    Words,
    number,
    numbers,
    sentence,
    styled,
    wrap,
)

DOT, MEAN = "#56b4e9", "#0072b2"
MOST_ROWS = 24
ROW_INCHES = 0.36
SPREAD = 0.28  # of a row's height, over which its dots are spread, so that equal values stay countable


@styled
def dots(
    rows: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    intervals: Mapping[str, tuple[int | float, int | float]] | None = None,
    marks: Mapping[str, int | float] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw one faint dot for each seed, their mean, and its interval; rows from top to bottom.

    Args:
        rows: Label to values, one for each seed in the order of the seeds, NaN if a run is missing; 1 to 24 rows. A
            dot's height within its row shows its seed: the first is on top.
        xlabel: What is measured.
        intervals: Ends of an interval by label of the row; none is drawn if they are NaN.
        marks: Values by label, each marked by a vertical line, such as chance.
        title: Title of the figure, or None.

    Returns:
        The picture, with an interactive twin.

    Raises:
        ValueError: there are too many rows, a row is not a list of values, or an interval has no row.
    """
    values = {name: np.atleast_1d(to_numpy(row)).astype(float) for name, row in rows.items()}
    ends = dict(intervals or {})
    _check(values, ends, MOST_ROWS)
    above = max((wrap(label, ROW_CHARACTERS).count("\n") + 1 for label in marks or {}), default=0)
    figure, ax = panel(ROW_INCHES * len(values) + 0.85 + LINE_INCHES * above, title)
    finite = {name: row[np.isfinite(row)] for name, row in values.items()}
    means = [row.mean() if row.size else np.nan for row in finite.values()]
    largest = max((np.abs(row).max() for row in finite.values() if row.size), default=0)
    digits = max(0, 3 - math.ceil(math.log10(largest))) if largest else 0  # decimals of the means, as few as suffice
    written = iter(numbers([round(mean, digits) for mean in means if np.isfinite(mean)]))
    texts = [next(written) if np.isfinite(mean) else "no runs" for mean in means]
    for place, (name, row) in enumerate(values.items()):
        ax.scatter(row, place + _heights(row), s=26, color=DOT, alpha=0.65, linewidths=0, zorder=2)
        if name in ends and np.isfinite(ends[name]).all():
            ax.plot(ends[name], (place, place), color=MEAN, linewidth=2.4, zorder=3)
        ax.plot(means[place], place, "D", color=MEAN, markersize=6.5, markeredgecolor="white", zorder=4)
        ax.annotate(texts[place], (1, place), (6, 0), ax.get_yaxis_transform(), "offset points", va="center", color=INK)
    ax.annotate("mean ◆", (1, 1), (6, 4), "axes fraction", "offset points", color=SOFT_INK)
    for value in (marks or {}).values():
        ax.axvline(value, color=SOFT_INK, linewidth=0.9, linestyle=":", zorder=1)
    for label, value in (marks or {}).items():
        label_above(ax, label, value)
    ax.set_yticks(range(len(values)), [wrap(label, ROW_CHARACTERS) for label in values])
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlabel(wrap(xlabel, X_CHARACTERS))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.xaxis.set_major_formatter(NumberFormatter())
    twin = _dot_twin(values, ends, marks or {}, Words(title, xlabel), height=int(figure.get_figheight() * DPI))
    described = [
        _describe_row(name, row, text, ends.get(name)) for (name, row), text in zip(finite.items(), texts, strict=True)
    ]
    return Picture(figure, sentence(title, f"One dot for each seed: {xlabel}", *described), twin)


def _heights(row: np.ndarray) -> np.ndarray:
    return np.linspace(-SPREAD, SPREAD, len(row)) if len(row) > 1 else np.zeros(1)


def _describe_row(name: str, row: np.ndarray, text: str, ends: tuple[int | float, int | float] | None) -> str:
    if not row.size:
        return f"{name}: no runs"
    text = f"{name}: mean {text} of {row.size}, from {number(row.min())} to {number(row.max())}"
    if ends is not None and np.isfinite(ends).all():
        text += f", interval {number(ends[0])} to {number(ends[1])}"
    return text


@styled
def scatter(
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    xlabel: str,
    ylabel: str,
    colors: Mapping[str, str] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw one dot for each run: one measure against another, groups told apart by color and marker.

    Args:
        groups: Pairs x and y by label, (n) each; 1 to 7 groups.
        xlabel, ylabel: What the axes show.
        colors: Label of a group to its color; None takes colors that are easy to tell apart.
        title: Title of the figure, or None.

    Returns:
        The picture, with an interactive twin.

    Raises:
        ValueError: too many groups, or x and y of a group differ in length.
    """
    places = {name: (to_numpy(x).astype(float), to_numpy(y).astype(float)) for name, (x, y) in groups.items()}
    if not 1 <= len(places) <= len(LOOKS):
        raise ValueError(f"groups has {len(places)} entries, 1 to {len(LOOKS)} can be told apart")
    for name, (x, y) in places.items():
        if x.shape != y.shape or x.ndim != 1 or not x.size:
            raise ValueError(f"{name!r} has x of shape {x.shape} and y of shape {y.shape}: pass one of each for a dot")
    figure, ax = panel(4.2, title)
    looks = looks_of(places, colors or {})
    for (name, (x, y)), (color, _, marker) in zip(places.items(), looks, strict=True):
        ax.scatter(
            x, y, s=44, color=color, marker=marker, label=wrap(name, SERIES_CHARACTERS), edgecolors="white", alpha=0.8
        )
    ax.set(xlabel=wrap(xlabel, X_CHARACTERS), ylabel=wrap(ylabel, Y_CHARACTERS))
    ax.grid()
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(NumberFormatter())
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=1, borderaxespad=0)
    twin = _scatter_twin(places, looks, Words(title, xlabel, ylabel), height=int(figure.get_figheight() * DPI))
    described = [
        f"{name}: {len(x)}, {xlabel} {number(x.min())} to {number(x.max())}, "
        f"{ylabel} {number(y.min())} to {number(y.max())}"
        for name, (x, y) in places.items()
    ]
    return Picture(figure, sentence(title, f"A dot for each run: {ylabel} against {xlabel}", *described), twin)


def _check(values: Mapping[str, np.ndarray], ends: Mapping[str, tuple[int | float, int | float]], most: int) -> None:
    if not 1 <= len(values) <= most:
        raise ValueError(f"rows has {len(values)} entries, 1 to {most} stay readable")
    for name, row in values.items():
        if row.ndim != 1 or not row.size:
            raise ValueError(f"{name!r} has shape {row.shape}: pass one value for each seed")
    if unfinite := [name for name in ends if name not in values]:
        raise ValueError(f"intervals has {unfinite}, the rows are {list(values)}")


def _dot_twin(
    values: Mapping[str, np.ndarray],
    ends: Mapping[str, tuple[int | float, int | float]],
    marks: Mapping[str, int | float],
    words: Words,
    *,
    height: int,
) -> go.Figure:
    traces = []
    for place, (name, row) in enumerate(values.items()):
        low, high = ends.get(name, (np.nan, np.nan))
        seeds = {"x": rounded(row), "y": rounded(place + _heights(row)), "mode": "markers", "showlegend": False}
        text = [f"{plotly_text(name)}, seed {seed}" for seed in range(len(row))]
        traces.append(go.Scatter(**seeds, marker={"color": DOT, "size": 8, "opacity": 0.65}, hovertext=text))
        middle = {"color": MEAN, "symbol": "diamond", "size": 10}
        line = {"mode": "lines+markers", "line": {"color": MEAN, "width": 3}, "showlegend": False}
        mean = row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan
        span = rounded(np.array([low, mean, high]))
        sizes = [0, middle["size"], 0]
        text = [f"{plotly_text(name)}: {part}" for part in ("low", "mean", "high")]
        traces.append(go.Scatter(x=span, y=[place] * 3, **line, marker=middle | {"size": sizes}, hovertext=text))
    figure = twin_figure(traces, words, height=height)
    for trace in figure.data:
        trace.hovertemplate = "%{hovertext}: %{x:.4~g}<extra></extra>"
    for label, value in marks.items():
        figure.add_vline(value, line={"color": SOFT_INK, "dash": "dot", "width": 1}, annotation_text=plotly_text(label))
    figure.update_yaxes(range=[len(values) - 0.5, -0.5], showgrid=False, zeroline=False, **ticks(list(values)))
    figure.update_xaxes(zeroline=False)
    return figure


def _scatter_twin(
    places: Mapping[str, tuple[np.ndarray, np.ndarray]],
    looks: Sequence[tuple[str, str, str]],
    words: Words,
    *,
    height: int,
) -> go.Figure:
    traces = [
        go.Scatter(
            x=rounded(x),
            y=rounded(y),
            name=plotly_text(name),
            mode="markers",
            marker={"color": color, "symbol": SYMBOLS[marker], "size": 9},
            hovertemplate="%{x:.4~g}: %{y:.4~g}",
        )
        for (name, (x, y)), (color, _, marker) in zip(places.items(), looks, strict=True)
    ]
    figure = twin_figure(traces, words, height=height)
    figure.update_xaxes(zeroline=False)
    figure.update_yaxes(zeroline=False)
    return figure
