"""The fixation ratios of one layer: those of one token by head and channel, and all of them as a histogram."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from linvid_edu.arrays import ArrayLike, to_numpy

from .picture import ACCENT, PAGE_INCHES, Picture, number, sentence, styled

EDGES = np.linspace(0, 1, 21)
KEY = "#0072b2"


@styled
def fixation_ratios(q: ArrayLike, k: ArrayLike, *, token: tuple[int, int], title: str | None = None) -> Picture:
    """Draw the ratios of one token as heads × channels, and those of all tokens as histograms.

    Args:
        q, k: Fixation ratios of queries and keys, 0 to 1, (heads t n d).
        token: Frame of the token, and its index in the frame.
        title: Title of the figure, or None.

    Returns:
        The picture, without an interactive twin.

    Raises:
        ValueError: shapes do not fit, or a ratio lies outside 0 to 1.
    """
    ratios = {"query": to_numpy(q).astype(float), "key": to_numpy(k).astype(float)}
    for name, values in ratios.items():
        if values.ndim != 4 or values.shape != ratios["query"].shape:
            raise ValueError(
                f"ratios of the {name} have shape {values.shape}: expected (heads, t, n, d), both the same"
            )
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"ratios of the {name} reach {number(float(values.max()))}: they must lie in 0 to 1")
    heads = ratios["query"].shape[0]
    figure = Figure(figsize=(PAGE_INCHES, 1.7 + 0.5 * heads), layout="constrained")
    panels = figure.subplots(2, 2, width_ratios=[2, 1])
    if title:
        figure.suptitle(title, fontsize=13, x=0.02, ha="left")
    for (left, right), (name, values), color in zip(panels, ratios.items(), (ACCENT, KEY), strict=True):
        shown = left.imshow(
            values[:, token[0], token[1]], cmap=matplotlib.colormaps["viridis"], vmin=0, vmax=1, aspect="auto"
        )
        left.set(xlabel="channel", ylabel="head", yticks=range(heads))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_title(f"r of the {name}", loc="left", fontsize=11)
        right.hist(values.ravel(), EDGES, weights=np.full(values.size, 100 / values.size), color=color)
        right.set(xlim=(0, 1), xlabel=f"r of every {name}", ylabel="%")
    figure.colorbar(shown, ax=panels[:, 0], label="fixation ratio", shrink=0.8)
    described = (_describe(name, values, token) for name, values in ratios.items())
    return Picture(figure, sentence(title, *described))


def _describe(name: str, values: np.ndarray, token: tuple[int, int]) -> str:
    own = values[:, token[0], token[1]]
    shut = 100 * float((values < 0.05).mean())
    return (
        f"{name.capitalize()} ratios of the token average {number(float(own.mean()))}, from {number(float(own.min()))} "
        f"to {number(float(own.max()))}; of all {name} ratios of the layer {number(shut)} % lie below 0.05"
    )
