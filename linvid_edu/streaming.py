"""Attention in constant memory: the sums of linear attention, kept while a video passes frame by frame.

The sums Σ φ(k_j) v_jᵀ and Σ φ(k_j) do not care how many tokens went into them. A stream keeps them, and nothing of what
has passed; softmax attention would have to keep every key.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .attention import EPS, FeatureMap, Span, fold, relu_offset, unfold
from .fixation import FixationRatios, spatial_association
from .layers import Block, LinearAttention, SpaceTimeAttention, fixate
from .model import VideoTransformer
from .rivals.base import FeatureMapRival
from .shapes import Float
from .tokens import Grid


class State(NamedTuple):
    """All that causal linear attention keeps of what has passed: f·(e2 + 1) numbers for each head, however much it was.

    weighted: S = Σ_j φ(k_j) v_jᵀ
    total: z = Σ_j φ(k_j)

    Both are float64 where the device has it: in float32 a sum over 10⁷ tokens no longer notices a new one.
    """

    weighted: Float[Tensor, "*batch f e2"]
    total: Float[Tensor, "*batch 1 f"]


class Passed(NamedTuple):
    """What causal attention did with one block.

    out: the attended values
    q, k: the features r_q ∘ φ(q) and r_k ∘ φ(k) of the block
    own: the share of each query's weights that lies on its own block, 0 to 1
    ratios: the fixation ratios; None without fixation
    """

    out: Float[Tensor, "*batch n e2"]
    q: Float[Tensor, "*batch n f"]
    k: Float[Tensor, "*batch n f"]
    own: Float[Tensor, "*batch n"]
    ratios: FixationRatios | None


class CausalAttention:
    """Linear attention to everything so far, block by block.

    S ← S + Σ_{j in block} φ(k_j) v_jᵀ, z ← z + Σ_{j in block} φ(k_j); out_i = φ(q_i) S / (φ(q_i) · z + eps)

    A block sees itself in full and all blocks before it, so its outputs are those of ``linear_attention`` over all
    tokens up to its end. Fixation streams exactly, since a token's ratios depend on that token alone.

    Args:
        feature_map: φ; it must work token by token. Performer's and cosFormer's do not: one looks at the largest key of
            all, the other at the length of the sequence.
        fixation: makes the ratios from φ(q), φ(k) and v, such as a ``Fixation``; None means r_q = r_k = 1.
        eps: added to the normalizer.

    Source: Transformers are RNNs, 2020, arXiv 2006.16236, for the sums; that fixation streams is an addition.
    """

    def __init__(
        self,
        feature_map: FeatureMap = relu_offset,
        *,
        fixation: Callable[..., FixationRatios] | None = None,
        eps: int | float = EPS,
    ) -> None:
        self.feature_map, self.fixation, self.eps = feature_map, fixation, eps
        self.state: State | None = None

    def reset(self) -> None:
        """Forget what has passed."""
        self.state = None

    def update(
        self, q: Float[Tensor, "*batch n e"], k: Float[Tensor, "*keys e"], v: Float[Tensor, "*values e2"]
    ) -> Float[Tensor, "*batch n e2"]:
        """Take the next block in, and return its attended values.

        Args:
            q, k, v: of this block, at least 1 token; all other axes are those of the first block.

        Raises:
            ValueError: an empty block, or one that does not fit those before.
        """
        return self.observe(q, k, v).out

    def observe(
        self, q: Float[Tensor, "*batch n e"], k: Float[Tensor, "*keys e"], v: Float[Tensor, "*values e2"]
    ) -> Passed:
        """Take the next block in, and return what happened; arguments and errors are those of ``update``."""
        self._check(q, k, v)
        fixated = fixate(self.fixation, self.feature_map(q), self.feature_map(k), v)
        precise = q.dtype if q.device.type == "mps" else torch.float64
        here = fixated.k.sum(dim=-2, keepdim=True)
        weighted, total = (fixated.k.mT @ v).to(precise), here.to(precise)
        if self.state is not None:
            weighted, total = self.state.weighted + weighted, self.state.total + total
        self.state = State(weighted, total)
        z = (fixated.q * total.to(q.dtype)).sum(dim=-1, keepdim=True) + self.eps
        own = (fixated.q * here).sum(dim=-1) / z.squeeze(-1)
        return Passed(fixated.q @ weighted.to(q.dtype) / z, fixated.q, fixated.k, own, fixated.ratios)

    def _check(self, q: Tensor, k: Tensor, v: Tensor) -> None:
        if not q.shape[-2]:
            raise ValueError("a block of 0 tokens: pass at least 1")
        if q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
            shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in (("q", q), ("k", k), ("v", v)))
            raise ValueError(f"{shapes} do not belong to one block: pass as many keys and values as queries")
        if self.state is not None and (*v.shape[:-2], v.shape[-1]) != (
            *self.state.weighted.shape[:-2],
            self.state.weighted.shape[-1],
        ):
            raise ValueError(
                f"a block of values {tuple(v.shape)} does not fit those before, whose state is "
                f"{tuple(self.state.weighted.shape)}: reset() begins a new stream"
            )


class CausalAssociation:
    """Temporal association frame by frame, with the frame before at hand and the one after not yet.

    With c = ⌊d / shift_div⌋: channels 0 to c would come from the next frame and are zero, c to 2c come from the frame
    before, the rest stay. This is what ``temporal_association`` gives the last frame of a clip: each frame is treated
    as if the clip ended with it. The other choice, to wait one frame, would delay every block of a model by one more.

    Args:
        shift_div: at least 2.
    """

    def __init__(self, shift_div: int) -> None:
        if shift_div < 2:
            raise ValueError(f"shift_div={shift_div} would move more channels than there are: use 2 or more")
        self.shift_div = shift_div
        self.before: Tensor | None = None

    def update(self, x: Float[Tensor, "b one n d"]) -> Float[Tensor, "b one n d"]:
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

    tokens: Float[Tensor, "b n d"]
    logits: Float[Tensor, "b classes"]
    layers: list[dict[Span, Passed]]


class ModelStream:
    """Run a model over a video of any length, frame by frame, in constant memory.

    Attention over space sees its frame, attention over time and joint attention everything so far; association treats
    each frame as the last one. Temporal embeddings are learned for the frames of a clip; frames after those get the
    last.

    Args:
        model: with linear attention, or a rival that is only another φ; it is put into evaluation mode.

    Raises:
        ValueError: attention that has no sums to keep, or whose features look beyond their own token.
    """

    def __init__(self, model: VideoTransformer) -> None:
        self.model, self.seen = model.eval(), 0
        self.blocks = [cast(Block, block) for block in model.blocks]
        self.layers = [
            {cast(Span, span): _StreamedLayer(cast(SpaceTimeAttention, each)) for span, each in block.attention.items()}
            for block in self.blocks
        ]
        self._sum: Tensor | None = None

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
            frame: normalized to −1 to 1; of the model's size.
        """
        model = self.model
        x, grid = model.patch_embedding(frame.unsqueeze(2))
        embedding = model.temporal_embedding
        x = x + embedding[:, [min(self.seen, embedding.shape[1] - 1)]]
        if model.spatial_embedding is not None:
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
        self.layer, mechanism = layer, layer.mechanism
        if not isinstance(mechanism, (LinearAttention, FeatureMapRival)) or mechanism.gate is not None:
            raise ValueError(
                f"{type(mechanism).__name__} does not stream here: its map has no running sums, or its features look "
                'beyond their token; use attention="linear", "elu_linear" or "sana_relu_linear", without a gate'
            )
        eps = mechanism.eps if isinstance(mechanism, FeatureMapRival) else EPS
        self.attention = CausalAttention(mechanism.feature_map, fixation=mechanism.fixation, eps=eps)
        over_frames = layer.shift_div is not None and layer.span != "time"
        self.associations = [CausalAssociation(layer.shift_div or 2) if over_frames else nn.Identity() for _ in "kv"]

    def update(self, x: Float[Tensor, "b one n d"], grid: Grid) -> tuple[Float[Tensor, "b one n d"], Passed]:
        q, *kv = self.layer.qkv(x).chunk(3, dim=-1)
        k, v = (self._associate(part, each, grid) for part, each in zip(kv, self.associations, strict=True))
        q, k, v = (fold(part, self.layer.span, self.layer.heads) for part in (q, k, v))
        if self.layer.span == "space":
            self.attention.reset()  # attention over space sees its own frame alone
        passed = self.attention.observe(q, k, v)
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


def frame_rows(passed: Passed, token: int) -> Float[Tensor, "batch heads n"]:
    """Return the weights that one token gives to the tokens of its own frame, as shares of what it gives to them all.

    a_j = φ(q) · φ(k_j) / Σ_j' φ(q) · φ(k_j') over the tokens j' of this frame

    Args:
        passed: of attention over space, or joint attention.
        token: number of the query in its frame.
    """
    weights = (passed.q[..., token : token + 1, :] @ passed.k.mT).squeeze(-2)
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)


def frame_map(passed: Passed) -> Float[Tensor, "batch heads n n"]:
    """Return ``frame_rows`` of every token of the frame."""
    weights = passed.q @ passed.k.mT
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
