"""SANA-Video's feed-forward: a gated convolution in each frame, then one over time. It is not an attention."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Extent, Float

from .weights import DepthwiseWeights, LinearWeights


class MixFFNWeights(NamedTuple):
    """The learned weights of ``sana_video_mixffn``, with a hidden width of M channels.

    expand: layer from width to 2·M channels, for value and gate
    depthwise: convolution of each of these channels
    project: weight without bias from M to width channels, (width, M)
    temporal: convolution over time between all channels, (out, in, taps). It is 0 at the start of training in the
        released code, so that an image model is unchanged at first.
    """

    expand: LinearWeights
    depthwise: DepthwiseWeights
    project: Float[Tensor, "width hidden"]
    temporal: Float[Tensor, "width width taps"]


def sana_video_mixffn(
    x: Float[Tensor, "b tokens width"], weights: MixFFNWeights, t: int, h: int, w: int
) -> Float[Tensor, "b tokens width"]:
    """Mix channels, neighbors in the frame and neighboring frames.

    u = DWConv(SiLU(expand(x))) in each frame, zeros outside; y = (u₁ ∘ SiLU(u₂)) Pᵀ with u₁, u₂ the halves of u;
    out_f = y_f + Σ_i T_i y_{f + i − ⌊taps/2⌋}, zeros outside the clip

    For N tokens it takes N·(2M·width + 2M·side² + M·width + taps·width²) multiplications and keeps about
    N·(4·M + 3·width) numbers at the same time. It reads later frames too, so it does not stream.

    Args:
        x: Tokens frame by frame, row by row. The caller adds the residual connection around this function.
        weights: Learned weights.
        t, h, w: Frames, rows and columns.

    Raises:
        ValueError: If the grid does not hold the tokens, the number of expanded channels is odd, or the side is even.

    Source: SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer, 2025, arXiv 2509.24695.
    """
    Extent(t, h, w).expect(x.shape[-2])
    check_mixffn(weights)
    taps = weights.temporal.shape[-1]
    u = rearrange(F.silu(weights.expand(x)), "b (t h w) hidden -> (b t) hidden h w", t=t, h=h)
    value, gate = rearrange(weights.depthwise(u), "(b t) hidden h w -> b t (h w) hidden", t=t).chunk(2, dim=-1)
    y = rearrange(F.linear(value * F.silu(gate), weights.project), "b t n width -> (b n) width t")
    padded = F.pad(y, (taps // 2, taps - 1 - taps // 2))
    return rearrange(y + F.conv1d(padded, weights.temporal), "(b n) width t -> b (t n) width", b=len(x))


def check_mixffn(weights: MixFFNWeights) -> None:
    """Raise ValueError if the weights of ``sana_video_mixffn`` have impossible shapes."""
    expanded, side, taps = len(weights.expand.weight), weights.depthwise.side, weights.temporal.shape[-1]
    if expanded % 2:
        raise ValueError(f"expand makes {expanded} channels, but value and gate need half of them each: make it even")
    if side % 2 == 0:
        raise ValueError(f"depthwise has side {side}: choose an odd side, so that the kernel has a center")
    if taps < 1:
        raise ValueError("temporal has 0 taps: pass at least 1")


def sana_video_mixffn_oracle(x: Tensor, weights: MixFFNWeights, t: int, h: int, w: int) -> Tensor:
    """Compute ``sana_video_mixffn`` token by token and tap by tap."""
    kernel, bias = weights.depthwise
    expanded = F.silu(x @ weights.expand.weight.mT + weights.expand.bias).unflatten(1, (t, h, w))
    side, hidden = kernel.shape[-1], weights.project.shape[-1]
    frames = []
    for f in range(t):
        tokens = []
        for row in range(h):
            for column in range(w):
                u = x.new_zeros(len(x), len(kernel)) if bias is None else bias.expand(len(x), -1)
                for i in range(side):
                    for j in range(side):
                        y, z = row + i - side // 2, column + j - side // 2
                        if 0 <= y < h and 0 <= z < w:
                            u = u + kernel[:, i, j] * expanded[:, f, y, z]
                tokens.append((u[:, :hidden] * F.silu(u[:, hidden:])) @ weights.project.mT)
        frames.append(torch.stack(tokens, dim=1))
    out, taps = [], weights.temporal.shape[-1]
    for f in range(t):
        mixed = frames[f]
        for i in range(taps):
            if 0 <= f + i - taps // 2 < t:
                mixed = mixed + frames[f + i - taps // 2] @ weights.temporal[:, :, i].mT
        out.append(mixed)
    return torch.cat(out, dim=1)
