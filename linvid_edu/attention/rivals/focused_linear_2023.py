"""Focused linear attention (FLatten Transformer): powers of ReLU features, at fixed length, sharpen the map."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.shapes import Extent, Float, Grid

from .base import Facts, KernelRival, Products, Setting
from .weights import DepthwiseWeights

FOCUSED_OFFSET = 1e-6  # added to each feature, and N times to the normalizer


def focused_linear(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d"],
    scale: Float[Tensor, "heads d"],
    focusing_factor: int | float = 3,
    convolution: DepthwiseWeights | None = None,
    grid: Grid | None = None,
) -> Float[Tensor, "b heads n d"]:
    """Average the values by products of focused features, and add a depthwise convolution of the values.

    x ← (ReLU(x) + 1e-6) / softplus(scale), φ(x) = x^p · |x| / |x^p|, the power channel by channel
    out = φ(q) (φ(k)ᵀ v / N) / (φ(q) · Σ_j φ(k_j) / N + 1e-6) [+ DWConv(v)]

    Both norms are taken over all heads · d channels of a token, so the heads depend on each other. This is a quirk of
    the published code, kept on purpose.

    It takes 2·N·d² multiplications, N·d·side² more with the convolution, and has a state of d² + d numbers. Rows of the
    map sum to 1, or to less if the features of a query in one head are so small that 1e-6·N matters. No weight is
    negative. The convolution is not part of the map, and can raise the rank of the whole operation.

    Args:
        q, k, v: Queries, keys and values, any range; no 1/√d is applied.
        scale: Learned parameter before softplus, (heads, d); 0 at the start of training.
        focusing_factor: p, above 0; 1 leaves directions unchanged.
        convolution: Kernels for the d channels of a head, shared by all heads; None means no convolution.
        grid: Rows and columns of the tokens; required with a convolution.

    Raises:
        ValueError: If a shape does not fit, or a convolution has no grid.

    Source: FLatten Transformer: Vision Transformer using Focused Linear Attention, 2023, arXiv 2308.00442. Differs from
    the published layer: its learned position encoding of k is left out. To use one, add it to k before the call.
    """
    phi_q, phi_k = focused_features(q, k, scale, focusing_factor)
    out = Products(phi_q, phi_k, eps=FOCUSED_OFFSET * k.shape[-2]).attend(v)
    if convolution is None:
        return out
    if grid is None:
        raise ValueError("convolution needs the arrangement of the tokens: pass grid")
    return out + convolve(v, convolution, Extent(1, *grid))


def focused_features(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    scale: Float[Tensor, "heads d"],
    focusing_factor: int | float = 3,
) -> tuple[Float[Tensor, "b heads n d"], Float[Tensor, "b heads m d"]]:
    """Compute φ(q) and φ(k); the arguments are those of ``focused_linear``."""
    heads, d = q.shape[1], q.shape[-1]
    if scale.shape != (heads, d):
        raise ValueError(
            f"scale has shape {tuple(scale.shape)}, q has {heads} heads of {d} channels: pass ({heads}, {d})"
        )
    if not focusing_factor > 0:
        raise ValueError(f"focusing_factor={focusing_factor} must be above 0: 3 is the published value, 1 does nothing")
    phi_q, phi_k = (
        _focus((F.relu(x) + FOCUSED_OFFSET) / F.softplus(scale).unsqueeze(1), focusing_factor) for x in (q, k)
    )
    return phi_q, phi_k


def _focus(x: Float[Tensor, "b heads n d"], power: int | float) -> Float[Tensor, "b heads n d"]:
    """Raise positive channels to a power, and rescale each token to its earlier length, taken over all heads."""
    # the scale of x cancels, so dividing by the largest channel prevents underflow and changes nothing else
    powered = (x / x.detach().amax(dim=(1, 3), keepdim=True)) ** power
    return powered * (_token_length(x) / _token_length(powered))


def _token_length(x: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b 1 n 1"]:
    return x.square().sum(dim=(1, 3), keepdim=True).sqrt()


def convolve(
    v: Float[Tensor, "b heads n d"], convolution: DepthwiseWeights, extent: Extent
) -> Float[Tensor, "b heads n d"]:
    """Convolve the values of every head and frame, channel by channel, with zeros outside.

    Raises:
        ValueError: If the extent does not hold the tokens, or the kernels have another width or an even side.
    """
    extent.expect(v.shape[-2])
    d, side = v.shape[-1], convolution.side
    if convolution.weight.shape != (d, side, side) or side % 2 == 0:
        raise ValueError(
            f"convolution has kernels of shape {tuple(convolution.weight.shape)}, v has {d} channels: pass "
            f"({d}, side, side) with an odd side"
        )
    b, heads, t, h, _ = *v.shape[:2], *extent
    pictures = rearrange(v, "b heads (t h w) d -> (b heads t) d h w", t=t, h=h)
    return rearrange(convolution(pictures), "(b heads t) d h w -> b heads (t h w) d", b=b, heads=heads)


def focused_linear_map(
    q: Tensor, k: Tensor, scale: Tensor, focusing_factor: int | float = 3
) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``focused_linear`` without the convolution, which is not an average."""
    features = []
    for x in (q, k):
        positive = (F.relu(x) + FOCUSED_OFFSET) / torch.log1p(torch.exp(scale))[None, :, None, :]
        tokens = rearrange(positive, "b heads n d -> b n (heads d)")
        powered = tokens**focusing_factor
        focused = powered / powered.norm(dim=-1, keepdim=True) * tokens.norm(dim=-1, keepdim=True)
        features.append(rearrange(focused, "b n (heads d) -> b heads n d", heads=q.shape[1]))
    similarity = features[0] @ features[1].mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + FOCUSED_OFFSET * k.shape[-2])


def focused_linear_oracle(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: Tensor,
    focusing_factor: int | float = 3,
    convolution: DepthwiseWeights | None = None,
    grid: Grid | None = None,
) -> Tensor:
    """Compute ``focused_linear`` through its explicit map, and the convolution tap by tap."""
    out = focused_linear_map(q, k, scale, focusing_factor) @ v
    if convolution is None or grid is None:
        return out
    picture = rearrange(v, "b heads (h w) d -> b heads h w d", h=grid.rows)
    side = convolution.side
    padded = F.pad(picture, (0, 0, side // 2, side // 2, side // 2, side // 2))
    convolved = torch.zeros_like(picture)
    for down in range(side):
        for right in range(side):
            moved = padded[:, :, down : down + grid.rows, right : right + grid.columns]
            convolved = convolved + moved * convolution.weight[:, down, right]
    if convolution.bias is not None:
        convolved = convolved + convolution.bias
    return out + rearrange(convolved, "b heads h w d -> b heads (h w) d")


class FocusedLinear(KernelRival):
    """``focused_linear`` as a layer.

    Args:
        setting: Place in the model.
        focusing_factor: p, the power of the features.
        side: Side of the depthwise convolution of v, odd, 5 in the paper; None means no convolution, so the layer
            computes its map and nothing else.
    """

    facts = Facts(
        "FLatten Transformer: Vision Transformer using Focused Linear Attention",
        2023,
        "2308.00442",
        rows="1, less where a head holds little of the query: 1e-6·N is added",
        signs="never negative",
        rank="d",
        operations="2·N·d²",
        memory="2·N·d + d²",
        sees="content alone; heads are coupled",
    )
    function = staticmethod(focused_linear)

    def __init__(self, setting: Setting, *, focusing_factor: int | float = 3, side: int | None = None):
        super().__init__(setting, features=setting.head_width)
        if side is not None and (side < 1 or side % 2 == 0):
            raise ValueError(f"side={side} must be odd and at least 1: 5 is the paper's")
        self.focusing_factor, d = focusing_factor, setting.head_width
        self.scale = nn.Parameter(torch.zeros(setting.heads, d))
        self.convolution = None if side is None else nn.Conv2d(d, d, side, groups=d)
        if side is not None:
            self.not_streaming = f"side={side} adds a convolution to its sums"

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        return focused_features(q, k, self.scale, self.focusing_factor)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features with the eps of this function."""
        return Products(phi_q, phi_k, eps=FOCUSED_OFFSET * phi_k.shape[-2])

    def stream_products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent, seen: int) -> Products:
        """Return the features with an eps that is proportional to the number of keys so far."""
        return Products(phi_q, phi_k, eps=FOCUSED_OFFSET * (seen + phi_k.shape[-2]))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values, plus the convolved values if there is a convolution."""
        out = super().forward(q, k, v, extent)
        if self.convolution is None:
            return out
        weights = DepthwiseWeights(self.convolution.weight.squeeze(1), self.convolution.bias)
        return out + convolve(v, weights, extent or Extent(1, 1, q.shape[-2]))
