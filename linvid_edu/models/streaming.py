"""A whole model on a video of any length, frame by frame."""

from typing import NamedTuple

import torch
from torch import Tensor

from linvid_edu.attention.causal_sums import Passed
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Float
from linvid_edu.video.tokens import patch_grid

from .stream_state import LayerState, ModelState
from .transformer import VideoTransformer


class Step(NamedTuple):
    """Result of a model for one frame of a stream.

    tokens: tokens after the last LayerNorm
    logits: logits of the mean over all frames so far
    layers: for each block, a dictionary from span to the result of attention for this frame, with shapes
        (batch heads tokens …)
    """

    tokens: Float[Tensor, "b n width"]
    logits: Float[Tensor, "b classes"]
    layers: list[dict[Span, Passed]]


class ModelStream:
    """Run a model over a video of any length, frame by frame, in constant memory.

    Each frame goes through the forward pass of the model, with the state left by the previous frames. Attention over
    space sees the current frame only; attention over time and joint attention see all frames so far; association treats
    each frame as the last one. Frames beyond the length of a clip get the last temporal embedding.

    Args:
        model: Model whose attention streams, see ``CausalAttention.of``. It is put into evaluation mode.

    Raises:
        ValueError: If a mechanism does not stream, or sees later frames.
    """

    def __init__(self, model: VideoTransformer) -> None:
        self.model = model.eval()
        blocks = [
            {span: LayerState(layer) for span, layer in block.attention.items()}  # type: ignore[union-attr, operator]
            for block in model.blocks
        ]
        self.state = ModelState(blocks)  # type: ignore[arg-type]

    @property
    def seen(self) -> int:
        """Number of frames so far."""
        return self.state.frames

    @property
    def numbers(self) -> int:
        """Number of values that the stream keeps of earlier frames."""
        kept = [] if self.state.sums is None else [self.state.sums]
        for block in self.state.blocks:
            for layer in block.values():
                kept += layer.kept()
        return sum(tensor.numel() for tensor in kept)

    @torch.no_grad()
    def update(self, frame: Float[Tensor, "b 3 h w"]) -> Step:
        """Take the next frame.

        Args:
            frame: Frame, normalized to −1 to 1. It must have the size of the first frame, and the model's size if the
                model has a spatial embedding.

        Raises:
            ValueError: If the frame has another size, or is not a single frame.
        """
        state = self.state
        if frame.ndim != 4:
            raise ValueError(
                f"frame {state.frames} has shape {tuple(frame.shape)}, expected (b, 3, h, w): a stream takes one frame "
                "after another, as clip.video.unbind(1)[i].unsqueeze(0) is"
            )
        config, (height, width) = self.model.config, frame.shape[2:]
        grid = patch_grid((height, width), kernel=config.kernel, stride=config.stride, padding=config.padding)
        if state.grid not in (None, grid):
            raise ValueError(
                f"frame {state.frames} has {grid.rows}×{grid.columns} tokens, those before had {state.grid.rows}×"
                f"{state.grid.columns}: resize it, or begin a new stream"
            )
        tokens = self.model.encode(frame.unsqueeze(2), state).squeeze(1)
        mean = tokens.mean(dim=1).double()
        state.grid, state.frames = grid, state.frames + 1
        state.sums = mean if state.sums is None else state.sums + mean
        logits = self.model.head((state.sums / state.frames).to(tokens.dtype))
        layers = [{span: layer.passed for span, layer in block.items()} for block in state.blocks]
        return Step(tokens, logits, layers)  # type: ignore[arg-type]
