"""The layers of a block: attention over time, space or both, and the MLP whose convolution carries position."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.attention.association import spatial_association, temporal_association
from linvid_edu.attention.mechanisms import Mechanism
from linvid_edu.attention.spans import Span, fold, unfold
from linvid_edu.shapes import Extent, Float, Grid


class TokenLinear(nn.Linear):
    """nn.Linear for tokens, which takes the quicker of two ways to the same numbers.

    A linear layer is a convolution with a 1 × 1 kernel. On a CPU, PyTorch gives products to MKL and convolutions to
    oneDNN, and on some machines (AMD's with AVX-512) only oneDNN uses the full vector width. Small batches, other
    devices and other precisions keep the product.
    """

    def forward(self, x: Float[Tensor, "b t n width"]) -> Float[Tensor, "b t n outputs"]:
        """Return x Wᵀ + b."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.shape[:-1].numel() < 8192:
            return super().forward(x)
        picture = rearrange(x, "b t n width -> (b t) width 1 n")
        out = F.conv2d(picture, self.weight[:, :, None, None], self.bias)
        return rearrange(out, "(b t) width 1 n -> b t n width", b=len(x))


class SpaceTimeAttention(nn.Module):
    """Project tokens to queries, keys and values, attend over time, space or both, and project back.

    The order inside: projection → association on k and v → heads → mechanism → merged heads → projection.

    Args:
        width: channels of a token.
        heads: attention heads; must divide width.
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

    def associate(self, x: Float[Tensor, "b t n width"], grid: Grid) -> Float[Tensor, "b t n width"]:
        """Let keys or values borrow channels from their neighbors; return them unchanged without association."""
        if self.shift_div is None:
            return x
        if self.span != "time":
            x = temporal_association(x, shift_div=self.shift_div)
        if self.span != "space":
            x = spatial_association(x, grid=grid)
        return x

    def forward(self, x: Float[Tensor, "b t n width"], grid: Grid) -> Float[Tensor, "b t n width"]:
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
        width: channels of a token.
        hidden: channels in between.
        convolution: without it this is the usual MLP, and tokens do not know where they stand.

    Source: arXiv 2210.08164; leaving the convolution out is an addition.
    """

    def __init__(self, width: int, hidden: int, *, convolution: bool = True):
        super().__init__()
        self.expand = TokenLinear(width, hidden)
        self.convolution = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden) if convolution else None
        self.contract = TokenLinear(hidden, width)

    def forward(self, x: Float[Tensor, "b t n width"], grid: Grid) -> Float[Tensor, "b t n width"]:
        """Return the mixed tokens, without the residual."""
        if self.convolution is None:
            return self.contract(F.gelu(self.expand(x)))
        t = x.shape[1]
        # on b·t pictures of h × w tokens: this view is channels-last in memory, and stays so
        hidden = rearrange(self.expand(x), "b t (h w) width -> (b t) width h w", h=grid.rows)
        hidden = rearrange(self.convolution(hidden), "(b t) width h w -> b t (h w) width", t=t)
        return self.contract(F.gelu(hidden))


class Block(nn.Module):
    """Attention layers in order, then the MLP, each behind its own LayerNorm (eps 1e-6) and added to its input.

    x ← x + attention(LayerNorm(x)) for each attention, then x ← x + MLP(LayerNorm(x))

    Args:
        attention: name to layer, in the order of application: time before space in divided attention.
        width: channels of a token.
        mlp: what comes last.

    Source: arXiv 2210.08164.
    """

    def __init__(self, attention: dict[str, SpaceTimeAttention], *, width: int, mlp: ConvolutionalMLP):
        super().__init__()
        self.attention = nn.ModuleDict(attention)
        self.attention_norm = nn.ModuleDict({name: nn.LayerNorm(width, eps=1e-6) for name in attention})
        self.mlp = mlp
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Float[Tensor, "b t n width"], grid: Grid) -> Float[Tensor, "b t n width"]:
        """Return the tokens after this block."""
        for name, attention in self.attention.items():
            x = x + attention(self.attention_norm[name](x), grid)
        return x + self.mlp(self.mlp_norm(x), grid)
