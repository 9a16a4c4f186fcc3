"""The attention of one token over the frames of a clip, under one mechanism or several."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linvid_edu.arrays import ArrayLike, to_numpy

from .frame_layout import (
    Token,
    as_frames,
    axes_at,
    captions_of,
    check_query,
    frame_axes,
    legend,
    name_of,
    outline_token,
    show_frame,
)
from .picture import NumberFormatter, Picture, number, sentence, styled

Scale = Literal["common", "separate"]

COLORS = matplotlib.colormaps["viridis"]
NEGATIVE = LinearSegmentedColormap.from_list("negative", ["#440154", "#ff2000"])  # a red far from viridis
DIM = 0.75  # brightness of the gray frames below the colors
OPACITY = (0.45, 0.95)  # of the colors at level 0, where a frame must stay recognizable, and at level 1


@styled
def attention_strip(
    frames: ArrayLike,
    weights: ArrayLike,
    *,
    query: Token | None = None,
    times: ArrayLike | None = None,
    scale: Scale = "common",
    columns: int = 8,
    title: str | None = None,
) -> Picture:
    """Tint every frame of a clip by the attention one query pays to each of its tokens.

    Colors show the weight as a multiple of the uniform weight 1/N, with N the number of tokens in all frames.

    Args:
        frames: RGB, 0 to 255, (t h w 3).
        weights: Attention weights, at least 0 with sum 1 over all tokens, (t rows columns).
        query: Frame, row and column of the query token, counted from 0; it is outlined.
        times: Time of each frame in seconds, (t); None writes the index of the frame.
        scale: "common", one color scale for all frames; "separate", each frame from 0 to its own largest multiple,
            which is written below it.
        columns: Frames in a row, at least 1.
        title: Title of the figure, or None.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: shapes disagree, or the weights are no distribution.
    """
    pixels = as_frames(frames)
    t, h, w, _ = pixels.shape
    shares = _distribution(weights, t, query, "weights")
    multiples = shares * shares.size
    separate = _is_separate(scale)
    tops = multiples.max((1, 2)) if separate else np.full(t, multiples.max())
    times_below = captions_of(times, t)
    captions = [f"{c}\nmax {number(m)}" for c, m in zip(times_below, tops, strict=True)] if separate else times_below
    columns = max(1, min(columns, t))
    rows, lines = math.ceil(t / columns), 2 if separate else 1
    figure, axes = frame_axes(rows, columns, h / w, title=title, bar=True, foot=1, caption=lines)
    for index, ax in enumerate(axes.flat[:t]):
        _tinted(ax, pixels[index], multiples[index], float(tops[index]), captions[index], _query_in_frame(query, index))
    _color_bar(figure, axes[0, -1], axes[-1, -1], None if separate else float(multiples.max()))
    legend(figure, query=query is not None, note=_unit("max" if separate else "× uniform", shares.size))
    by_frame = ", ".join(f"{c} {number(100 * s)} %" for c, s in zip(times_below, shares.sum((1, 2)), strict=True))
    alt = sentence(
        title,
        _describe_query(query),
        f"T{_describe(shares)[1:]}",
        f"Share of each frame: {by_frame}",
        "Each frame has its own color scale" if separate else None,
    )
    return Picture(figure, alt)


@styled
def attention_strips(
    frames: ArrayLike,
    mechanisms: Mapping[str, ArrayLike],
    *,
    query: Token | None = None,
    times: ArrayLike | None = None,
    scale: Scale = "common",
    show: Sequence[int] | None = None,
    title: str | None = None,
    signed: bool = False,
    keys: int | None = None,
) -> Picture:
    """Compare the attention of one query under several mechanisms, one row of tinted frames each.

    Args:
        frames: RGB, 0 to 255, (t h w 3).
        mechanisms: Weights by name, at least 0 with sum 1 over all tokens, (t rows columns) each.
        query: Frame, row and column of the query token, counted from 0; it is outlined.
        times: Time of each frame in seconds, (t); None writes the index of the frame.
        scale: "common", one color scale for all rows; "separate", one for each row.
        show: Indices of the frames to draw; None draws at most 8, evenly spaced, the query's frame among them.
        title: Title of the figure, or None.
        signed: Whether weights may be negative, with absolute values that sum to 1; negative ones are drawn in red.
        keys: N, the number of tokens that may get weight; None means all tokens.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: shapes disagree, weights are no distribution, or there is no mechanism.
    """
    pixels = as_frames(frames)
    t, h, w, _ = pixels.shape
    shares = {
        name: _distribution(values, t, query, f"weights of {name!r}", signed=signed)
        for name, values in mechanisms.items()
    }
    if not shares:
        raise ValueError("mechanisms has 0 entries: pass at least one as {name: weights}")
    shown = _shown(show, t, query)
    captions = captions_of(times, t)
    separate = _is_separate(scale)
    figure, axes = frame_axes(len(shares), len(shown), h / w, title=title, bar=True, heading=1, caption=0, foot=2)
    counts = {name: keys or values.size for name, values in shares.items()}
    highest = max(float(np.abs(values).max() * counts[name]) for name, values in shares.items())
    for line, (row, (name, values)) in enumerate(zip(axes, shares.items(), strict=True)):
        multiples = values * counts[name]
        top = float(np.abs(multiples).max()) if separate else highest
        row[0].annotate(name, (0, 1), (0, 5), textcoords="offset points", xycoords="axes fraction")
        for index, ax in zip(shown, row, strict=True):
            caption = captions[index] if line == len(shares) - 1 else ""  # the same times for every row
            _tinted(ax, pixels[index], multiples[index], top, caption, _query_in_frame(query, index))
        if separate:
            _color_bar(figure, row[-1], row[-1], top, signed=bool((values < 0).any()))
    below = any((values < 0).any() for values in shares.values())
    if not separate:
        _color_bar(figure, axes[0, -1], axes[-1, -1], highest, signed=below)
    note = _unit("× uniform", *set(counts.values()))
    legend(figure, query=query is not None, note=f"{note}; red: negative" if below else note)
    alt = sentence(
        title,
        _describe_query(query),
        *(f"{name}: {_describe(values, counts[name])}" for name, values in shares.items()),
        "Each row has its own color scale" if separate else "All rows share one color scale",
        f"Shown are {len(shown)} of {t} frames" if len(shown) < t else None,
    )
    return Picture(figure, alt)


def _distribution(
    weights: ArrayLike, count: int, query: Token | None, what: str, *, signed: bool = False
) -> np.ndarray:
    shares = to_numpy(weights).astype(float)
    if shares.ndim != 3 or 0 in shares.shape:
        raise ValueError(f"{what} have shape {shares.shape}, expected (t, rows, columns)")
    if len(shares) != count:
        raise ValueError(f"{what} have {len(shares)} frames, frames has {count}: pass one map for each frame")
    if not np.isfinite(shares).all() or (shares.min() < 0 and not signed):
        raise ValueError(f"{what} must be finite and at least 0, the smallest is {number(float(shares.min()))}")
    total = float(np.abs(shares).sum())
    if abs(total - 1) > 0.01:
        raise ValueError(f"{what} sum to {number(total)}, not 1: divide them by their sum")
    check_query(query, shares.shape)
    return shares


def _is_separate(scale: str) -> bool:
    if scale not in ("common", "separate"):
        raise ValueError(f"scale is {scale!r}, expected 'common' or 'separate'")
    return scale == "separate"


def _query_in_frame(query: Token | None, index: int) -> tuple[int, int] | None:
    return query[1:] if query is not None and query[0] == index else None


def _tinted(
    ax: Axes, pixels: np.ndarray, multiples: np.ndarray, top: float, caption: str, token: tuple[int, int] | None
) -> None:
    h, w, _ = pixels.shape
    rows, columns = multiples.shape
    gray = DIM * (pixels @ (0.299, 0.587, 0.114)) / 255
    nearest = multiples[np.ix_(np.arange(h) * rows // h, np.arange(w) * columns // w)]
    show_frame(ax, _overlay(nearest / max(top, 1e-12), gray), caption, strong=token is not None)
    if token is not None:
        outline_token(ax, *token, (rows, columns), h, w)


def _overlay(level: np.ndarray, gray: np.ndarray) -> np.ndarray:
    lowest, highest = OPACITY
    opacity = (lowest + (highest - lowest) * np.abs(level))[..., None]
    colors = np.where(level[..., None] < 0, NEGATIVE(-level)[..., :3], COLORS(level)[..., :3])
    return opacity * colors + (1 - opacity) * gray[..., None]


def _color_bar(figure: Figure, first: Axes, last: Axes, top: float | None, *, signed: bool = False) -> None:
    width, height = figure.get_size_inches()
    upper, lower = first.get_position(), last.get_position()
    cax = axes_at(figure, upper.x1 * width + 0.15, (1 - upper.y1) * height, 0.14, (upper.y1 - lower.y0) * height)
    level = np.linspace(-1 if signed else 0, 1, 256)
    colors = ListedColormap(_overlay(level, np.full(256, DIM / 2)))  # as over a middle gray frame
    bar = figure.colorbar(ScalarMappable(Normalize(-(top or 0.0) if signed else 0, top or 1.0), colors), cax=cax)
    bar.outline.set_visible(False)
    if top is None:
        bar.set_ticks([0, 1], labels=["0", "max"])
        return
    bar.locator = MaxNLocator(3 if cax.get_position().height * height < 1.2 else 5)
    bar.formatter = NumberFormatter()
    bar.set_label("× uniform")


def _unit(word: str, *totals: int) -> str:
    weight = "largest weight of a frame" if word == "max" else "weight"
    return f"{word}: {weight} as a multiple of 1/{f'{totals[0]:,}' if len(totals) == 1 else 'N'}"


def _shown(show: Sequence[int] | None, count: int, query: Token | None) -> list[int]:
    if show is not None:
        outside = [index for index in show if not 0 <= index < count]
        if outside or not show:
            raise ValueError(f"show is {list(show)}, frames has {count}: name at least one from 0 to {count - 1}")
        return list(show)
    indices = np.linspace(0, count - 1, min(8, count)).round().astype(int)
    if query is not None:
        indices[np.abs(indices - query[0]).argmin()] = query[0]
    return indices.tolist()


def _describe_query(query: Token | None) -> str:
    return "Attention over the tokens of a clip" + (f", asked by the query token in {name_of(query)}" if query else "")


def _describe(weights: np.ndarray, keys: int | None = None) -> str:
    sizes = np.abs(weights)
    total, below = keys or weights.size, float(-weights[weights < 0].sum())
    half = int(np.searchsorted(np.cumsum(np.sort(sizes, axis=None)[::-1]), 0.5 * sizes.sum())) + 1
    largest = f"the largest weight is {_describe_weight(weights, int(weights.argmax()), total)}"
    if below:
        lowest = _describe_weight(weights, int(weights.argmin()), total)
        largest += f"; the lowest is {lowest}; {number(100 * below)} % of the weight is negative"
    return f"{largest}; half of all weight lies on {half:,} of {total:,} tokens"


def _describe_weight(weights: np.ndarray, place: int, total: int) -> str:
    weight, (t, row, column) = float(weights.flat[place]), np.unravel_index(place, weights.shape)
    where = name_of((int(t), int(row), int(column)))
    return f"{number(100 * weight)} % in {where}, {number(weight * total)} times the uniform 1/{total:,}"
