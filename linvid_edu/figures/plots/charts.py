"""Lines and bars that compare mechanisms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from linvid_edu.arrays import ArrayLike, to_numpy

from .interactive import curve_twin
from .picture import (
    DPI,
    GRID,
    INK,
    LARGEST_FINE_RANGE,
    LARGEST_OWN_TICKS,
    MARGIN_INCHES,
    PAGE_INCHES,
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
    title_inches,
    wrap,
    wrap_title,
)

# Okabe and Ito's colors in an order that keeps neighbors apart in lightness too; yellow is left out, it fades on white
LOOKS = (
    ("#0072b2", "-", "o"),
    ("#d55e00", "--", "s"),
    ("#009e73", "-.", "^"),
    ("#000000", ":", "D"),
    ("#cc79a7", "-", "v"),
    ("#e69f00", "--", "P"),
    ("#56b4e9", "-.", "X"),
)
LINE_STYLE: dict[str, Any] = {"linewidth": 2.2, "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.8}
BAR_COLORS = ("#0072b2", "#e69f00", "#4d4d4d", "#56b4e9")  # neighbors differ in lightness too


@styled
def curves(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    log_y: bool = False,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    band_label: str = "interval",
    markers: bool = True,
    spans: Mapping[str, tuple[int | float, int | float]] | None = None,
    colors: Mapping[str, str] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw lines over one axis, told apart by color, dash and marker.

    Args:
        x: Values of the axis, (n).
        series: Values by label, (n) each; at most 7. NaN leaves a gap.
        xlabel, ylabel: What the axes show, with units.
        log_x, log_y: Whether the axes are logarithmic, for positive values only.
        bands: Low and high values by label of the series, (n) each, shaded behind the line.
        band_label: What the bands are, for the legend.
        markers: Whether to draw a marker at each value.
        spans: Ends of a range of the axis by label, which is shaded and labeled; not on a logarithmic axis.
        colors: Label of a series to its color; None takes colors that are easy to tell apart.
        title: Title of the figure, or None.

    Returns:
        The picture, with an interactive twin.

    Raises:
        ValueError: lengths disagree, there are too many series, a value on a logarithmic axis is not positive, or there
            are spans on a logarithmic axis.
    """
    if log_x and spans:
        raise ValueError(f"spans has {list(spans)}, which need an axis that is not logarithmic: leave log_x out")
    places = to_numpy(x).astype(float)
    lines = _series(series, places.shape, "x", len(LOOKS))
    edges = _bands(bands or {}, lines, places.shape)
    everything = np.concatenate(list(lines.values()))
    _check_positive(log_x, "log_x", places)
    _check_positive(log_y, "log_y", everything)
    figure, ax = panel(4.0, title)
    looks = looks_of(lines, colors or {})
    for (name, y), (color, dash, marker) in zip(lines.items(), looks, strict=True):
        style: dict[str, Any] = {"color": color, "linestyle": dash, "marker": marker if markers else None, **LINE_STYLE}
        ax.plot(places, y, label=wrap(name, SERIES_CHARACTERS), **style)
        if name in edges:
            ax.fill_between(places, *edges[name], color=color, alpha=0.18, linewidth=0)
    spans = spans or {}
    for label, (low, high) in spans.items():
        ax.axvspan(low, high, color=GRID, zorder=0)
        label_above(ax, label, high)
    ax.set(xlabel=wrap(xlabel, X_CHARACTERS), ylabel=wrap(ylabel, Y_CHARACTERS))
    ax.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
    ax.grid(axis="y")
    _number_axis(ax.xaxis, places, log_x)
    if log_x and 1 < len(places) <= LARGEST_OWN_TICKS:
        ax.xaxis.set_major_locator(FixedLocator(places.tolist()))  # sizes such as 64, 128, 256 are their own ticks
    _number_axis(ax.yaxis, everything, log_y)
    _legend(ax, lines, band_label if edges else None)
    twin = curve_twin(
        places,
        lines,
        looks,
        Words(title, xlabel, ylabel),
        bands=edges,
        log_x=log_x,
        log_y=log_y,
        markers=markers,
        spans=spans,
        height=int(figure.get_figheight() * DPI),
    )
    count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    content = f"{count}: {ylabel} over {xlabel}" + (f"; bands: {band_label}" if edges else "")
    content += "".join(f"; shaded from {number(low)}: {label}" for label, (low, _) in spans.items())
    return Picture(figure, sentence(title, content, *_describe_lines(places, lines)), twin)


def looks_of(names: Iterable[str], colors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return color, dash and marker of each line or group."""
    return [(colors.get(name, color), dash, marker) for name, (color, dash, marker) in zip(names, LOOKS, strict=False)]


@styled
def bars(
    labels: Sequence[str], series: Mapping[str, ArrayLike], *, xlabel: str, log: bool = False, title: str | None = None
) -> Picture:
    """Compare numbers as horizontal bars with the numbers written beside them.

    Args:
        labels: One for each group of bars, from top to bottom.
        series: Values by label, one for each group; at most 4. NaN draws no bar and says "no value".
        xlabel: What the bars measure, with its unit.
        log: Whether the axis is logarithmic, for positive values only.
        title: Title of the figure, or None.

    Returns:
        The picture; it has no interactive twin, since the numbers are written in it.

    Raises:
        ValueError: lengths disagree, there are too many series, or a value on a logarithmic axis is not positive.
    """
    groups = _series(series, (len(labels),), "labels", 4)
    everything = np.concatenate(list(groups.values()))
    _check_positive(log, "log", everything)
    log = log and bool(np.isfinite(everything).any())
    written = iter(numbers(everything[np.isfinite(everything)].tolist()))
    texts = {name: [next(written) if np.isfinite(v) else "no value" for v in y] for name, y in groups.items()}
    thick = 0.34 if len(groups) == 1 else 0.27  # height of a bar, in inches
    figure, ax = panel(len(labels) * (thick * len(groups) + 0.16) + 0.75, title)
    step = 1 / (len(groups) + 0.16 / thick)
    for index, ((name, values), color) in enumerate(zip(groups.items(), BAR_COLORS, strict=False)):
        places = np.arange(len(labels)) + (index - (len(groups) - 1) / 2) * step
        ax.barh(places, np.nan_to_num(values), height=step * 0.88, color=color, label=wrap(name, SERIES_CHARACTERS))
        _write_values(ax, places, values, texts[name], log)
    ax.set(xlabel=wrap(xlabel, X_CHARACTERS), xscale="log" if log else "linear")
    ax.set_yticks(range(len(labels)), [wrap(label, ROW_CHARACTERS) for label in labels])
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.margins(x=0.12)
    ax.tick_params(axis="y", length=0)
    if np.nanmin(everything, initial=0.0) < 0:
        ax.spines["left"].set_visible(False)
        ax.axvline(0, color=SOFT_INK, linewidth=0.8)
    if log:
        ax.set_xlim(left=0.5 * np.nanmin(everything, initial=np.inf))
    _number_axis(ax.xaxis, everything, log)
    if len(groups) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=1.2, borderaxespad=0)
    rows = [
        f"{label}: " + ", ".join(f"{name} {text[i]}" if len(groups) > 1 else text[i] for name, text in texts.items())
        for i, label in enumerate(labels)
    ]
    return Picture(figure, sentence(title, f"Bars of {xlabel}", *rows))


def _write_values(ax: Axes, places: np.ndarray, values: np.ndarray, texts: list[str], log: bool) -> None:
    for place, value, text in zip(places, values, texts, strict=True):
        finite, left = bool(np.isfinite(value)), value < 0
        end, frame = (0.0, ax.get_yaxis_transform()) if log and not finite else (value if finite else 0.0, "data")
        ax.annotate(
            text,
            (end, place),
            (-5 if left else 5, 0),
            xycoords=frame,
            textcoords="offset points",
            va="center",
            ha="right" if left else "left",
            color=INK if finite else SOFT_INK,
        )


def _row(values: ArrayLike, shape: tuple[int, ...], name: str, against: str = "x") -> np.ndarray:
    row = to_numpy(values).astype(float)
    if row.shape != shape or len(shape) != 1 or not row.size:
        raise ValueError(f"{name!r} has shape {row.shape}, {against} has {shape}: pass one value for each")
    return row


def _series(series: Mapping[str, ArrayLike], shape: tuple[int, ...], against: str, most: int) -> dict[str, np.ndarray]:
    if not 1 <= len(series) <= most:
        raise ValueError(f"series has {len(series)} entries, 1 to {most} can be told apart")
    return {name: _row(values, shape, name, against) for name, values in series.items()}


def _bands(
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]], lines: Mapping[str, np.ndarray], shape: tuple[int, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    unknown = [name for name in bands if name not in lines]
    if unknown:
        raise ValueError(f"bands has {unknown}, the series are {list(lines)}")
    return {name: (_row(low, shape, name), _row(high, shape, name)) for name, (low, high) in bands.items()}


def _check_positive(log: bool, name: str, values: np.ndarray) -> None:
    smallest = float(np.nanmin(values, initial=np.inf))
    if log and smallest <= 0:
        raise ValueError(f"{name} needs positive values, the smallest is {number(smallest)}")


def panel(height: float, title: str | None) -> tuple[Figure, Axes]:
    """Return a figure of the course's width with one pair of axes, its title above.

    Args:
        height: Height in inches, without the title.
        title: One line of text, or None.
    """
    lines = wrap_title(title, PAGE_INCHES)
    figure = Figure(figsize=(PAGE_INCHES, height + title_inches(lines)), layout="constrained")
    if title:
        figure.suptitle(lines, fontsize=13, x=MARGIN_INCHES / PAGE_INCHES, ha="left")
    return figure, figure.add_subplot()


def label_above(ax: Axes, label: str, place: int | float) -> None:
    """Write a label above the axes at a value of x, on the side that has more room.

    Args:
        ax: Axes with the data drawn.
        label: One line of text; a long one is wrapped.
        place: Value of x.
    """
    left, right = ax.get_xlim()
    near_right = place > (left + right) / 2
    ax.annotate(
        wrap(label, ROW_CHARACTERS),
        (place, 1),
        (-2 if near_right else 2, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if near_right else "left",
        color=SOFT_INK,
    )


def _number_axis(axis: Axis, values: np.ndarray, log: bool) -> None:
    if not log:
        axis.set_major_formatter(NumberFormatter())
        return
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(NullLocator())
    finite = values[np.isfinite(values)]
    if finite.size and finite.max() < LARGEST_FINE_RANGE * finite.min():
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def _legend(ax: Axes, lines: Mapping[str, np.ndarray], band: str | None) -> None:
    handles, labels = ax.get_legend_handles_labels()
    last = [next((v for v in y[::-1] if np.isfinite(v)), -np.inf) for y in lines.values()]
    order = np.argsort(last)[::-1]  # from top to bottom, in the order of the right ends of the lines
    ordered = [handles[i] for i in order], [labels[i] for i in order]
    if band:
        ordered[0].append(Patch(color=SOFT_INK, alpha=0.18, linewidth=0))
        ordered[1].append(wrap(band, SERIES_CHARACTERS))
    ax.legend(*ordered, loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=3, borderaxespad=0)


def _describe_lines(x: np.ndarray, lines: Mapping[str, np.ndarray]) -> list[str]:
    return [f"{name} {_describe_line(x, y)}" for name, y in lines.items()]


def _describe_line(x: np.ndarray, y: np.ndarray) -> str:
    finite = np.flatnonzero(np.isfinite(y))
    if not finite.size:
        return "has no values"
    first, last, low, high = finite[0], finite[-1], finite[np.argmin(y[finite])], finite[np.argmax(y[finite])]
    text = f"goes from {number(y[first])} at {number(x[first])} to {number(y[last])} at {number(x[last])}"
    for word, i in (("lowest", low), ("highest", high)):
        if i not in (first, last):
            text += f", {word} {number(y[i])} at {number(x[i])}"
    return text
