"""Quirks of the rivals with features φ(q), φ(k): released code compared with the plain way, on given tokens.

Every function takes q, k, v (1 heads N d) of a clip of FRAMES and returns a row for each quirk.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention import rivals
from linvid_edu.attention.functions import attention_map
from linvid_edu.attention.rivals.base import Products
from linvid_edu.attention.rivals.cosformer_2022 import cosformer_features
from linvid_edu.attention.rivals.focused_linear_2023 import focused_features
from linvid_edu.attention.rivals.performer_2020 import performer_features
from linvid_edu.attention.rivals.sana_video_attention_2025 import rotary_angles, rotary_widths, rotate
from linvid_edu.shapes import Extent

FRAMES = Extent(8, 8, 8)
FRAME = FRAMES.h * FRAMES.w
DIFFERENCE = "largest difference"


class Row(NamedTuple):
    """One number: the rival, what is compared, the number, and what kind of number it is."""

    rival: str
    quirk: str
    number: float
    what: str = DIFFERENCE


def change(plain: Tensor, released: Tensor) -> float:
    """Return the largest difference of two outputs, relative to the largest value of the first."""
    return ((released - plain).abs().max() / plain.abs().max()).item()


def merged(x: Tensor) -> Tensor:
    """Return all heads of a token side by side."""
    return rearrange(x, "b heads n d -> b n (heads d)")


def performer(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure the feature offset and the maximum c, for the tokens as they are and a tenth as long."""
    d = q.shape[-1]
    w = rivals.orthogonal_projection(44, d, torch.Generator().manual_seed(0)).to(q)
    rows = []
    for suffix, length in (("", 1.0), (", tokens a tenth as long", 0.1)):
        short_q, short_k = length * q, length * k
        scaled = [x * d**-0.25 for x in (short_q, short_k)]
        unbiased = [(x @ w.mT - x.square().sum(dim=-1, keepdim=True) / 2).exp() for x in scaled]
        released = rivals.performer(short_q, short_k, v, w)
        softmax = attention_map(short_q, short_k) @ v
        louder = torch.cat([short_k, 2 * short_k.amax(dim=2, keepdim=True)], dim=2)
        phi_q, phi_k = performer_features(short_q, louder, w)
        raised = Products(phi_q, phi_k[:, :, : k.shape[2]], eps=0).attend(v)
        rows += [
            Row(
                "performer",
                f"eps 1e-4, not 1e-6{suffix}",
                change(rivals.performer(short_q, short_k, v, w, 1e-6), released),
            ),
            Row(
                "performer",
                f"with c and eps, not unbiased{suffix}",
                change(Products(*unbiased, eps=0).attend(v), released),
            ),
            Row("performer", f"estimate with 44 features, not softmax attention{suffix}", change(softmax, released)),
            Row(
                "performer", f"c raised by a longer key, whose own weight is left out{suffix}", change(released, raised)
            ),
        ]
    return rows


def cosformer(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure the floor of the normalizer, the dependence on the number of tokens, and the order of the line."""
    released = rivals.cosformer(q, k, v)
    added = Products(*cosformer_features(q, k), eps=1e-6).attend(v)
    longer = rivals.cosformer(*(F.pad(x, (0, 0, 0, x.shape[2])) for x in (q, k, v)))[:, :, : q.shape[2]]
    sizes = {"t": FRAMES.t, "h": FRAMES.h}
    rotated = (rearrange(x, "b heads (t h w) d -> b heads (t w h) d", **sizes) for x in (q, k, v))
    columns = rearrange(rivals.cosformer(*rotated), "b heads (t w h) d -> b heads (t h w) d", **sizes)
    return [
        Row("cosformer", "eps a floor, not added", change(added, released)),
        Row("cosformer", "zeros behind the clip, as many as it has tokens", change(released, longer)),
        Row("cosformer", "frames flattened row by row, not column by column", change(columns, released)),
    ]


def focused_linear(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure the coupling of heads and the offset of the normalizer."""
    scale = torch.zeros(q.shape[1], q.shape[-1], dtype=q.dtype)
    released = rivals.focused_linear(q, k, v, scale)
    heads = zip(*(x.split(1, dim=1) for x in (q, k, v)), scale.split(1), strict=True)
    separate = torch.cat([rivals.focused_linear(*head) for head in heads], dim=1)
    exact = Products(*focused_features(q, k, scale), eps=0).attend(v)
    return [
        Row("focused_linear", "lengths over all heads, not each", change(separate, released)),
        Row("focused_linear", "1e-6·N added to the normalizer", change(exact, released)),
    ]


def sana_relu_linear(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure queries without features, and the normalization that the function leaves to its caller."""
    normed = (F.rms_norm(merged(x), merged(x).shape[-1:]) for x in (q, k))
    normed_q, normed_k = (rearrange(x, "b n (heads d) -> b heads n d", heads=q.shape[1]) for x in normed)
    plain, released = rivals.sana_relu_linear(q, k, v), rivals.sana_relu_linear(normed_q, normed_k, v)
    dead = (q.relu().sum(dim=-1) == 0).double().mean().item()
    return [
        Row("sana_relu_linear", "queries that get zeros", dead, "share of queries"),
        Row("sana_relu_linear", "RMSNorm of q and k before, not as they are", change(plain, released)),
    ]


def sana_video_attention(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure the rotation: where it is applied, in which precision, and how its table is split."""
    features, angles = [x.relu() for x in (q, k)], rotary_angles(FRAMES, q.shape[-1])
    released = rivals.sana_video_attention(q, k, v, *FRAMES)
    weights = rivals.sana_video_attention_map(q, k, *FRAMES)

    def attend(rotated: list[Tensor], weigh: list[Tensor]) -> Tensor:
        return Products(*rotated, *weigh, eps=1e-15).attend(v)

    rotated = [rotate(x, angles) for x in features]
    single = [rotate(x.float(), angles.float()).double() for x in features]
    asked, cut = (attend([rotate(x, table) for x in features], features) for table in tables((4, 6, 6)))
    both = attend(rotated, rotated)
    below = ((rotated[0] * rotated[1].sum(dim=2, keepdim=True)).sum(dim=-1) < 0).double().mean().item()
    negative = (weights.clamp(max=0).abs().sum() / weights.abs().sum()).item()
    return [
        Row(
            "sana_video_attention", "rotation in both, relative to that in the numerator alone", change(released, both)
        ),
        Row("sana_video_attention", "normalizers that rotation in both puts below 0", below, "share of queries"),
        Row("sana_video_attention", "least sum of a row", weights.sum(dim=-1).min().item(), "sum"),
        Row("sana_video_attention", "greatest sum of a row", weights.sum(dim=-1).max().item(), "sum"),
        Row("sana_video_attention", "weights below 0", negative, "share of all |weights|"),
        Row("sana_video_attention", "rotation in float64, not float32", change(attend(single, features), released)),
        Row("sana_video_attention", "asked for widths 4, 6, 6 and cut at 8, 4, 4", change(asked, cut)),
    ]


def tables(widths: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Return the angles for these shares of frame, row and column, split there and split as in the released class."""
    places = torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64) for size in FRAMES))
    speeds = torch.cat([10000.0 ** (-torch.arange(0, m, 2, dtype=torch.float64) / m) for m in widths])
    default = rotary_widths(sum(widths))
    asked, cut = (places.repeat_interleave(torch.tensor(split) // 2, dim=1) * speeds for split in (widths, default))
    return asked, cut


def sana_block_causal(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Measure what the sums of one block leave out, and the cost of keeping a pair of sums for each block."""
    angles = rotary_angles(FRAMES, q.shape[-1])
    rotated_q, rotated_k = (rotate(x.relu(), angles) for x in (q, k))
    blocks = list(zip(*(x.split(FRAME, dim=2) for x in (rotated_q, rotated_k, q.relu(), k.relu(), v)), strict=True))
    pairs = [(b.mT @ value, weigh.sum(dim=2, keepdim=True)) for _, b, _, weigh, value in blocks]
    own = [
        a @ s / ((weigh * z).sum(dim=-1, keepdim=True) + 1e-15)
        for (a, _, weigh, _, _), (s, z) in zip(blocks, pairs, strict=True)
    ]
    ours = rivals.sana_block_causal(q, k, v, *FRAMES, list(range(FRAMES.t)))
    kept = sum(s.numel() + z.numel() for s, z in pairs) / sum(x.numel() for x in pairs[0])
    return [
        Row("sana_block_causal", "a block's own sums, without those before", change(ours, torch.cat(own, dim=2))),
        Row("sana_block_causal", "numbers kept after 8 blocks, over those of a running sum", kept, "ratio"),
    ]


def measure(q: Tensor, k: Tensor, v: Tensor) -> list[Row]:
    """Return every row of these rivals."""
    functions = (performer, cosformer, focused_linear, sana_relu_linear, sana_video_attention, sana_block_causal)
    return [row for function in functions for row in function(q, k, v)]
