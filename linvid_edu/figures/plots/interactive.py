"""Interactive twins of the static figures: the same numbers, rounded, as plotly figures small enough to store."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .picture import GRID, INK, LARGEST_FINE_RANGE, LARGEST_OWN_TICKS, MISSING, SOFT_INK, Words, number

DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
}


def plotly_text(text: str | None) -> str:
    """Make text safe for plotly, which reads tags, $formulas$ and %{templates} in its labels.

    Args:
        text: Any text.

    Returns:
        The same text with the special characters as entities, which plotly shows as they were.
    """
    return html.escape(text or "", quote=False).replace("$", "&#36;").replace("%", "&#37;")


def rounded(values: np.ndarray, digits: int = 4) -> list[Any]:
    """Round to a few significant digits, for JSON.

    Args:
        values: Numbers, of any shape.
        digits: Number of digits, at least 1.

    Returns:
        Nested lists; what is not finite becomes None.
    """
    if values.ndim > 1:
        return [rounded(row, digits) for row in values]
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values.tolist()]


def heat_twin(
    values: np.ndarray,
    words: Words,
    *,
    colors: str,
    limits: tuple[float, float],
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    size: tuple[int, int],
    square: bool,
) -> go.Figure:
    """Heat map with the value of each cell on hover.

    Args:
        values: (rows columns).
        words: Texts of the figure, its axes and its color bar.
        colors: Name of a plotly color scale.
        limits: Values at its two ends.
        rows, columns: Tick labels, or None for indices.
        size: Width and height of the figure in pixels.
        square: Whether cells are square.

    Returns:
        The figure.
    """
    trace = go.Heatmap(
        z=rounded(values),
        zmin=limits[0],
        zmax=limits[1],
        colorscale=colors,
        colorbar={"title": {"text": plotly_text(words.value)}},
        hovertemplate=f"{plotly_text(words.y)} %{{y}}<br>{plotly_text(words.x)} %{{x}}<br>%{{z:.3g}}<extra></extra>",
    )
    figure = twin_figure([trace], words, height=size[1])
    figure.update_layout(width=size[0], plot_bgcolor=MISSING)
    figure.update_yaxes(autorange="reversed", scaleanchor="x" if square else None, **ticks(rows))
    figure.update_yaxes(constrain="domain", showgrid=False, zeroline=False)
    figure.update_xaxes(constrain="domain", showgrid=False, zeroline=False, **ticks(columns))
    return figure


def curve_twin(
    x: np.ndarray,
    series: Mapping[str, np.ndarray],
    looks: Sequence[tuple[str, str, str]],
    words: Words,
    *,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]],
    log_x: bool,
    log_y: bool,
    markers: bool,
    spans: Mapping[str, tuple[int | float, int | float]],
    height: int,
) -> go.Figure:
    """Lines with their values on hover.

    Args:
        x: Values of the axis, (n).
        series: Values (n) by label.
        looks: Color, dash and marker of each line, in matplotlib's words.
        words: Texts of the figure and its axes.
        bands: Low and high values (n) by label.
        log_x, log_y: Whether the axes are logarithmic.
        markers: Whether to draw a marker at each value.
        spans: Ends of a range of the axis by label.
        height: Height of the figure in pixels.

    Returns:
        The figure.
    """
    traces = []
    for (label, y), (color, dash, marker) in zip(series.items(), looks, strict=False):
        if label in bands:
            traces.append(_band(x, *bands[label], color))
        traces.append(
            go.Scatter(
                x=rounded(x, 9),
                y=rounded(y),
                name=plotly_text(label),
                mode="lines+markers" if markers else "lines",
                line={"color": color, "width": 2.5, "dash": DASHES[dash]},
                marker={"symbol": SYMBOLS[marker], "size": 8},
                hovertemplate="%{x:,.4~g}: %{y:.4~g}",
            )
        )
    figure = twin_figure(traces, words, height=height)
    figure.update_xaxes(showgrid=False, zeroline=False, **(_decades(x) if log_x else {}))
    if log_x and len(x) <= LARGEST_OWN_TICKS:
        figure.update_xaxes(tickvals=rounded(x, 9), ticktext=[number(value) for value in x])
    figure.update_yaxes(zeroline=False, **(_decades(np.concatenate(list(series.values()))) if log_y else {}))
    for label, (low, high) in spans.items():
        figure.add_vrect(
            low,
            high,
            fillcolor=GRID,
            layer="below",
            line_width=0,
            annotation_text=plotly_text(label),
            annotation_position="top left",
        )
    return figure


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, color: str) -> go.Scatter:
    known = np.isfinite(low) & np.isfinite(high)
    return go.Scatter(
        x=rounded(np.concatenate([x[known], x[known][::-1]]), 9),
        y=rounded(np.concatenate([low[known], high[known][::-1]])),
        fill="toself",
        fillcolor=color,
        opacity=0.18,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def twin_figure(traces: list[Any], words: Words, *, height: int) -> go.Figure:
    """Return a figure in the course's look.

    Args:
        traces: Traces of plotly.
        words: Texts of the figure and its axes.
        height: Height of the figure in pixels.
    """
    axis = {"linecolor": SOFT_INK, "ticks": "outside", "tickcolor": SOFT_INK, "gridcolor": GRID, "automargin": True}
    return go.Figure(
        traces,
        {
            "template": "none",
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "font": {"family": "DejaVu Sans, Verdana, sans-serif", "size": 15, "color": INK},
            "hoverlabel": {"namelength": -1, "font": {"size": 15}},
            "title": {"text": plotly_text(words.title), "x": 0.02, "font": {"size": 18}},
            "height": height,
            "margin": {"l": 70, "r": 20, "t": 60 if words.title else 30, "b": 70},
            "xaxis": {"title": {"text": plotly_text(words.x), "standoff": 10}, **axis},
            "yaxis": {"title": {"text": plotly_text(words.y)}, **axis},
        },
    )


def ticks(labels: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings of an axis with a label at each whole number, or none."""
    if labels is None:
        return {}
    return {"tickvals": list(range(len(labels))), "ticktext": [plotly_text(label) for label in labels]}


def _decades(values: np.ndarray) -> dict[str, Any]:
    wide = np.nanmax(values, initial=0.0) >= LARGEST_FINE_RANGE * np.nanmin(values, initial=np.inf)
    return {"type": "log", "dtick": 1 if wide else "D2"}
