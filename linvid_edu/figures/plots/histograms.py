"""Histograms above each other that share one axis, to see how a distribution moves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from linvid_edu.arrays import ArrayLike, to_numpy

from .picture import (
    INK,
    MARGIN_INCHES,
    PAGE_INCHES,
    SERIES_CHARACTERS,
    SOFT_INK,
    X_CHARACTERS,
    NumberFormatter,
    Picture,
    number,
    sentence,
    styled,
    title_inches,
    wrap,
    wrap_title,
)

FILL = "#0072b2"
MOST_HISTOGRAM_ROWS = 12
HISTOGRAM_ROW_INCHES = 0.62
LARGEST_LABEL = 24  # characters in a line


@styled
def histograms(
    rows: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    limits: tuple[int | float, int | float],
    bins: int = 20,
    title: str | None = None,
) -> Picture:
    """Draw one histogram for each row, from top to bottom, on one axis; each row is scaled to its own tallest bar.

    Beside each row are its mean and the shares in the first and the last bin, which are hard to see beside a tall bar.

    Args:
        rows: Values by label, of any shape, at least one each; 1 to 12 rows.
        xlabel: Name of the axis.
        limits: Ends of the axis; no value lies outside.
        bins: Number of bins of equal width, at least 2.
        title: Title of the figure, or None.

    Returns:
        The picture; it has no interactive twin.

    Raises:
        ValueError: no or too many rows, fewer than 2 bins, or values that are missing or outside the limits.
    """
    values = {name: to_numpy(row).astype(float).ravel() for name, row in rows.items()}
    low, high = float(limits[0]), float(limits[1])
    _check(values, low, high, bins)
    edges = np.linspace(low, high, bins + 1)
    shares = {name: np.histogram(row, edges)[0] / row.size for name, row in values.items()}
    lines = wrap_title(title, PAGE_INCHES)
    height = HISTOGRAM_ROW_INCHES * len(rows) + 0.75 + title_inches(lines)
    figure = Figure(figsize=(PAGE_INCHES, height), layout="constrained")
    if title:
        figure.suptitle(lines, fontsize=13, x=MARGIN_INCHES / PAGE_INCHES, ha="left")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    described = []
    for ax, (name, share) in zip(panels, shares.items(), strict=True):
        ax.stairs(share, edges, fill=True, color=FILL)
        ax.set(xlim=(low, high), ylim=(0, 1.1 * share.max()), yticks=[])
        ax.spines["left"].set_visible(False)
        ax.set_ylabel(wrap(name, SERIES_CHARACTERS), rotation=0, ha="right", va="center", color=INK)
        mean, (first, last) = number(float(values[name].mean())), (f"{100 * share[end]:.0f} %" for end in (0, -1))
        ax.text(1.02, 0.5, f"{first} … {last}\nmean {mean}", transform=ax.transAxes, va="center", color=SOFT_INK)
        described.append(f"{name}: mean {mean}, {first} in the lowest bin, {last} in the highest")
    panels[-1].set_xlabel(wrap(xlabel, X_CHARACTERS))
    panels[-1].xaxis.set_major_formatter(NumberFormatter())
    count = f"{len(rows)} {'histogram' if len(rows) == 1 else 'histograms'} of {xlabel}"
    return Picture(figure, sentence(title, f"{count}, {bins} bins from {number(low)} to {number(high)}", *described))


def _check(values: Mapping[str, np.ndarray], low: float, high: float, bins: int) -> None:
    if not 1 <= len(values) <= MOST_HISTOGRAM_ROWS:
        raise ValueError(f"rows has {len(values)} entries, 1 to {MOST_HISTOGRAM_ROWS} stay readable")
    if bins < 2:
        raise ValueError(f"bins is {bins}: pass at least 2")
    if not low < high:
        raise ValueError(f"limits are {low:g} and {high:g}: the first must be below the second")
    for name, row in values.items():
        if not row.size:
            raise ValueError(f"{name!r} has no values: pass at least one")
        if not (low <= row.min() and row.max() <= high):  # false for NaN too
            raise ValueError(
                f"{name!r} has values from {row.min()} to {row.max()}, the limits are {low:g} and {high:g}"
            )
