"""DW-ViT's whole layer: projections, attention in windows of several sizes, and a gate that weights their outputs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float

from .dynamic_window_2022 import dynamic_window_attention, dynamic_window_attention_map
from .weights import LinearWeights


class DynamicWindowWeights(NamedTuple):
    """The learned weights of ``dynamic_window``, for G windows.

    qkv: layer from width to 3·width channels: queries, keys and values
    relative_bias: tables of all windows stacked, as for ``dynamic_window_attention``
    mix: layer from width to width channels
    squeeze: layer from width to any number of channels, ⌊width / (2·G)⌋ in the paper
    excite: layer from the squeezed channels to width channels, which gate the branches
    head: layer from the width / G channels of a branch to width channels
    """

    qkv: LinearWeights
    relative_bias: Float[Tensor, "offsets group_heads"]
    mix: LinearWeights
    squeeze: LinearWeights
    excite: LinearWeights
    head: LinearWeights


def dynamic_window(
    x: Float[Tensor, "b n width"],
    weights: DynamicWindowWeights,
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
    heads: int,
) -> Float[Tensor, "b n width"]:
    """Compute the whole layer: project, attend in windows of several sizes, and weight these branches by a gate.

    y = dynamic_window_attention(q, k, v) with heads merged, y_g its channels of group g; m = mix(y);
    z = GELU(squeeze(mean over tokens of GELU(m))); gate = softmax over g of excite(z); out = m + head(Σ_g gate_g ∘ y_g)

    All tokens of a frame share one gate: the gate is dynamic, the windows are not. The layer cannot replace attention
    to given q, k, v, and has no map, because the gate depends on the output. It takes
    N·width·(4·width + width/G + 2·side²) multiplications for G sizes of windows and keeps about
    N·(5·width + heads·side²) numbers at the same time.

    Args:
        x: Tokens of one frame, row by row.
        weights: Learned weights.
        h, w, windows, shifts: Arguments of ``dynamic_window_attention``.
        heads: Number of heads, a divisor of width and a multiple of the number of windows.

    Raises:
        ValueError: If heads does not divide width, or for any of the reasons listed for ``dynamic_window_attention``.

    Source: arXiv 2203.12856. Differs from the paper in the same way as the released code: the gated sum uses y, not m.
    """
    width, groups = x.shape[-1], len(windows)
    if heads < 1 or width % heads:
        raise ValueError(f"heads={heads} do not divide {width} channels: choose a divisor")
    if len(weights.excite.weight) != width:
        raise ValueError(
            f"weights.excite makes {len(weights.excite.weight)} channels of {width}: make one for each channel"
        )
    q, k, v = rearrange(weights.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=heads)
    y = dynamic_window_attention(q, k, v, weights.relative_bias, h, w, windows, shifts)
    y = rearrange(y, "b heads n d -> b n (heads d)")
    mixed = weights.mix(y)
    gate = weights.excite(F.gelu(weights.squeeze(F.gelu(mixed).mean(dim=1))))  # (b width)
    gate = rearrange(gate, "b (groups channels) -> b 1 groups channels", groups=groups).softmax(dim=2)
    branches = rearrange(y, "b n (groups channels) -> b n groups channels", groups=groups)
    return mixed + weights.head((gate * branches).sum(dim=2))


def dynamic_window_oracle(
    x: Tensor,
    weights: DynamicWindowWeights,
    h: int,
    w: int,
    windows: Sequence[int],
    shifts: Sequence[int],
    heads: int,
) -> Tensor:
    """Compute ``dynamic_window`` frame by frame and branch by branch, through the explicit map."""
    frames = []
    for tokens in x:  # (n width)
        width, groups = tokens.shape[-1], len(windows)
        qkv = (tokens @ weights.qkv.weight.mT + weights.qkv.bias).split(width, dim=-1)
        q, k, v = (torch.stack(channels.split(width // heads, dim=-1)).unsqueeze(0) for channels in qkv)
        attended = dynamic_window_attention_map(q, k, weights.relative_bias, h, w, windows, shifts) @ v
        y = torch.cat(list(attended[0]), dim=-1)
        mixed = y @ weights.mix.weight.mT + weights.mix.bias
        z = F.gelu(weights.squeeze.weight @ F.gelu(mixed).mean(dim=0) + weights.squeeze.bias)
        excited = torch.stack((weights.excite.weight @ z + weights.excite.bias).split(width // groups)).exp()
        gate = excited / excited.sum(dim=0)
        blended = sum(gate[g] * branch for g, branch in enumerate(y.split(width // groups, dim=-1)))
        frames.append(mixed + blended @ weights.head.weight.mT + weights.head.bias)
    return torch.stack(frames)
