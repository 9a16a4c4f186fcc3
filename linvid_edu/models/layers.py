"""The layers of a block: attention over time, space or both, and the MLP whose convolution carries position."""

from typing import cast

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.attention.association import spatial_association, temporal_association
from linvid_edu.attention.causal import CausalAssociation
from linvid_edu.attention.mechanisms import Mechanism
from linvid_edu.attention.spans import Span, fold, unfold
from linvid_edu.shapes import Extent, Float, Grid

from .stream_state import BlockState, LayerState
from .token_linear import TokenLinear


class SpaceTimeAttention(nn.Module):
    """Project tokens to queries, keys and values, attend over time, space or both, and project back.

    The order is: projection → association on k and v → split heads → mechanism → merge heads → projection.

    Args:
        width: Channels of a token.
        heads: Number of attention heads, a divisor of width.
        span: Which tokens attend to each other.
        mechanism: SoftmaxAttention, LinearAttention or another Mechanism.
        shift_div: None means no association. Otherwise k and v borrow channels: those of spatial attention from
            neighboring frames (1/shift_div of the channels each way), those of temporal attention from neighboring
            locations, and those of joint attention from both, frames first.
        qkv_bias: Whether the first projection has a bias.

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

    def associate(
        self, x: Float[Tensor, "b t n width"], grid: Grid, stream: CausalAssociation | None = None
    ) -> Float[Tensor, "b t n width"]:
        """Let keys or values borrow channels from their neighbors; return them unchanged without association.

        Args:
            x: Keys or values of a clip, or of the next frame of a stream.
            grid: Rows and columns of the tokens of a frame.
            stream: Association that holds the previous frame of a stream; None for a clip.
        """
        if self.shift_div is None:
            return x
        return associate(x, grid, span=self.span, shift_div=self.shift_div, stream=stream)

    def forward(
        self, x: Float[Tensor, "b t n width"], grid: Grid, state: LayerState | None = None
    ) -> Float[Tensor, "b t n width"]:
        """Return the attended tokens, without the residual.

        Args:
            x: Tokens of a clip, or of the next frame of a stream.
            grid: Rows and columns of the tokens of a frame.
            state: State after the previous frames, updated in place with this frame; None means a clip.
        """
        t, n = x.shape[1:3]
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        k = self.associate(k, grid, None if state is None else state.keys)
        v = self.associate(v, grid, None if state is None else state.values)
        q, k, v = (fold(tokens, self.span, self.heads) for tokens in (q, k, v))
        attend = self.mechanism if state is None else state.attend
        attended = attend(q, k, v, Extent.over(self.span, t, grid))
        return self.projection(unfold(attended, self.span, t=t, n=n))


def associate(
    x: Float[Tensor, "b t n width"],
    grid: Grid,
    *,
    span: Span,
    shift_div: int,
    stream: CausalAssociation | None = None,
) -> Float[Tensor, "b t n width"]:
    """Let keys or values borrow channels from neighbors: of frames unless attention is over time, of locations unless
    it is over space.

    Args:
        x: Keys or values of a clip, or of the next frame of a stream.
        grid: Rows and columns of the tokens of a frame.
        span: Which tokens attend to each other.
        shift_div: 1/shift_div of the channels come from each neighboring frame.
        stream: Association that holds the previous frame of a stream; None for a clip.
    """
    if span != "time":
        x = temporal_association(x, shift_div=shift_div) if stream is None else stream.update(x)
    if span != "space":
        x = spatial_association(x, grid=grid)
    return x


class ConvolutionalMLP(nn.Module):
    """Mix channels, and mix neighboring tokens of a frame, which tells each token its position.

    out = W₂ GELU(DWConv₃ₓ₃(W₁ x)), with the depthwise convolution on the grid and zeros outside

    Args:
        width: Channels of a token.
        hidden: Channels of the hidden layer.
        convolution: Whether to convolve. Without the convolution, this is the usual MLP, and tokens do not know their
            position.

    Source: arXiv 2210.08164; the option to leave out the convolution is an addition.
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
        # b·t pictures of h × w tokens: this view is channels-last in memory, and stays so
        hidden = rearrange(self.expand(x), "b t (h w) width -> (b t) width h w", h=grid.rows)
        hidden = rearrange(self.convolution(hidden), "(b t) width h w -> b t (h w) width", t=t)
        return self.contract(F.gelu(hidden))


class Block(nn.Module):
    """Attention layers in order, then the MLP, each behind its own LayerNorm (eps 1e-6) and added to its input.

    x ← x + attention(LayerNorm(x)) for each attention, then x ← x + MLP(LayerNorm(x))

    Args:
        attention: Dictionary from span to attention layer, in the order of application: time before space in divided
            attention.
        width: Channels of a token.
        mlp: MLP at the end of the block.

    Source: arXiv 2210.08164.
    """

    def __init__(self, attention: dict[Span, SpaceTimeAttention], *, width: int, mlp: ConvolutionalMLP):
        super().__init__()
        self.attention = nn.ModuleDict(attention)  # type: ignore[arg-type]
        self.attention_norm = nn.ModuleDict({span: nn.LayerNorm(width, eps=1e-6) for span in attention})
        self.mlp = mlp
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(
        self, x: Float[Tensor, "b t n width"], grid: Grid, state: BlockState | None = None
    ) -> Float[Tensor, "b t n width"]:
        """Return the tokens after this block.

        Args:
            x: Tokens of a clip, or of the next frame of a stream.
            grid: Rows and columns of the tokens of a frame.
            state: State of each attention layer after the previous frames; None means a clip.
        """
        for span, attention in self.attention.items():
            layer_state = None if state is None else state[cast(Span, span)]
            x = x + attention(self.attention_norm[span](x), grid, layer_state)
        return x + self.mlp(self.mlp_norm(x), grid)
