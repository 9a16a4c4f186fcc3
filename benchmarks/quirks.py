"""How much each quirk of the rivals' released code changes the output, on one clip.

    python benchmarks/quirks.py results/family/quirks.csv

Queries, keys and values are those of the first layer over space of the shipped model with linear attention, on the
sample clip motion_right_plain: 8 frames of 8 × 8 tokens in a row, 4 heads of 16 channels. Layers with weights of their
own get weights from seed 0. A difference is the largest difference of two outputs, relative to the largest output of
the first way; other measures are named in their row. docs/reconciliation.md says what the two ways are.
"""

import argparse
from pathlib import Path

import pandas
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu import linear_attention, record, rivals
from linvid_edu.attention import attention_map, feature_attention
from linvid_edu.checkpoint import load_model
from linvid_edu.files import atomic_path
from linvid_edu.rivals.cosformer import cosformer_features
from linvid_edu.rivals.focused_linear import focused_features
from linvid_edu.rivals.performer import performer_features
from linvid_edu.rivals.sana_video_attention import rotary_angles, rotate
from linvid_edu.tokens import Extent
from linvid_edu.video import load_clip

SAMPLES = Path(__file__).parents[1] / "data_samples"
T, H, W = 8, 8, 8


def tokens() -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values of the clip, (1 heads N e) each."""
    clip = load_clip(SAMPLES / "motion_right_plain.mp4", num_frames=T, size=32)
    model = load_model(SAMPLES / "checkpoints" / "linear.safetensors")
    with torch.no_grad(), record(model) as trace:
        model(clip.video.unsqueeze(0))
    layer = trace.blocks[0]["space"]
    q, k, v = (rearrange(part, "b heads t n e -> b heads (t n) e").double() for part in (layer.q, layer.k, layer.v))
    return q, k, v


def change(first: Tensor, second: Tensor) -> float:
    """Return the largest difference of two outputs, relative to the largest value of the first."""
    return ((second - first).abs().max() / first.abs().max()).item()


def kernels(q: Tensor, k: Tensor, v: Tensor) -> list[tuple[str, str, float, str]]:
    """Return a row for each quirk of the kernel rivals: rival, quirk, number, what it is."""
    w = rivals.orthogonal_projection(44, q.shape[-1], torch.Generator().manual_seed(0)).double()
    small_q, small_k = q / 10, k / 10  # short tokens, for which the estimate is good at all
    softmax = attention_map(small_q, small_k) @ v
    _, loud = performer_features(small_q, torch.cat([small_k, 5 * small_k[:, :, :1]], dim=2), w, 1e-4)
    quiet = performer_features(small_q, small_k, w, 1e-4)[1]
    scale = torch.zeros(q.shape[1], q.shape[-1], dtype=q.dtype)
    apart = torch.cat([rivals.focused_linear(*(x[:, [h]] for x in (q, k, v)), scale[[h]]) for h in range(4)], dim=1)
    focused_q, focused_k = focused_features(q, k, scale)
    cos = rivals.cosformer(q, k, v)
    half = rivals.cosformer(*(x[:, :, : 4 * H * W] for x in (q, k, v)))
    dead = (q.relu().sum(dim=-1) == 0).double().mean().item()
    normed = [F.rms_norm(rearrange(x, "b h n d -> b n (h d)"), (64,)) for x in (q, k)]
    normed_q, normed_k = (rearrange(x, "b n (h d) -> b h n d", h=4) for x in normed)
    angles = rotary_angles(Extent(T, H, W), q.shape[-1])
    turned = [rotate(x.relu(), angles) for x in (q, k)]
    both = feature_attention(*turned, v, eps=1e-15)
    video = rivals.sana_video_attention_map(q, k, T, H, W)
    ours = rivals.sana_video_attention(q, k, v, T, H, W)
    single = [rotate(x.relu().float(), angles.float()) for x in (q, k)]
    rounded = feature_attention(*single, v.float(), weigh_q=q.relu().float(), weigh_k=k.relu().float(), eps=1e-15)
    step = rivals.sana_block_causal(q, k, v, T, H, W, list(range(T)))
    alone = torch.cat(
        [
            rivals.sana_video_attention(*each, 1, H, W)
            for each in zip(*(x.split(H * W, 2) for x in (q, k, v)), strict=True)
        ],
        dim=2,
    )
    difference = "largest difference"
    return [
        ("performer", "eps 1e-4, 1e-6 in the paper's own code", _performers(small_q, small_k, v, w), difference),
        (
            "performer",
            "estimate against softmax attention, 44 features",
            change(softmax, _performer(small_q, small_k, v, w)),
            difference,
        ),
        ("performer", "features of a key when a loud key comes", change(quiet, loud[:, :, :-1]), difference),
        ("cosformer", "eps a floor, not added", change(cos, linear_attention_of_cosformer(q, k, v)), difference),
        (
            "cosformer",
            "the same tokens in a clip twice as long",
            change(half, cos[:, :, : 4 * H * W]),
            "difference, other tokens added",
        ),
        ("cosformer", "weight of the token below over that of the right neighbor", _below(), "ratio, equal content"),
        (
            "focused_linear",
            "lengths over all heads, not each",
            change(apart, rivals.focused_linear(q, k, v, scale)),
            difference,
        ),
        (
            "focused_linear",
            "1e-6·N added to the normalizer",
            change(feature_attention(focused_q, focused_k, v, eps=0), rivals.focused_linear(q, k, v, scale)),
            difference,
        ),
        ("sana_relu_linear", "queries that get zeros", dead, "share of queries"),
        (
            "sana_relu_linear",
            "with the normalization of q and k outside",
            change(rivals.sana_relu_linear(q, k, v), rivals.sana_relu_linear(normed_q, normed_k, v)),
            difference,
        ),
        ("sana_video_attention", "rotation in the numerator alone, not in both", change(ours, both), difference),
        ("sana_video_attention", "least sum of a row", video.sum(dim=-1).min().item(), "sum"),
        (
            "sana_video_attention",
            "negative weight",
            (video.clamp(max=0).abs().sum() / video.abs().sum()).item(),
            "share of |weight|",
        ),
        ("sana_video_attention", "rotation in float32, not float64", change(ours.float(), rounded), difference),
        ("sana_block_causal", "a block's own sums, without those before", change(step, alone), difference),
    ]


def _performer(q: Tensor, k: Tensor, v: Tensor, w: Tensor) -> Tensor:
    return rivals.performer(q, k, v, w, 1e-4)


def _performers(q: Tensor, k: Tensor, v: Tensor, w: Tensor) -> float:
    return change(rivals.performer(q, k, v, w, 1e-6), rivals.performer(q, k, v, w, 1e-4))


def linear_attention_of_cosformer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return cosFormer with its eps added to the normalizer."""
    return linear_attention(*cosformer_features(q, k), v, feature_map=lambda x: x, eps=1e-6)


def _below() -> float:
    """Return what cosFormer gives the token below, over what it gives the right neighbor, all tokens being equal."""
    row = rivals.cosformer_map(*torch.ones(2, 1, 1, H * W, 4))[0, 0, 0]
    return (row[W] / row[1]).item()


def others(q: Tensor, k: Tensor, v: Tensor) -> list[tuple[str, str, float, str]]:
    """Return a row for each quirk of landmarks, windows, queries and the feed-forward."""
    draw = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    mates = [torch.cat([x, 3 * x.flip(2)]) for x in (q, k, v)]
    alone, beside = rivals.nystrom(q, k, v, 16), rivals.nystrom(*mates, 16)[:1]
    exact = rivals.nystrom(*mates, 16, init="exact")[:1]
    sums = rivals.nystrom_map(q, k, 16).sum(dim=-1)
    first = torch.zeros(1, 4, dtype=torch.long)
    index = rivals.orthoformer_landmarks(q, first, 16)
    own = index[:, :, None, :4].expand(-1, -1, T, -1) // T
    shared = (own + H * W * torch.arange(T)[:, None]).flatten(2)
    frames = rivals.orthoformer_frames(q, k, v, own, T, shared_landmarks=False)
    keys_too = rivals.orthoformer_landmarks(torch.cat([q, k], dim=2), first, 16)
    grid = [rearrange(x, "1 heads (t n) d -> t heads n d", t=T) for x in (q, k, v)]
    six = [rearrange(x, "t heads (h w) d -> t heads h w d", h=H)[:, :, :6, :].flatten(2, 3) for x in grid]
    table = noise(49, 4)
    padded = rivals.dynamic_window_attention(*six, table, 6, W, [4], [0])
    masked = _masked(*six, table)
    x, weights = (
        grid[0].mean(dim=1),
        [noise(24, 16), noise(24), noise(24, 3, 3), noise(24), noise(16, 12), noise(16, 16, 3)],
    )
    clip = rearrange(x, "t n c -> 1 (t n) c")
    started = rivals.sana_video_mixffn(clip, *weights[:-1], 0 * weights[-1], T, H, W)
    trained = rivals.sana_video_mixffn(clip, *weights, T, H, W)
    free = [x, noise(8, 16), noise(12, 16), noise(12), noise(8, 12), noise(8)]
    hidden = F.relu(x.amax(dim=1) @ free[2].mT + free[3]) @ free[4].mT + free[5]
    averaged = torch.einsum("fir,ird->fid", hidden.unflatten(-1, (-1, 4)).softmax(-1), free[1].unflatten(0, (-1, 4)))
    scores = noise(1, 8, 6)
    picked = scores.flatten(1).topk(16).indices // 6
    difference = "largest difference"
    return [
        ("nystrom", 'init "original": beside another clip, not alone', change(alone, beside), difference),
        (
            "nystrom",
            'init "exact": beside another clip, not alone',
            change(rivals.nystrom(q, k, v, 16, init="exact"), exact),
            difference,
        ),
        ("nystrom", "least sum of a row after 6 iterations", sums.min().item(), "sum"),
        (
            "orthoformer",
            "landmarks that would be keys if keys were candidates",
            (keys_too >= q.shape[2]).double().mean().item(),
            "share of landmarks",
        ),
        (
            "orthoformer",
            "own landmarks of each frame, mixed, against the same ones shared",
            change(rivals.orthoformer_frames(q, k, v, shared, T), frames),
            difference,
        ),
        ("dynamic_window", "padded keys not masked, 6 rows in windows of 4", change(masked, padded), difference),
        ("sana_video_mixffn", "temporal weights 0 at the start, not trained", change(trained, started), difference),
        (
            "faq_dynamic_queries",
            "free weights, not a weighted average",
            change(rivals.faq_dynamic_queries(*free, 4), averaged),
            difference,
        ),
        (
            "faq_query_aggregation",
            "picks that repeat a query, top 16 of 8 × 6 pairs",
            1 - len(picked.unique()) / 16,
            "share of picks",
        ),
    ]


def _masked(q: Tensor, k: Tensor, v: Tensor, table: Tensor) -> Tensor:
    """Return window attention as if padded keys were masked: weights of the real tokens that sum to 1."""
    weights = rivals.dynamic_window_attention_map(q, k, table, 6, W, [4], [0])
    return weights / weights.sum(dim=-1, keepdim=True) @ v


def measure() -> pandas.DataFrame:
    """Return every row, in a table."""
    torch.manual_seed(0)
    qkv = tokens()
    return pandas.DataFrame(kernels(*qkv) + others(*qkv), columns=["rival", "quirk", "number", "what"])


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="a CSV file")
    output = parser.parse_args().output
    table = measure()
    print(table.to_string(index=False, float_format="%.3g"))
    if output:
        with atomic_path(output) as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
