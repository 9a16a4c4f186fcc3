"""The state that a model keeps of earlier frames when it runs over a video frame by frame."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from linvid_edu.attention.causal import CausalAssociation, CausalAttention
from linvid_edu.attention.causal_sums import Passed
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Extent, Float, Grid

if TYPE_CHECKING:
    from .layers import SpaceTimeAttention


class LayerState:
    """The state that one attention layer keeps of earlier frames.

    Attention over time and joint attention keep sums; attention over space sees its own frame alone, and keeps none.
    Association across frames keeps the channels of k and v that the next frame borrows.

    Args:
        layer: Attention layer.

    Raises:
        ValueError: If its mechanism does not stream, or sees later frames.
    """

    def __init__(self, layer: "SpaceTimeAttention") -> None:
        ahead = layer.mechanism.frames_ahead
        self.span = layer.span
        self.attention = CausalAttention.of(layer.mechanism)
        if ahead and layer.span != "space":
            raise ValueError(
                f"block_frames={ahead + 1} lets a frame see up to {ahead} after it, which have not come: use "
                "block_frames=1"
            )
        self.keys: CausalAssociation | None = None
        self.values: CausalAssociation | None = None
        if layer.shift_div is not None and layer.span != "time":
            self.keys, self.values = CausalAssociation(layer.shift_div), CausalAssociation(layer.shift_div)
        self.passed: Passed | None = None  # result of attention for the latest frame

    def attend(
        self,
        q: Float[Tensor, "batch heads tokens d"],
        k: Float[Tensor, "batch heads tokens d"],
        v: Float[Tensor, "batch heads tokens d"],
        extent: Extent,
    ) -> Float[Tensor, "batch heads tokens d"]:
        """Return the attended values of the next frame."""
        if self.span == "space":
            self.attention.reset()
        self.passed = self.attention.observe(q, k, v, extent)
        return self.passed.out

    def kept(self) -> list[Tensor]:
        """Return the tensors that this layer keeps for the next frame."""
        sums = () if self.span == "space" else self.attention.state or ()
        borrowed = [stream.before for stream in (self.keys, self.values) if stream is not None]
        return [*sums, *(tensor for tensor in borrowed if tensor is not None)]


BlockState = dict[Span, LayerState]


@dataclass
class ModelState:
    """What a model keeps of earlier frames.

    Args:
        blocks: For each block, the states of its layers.
        frames: Number of frames seen so far.
        grid: Rows and columns of the tokens of a frame; None before the first.
        sums: Sum over the frames of their mean tokens, in float64; None before the first.
    """

    blocks: list[BlockState]
    frames: int = 0
    grid: Grid | None = None
    sums: Float[Tensor, "b width"] | None = None
