"""Lines and bars that compare mechanisms."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from linvid_edu.testing import ArrayLike, to_numpy

from .interactive import bar_twin, curve_twin
from .picture import (
    DPI,
    GRID,
    INK,
    LARGEST_FINE_RANGE,
    LARGEST_OWN_TICKS,
    LINE_HEIGHT,
    MARGIN,
    SOFT_INK,
    WIDTH,
    NumberFormatter,
    Picture,
    Words,
    number,
    numbers,
    sentence,
    styled,
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
LABEL = 28  # characters in a line of a label
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
        x: (n).
        series: label to values, (n) each; at most 7. NaN leaves a gap.
        xlabel, ylabel: what the axes show, with units.
        log_x, log_y: logarithmic axes, for positive values only.
        bands: label of a series to its low and high values, (n) each, shaded behind the line.
        band_label: what the bands are, for the legend.
        markers: draw a marker at each value.
        spans: label to the ends of a stretch of the axis, which is shaded and labeled; not on a logarithmic one.
        colors: Label of a series to its color; None takes colors that are easy to tell apart.
        title: a line above.

    Returns:
        the picture, with an interactive twin.

    Raises:
        ValueError: lengths disagree, there are too many series, a value on a logarithmic axis is not positive, or a
            stretch of a logarithmic axis is to be shaded.
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
    looks = [
        ((colors or {}).get(name, color), dash, marker)
        for name, (color, dash, marker) in zip(lines, LOOKS, strict=False)
    ]
    for (name, y), (color, dash, marker) in zip(lines.items(), looks, strict=False):
        ax.plot(
            places,
            y,
            color=color,
            linestyle=dash,
            marker=marker if markers else None,
            label=textwrap.fill(name, 24),
            linewidth=2.2,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.8,
        )
        if name in edges:
            ax.fill_between(places, *edges[name], color=color, alpha=0.18, linewidth=0)
    for label, (low, high) in (spans or {}).items():
        ax.axvspan(low, high, color=GRID, zorder=0)
        label_above(ax, label, high)
    ax.set(xlabel=textwrap.fill(xlabel, 60), ylabel=textwrap.fill(ylabel, 36))
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
        spans=spans or {},
        height=int(figure.get_figheight() * DPI),
    )
    shape = f"{len(lines)} {'line' if len(lines) == 1 else 'lines'}: {ylabel} over {xlabel}"
    shape += f"; bands: {band_label}" if edges else ""
    shape += "".join(f"; shaded from {number(low)}: {label}" for label, (low, _) in (spans or {}).items())
    return Picture(figure, sentence(title, shape, *(f"{name} {_course(places, y)}" for name, y in lines.items())), twin)


@styled
def bars(
    labels: Sequence[str], series: Mapping[str, ArrayLike], *, xlabel: str, log: bool = False, title: str | None = None
) -> Picture:
    """Compare numbers as horizontal bars with the numbers written beside them.

    Args:
        labels: one for each group of bars, from top to bottom.
        series: label to values, one for each group; at most 4. NaN draws no bar and says "no value".
        xlabel: what the bars measure, with its unit.
        log: logarithmic axis, for positive values only.
        title: a line above.

    Returns:
        the picture, with an interactive twin.

    Raises:
        ValueError: lengths disagree, there are too many series, or a value on a logarithmic axis is not positive.
    """
    groups = _series(series, (len(labels),), "labels", 4)
    everything = np.concatenate(list(groups.values()))
    _check_positive(log, "log", everything)
    log = log and bool(np.isfinite(everything).any())
    written = iter(numbers(everything[np.isfinite(everything)].tolist()))
    texts = {name: [next(written) if np.isfinite(v) else "no value" for v in y] for name, y in groups.items()}
    thick = 0.34 if len(groups) == 1 else 0.27  # inches a bar takes
    figure, ax = panel(len(labels) * (thick * len(groups) + 0.16) + 0.75, title)
    step = 1 / (len(groups) + 0.16 / thick)
    for index, ((name, values), color) in enumerate(zip(groups.items(), BAR_COLORS, strict=False)):
        places = np.arange(len(labels)) + (index - (len(groups) - 1) / 2) * step
        ax.barh(places, np.nan_to_num(values), height=step * 0.88, color=color, label=textwrap.fill(name, 24))
        _write_values(ax, places, values, texts[name], log)
    ax.set(xlabel=textwrap.fill(xlabel, 60), xscale="log" if log else "linear")
    ax.set_yticks(range(len(labels)), [textwrap.fill(label, 28) for label in labels])
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
    twin = bar_twin(
        labels,
        groups,
        BAR_COLORS,
        Words(title, xlabel),
        log=log,
        height=int(figure.get_figheight() * DPI),
    )
    rows = [
        f"{label}: " + ", ".join(f"{name} {text[i]}" if len(groups) > 1 else text[i] for name, text in texts.items())
        for i, label in enumerate(labels)
    ]
    return Picture(figure, sentence(title, f"Bars of {xlabel}", *rows), twin)


def _write_values(ax: Axes, places: np.ndarray, values: np.ndarray, texts: list[str], log: bool) -> None:
    for place, value, text in zip(places, values, texts, strict=True):
        known, left = bool(np.isfinite(value)), value < 0
        end, frame = (0.0, ax.get_yaxis_transform()) if log and not known else (value if known else 0.0, "data")
        ax.annotate(
            text,
            (end, place),
            (-5 if left else 5, 0),
            xycoords=frame,
            textcoords="offset points",
            va="center",
            ha="right" if left else "left",
            color=INK if known else SOFT_INK,
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
        height: without the title, in inches.
        title: one line of text, or None.
    """
    lines = wrap_title(title, WIDTH)
    height += LINE_HEIGHT * (lines.count("\n") + 1) if title else 0.0
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    if title:
        figure.suptitle(lines, fontsize=13, x=MARGIN / WIDTH, ha="left")
    return figure, figure.add_subplot()


def label_above(ax: Axes, label: str, place: int | float) -> None:
    """Write a label above the axes at a value of x, on the side that has more room.

    Args:
        ax: with its data drawn.
        label: one line of text, broken where it is long.
        place: the value.
    """
    left, right = ax.get_xlim()
    near_right = place > (left + right) / 2
    ax.annotate(
        textwrap.fill(label, LABEL),
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
    known = values[np.isfinite(values)]
    if known.size and known.max() < LARGEST_FINE_RANGE * known.min():
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def _legend(ax: Axes, lines: Mapping[str, np.ndarray], band: str | None) -> None:
    handles, labels = ax.get_legend_handles_labels()
    last = [next((v for v in y[::-1] if np.isfinite(v)), -np.inf) for y in lines.values()]
    order = np.argsort(last)[::-1]  # read from top to bottom as the lines end
    ordered = [handles[i] for i in order], [labels[i] for i in order]
    if band:
        ordered[0].append(Patch(color=SOFT_INK, alpha=0.18, linewidth=0))
        ordered[1].append(textwrap.fill(band, 24))
    ax.legend(*ordered, loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=3, borderaxespad=0)


def _course(x: np.ndarray, y: np.ndarray) -> str:
    known = np.flatnonzero(np.isfinite(y))
    if not known.size:
        return "has no values"
    first, last, low, high = known[0], known[-1], known[np.argmin(y[known])], known[np.argmax(y[known])]
    text = f"goes from {number(y[first])} at {number(x[first])} to {number(y[last])} at {number(x[last])}"
    for word, i in (("lowest", low), ("highest", high)):
        if i not in (first, last):
            text += f", {word} {number(y[i])} at {number(x[i])}"
    return text
