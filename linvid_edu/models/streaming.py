"""A whole model on a video of any length, frame by frame."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from linvid_edu.attention.association import spatial_association
from linvid_edu.attention.causal import Passed
from linvid_edu.attention.causal_rivals import causal_attention
from linvid_edu.attention.rivals.sana_block_causal_2025 import SanaBlockCausal
from linvid_edu.attention.spans import Span, fold, unfold
from linvid_edu.shapes import Extent, Float, Grid

from .layers import Block, SpaceTimeAttention
from .transformer import VideoTransformer


class CausalAssociation:
    """Temporal association frame by frame, with the frame before at hand and the one after not yet.

    With c = ⌊width / shift_div⌋: channels 0 to c would come from the next frame and are zero, c to 2c come from
    the frame before, the rest stay. This is what ``temporal_association`` gives the last frame of a clip: each frame is treated
    as if the clip ended with it. The other choice, to wait one frame, would delay every block of a model by one more.

    Args:
        shift_div: at least 2.
    """

    def __init__(self, shift_div: int) -> None:
        if shift_div < 2:
            raise ValueError(f"shift_div={shift_div} would move more channels than there are: use 2 or more")
        self.shift_div = shift_div
        self.before: Tensor | None = None

    def update(self, x: Float[Tensor, "b one n width"]) -> Float[Tensor, "b one n width"]:
        """Take the next frame's keys or values in, and return them associated."""
        c = x.shape[-1] // self.shift_div
        borrowed = torch.zeros_like(x[..., c : 2 * c]) if self.before is None else self.before
        self.before = x[..., c : 2 * c].clone()
        return torch.cat([torch.zeros_like(x[..., :c]), borrowed, x[..., 2 * c :]], dim=-1)


class Step(NamedTuple):
    """What a model made of one frame.

    tokens: after the last LayerNorm
    logits: of the mean over all frames so far
    layers: by block and span, what each attention did with this frame, in shapes (batch heads tokens …)
    """

    tokens: Float[Tensor, "b n width"]
    logits: Float[Tensor, "b classes"]
    layers: list[dict[Span, Passed]]


class ModelStream:
    """Run a model over a video of any length, frame by frame, in constant memory.

    Attention over space sees its frame, attention over time and joint attention everything so far; association treats
    each frame as the last one. Temporal embeddings are learned for the frames of a clip; frames after those get the
    last.

    Args:
        model: with attention that streams, see ``causal_attention``; it is put into evaluation mode.

    Raises:
        ValueError: attention that does not stream, or whose blocks are longer than a frame.
    """

    def __init__(self, model: VideoTransformer) -> None:
        self.model, self.seen = model.eval(), 0
        self.blocks = [cast(Block, block) for block in model.blocks]
        self.layers = [
            {cast(Span, span): _StreamedLayer(cast(SpaceTimeAttention, each)) for span, each in block.attention.items()}
            for block in self.blocks
        ]
        self._sum: Tensor | None = None
        self._grid: Grid | None = None

    @property
    def numbers(self) -> int:
        """How many numbers the stream keeps of what has passed."""
        kept = [] if self._sum is None else [self._sum]
        for layer in (each for layers in self.layers for each in layers.values()):
            kept += layer.kept()
        return sum(part.numel() for part in kept)

    @torch.no_grad()
    def update(self, frame: Float[Tensor, "b 3 h w"]) -> Step:
        """Take the next frame in.

        Args:
            frame: normalized to −1 to 1, (b 3 h w); as large as the first, and of the model's size where places have
                embeddings.

        Raises:
            ValueError: another size, or no frame.
        """
        if frame.ndim != 4:
            raise ValueError(
                f"frame {self.seen} has shape {tuple(frame.shape)}, expected (b, 3, h, w): a stream takes one frame "
                "after another, as clip.video.unbind(1)[i].unsqueeze(0) is"
            )
        model = self.model
        x, grid = model.patch_embedding(frame.unsqueeze(2))
        self._grid = self._grid or grid
        if grid != self._grid:
            raise ValueError(
                f"frame {self.seen} has {grid.rows}×{grid.columns} tokens, those before had {self._grid.rows}×"
                f"{self._grid.columns}: resize it, or begin a new stream"
            )
        embedding = model.temporal_embedding
        x = x + embedding[:, [min(self.seen, embedding.shape[1] - 1)]]
        if model.spatial_embedding is not None:
            if grid != model.config.grid:
                raise ValueError(
                    f"frame has {frame.shape[2]}×{frame.shape[3]} pixels, the model's spatial embedding is made for "
                    f"image_size={model.config.image_size}: resize it so"
                )
            x = x + model.spatial_embedding
        passed: list[dict[Span, Passed]] = []
        for block, layers in zip(self.blocks, self.layers, strict=True):
            passed.append({})
            for span, layer in layers.items():
                attended, passed[-1][span] = layer.update(block.attention_norm[span](x), grid)
                x = x + attended
            x = x + block.mlp(block.mlp_norm(x), grid)
        tokens = model.norm(x).squeeze(1)
        mean = tokens.mean(dim=1).double()
        self._sum = mean if self._sum is None else self._sum + mean
        self.seen += 1
        return Step(tokens, model.head((self._sum / self.seen).to(tokens.dtype)), passed)


class _StreamedLayer:
    """One attention layer of a model, frame by frame."""

    def __init__(self, layer: SpaceTimeAttention) -> None:
        self.layer, self.attention = layer, causal_attention(layer.mechanism)
        blocks = layer.mechanism.block_frames if isinstance(layer.mechanism, SanaBlockCausal) else 1
        if blocks > 1 and layer.span != "space":
            raise ValueError(
                f"block_frames={blocks} lets a frame see up to {blocks - 1} after it, which have not come: use "
                "block_frames=1"
            )
        over_frames = layer.shift_div is not None and layer.span != "time"
        self.associations = [CausalAssociation(layer.shift_div or 2) if over_frames else nn.Identity() for _ in "kv"]

    def update(self, x: Float[Tensor, "b one n width"], grid: Grid) -> tuple[Float[Tensor, "b one n width"], Passed]:
        q, *kv = self.layer.qkv(x).chunk(3, dim=-1)
        k, v = (self._associate(part, each, grid) for part, each in zip(kv, self.associations, strict=True))
        q, k, v = (fold(part, self.layer.span, self.layer.heads) for part in (q, k, v))
        if self.layer.span == "space":
            self.attention.reset()  # attention over space sees its own frame alone
        passed = self.attention.observe(q, k, v, Extent.over(self.layer.span, 1, grid))
        return self.layer.projection(unfold(passed.out, self.layer.span, t=1, n=x.shape[2])), passed

    def kept(self) -> list[Tensor]:
        """Return what this layer keeps for the next frame."""
        state = () if self.layer.span == "space" else self.attention.state or ()
        before = [each.before for each in self.associations if isinstance(each, CausalAssociation)]
        return [*state, *(part for part in before if part is not None)]

    def _associate(self, x: Tensor, over_frames: CausalAssociation | nn.Module, grid: Grid) -> Tensor:
        if self.layer.shift_div is None:
            return x
        if isinstance(over_frames, CausalAssociation):
            x = over_frames.update(x)
        return x if self.layer.span == "space" else spatial_association(x, grid=grid)
