"""The AssociationExplorer: which neighbor each channel of a token comes from under neighborhood association."""

from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from einops import repeat
from torch import Tensor

from linvid_edu.attention.mechanisms import SoftmaxAttention
from linvid_edu.attention.spans import Span
from linvid_edu.figures.explain_page import index_of
from linvid_edu.figures.plots import Picture, channel_sources
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.layers import SpaceTimeAttention
from linvid_edu.shapes import Grid, Int

from .frontend import Pictured, front_end, style
from .shared_table import ASSOCIATION_SPANS, FLOWS, NEIGHBOR_WORDS, NOTHING

DIVISORS = (2, 4, 8)


def sources(
    span: Span, *, frames: int, grid: Grid, width: int, shift_div: int
) -> Int[Tensor, "frames rows columns width"]:
    """Follow every channel of keys and values back to the token that it comes from.

    The association of an attention layer is applied to tokens that carry their own number in every channel.

    Args:
        span: Span of the attention: "space" borrows from frames, "time" from locations, "joint" from frames and then
            from locations.
        frames: Number of frames, t.
        grid: Rows and columns of the tokens of one frame.
        width: Channels of a token.
        shift_div: Temporal association moves 1/shift_div of the channels each way.

    Returns:
        Index of the source, (frame · rows + row) · columns + column; −1 if the channel is zero.
    """
    layer = SpaceTimeAttention(width, 1, span=span, mechanism=SoftmaxAttention(), shift_div=shift_div)
    numbers = torch.arange(1.0, frames * grid.tokens + 1)  # 0 is left for channels that nothing reaches
    x = repeat(numbers, "(t n) -> 1 t n width", t=frames, width=width)
    return layer.associate(x, grid)[0].long().unflatten(1, tuple(grid)) + NOTHING


def rule(span: Span, *, width: int, shift_div: int) -> Int[Tensor, "width 3"]:
    """Return the offset (frame, row, column) that each channel borrows from if every neighbor exists."""
    inside = sources(span, frames=3, grid=Grid(3, 3), width=width, shift_div=shift_div)[1, 1, 1]
    return torch.stack(torch.unravel_index(inside, (3, 3, 3)), dim=-1) - 1


class AssociationExplorer(Pictured, anywidget.AnyWidget):
    """Show where the channels of a token's keys and values come from, and where its own channels go.

    Args:
        config: Configuration of a model with association, which gives the sizes; None takes a compact one with 4
            frames.

    Attributes:
        query: Frame, row and column of the lit token.
        span: Span of the attention layer, "space", "time" or "joint".
        shift_div: Temporal association moves 1/shift_div of the channels each way.
        direction: "arrives", what the token gets, or "leaves", which tokens get its channels.

    Raises:
        ValueError: The model has no association.
    """

    _esm = front_end("association.js")
    _css = style("explorer.css") + style("association.css")

    meta = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    query = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int()).tag(sync=True)
    span = traitlets.Enum(ASSOCIATION_SPANS, "space").tag(sync=True)
    shift_div = traitlets.Int().tag(sync=True)
    direction = traitlets.Enum(FLOWS, "arrives").tag(sync=True)

    def __init__(self, config: ModelConfig | None = None):
        config = ModelConfig.compact(num_frames=4, association=True) if config is None else config
        if not config.association:
            raise ValueError("this model has no association to show: pass a ModelConfig with association=True")
        self._config, self._divisors = config, sorted({*DIVISORS, config.shift_div})
        frames, grid, width = config.num_frames, config.grid, config.width
        self._sources = {
            (span, divisor): sources(span, frames=frames, grid=grid, width=width, shift_div=divisor)
            for span in ASSOCIATION_SPANS
            for divisor in self._divisors
        }
        middle = tuple(size // 2 for size in (config.num_frames, *config.grid))
        meta, data = self._packed()
        super().__init__(meta=meta, data=data, query=middle, shift_div=config.shift_div)

    def shares(self) -> Tensor:
        """Return which share of the channels comes from each token, or goes to it, (t rows columns), 0 to 1."""
        origins = self._sources[self.span, self.shift_div]
        t, rows, columns, width = origins.shape
        frame, row, column = self.query
        if self.direction == "leaves":
            return (origins == (frame * rows + row) * columns + column).double().mean(-1)
        counts = torch.bincount(origins[frame, row, column] - NOTHING, minlength=t * rows * columns + 1)[1:]
        return counts.unflatten(0, (t, rows, columns)) / width

    def channels(self) -> list[str]:
        """Describe where each channel of the lit token comes from, such as "next frame" or "above, kept"."""
        frame, row, column = self.query
        origins = self._sources[self.span, self.shift_div][frame, row, column]
        offsets = rule(self.span, width=self._config.width, shift_div=self.shift_div)
        lit = torch.tensor(self.query)
        sizes = (self._config.num_frames, *self._config.grid)
        lines = []
        for origin, borrowed in zip(origins.tolist(), offsets.tolist(), strict=True):
            if origin == NOTHING:
                lines.append("zero")
                continue
            offset = (torch.stack(torch.unravel_index(torch.tensor(origin), sizes)) - lit).tolist()
            lines.append(in_words(offset) if offset == borrowed else f"{in_words(offset)}, kept")
        return lines

    def snapshot(self) -> Picture:
        """Draw what the widget shows as a static picture."""
        table = np.array(self.channels(), dtype=object).reshape(self._config.heads, -1)
        return channel_sources(
            self.shares(),
            table,
            query=self.query,
            title=f"Association for attention over {self.span}, shift_div {self.shift_div}: what {self.direction}",
        )

    @traitlets.validate("query", "shift_div")
    def _check_trait(self, proposal: Any) -> Any:
        value = proposal["value"]
        if proposal["trait"].name == "query":
            for axis, index, size in zip(
                ("frame", "row", "column"), value, (self._config.num_frames, *self._config.grid), strict=True
            ):
                index_of(axis, index, size)
        elif value not in self._divisors:
            raise ValueError(f"shift_div={value} was not computed: choose one of {self._divisors}")
        return value

    def _packed(self) -> tuple[dict[str, Any], bytes]:
        """Return the sources of every span and shift_div, for the browser."""
        arrays = [origins.numpy().astype("<i4").tobytes() for origins in self._sources.values()]
        rules = {
            f"{span} {divisor}": rule(span, width=self._config.width, shift_div=divisor).tolist()
            for span, divisor in self._sources
        }
        meta = {
            "frames": self._config.num_frames,
            "grid": list(self._config.grid),
            "width": self._config.width,
            "heads": self._config.heads,
            "divisors": self._divisors,
            "settings": list(rules),  # in the order of the arrays
            "rules": rules,
        }
        return meta, b"".join(arrays)


def in_words(offset: list[int]) -> str:
    """Describe where a neighbor lies, such as "next frame, above, left"."""
    return ", ".join(NEIGHBOR_WORDS[step][axis] for axis, step in enumerate(offset) if step) or "itself"
