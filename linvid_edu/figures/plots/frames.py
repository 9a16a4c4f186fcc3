"""Figures over video frames: the frames of a clip, and how a frame is cut into patches."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from linvid_edu.arrays import ArrayLike, to_numpy

from .frame_layout import (
    BOX_STYLE,
    LARGEST_FRAME_INCHES,
    Token,
    as_frames,
    axes_at,
    captions_of,
    check_query,
    frame_axes,
    grid_lines,
    legend,
    name_of,
    outline_box,
    outline_token,
    show_frame,
)
from .picture import ACCENT, MARGIN_INCHES, PAGE_INCHES, Picture, sentence, styled, title_inches, wrap_title


@styled
def film_strip(
    frames: ArrayLike,
    *,
    grid: tuple[int, int] | None = None,
    times: ArrayLike | None = None,
    captions: Sequence[str] | None = None,
    query: Token | None = None,
    boxes: ArrayLike | None = None,
    columns: int = 8,
    frame_inches: float = LARGEST_FRAME_INCHES,
    title: str | None = None,
) -> Picture:
    """Show the frames of a clip in reading order, each with its time.

    Args:
        frames: RGB, 0 to 255, (t h w 3).
        grid: Rows and columns of the token grid, drawn as lines; None draws none.
        times: Time of each frame in seconds, (t); None writes the index of the frame.
        captions: Text below each frame in place of its time, such as the name of the model that made it.
        query: Frame, row and column of a token to outline, counted from 0; needs ``grid``.
        boxes: Left, top, right, bottom in pixels, (t 4) or (t k 4); a box with NaN is not drawn.
        columns: Frames in a row, at least 1.
        frame_inches: Largest width of a frame in inches; it is narrower if the row would not fit on the page.
        title: Title of the figure, or None.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: shapes disagree, or the query lies outside the grid.
    """
    pixels = as_frames(frames)
    t, h, w, _ = pixels.shape
    if query is not None:
        if grid is None:
            raise ValueError(f"query {query} is a token, which needs the token grid: pass grid=(rows, columns)")
        check_query(query, (t, *grid))
    outlines = _boxes(boxes, t)
    if captions is not None and len(captions) != t:
        raise ValueError(f"captions has {len(captions)} texts, frames has {t}: pass one text for each frame")
    below = captions_of(times, t) if captions is None else list(captions)
    columns = max(1, min(columns, t))
    marked = query is not None or outlines.size > 0
    figure, axes = frame_axes(
        math.ceil(t / columns), columns, h / w, title=title, foot=int(marked), largest_inches=frame_inches
    )
    for index, ax in enumerate(axes.flat[:t]):
        asked = query is not None and query[0] == index
        show_frame(ax, pixels[index], below[index], strong=asked)
        if grid:
            grid_lines(ax, grid, h, w)
        for left, top, right, bottom in outlines[index][np.isfinite(outlines[index]).all(-1)]:
            outline_box(ax, left - 0.5, top - 0.5, right - left, bottom - top, BOX_STYLE)
        if asked and query and grid:
            outline_token(ax, query[1], query[2], grid, h, w)
    legend(figure, query=query is not None, boxes=outlines.size > 0)
    alt = sentence(
        title,
        f"{t} {'frame' if t == 1 else 'frames'} of {h} × {w} pixels"
        + (f", {below[0]} to {below[-1]}" if captions is None else f": {', '.join(below)}"),
        f"Each frame is divided into {grid[0]} × {grid[1]} = {grid[0] * grid[1]} tokens" if grid else None,
        f"Outlined: the query token, {name_of(query)}" if query else None,
        f"Boxes drawn: {int(np.isfinite(outlines).all(-1).sum())}" if outlines.size else None,
    )
    return Picture(figure, alt)


def _boxes(boxes: ArrayLike | None, count: int) -> np.ndarray:
    if boxes is None:
        return np.empty((count, 0, 4))
    corners = to_numpy(boxes).astype(float)
    if corners.ndim not in (2, 3) or corners.shape[0] != count or corners.shape[-1] != 4:
        raise ValueError(f"boxes have shape {corners.shape}, expected ({count}, 4) or ({count}, k, 4)")
    return corners.reshape(count, -1, 4)


@styled
def magnified_patch(
    frame: ArrayLike, patch: int, *, zoom: tuple[int, int] | None = None, title: str | None = None
) -> Picture:
    """Show how a frame is cut into patches, one of them magnified and then written out as one row of numbers.

    Args:
        frame: RGB, 0 to 255, (h w 3).
        patch: Side of a patch in pixels; divides h and w.
        zoom: Row and column of the magnified patch, counted from 0; None takes the middle.
        title: Title of the figure, or None.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: the patch does not divide the frame, or the magnified one lies outside.
    """
    pixels = as_frames(to_numpy(frame)[None])[0]
    h, w, _ = pixels.shape
    if patch < 1 or h % patch or w % patch:
        raise ValueError(f"frame is {h} × {w} pixels, which patches of {patch} do not divide: crop or resize it first")
    grid = rows, columns = h // patch, w // patch
    row, column = zoom if zoom is not None else (rows // 2, columns // 2)
    if not (0 <= row < rows and 0 <= column < columns):
        raise ValueError(f"patch ({row}, {column}) lies outside the grid of {rows} × {columns} patches, counted from 0")
    cut = pixels[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
    figure, left, right, strip = _patch_axes(h / w, title)
    show_frame(left, pixels)
    grid_lines(left, grid, h, w)
    outline_token(left, row, column, grid, h, w)
    show_frame(right, cut)
    grid_lines(right, (patch, patch), patch, patch)
    right.spines[:].set(visible=True, color=ACCENT, linewidth=2)
    written = cut.transpose(2, 0, 1).reshape(1, -1)  # color, row, column: the order of ``tokens.to_patches``
    strip.imshow(written, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest")
    strip.set(xticks=[], yticks=[])
    for y, corner in ((row * patch - 0.5, 1.0), ((row + 1) * patch - 0.5, 0.0)):
        start, end = ((column + 1) * patch - 0.5, y), (0.0, corner)
        link = ConnectionPatch(start, end, "data", axesA=left, axesB=right, coordsB="axes fraction", color=ACCENT)
        figure.add_artist(link)
    _heading(left, f"frame: {h} × {w} pixels = {rows} × {columns} patches")
    _heading(right, f"patch: {patch} × {patch} × 3")
    _heading(strip, f"as one row of 3 · {patch} · {patch} = {cut.size:,} numbers: all of red, of green, of blue")
    alt = sentence(
        title,
        f"A frame of {h} × {w} pixels is cut into {rows} × {columns} = {rows * columns:,} patches of {patch} × {patch}",
        f"The patch in row {row}, column {column} is magnified: {patch} × {patch} pixels with 3 colors",
        f"Below it is the same patch written as one row of {cut.size:,} numbers: "
        "all of red, then of green, then of blue",
    )
    return Picture(figure, alt)


def _patch_axes(aspect: float, title: str | None) -> tuple[Figure, Axes, Axes, Axes]:
    lines = wrap_title(title, PAGE_INCHES)
    top = MARGIN_INCHES + 0.3 + (title_inches(lines) + 0.1 if title else 0.0)
    width = min(4.6, 3.6 / aspect)
    height, zoomed = width * aspect, min(3.0, PAGE_INCHES - 2 * MARGIN_INCHES - width - 0.7)
    tall = max(height, zoomed)
    figure = Figure(figsize=(PAGE_INCHES, top + tall + 0.8 + MARGIN_INCHES))
    if title:
        top_left = MARGIN_INCHES / PAGE_INCHES, 1 - MARGIN_INCHES / figure.get_figheight()
        figure.text(*top_left, lines, fontsize=13, va="top")
    left = axes_at(figure, MARGIN_INCHES, top, width, height)
    right = axes_at(figure, PAGE_INCHES - MARGIN_INCHES - zoomed, top, zoomed, zoomed)
    return figure, left, right, axes_at(figure, MARGIN_INCHES, top + tall + 0.48, PAGE_INCHES - 2 * MARGIN_INCHES, 0.26)


def _heading(ax: Axes, text: str) -> None:
    ax.annotate(text, (0, 1), (0, 6), textcoords="offset points", xycoords="axes fraction")
