"""SANA-Video's feed-forward: a gated convolution in each frame, then one over time. It is no attention."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Extent, Float


def sana_video_mixffn(
    x: Float[Tensor, "b n c"],
    expand_weight: Float[Tensor, "m2 c"],
    expand_bias: Float[Tensor, "m2"],
    depth_weight: Float[Tensor, "m2 k k"],
    depth_bias: Float[Tensor, "m2"],
    point_weight: Float[Tensor, "c m"],
    temporal_weight: Float[Tensor, "c c taps"],
    t: int,
    h: int,
    w: int,
) -> Float[Tensor, "b n c"]:
    """Mix channels, neighbors of a frame and neighboring frames.

    u = DWConv(SiLU(x Eᵀ + e)) + bias in each frame, zeros outside; y = (u₁ ∘ SiLU(u₂)) Pᵀ with u₁, u₂ its halves;
    out_f = y_f + Σ_i T_i y_{f + i − ⌊taps/2⌋}, zeros outside the clip

    N·(2m·c + 2m·k² + m·c + taps·c²) multiplications, about N·(4·m + 3·c) numbers at once: both linear in N. It reads
    later frames too, so it does not stream.

    Args:
        x: tokens frame by frame, row by row; the residual around the whole is the caller's.
        expand_weight, expand_bias: E and e, to 2m channels.
        depth_weight, depth_bias: of the depthwise convolution; k is odd. It has no activation but the gate's.
        point_weight: P.
        temporal_weight: T, (out, in, taps), dense over channels. Zero to begin with in the released code, so that an
            image model is unchanged at first.
        t, h, w: frames, rows, columns.

    Raises:
        ValueError: a grid that does not hold the tokens, an odd number of expanded channels, or an even kernel.

    Source: SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer, 2025, arXiv 2509.24695.
    """
    _check(x, expand_weight, depth_weight, temporal_weight, Extent(t, h, w))
    hidden = rearrange(F.silu(F.linear(x, expand_weight, expand_bias)), "b (t h w) m -> (b t) m h w", t=t, h=h)
    hidden = F.conv2d(
        hidden, depth_weight.unsqueeze(1), depth_bias, padding=depth_weight.shape[-1] // 2, groups=hidden.shape[1]
    )
    value, gate = rearrange(hidden, "(b t) m h w -> b t (h w) m", t=t).chunk(2, dim=-1)
    y = rearrange(F.linear(value * F.silu(gate), point_weight), "b t n c -> (b n) c t")
    taps = temporal_weight.shape[-1]
    padded = F.pad(y, (taps // 2, taps - 1 - taps // 2))
    return rearrange(y + F.conv1d(padded, temporal_weight), "(b n) c t -> b (t n) c", b=len(x))


def _check(x: Tensor, expand_weight: Tensor, depth_weight: Tensor, temporal_weight: Tensor, extent: Extent) -> None:
    extent.expect(x.shape[-2])
    if len(expand_weight) % 2:
        raise ValueError(f"expand_weight makes {len(expand_weight)} channels, value and gate need halves: make it even")
    if depth_weight.shape[-1] % 2 == 0:
        raise ValueError(f"depth_weight is {depth_weight.shape[-1]} wide: choose an odd side, so that it has a middle")
    if temporal_weight.shape[-1] < 1:
        raise ValueError("temporal_weight has 0 taps: pass at least 1")


def sana_video_mixffn_oracle(
    x: Tensor,
    expand_weight: Tensor,
    expand_bias: Tensor,
    depth_weight: Tensor,
    depth_bias: Tensor,
    point_weight: Tensor,
    temporal_weight: Tensor,
    t: int,
    h: int,
    w: int,
) -> Tensor:
    """Compute ``sana_video_mixffn`` the long way, token by token and tap by tap."""
    expanded = F.silu(x @ expand_weight.mT + expand_bias).unflatten(1, (t, h, w))
    side, m = depth_weight.shape[-1], len(point_weight.mT)
    frames = []
    for f in range(t):
        tokens = []
        for row in range(h):
            for column in range(w):
                u = depth_bias.expand(len(x), -1)
                for i in range(side):
                    for j in range(side):
                        y, z = row + i - side // 2, column + j - side // 2
                        if 0 <= y < h and 0 <= z < w:
                            u = u + depth_weight[:, i, j] * expanded[:, f, y, z]
                tokens.append((u[:, :m] * F.silu(u[:, m:])) @ point_weight.mT)
        frames.append(torch.stack(tokens, dim=1))
    out, taps = [], temporal_weight.shape[-1]
    for f in range(t):
        mixed = frames[f]
        for i in range(taps):
            if 0 <= f + i - taps // 2 < t:
                mixed = mixed + frames[f + i - taps // 2] @ temporal_weight[:, :, i].mT
        out.append(mixed)
    return torch.cat(out, dim=1)
