"""FAQ: object queries of a video detector, gathered over frames. They cannot replace attention to given q, k, v."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from linvid_edu.attention.functions import softmax_attention
from linvid_edu.shapes import Float

from .weights import LinearWeights, NormWeights


def faq_dynamic_queries(
    features: Float[Tensor, "t n width"],
    base_queries: Float[Tensor, "base channels"],
    hidden: LinearWeights,
    mix: LinearWeights,
    ratio: int,
) -> Float[Tensor, "t queries channels"]:
    """Mix the queries of each frame from shared base queries, with weights that depend on the frame.

    W = mix(ReLU(hidden(max over tokens of the features))); out_i = Σ_r W_ir base_(i·ratio + r)

    For a hidden layer of C channels it takes t·(C·(width + base) + base·channels) multiplications and keeps
    t·(width + C + base) numbers at the same time: only the maximum depends on the number of tokens. The weights of a
    query may be negative, and their sum is arbitrary.

    Args:
        features: Features of the tokens of each frame.
        base_queries: Content and position of the base queries side by side; all columns are mixed by the same weights.
        hidden: Layer from width to hidden channels.
        mix: Layer from hidden channels to one weight for each base query.
        ratio: Number of base queries that are mixed into a query, a divisor of their number; 4 as released.

    Raises:
        ValueError: If ratio does not divide the number of base queries, or mix does not give one weight for each of
            them.

    Source: FAQ: Feature Aggregated Queries for Transformer-based Video Object Detectors, 2023, arXiv 2303.08319.
    Differs from the paper in the same way as the released code: the paper speaks of weighted averages, but the weights
    may have any sign and any sum.
    """
    base = len(base_queries)
    if ratio < 1 or base % ratio:
        raise ValueError(f"ratio={ratio} does not divide {base} base queries: choose a divisor")
    if len(mix.weight) != base:
        raise ValueError(f"mix makes {len(mix.weight)} weights for {base} base queries: make one for each")
    weights = mix(F.relu(hidden(features.amax(dim=1))))
    weights = rearrange(weights, "t (queries ratio) -> t queries ratio", ratio=ratio)
    groups = rearrange(base_queries, "(queries ratio) channels -> queries ratio channels", ratio=ratio)
    return torch.einsum("tqr,qrc->tqc", weights, groups)


def faq_dynamic_queries_oracle(
    features: Tensor, base_queries: Tensor, hidden: LinearWeights, mix: LinearWeights, ratio: int
) -> Tensor:
    """Compute ``faq_dynamic_queries`` frame by frame and query by query."""
    frames = []
    for frame in features:
        activation = (hidden.weight @ frame.max(dim=0).values + hidden.bias).clamp(min=0)
        weights = mix.weight @ activation + mix.bias
        rows = [weights[i : i + ratio] @ base_queries[i : i + ratio] for i in range(0, len(base_queries), ratio)]
        frames.append(torch.stack(rows))
    return torch.stack(frames)


class AttentionWeights(NamedTuple):
    """The learned weights of one attention of ``faq_query_aggregation``, and of the normalization after it.

    qkv: layer from width to 3·width channels: queries, keys and values
    out: layer from width to width channels
    norm: layer normalization
    """

    qkv: LinearWeights
    out: LinearWeights
    norm: NormWeights


class AggregationWeights(NamedTuple):
    """The learned weights of ``faq_query_aggregation``.

    self_attention: attention of the queries to each other
    cross_attention: attention of the queries to the picked queries of other frames
    expand, project: layers of the feed-forward, from width to any number of channels and back
    norm: layer normalization after the feed-forward
    """

    self_attention: AttentionWeights
    cross_attention: AttentionWeights
    expand: LinearWeights
    project: LinearWeights
    norm: NormWeights


def faq_query_aggregation(
    query: Float[Tensor, "b queries width"],
    ref_query: Float[Tensor, "b references width"],
    ref_logits: Float[Tensor, "b references classes"],
    weights: AggregationWeights,
    heads: int,
    top_k: int,
) -> Float[Tensor, "b queries width"]:
    """Let the queries of a frame attend to the best queries of other frames: one of three stages.

    picks = queries of the top_k (query, class) pairs by score; x = LN(x + self attention(x)),
    x = LN(x + attention(x, picks)), x = LN(x + W₂ ReLU(W₁ x))

    Beside the projections, the two attentions take 2·width·queries·(queries + top_k) multiplications and keep
    heads·queries·(queries + top_k) numbers at the same time: nothing depends on the number of tokens. Rows of both
    attentions sum to 1; no weight is negative.

    Args:
        query: Queries of the current frame.
        ref_query, ref_logits: Queries of all other frames in one sequence, and their class scores.
        weights: Learned weights.
        heads: Number of heads, a divisor of width.
        top_k: Number of pairs, 1 to references · classes. A query that is picked for several classes appears several
            times and counts that much more in the softmax. The three stages of the released code use 80, 50 and 30
            times the number of frames.

    Raises:
        ValueError: If top_k exceeds the number of pairs, or heads do not divide width.

    Source: arXiv 2303.08319. Differs from the paper in the same way as the released code: the queries of the frames are
    not averaged.
    """
    width, references, classes = query.shape[-1], *ref_logits.shape[1:]
    if not 1 <= top_k <= references * classes:
        raise ValueError(
            f"top_k={top_k} of {references} queries × {classes} classes: choose 1 to {references * classes}"
        )
    if heads < 1 or width % heads:
        raise ValueError(f"heads={heads} do not divide {width} channels: choose a divisor")
    best = ref_logits.flatten(1).topk(top_k, dim=1).indices // classes
    picks = ref_query.take_along_dim(best.unsqueeze(-1), dim=1)
    query = _attend(query, query, weights.self_attention, heads)
    query = _attend(query, picks, weights.cross_attention, heads)
    return weights.norm(query + weights.project(F.relu(weights.expand(query))))


def _attend(x: Tensor, other: Tensor, weights: AttentionWeights, heads: int) -> Tensor:
    """Return LN(x + attention of x to other), with softmax attention of several heads."""
    (w_q, w_k, w_v), (b_q, b_k, b_v) = weights.qkv.weight.chunk(3), weights.qkv.bias.chunk(3)
    q, k, v = F.linear(x, w_q, b_q), F.linear(other, w_k, b_k), F.linear(other, w_v, b_v)
    q, k, v = (rearrange(tokens, "b n (heads d) -> b heads n d", heads=heads) for tokens in (q, k, v))
    attended = rearrange(softmax_attention(q, k, v), "b heads n d -> b n (heads d)")
    return weights.norm(x + weights.out(attended))


def faq_query_aggregation_oracle(
    query: Tensor, ref_query: Tensor, ref_logits: Tensor, weights: AggregationWeights, heads: int, top_k: int
) -> Tensor:
    """Compute ``faq_query_aggregation`` with PyTorch's own attention module, one clip at a time."""
    width, clips = query.shape[-1], []
    for x, others, logits in zip(query, ref_query, ref_logits, strict=True):
        pairs = [(-score, i) for i, scores in enumerate(logits.tolist()) for score in scores]
        picks = torch.stack([others[i] for _, i in sorted(pairs)[:top_k]])
        for picked, layer in ((None, weights.self_attention), (picks, weights.cross_attention)):
            keys = x if picked is None else picked
            attention = nn.MultiheadAttention(width, heads, dtype=x.dtype)
            state = {
                "in_proj_weight": layer.qkv.weight,
                "in_proj_bias": layer.qkv.bias,
                "out_proj.weight": layer.out.weight,
                "out_proj.bias": layer.out.bias,
            }
            attended, _ = functional_call(attention, state, (x, keys, keys))
            x = _layer_norm(x + attended, layer.norm)
        hidden = (x @ weights.expand.weight.mT + weights.expand.bias).clamp(min=0)
        clips.append(_layer_norm(x + hidden @ weights.project.weight.mT + weights.project.bias, weights.norm))
    return torch.stack(clips)


def _layer_norm(x: Tensor, norm: NormWeights) -> Tensor:
    centered = x - x.mean(dim=-1, keepdim=True)
    return centered / (centered.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias


def faq_vanilla_queries(
    queries: Float[Tensor, "b t queries channels"],
    current_feature: Float[Tensor, "b width"],
    frame_features: Float[Tensor, "b frames width"],
    alpha_weight: Float[Tensor, "compared width"],
    beta_weight: Float[Tensor, "others width"],
) -> Float[Tensor, "b queries channels"]:
    """Add up the queries of all frames, weighted by the similarity of each frame to the current one.

    out = Σ_f w_f Q_f, w_f = cos(α F, β F_f)

    For α and β with C rows it takes (t + 1)·C·width + t·(C + queries·channels) multiplications and keeps (t + 1)·C
    numbers at the same time. The weights are cosines, −1 to 1. They may be negative and do not sum to 1.

    Args:
        queries: Q, the queries of each frame.
        current_feature: F, pooled over the current frame.
        frame_features: F_f, pooled over each frame.
        alpha_weight, beta_weight: α and β, linear maps without bias, with the same number of rows.

    Raises:
        ValueError: If features and queries have different numbers of frames, or α and β different numbers of rows.

    Source: the equation of the paper, arXiv 2303.08319; it is not in the released code. The description leaves open
    whether α and β have a bias, how features are pooled, and whether weights are normalized over frames. Here there is
    no bias, features are pooled by the caller, and weights are not normalized.
    """
    if queries.shape[1] != frame_features.shape[1]:
        raise ValueError(
            f"queries of {queries.shape[1]} frames, features of {frame_features.shape[1]}: pass both for every frame"
        )
    if len(alpha_weight) != len(beta_weight):
        raise ValueError(
            f"alpha_weight makes {len(alpha_weight)} channels, beta_weight {len(beta_weight)}: make them equal"
        )
    current, frames = F.linear(current_feature, alpha_weight), F.linear(frame_features, beta_weight)
    weights = F.cosine_similarity(current.unsqueeze(1), frames, dim=-1)
    return torch.einsum("bt,btqc->bqc", weights, queries)


def faq_vanilla_queries_oracle(
    queries: Tensor, current_feature: Tensor, frame_features: Tensor, alpha_weight: Tensor, beta_weight: Tensor
) -> Tensor:
    """Compute ``faq_vanilla_queries`` frame by frame."""
    clips = []
    for frames, current, features in zip(queries, current_feature, frame_features, strict=True):
        total = torch.zeros_like(frames[0])
        for frame, feature in zip(frames, features, strict=True):
            a, b = alpha_weight @ current, beta_weight @ feature
            total = total + frame * (a @ b) / (a.norm() * b.norm())
        clips.append(total)
    return torch.stack(clips)
