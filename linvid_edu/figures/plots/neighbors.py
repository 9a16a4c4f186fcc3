"""Where the channels of a token come from under neighborhood association."""

from collections import Counter

import numpy as np
from matplotlib.patches import Patch, Rectangle

from linvid_edu.arrays import ArrayLike, to_numpy

from .frame_layout import Token, axes_at, check_query, frame_axes, name_of, outline_token, show_frame
from .picture import LINE_INCHES, MARGIN_INCHES, Picture, sentence, styled
from .strips import COLORS

CELL_INCHES = 0.24
# by what a channel's words begin with; the first that fits counts
FILLS = (
    ("zero", "#d0d7de"),
    ("kept", "#f0e442"),
    ("itself", "white"),
    ("next frame", "#56b4e9"),
    ("previous frame", "#e69f00"),
)
PLACE = "#52bd9d"


@styled
def channel_sources(
    shares: ArrayLike, channels: ArrayLike, *, query: Token | None = None, title: str | None = None
) -> Picture:
    """Tint each token by its share of a token's channels, and color each channel by where it comes from.

    Args:
        shares: 0 to 1, (t rows columns).
        channels: description of each channel of the token, (heads d): "zero", "itself", "next frame", "above", …; with
            ", kept" at the end where a value stayed because its neighbor lies outside.
        query: Frame, row and column of the token, which is outlined.
        title: Title of the figure, or None.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: shapes do not fit.
    """
    weights, words = to_numpy(shares).astype(float), np.asarray(channels, dtype=object)
    if weights.ndim != 3 or words.ndim != 2:
        raise ValueError(f"shares have shape {weights.shape}, channels {words.shape}: expected (t r c) and (heads d)")
    check_query(query, weights.shape)
    t, rows, columns = weights.shape
    below = CELL_INCHES * len(words) / LINE_INCHES + 3
    figure, axes = frame_axes(1, t, rows / columns, title=title, foot=int(np.ceil(below)))
    top = max(weights.max(), 1e-12)
    for index, ax in enumerate(axes[0]):
        show_frame(
            ax, COLORS(weights[index] / top)[..., :3], f"frame {index}", strong=bool(query and query[0] == index)
        )
        if query and query[0] == index:
            outline_token(ax, *query[1:], (rows, columns), rows, columns)
    height = figure.get_figheight()
    width = min(figure.get_figwidth() - 2 * MARGIN_INCHES - 0.7, CELL_INCHES * words.shape[1])
    table_height = CELL_INCHES * len(words)
    top_of_table = height - MARGIN_INCHES - 0.5 - table_height
    table = axes_at(figure, MARGIN_INCHES + 0.7, top_of_table, width, table_height)
    kinds = dict((*FILLS, ("a place beside it", PLACE)))
    names = np.vectorize(_kind, otypes=[object])(words)
    for (head, channel), kind in np.ndenumerate(names):
        table.add_patch(_square(channel, head, kinds[kind]))
    table.set(xlim=(0, words.shape[1]), ylim=(len(words), 0), xticks=[])
    table.set_yticks(np.arange(len(words)) + 0.5, labels=[f"head {head}" for head in range(len(words))])
    table.tick_params(length=0)
    table.spines[:].set_visible(False)
    shown = [
        Patch(facecolor=kinds[kind], edgecolor="black", linewidth=0.5, label=kind) for kind in kinds if kind in names
    ]
    figure.legend(
        handles=shown, loc="lower left", bbox_to_anchor=(MARGIN_INCHES / figure.get_figwidth(), 0.02), ncols=len(shown)
    )
    counts = ", ".join(f"{count} {word}" for word, count in Counter(words.ravel().tolist()).items())
    asker = f"Channels of the token in {name_of(query)}" if query else "Channels of a token"
    return Picture(figure, sentence(title, f"{asker}, {words.size} in {len(words)} heads: {counts}"))


def _kind(words: str) -> str:
    if words.endswith("kept"):
        return "kept"
    return next((kind for kind, _ in FILLS if words.startswith(kind)), "a place beside it")


def _square(channel: int, head: int, fill: str) -> Patch:
    return Rectangle((channel + 0.04, head + 0.06), 0.92, 0.88, facecolor=fill, edgecolor="black", linewidth=0.4)
