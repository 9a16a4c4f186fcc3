"""How frames are laid out and marked: placed in inches, captioned with times, tokens outlined."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from linvid_edu.arrays import ArrayLike, to_numpy

from .picture import ACCENT, ACCENT_INK, DPI, INK, MARGIN_INCHES, PAGE_INCHES, SOFT_INK, title_inches, wrap_title

Token = tuple[int, int, int]

GAP_INCHES = 0.08  # between two frames
LARGEST_FRAME_INCHES = 2.4
NARROWEST_PAGE_INCHES = 5.0
COLOR_BAR_INCHES = 0.92  # for a color bar with its numbers and label
HALO_POINTS = 3.6  # white around outlines, so that they stay visible on any frame
QUERY_STYLE: dict[str, Any] = {"fill": False, "edgecolor": ACCENT, "linewidth": 1.8}
BOX_STYLE: dict[str, Any] = {"fill": False, "edgecolor": "#0072b2", "linewidth": 1.8, "linestyle": (0, (3, 1.5))}


def frame_axes(
    rows: int,
    columns: int,
    aspect: float,
    *,
    title: str | None,
    heading: int = 0,
    caption: int = 1,
    foot: int = 0,
    bar: bool = False,
    largest_inches: float = LARGEST_FRAME_INCHES,
) -> tuple[Figure, np.ndarray]:
    """Lay out equal axes for frames.

    Args:
        rows, columns: Numbers of axes.
        aspect: Height / width of a frame.
        title: Title of the figure, or None.
        heading, caption, foot: Lines of text above each row, below each row, and at the bottom.
        bar: Whether to leave room for a color bar on the right.
        largest_inches: Largest width of a frame.

    Returns:
        The figure, and its axes (rows columns).
    """
    reserved = 2 * MARGIN_INCHES + (COLOR_BAR_INCHES if bar else 0.0)
    width = min((PAGE_INCHES - reserved - GAP_INCHES * (columns - 1)) / columns, largest_inches)
    height = width * aspect
    page = min(PAGE_INCHES, max(NARROWEST_PAGE_INCHES, reserved + columns * (width + GAP_INCHES) - GAP_INCHES))
    lines = wrap_title(title, page)
    top = MARGIN_INCHES + (title_inches(lines) + 0.06 if title else 0.0)
    pitch = height + 0.27 * heading + 0.22 * caption + GAP_INCHES
    figure = Figure(figsize=(page, top + rows * pitch + 0.24 * foot + MARGIN_INCHES))
    if title:
        figure.text(MARGIN_INCHES / page, 1 - MARGIN_INCHES / figure.get_figheight(), lines, fontsize=13, va="top")
    axes = np.empty((rows, columns), dtype=object)
    for row, column in np.ndindex(rows, columns):
        left, upper = MARGIN_INCHES + column * (width + GAP_INCHES), top + row * pitch + 0.27 * heading
        ax = axes_at(figure, left, upper, width, height)
        ax.axis("off")
        axes[row, column] = ax
    return figure, axes


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at inches from the left and from the top of the figure."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def show_frame(ax: Axes, pixels: np.ndarray, caption: str = "", *, strong: bool = False) -> None:
    """Draw one frame with its caption below it."""
    ax.imshow(pixels, aspect="auto", interpolation="nearest" if pixels.shape[0] <= 64 else "antialiased")
    ax.autoscale(False)  # so that an outline over the border does not move the picture
    ax.set(xticks=[], yticks=[])
    ax.axis("on")
    ax.spines[:].set_visible(False)
    ax.annotate(
        caption,
        (0.5, 0),
        (0, -4),
        textcoords="offset points",
        xycoords="axes fraction",
        ha="center",
        va="top",
        color=ACCENT_INK if strong else INK,
        fontweight="bold" if strong else "normal",
        linespacing=1.25,
    )


def grid_lines(ax: Axes, grid: tuple[int, int], height: int, width: int) -> None:
    """Draw the borders of a token grid, dark under light so that they show on any frame."""
    rows = np.arange(1, grid[0]) * height / grid[0] - 0.5
    columns = np.arange(1, grid[1]) * width / grid[1] - 0.5
    for color, alpha, line in (("black", 0.3, 0.9), ("white", 0.6, 0.45)):
        ax.hlines(rows, -0.5, width - 0.5, color=color, alpha=alpha, linewidth=line)
        ax.vlines(columns, -0.5, height - 0.5, color=color, alpha=alpha, linewidth=line)


def outline_token(ax: Axes, row: int, column: int, grid: tuple[int, int], height: int, width: int) -> None:
    """Outline one token of a frame."""
    tall, wide = height / grid[0], width / grid[1]
    pixel = height / (ax.get_window_extent().height * 72 / DPI)  # pixels of the frame in a point of the page
    pad = HALO_POINTS / 2 * pixel  # the outline runs around the token, never over it
    left, top = column * wide - 0.5 - pad, row * tall - 0.5 - pad
    outline_box(ax, left, top, wide + 2 * pad, tall + 2 * pad, QUERY_STYLE)


def outline_box(ax: Axes, left: float, top: float, width: float, height: float, style: dict[str, Any]) -> None:
    """Outline a box given in pixels of the frame."""
    halo = [withStroke(linewidth=HALO_POINTS, foreground="white")]
    ax.add_patch(Rectangle((left, top), width, height, clip_on=False, path_effects=halo, **style))


def legend(figure: Figure, *, query: bool, boxes: bool = False, note: str = "") -> None:
    """Explain the outlines, and on the right the colors, in one line at the bottom."""
    bottom = MARGIN_INCHES / figure.get_figheight()
    left = MARGIN_INCHES / figure.get_figwidth()
    entries = [
        Patch(label=label, **style)
        for wanted, style, label in ((query, QUERY_STYLE, "query token"), (boxes, BOX_STYLE, "box"))
        if wanted
    ]
    if entries:
        figure.legend(
            handles=entries,
            loc="lower left",
            bbox_to_anchor=(left, bottom),
            ncols=2,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.0,
            handleheight=0.9,
            handletextpad=0.5,
        )
    figure.text(1 - left, bottom, note, ha="right", va="bottom", color=SOFT_INK)


def as_frames(frames: ArrayLike) -> np.ndarray:
    """Check that frames are displayable."""
    pixels = to_numpy(frames)
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise ValueError(f"frames have shape {pixels.shape}, expected (t, h, w, 3)")
    if pixels.dtype != np.uint8:
        raise ValueError(f"frames are {pixels.dtype}, expected uint8 from 0 to 255: use denormalize(video)")
    return pixels


def captions_of(times: ArrayLike | None, count: int) -> list[str]:
    """Write the time below each frame, with as few decimals as tell them apart, or its index."""
    if times is None:
        return [f"frame {index}" for index in range(count)]
    seconds = to_numpy(times).astype(float)
    if seconds.shape != (count,):
        raise ValueError(f"times have shape {seconds.shape}, frames has {count}: pass one time for each frame")
    decimals = next((d for d in (1, 2) if len({f"{s:.{d}f}" for s in seconds}) == count), 1)
    return [f"{s:.{decimals}f} s" for s in seconds]


def check_query(query: Token | None, shape: tuple[int, ...]) -> None:
    """Check that a query lies inside (frames, rows, columns)."""
    if query is not None and not all(0 <= place < size for place, size in zip(query, shape, strict=True)):
        raise ValueError(f"query {query} lies outside {shape} (frames, rows, columns), counted from 0")


def name_of(query: Token) -> str:
    """Say where a token is."""
    return f"frame {query[0]}, row {query[1]}, column {query[2]}"
