"""The layers of a block: attention over time, space or both, and the MLP whose convolution carries position."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import (
    FeatureMap,
    Similarity,
    Span,
    feature_attention,
    fold,
    relu_offset,
    softmax_attention,
    unfold,
)
from .fixation import Fixation, FixationRatios, ValueGate, spatial_association, temporal_association
from .shapes import Float
from .tokens import Extent, Grid


class AttentionInputs(NamedTuple):
    """What an attention function receives.

    q, k: queries and keys, or their reweighted features, or the two factors of an attention map
    ratios: the fixation ratios behind them, None without fixation
    similarity: how they make weights: see ``weights_between``
    """

    q: Float[Tensor, "batch heads tokens f"]
    k: Float[Tensor, "batch heads tokens f"]
    ratios: FixationRatios | None = None
    similarity: Similarity = "linear"


class Mechanism(nn.Module):
    """An attention function as a model's layer sees it: queries, keys and values of all heads in, attended values out.

    It owns what the function learns beside the projections.

    Args:
        fixation: the layers that learn r_q and r_k; None means r_q = r_k = 1.
        gate: a gate on v and out; None means none.
    """

    def __init__(self, fixation: Fixation | None = None, *, gate: ValueGate | None = None):
        super().__init__()
        self.fixation, self.gate = fixation, gate

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return what makes the map, for a recorder to see; the arguments are those of ``forward``."""
        raise NotImplementedError

    def forward(
        self,
        q: Float[Tensor, "batch heads tokens e"],
        k: Float[Tensor, "batch heads tokens e"],
        v: Float[Tensor, "batch heads tokens e"],
        extent: Extent | None = None,
    ) -> Float[Tensor, "batch heads tokens e"]:
        """Return the attended values.

        Args:
            q, k, v: of the tokens that attend to each other.
            extent: how these tokens lie in the clip; None where a mechanism does not ask.
        """
        raise NotImplementedError

    def draw(self, generator: torch.Generator) -> None:
        """Draw what is random but not learned; most mechanisms have nothing of the kind."""


class SoftmaxAttention(Mechanism):
    """Call ``softmax_attention``; it owns no weights, and exists so that a recorder can see its inputs."""

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return queries and keys as they are."""
        return AttentionInputs(q, k, similarity="softmax")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        return softmax_attention(q, k, v)


class LinearAttention(Mechanism):
    """Apply the feature map, then fixation where there is one, then linear attention.

    out = linear_attention(r_q ∘ φ(q), r_k ∘ φ(k), v)

    Args:
        fixation: the layers that learn r_q and r_k; None means r_q = r_k = 1.
        feature_map: φ.
        gate: a gate on v and out; None means none.

    Source: arXiv 2210.08164, with φ = ``relu_offset`` and no gate.
    """

    def __init__(
        self,
        fixation: Fixation | None = None,
        *,
        feature_map: FeatureMap = relu_offset,
        gate: ValueGate | None = None,
    ):
        super().__init__(fixation, gate=gate)
        self.feature_map = feature_map

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return r_q ∘ φ(q), r_k ∘ φ(k) and the ratios."""
        return fixate(self.fixation, self.feature_map(q), self.feature_map(k), v)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        features = self.attention_inputs(q, k, v)
        if self.gate is None:
            return feature_attention(features.q, features.k, v)
        r_v, r_o = self.gate(features.q, features.k, v)
        return r_o * feature_attention(features.q, features.k, r_v * v)


def fixate(
    fixation: Callable[..., FixationRatios] | None,
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch n f"],
    v: Float[Tensor, "*batch n e"],
) -> AttentionInputs:
    """Reweight features by the ratios learned from them: r_q ∘ φ(q), r_k ∘ φ(k); without fixation they stay."""
    if fixation is None:
        return AttentionInputs(phi_q, phi_k)
    ratios = fixation(phi_q, phi_k, v)
    return AttentionInputs(ratios.q * phi_q, ratios.k * phi_k, ratios)


class TokenLinear(nn.Linear):
    """nn.Linear for tokens, which takes the quicker of two ways to the same numbers.

    A linear layer is a convolution with a 1 × 1 kernel. On a CPU, PyTorch gives products to MKL and convolutions to
    oneDNN, and on some machines (AMD's with AVX-512) only oneDNN uses the full vector width. Small batches, other
    devices and other precisions keep the product.
    """

    def forward(self, x: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n d2"]:
        """Return x Wᵀ + b."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.shape[:-1].numel() < 8192:
            return super().forward(x)
        picture = rearrange(x, "b t n d -> (b t) d 1 n")
        out = F.conv2d(picture, self.weight[:, :, None, None], self.bias)
        return rearrange(out, "(b t) d 1 n -> b t n d", b=len(x))


class SpaceTimeAttention(nn.Module):
    """Project tokens to queries, keys and values, attend over time, space or both, and project back.

    The order inside: projection → association on k and v → heads → mechanism → merged heads → projection.

    Args:
        width: d.
        heads: attention heads; must divide d.
        span: which tokens attend to each other.
        mechanism: SoftmaxAttention, LinearAttention or another Mechanism.
        shift_div: None means no association. Otherwise k and v of spatial attention borrow from neighboring frames
            (this fraction of the channels each way), those of temporal attention from neighboring locations, and
            those of joint attention from frames, then locations.
        qkv_bias: whether the first projection has a bias.

    Source: arXiv 2210.08164. Differs from the reference implementation: joint attention is an addition.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        span: Span,
        mechanism: Mechanism,
        shift_div: int | None = None,
        qkv_bias: bool = True,
    ):
        super().__init__()
        self.heads, self.span, self.shift_div = heads, span, shift_div
        self.qkv = TokenLinear(width, 3 * width, bias=qkv_bias)
        self.mechanism = mechanism
        self.projection = TokenLinear(width, width)

    def associate(self, x: Float[Tensor, "b t n d"], grid: Grid) -> Float[Tensor, "b t n d"]:
        """Let keys or values borrow channels from their neighbors; return them unchanged without association."""
        if self.shift_div is None:
            return x
        if self.span != "time":
            x = temporal_association(x, shift_div=self.shift_div)
        if self.span != "space":
            x = spatial_association(x, grid=grid)
        return x

    def forward(self, x: Float[Tensor, "b t n d"], grid: Grid) -> Float[Tensor, "b t n d"]:
        """Return the attended tokens, without the residual."""
        t, n = x.shape[1:3]
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        k, v = self.associate(k, grid), self.associate(v, grid)
        q, k, v = (fold(part, self.span, self.heads) for part in (q, k, v))
        attended = self.mechanism(q, k, v, Extent.over(self.span, t, grid))
        return self.projection(unfold(attended, self.span, t=t, n=n))


class ConvolutionalMLP(nn.Module):
    """Mix channels, and neighboring tokens of a frame, which tells each token where it stands.

    out = W₂ GELU(DWConv₃ₓ₃(W₁ x)), the depthwise convolution on the grid, zeros outside

    Args:
        width: d.
        hidden: channels in between.
        convolution: without it this is the usual MLP, and tokens do not know where they stand.

    Source: arXiv 2210.08164; leaving the convolution out is an addition.
    """

    def __init__(self, width: int, hidden: int, *, convolution: bool = True):
        super().__init__()
        self.expand = TokenLinear(width, hidden)
        self.convolution = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden) if convolution else None
        self.contract = TokenLinear(hidden, width)

    def forward(self, x: Float[Tensor, "b t n d"], grid: Grid) -> Float[Tensor, "b t n d"]:
        """Return the mixed tokens, without the residual."""
        if self.convolution is None:
            return self.contract(F.gelu(self.expand(x)))
        t = x.shape[1]
        # on b·t pictures of h × w tokens: this view is channels-last in memory, and stays so
        hidden = rearrange(self.expand(x), "b t (h w) d -> (b t) d h w", h=grid.rows)
        hidden = rearrange(self.convolution(hidden), "(b t) d h w -> b t (h w) d", t=t)
        return self.contract(F.gelu(hidden))


class Block(nn.Module):
    """Attention layers in order, then the MLP, each behind its own LayerNorm (eps 1e-6) and added to its input.

    x ← x + attention(LayerNorm(x)) for each attention, then x ← x + MLP(LayerNorm(x))

    Args:
        attention: name to layer, in the order of application: time before space in divided attention.
        width: d.
        mlp: what comes last.

    Source: arXiv 2210.08164.
    """

    def __init__(self, attention: dict[str, SpaceTimeAttention], *, width: int, mlp: ConvolutionalMLP):
        super().__init__()
        self.attention = nn.ModuleDict(attention)
        self.attention_norm = nn.ModuleDict({name: nn.LayerNorm(width, eps=1e-6) for name in attention})
        self.mlp = mlp
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Float[Tensor, "b t n d"], grid: Grid) -> Float[Tensor, "b t n d"]:
        """Return the tokens after this block."""
        for name, attention in self.attention.items():
            x = x + attention(self.attention_norm[name](x), grid)
        return x + self.mlp(self.mlp_norm(x), grid)
