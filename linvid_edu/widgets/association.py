"""Which neighbor each channel comes from under neighborhood association: one token lit, the others dark."""

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

NOTHING = -1
SPANS: tuple[Span, ...] = ("space", "time", "joint")
DIVISORS = (2, 4, 8)
_WORDS = {-1: ("previous frame", "above", "left"), 1: ("next frame", "below", "right")}


def sources(
    span: Span, *, frames: int, grid: Grid, width: int, shift_div: int
) -> Int[Tensor, "frames rows columns width"]:
    """Follow every channel of keys and values back to the token that it comes from.

    Every token carries its own number in all channels, and an attention layer's association is applied.

    Args:
        span: of the attention: "space" borrows from frames, "time" from locations, "joint" from frames, then locations.
        frames, grid: of the clip.
        width: d.
        shift_div: temporal association moves 1/shift_div of the channels each way.

    Returns:
        (frame · rows + row) · columns + column of the source; −1 where the channel is zero.
    """
    layer = SpaceTimeAttention(width, 1, span=span, mechanism=SoftmaxAttention(), shift_div=shift_div)
    numbers = torch.arange(1.0, frames * grid.tokens + 1)  # 0 is left for channels that nothing reaches
    x = repeat(numbers, "(t n) -> 1 t n d", t=frames, d=width)
    return layer.associate(x, grid)[0].long().unflatten(1, tuple(grid)) + NOTHING


def rule(span: Span, *, width: int, shift_div: int) -> Int[Tensor, "width 3"]:
    """Return the offset (frame, row, column) that each channel borrows from where every neighbor exists."""
    inside = sources(span, frames=3, grid=Grid(3, 3), width=width, shift_div=shift_div)[1, 1, 1]
    return torch.stack(torch.unravel_index(inside, (3, 3, 3)), dim=-1) - 1


class AssociationExplorer(Pictured, anywidget.AnyWidget):
    """Show, for a token that is picked, where the channels of its keys and values come from, and where its own go.

    Args:
        config: of a model with association, whose sizes are taken; None takes a compact one with 4 frames.

    Attributes:
        query: frame, row and column of the lit token.
        span: of the attention layer, "space", "time" or "joint".
        shift_div: temporal association moves 1/shift_div of the channels each way.
        direction: "arrives", what the token gets, or "leaves", who gets from it.

    Raises:
        ValueError: the model has no association.
    """

    _esm = front_end("association.js")
    _css = style("explorer.css") + style("association.css")

    meta = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    query = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int()).tag(sync=True)
    span = traitlets.Enum(SPANS, "space").tag(sync=True)
    shift_div = traitlets.Int().tag(sync=True)
    direction = traitlets.Enum(("arrives", "leaves"), "arrives").tag(sync=True)

    def __init__(self, config: ModelConfig | None = None):
        config = ModelConfig.compact(num_frames=4, association=True) if config is None else config
        if not config.association:
            raise ValueError("this model has no association to show: pass a ModelConfig with association=True")
        self._config, self._divisors = config, sorted({*DIVISORS, config.shift_div})
        self._sources = {
            (span, each): sources(span, frames=config.num_frames, grid=config.grid, width=config.width, shift_div=each)
            for span in SPANS
            for each in self._divisors
        }
        middle = tuple(size // 2 for size in (config.num_frames, *config.grid))
        meta, data = self._packed()
        super().__init__(meta=meta, data=data, query=middle, shift_div=config.shift_div)

    def shares(self) -> Tensor:
        """Return which share of d channels comes from each token, or goes to it, (t rows columns), 0 to 1."""
        found = self._sources[self.span, self.shift_div]
        t, rows, columns, d = found.shape
        frame, row, column = self.query
        if self.direction == "leaves":
            return (found == (frame * rows + row) * columns + column).double().mean(-1)
        counts = torch.bincount(found[frame, row, column] - NOTHING, minlength=t * rows * columns + 1)[1:]
        return counts.unflatten(0, (t, rows, columns)) / d

    def channels(self) -> list[str]:
        """Say for each channel of the lit token where it comes from, such as "next frame" or "above, kept"."""
        frame, row, column = self.query
        found = self._sources[self.span, self.shift_div][frame, row, column]
        borrowed = rule(self.span, width=self._config.width, shift_div=self.shift_div)
        own = torch.tensor(self.query)
        sizes = (self._config.num_frames, *self._config.grid)
        words = []
        for source, offset in zip(found.tolist(), borrowed.tolist(), strict=True):
            if source == NOTHING:
                words.append("zero")
                continue
            seen = torch.stack(torch.unravel_index(torch.tensor(source), sizes)) - own
            words.append(in_words(seen.tolist()) + (", kept" if seen.tolist() != offset else ""))
        return words

    def snapshot(self) -> Picture:
        """Draw what is seen now as a static picture."""
        table = np.array(self.channels(), dtype=object).reshape(self._config.heads, -1)
        return channel_sources(
            self.shares(),
            table,
            query=self.query,
            title=f"Association for attention over {self.span}, shift_div {self.shift_div}: what {self.direction}",
        )

    @traitlets.validate("query", "shift_div")
    def _valid(self, proposal: Any) -> Any:
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
        arrays = [each.numpy().astype("<i4").tobytes() for each in self._sources.values()]
        rules = {
            f"{span} {each}": rule(span, width=self._config.width, shift_div=each).tolist()
            for span, each in self._sources
        }
        meta = {
            "frames": self._config.num_frames,
            "grid": list(self._config.grid),
            "width": self._config.width,
            "heads": self._config.heads,
            "divisors": self._divisors,
            "parts": [f"{span} {each}" for span, each in self._sources],
            "rules": rules,
        }
        return meta, b"".join(arrays)


def in_words(offset: list[int]) -> str:
    """Say where a neighbor lies, such as "next frame, above, left"."""
    return ", ".join(_WORDS[step][axis] for axis, step in enumerate(offset) if step) or "itself"
