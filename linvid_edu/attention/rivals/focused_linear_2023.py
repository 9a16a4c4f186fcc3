"""Focused linear attention (FLatten Transformer): a power of ReLU features that keeps their length sharpens the map."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting

EPS = 1e-6


def focused_linear(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n2 d"],
    v: Float[Tensor, "b heads n2 d"],
    scale: Float[Tensor, "*scale"],
    focusing_factor: int | float = 3,
    conv_weight: Float[Tensor, "*kernel"] | None = None,
    conv_bias: Float[Tensor, "d"] | None = None,
    grid_height: int | None = None,
    grid_width: int | None = None,
) -> Float[Tensor, "b heads n d"]:
    """Average the values by products of focused features, and add a depthwise convolution of the values.

    x ← (ReLU(x) + 1e-6) / softplus(scale), φ(x) = x^f · |x| / |x^f|, the power channel by channel
    out = φ(q) (φ(k)ᵀ v / n) / (φ(q) · Σ_j φ(k_j) / n + 1e-6) [+ DWConv(v)]

    Both norms run over all heads · d channels of a token, so heads are coupled: a quirk of the published code, kept.

    2·N·d² multiplications, with the convolution N·d·side² more; state d² + d. Rows of the map sum to 1, or less where a
    head holds so little of its query that 1e-6·N counts; no weight is negative. The convolution stands beside the map
    and can raise the rank of what is computed.

    Args:
        q, k, v: any range; no 1/√d is applied.
        scale: the raw learned parameter, (heads, d); 0 to begin with.
        focusing_factor: f, above 0; 1 leaves directions as they are.
        conv_weight: (d, 1, side, side), one kernel for each channel of a head, the same for all heads; side is odd.
            None means no convolution.
        conv_bias: of the convolution.
        grid_height, grid_width: how the tokens lie, row by row; needed with the convolution.

    Raises:
        ValueError: a shape that does not fit, or a convolution without a grid.

    Source: FLatten Transformer: Vision Transformer using Focused Linear Attention, 2023, arXiv 2308.00442. Differs from
    the published layer: its learned position encoding of k is left out; add it to k before.
    """
    phi_q, phi_k = focused_features(q, k, scale, focusing_factor)
    out = Products(phi_q, phi_k, eps=EPS * k.shape[-2]).attend(v)
    if conv_weight is None:
        return out
    if grid_height is None or grid_width is None:
        raise ValueError("conv_weight needs to know how tokens lie: pass grid_height and grid_width")
    return out + convolve(v, conv_weight, conv_bias, Extent(1, grid_height, grid_width))


def focused_features(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n2 d"],
    scale: Float[Tensor, "*scale"],
    focusing_factor: int | float = 3,
) -> tuple[Float[Tensor, "b heads n d"], Float[Tensor, "b heads n2 d"]]:
    """Compute φ(q) and φ(k); the arguments are those of ``focused_linear``."""
    heads, d = q.shape[1], q.shape[-1]
    if scale.shape != (heads, d):
        raise ValueError(
            f"scale has shape {tuple(scale.shape)}, q has {heads} heads of {d} channels: pass ({heads}, {d})"
        )
    if not focusing_factor > 0:
        raise ValueError(f"focusing_factor={focusing_factor} must be above 0: 3 is the published value, 1 does nothing")
    features = []
    for x in (q, k):
        x = (F.relu(x) + EPS) / F.softplus(scale).unsqueeze(1)
        # φ does not notice the scale of what is raised: the largest is 1, so that no power underflows
        powered = (x / x.detach().amax(dim=(1, 3), keepdim=True)) ** focusing_factor
        lengths = (part.square().sum(dim=(1, 3), keepdim=True).sqrt() for part in (x, powered))  # over heads as well
        length, powered_length = lengths
        features.append(powered * (length / powered_length))
    return features[0], features[1]


def convolve(
    v: Float[Tensor, "b heads n d"],
    weight: Float[Tensor, "*kernel"],
    bias: Float[Tensor, "d"] | None,
    extent: Extent,
) -> Float[Tensor, "b heads n d"]:
    """Convolve the values of every head and frame, channel by channel, with zeros outside.

    Raises:
        ValueError: the tokens do not lie so, or the kernel has another width or an even side.
    """
    extent.expect(v.shape[-2])
    d, side = v.shape[-1], weight.shape[-1]
    if weight.shape != (d, 1, side, side) or side % 2 == 0:
        raise ValueError(
            f"conv_weight has shape {tuple(weight.shape)}, v has {d} channels: pass ({d}, 1, side, side) with odd side"
        )
    sizes = {"b": len(v), "heads": v.shape[1], "t": extent.t}
    pictures = rearrange(v, "b heads (t h w) d -> (b heads t) d h w", t=extent.t, h=extent.h)
    pictures = F.conv2d(pictures, weight, bias, padding=side // 2, groups=d)
    return rearrange(pictures, "(b heads t) d h w -> b heads (t h w) d", **sizes)


def focused_linear_map(
    q: Tensor, k: Tensor, scale: Tensor, focusing_factor: int | float = 3
) -> Float[Tensor, "b heads n n2"]:
    """Return the explicit map of ``focused_linear``, without the convolution: that part is no average."""
    features = []
    for x in (q, k):
        positive = (F.relu(x) + EPS) / torch.log1p(torch.exp(scale))[None, :, None, :]
        tokens = rearrange(positive, "b heads n d -> b n (heads d)")
        powered = tokens**focusing_factor
        focused = powered / powered.norm(dim=-1, keepdim=True) * tokens.norm(dim=-1, keepdim=True)
        features.append(rearrange(focused, "b n (heads d) -> b heads n d", heads=q.shape[1]))
    similarity = features[0] @ features[1].mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + EPS * k.shape[-2])


def focused_linear_oracle(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: Tensor,
    focusing_factor: int | float = 3,
    conv_weight: Tensor | None = None,
    conv_bias: Tensor | None = None,
    grid_height: int | None = None,
    grid_width: int | None = None,
) -> Tensor:
    """Compute ``focused_linear`` the long way: the explicit map, and the convolution tap by tap."""
    out = focused_linear_map(q, k, scale, focusing_factor) @ v
    if conv_weight is None:
        return out
    image = rearrange(v, "b heads (h w) d -> b heads h w d", h=grid_height, w=grid_width)
    side = conv_weight.shape[-1]
    padded = F.pad(image, (0, 0, side // 2, side // 2, side // 2, side // 2))
    convolved = torch.zeros_like(image) if conv_bias is None else conv_bias.expand_as(image).clone()
    for down in range(side):
        for right in range(side):
            moved = padded[:, :, down : down + image.shape[2], right : right + image.shape[3]]
            convolved = convolved + moved * conv_weight[:, 0, down, right]
    return out + rearrange(convolved, "b heads h w d -> b heads (h w) d")


class FocusedLinear(KernelRival):
    """``focused_linear`` as a layer.

    Args:
        setting: where it stands.
        focusing_factor: f.
        side: of the depthwise convolution of v, odd, 5 in the paper; None leaves it out: the map is all there is then.
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

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        return focused_features(q, k, self.scale, self.focusing_factor)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features with the eps of this function."""
        return Products(phi_q, phi_k, eps=EPS * phi_k.shape[-2])

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values, and the convolved ones added where there is a convolution."""
        out = super().forward(q, k, v, extent)
        if self.convolution is None:
            return out
        extent = extent or Extent(1, 1, q.shape[-2])
        return out + convolve(v, self.convolution.weight, self.convolution.bias, extent)
