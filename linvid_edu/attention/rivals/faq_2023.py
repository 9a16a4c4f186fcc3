"""FAQ: object queries of a video detector, gathered over frames. No drop-in for q, k, v; no map over tokens."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from linvid_edu.shapes import Float


def faq_dynamic_queries(
    features: Float[Tensor, "frames tokens c"],
    base_queries: Float[Tensor, "base d"],
    hidden_weight: Float[Tensor, "hidden c"],
    hidden_bias: Float[Tensor, "hidden"],
    mix_weight: Float[Tensor, "mixed hidden"],
    mix_bias: Float[Tensor, "mixed"],
    ratio: int,
) -> Float[Tensor, "frames queries d"]:
    """Mix each frame's queries from shared base queries, by weights that the frame decides.

    W = MLP(max over tokens of the features), ReLU in between; out_i = Σ_r W_ir base_(i·ratio + r)

    frames·(hidden·(c + base) + base·d) multiplications, frames·(c + hidden + base) numbers at once: the maximum over
    tokens is all that depends on N. The weights of a query sum to anything and may be negative.

    Args:
        features: of each frame.
        base_queries: content and position side by side; all columns are mixed by the same weights.
        hidden_weight, hidden_bias, mix_weight, mix_bias: of the MLP; weights are (out, in).
        ratio: base queries behind each query; must divide their number. 4 as released.

    Raises:
        ValueError: a ratio that does not divide, or an MLP that makes another number of weights.

    Source: FAQ: Feature Aggregated Queries for Transformer-based Video Object Detectors, 2023, arXiv 2303.08319.
    Differs from the paper as the released code does: the paper speaks of weighted averages, but the weights are free in
    sign and size.
    """
    base = len(base_queries)
    if ratio < 1 or base % ratio:
        raise ValueError(f"ratio={ratio} does not divide {base} base queries: choose a divisor")
    if len(mix_weight) != base:
        raise ValueError(f"mix_weight makes {len(mix_weight)} weights for {base} base queries: make one for each")
    pooled = features.amax(dim=1)
    weights = F.linear(F.relu(F.linear(pooled, hidden_weight, hidden_bias)), mix_weight, mix_bias)
    weights = rearrange(weights, "f (i r) -> f i r", r=ratio)
    return torch.einsum("fir,ird->fid", weights, rearrange(base_queries, "(i r) d -> i r d", r=ratio))


def faq_dynamic_queries_oracle(
    features: Tensor,
    base_queries: Tensor,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    mix_weight: Tensor,
    mix_bias: Tensor,
    ratio: int,
) -> Tensor:
    """Compute ``faq_dynamic_queries`` the long way, frame by frame and query by query."""
    frames = []
    for frame in features:
        hidden = (hidden_weight @ frame.max(dim=0).values + hidden_bias).clamp(min=0)
        weights = mix_weight @ hidden + mix_bias
        rows = [weights[i : i + ratio] @ base_queries[i : i + ratio] for i in range(0, len(base_queries), ratio)]
        frames.append(torch.stack(rows))
    return torch.stack(frames)


def faq_query_aggregation(
    query: Float[Tensor, "b queries c"],
    ref_query: Float[Tensor, "b refs c"],
    ref_logits: Float[Tensor, "b refs classes"],
    self_in_weight: Float[Tensor, "c3 c"],
    self_in_bias: Float[Tensor, "c3"],
    self_out_weight: Float[Tensor, "c c"],
    self_out_bias: Float[Tensor, "c"],
    self_norm_weight: Float[Tensor, "c"],
    self_norm_bias: Float[Tensor, "c"],
    cross_in_weight: Float[Tensor, "c3 c"],
    cross_in_bias: Float[Tensor, "c3"],
    cross_out_weight: Float[Tensor, "c c"],
    cross_out_bias: Float[Tensor, "c"],
    cross_norm_weight: Float[Tensor, "c"],
    cross_norm_bias: Float[Tensor, "c"],
    ffn_in_weight: Float[Tensor, "hidden c"],
    ffn_in_bias: Float[Tensor, "hidden"],
    ffn_out_weight: Float[Tensor, "c hidden"],
    ffn_out_bias: Float[Tensor, "c"],
    ffn_norm_weight: Float[Tensor, "c"],
    ffn_norm_bias: Float[Tensor, "c"],
    heads: int,
    top_k: int,
) -> Float[Tensor, "b queries c"]:
    """Let a frame's queries attend to the best queries of other frames: one stage of three.

    picks = queries of the top_k (query, class) pairs by score; x = LN(x + self attention(x)),
    x = LN(x + attention(x, picks)), x = LN(x + W₂ ReLU(W₁ x))

    2·c·queries·(queries + top_k) multiplications in the two attentions, heads·queries·(queries + top_k) numbers at
    once, beside the projections: nothing depends on N. Rows of both attentions sum to 1; no weight is negative.

    Args:
        query: of the current frame.
        ref_query, ref_logits: of the other frames one after another, and their class scores.
        self_…, cross_…: of the two attentions and the norms after them; `in` stacks q, k, v as (3c, c).
        ffn_…: of the feed-forward and its norm; LayerNorm has eps 1e-5 throughout.
        heads: must divide c.
        top_k: pairs, 1 to refs · classes. A query that is picked for several classes stands there several times, and
            weighs so much more in the softmax. 80, 50 and 30 times the number of frames as released.

    Raises:
        ValueError: more pairs than there are, or heads that do not divide c.

    Source: arXiv 2303.08319. Differs from the paper as the released code does: frames' queries are not averaged.
    """
    c, pairs = query.shape[-1], ref_logits.shape[1] * ref_logits.shape[2]
    if not 1 <= top_k <= pairs:
        raise ValueError(
            f"top_k={top_k} of {ref_logits.shape[1]} queries × {ref_logits.shape[2]} classes: choose 1 to {pairs}"
        )
    if heads < 1 or c % heads:
        raise ValueError(f"heads={heads} do not divide {c} channels: choose a divisor")
    best = ref_logits.flatten(1).topk(top_k, dim=1).indices // ref_logits.shape[2]
    picks = ref_query.take_along_dim(best.unsqueeze(-1), dim=1)
    for other, weights in (
        (None, (self_in_weight, self_in_bias, self_out_weight, self_out_bias)),
        (picks, (cross_in_weight, cross_in_bias, cross_out_weight, cross_out_bias)),
    ):
        attended = _attention(query, query if other is None else other, *weights, heads)
        norm = (self_norm_weight, self_norm_bias) if other is None else (cross_norm_weight, cross_norm_bias)
        query = F.layer_norm(query + attended, (c,), *norm)
    hidden = F.relu(F.linear(query, ffn_in_weight, ffn_in_bias))
    return F.layer_norm(query + F.linear(hidden, ffn_out_weight, ffn_out_bias), (c,), ffn_norm_weight, ffn_norm_bias)


def _attention(
    x: Tensor, other: Tensor, in_weight: Tensor, in_bias: Tensor, out_weight: Tensor, out_bias: Tensor, heads: int
) -> Tensor:
    """Let x attend to other, through softmax attention of several heads."""
    (w_q, w_k, w_v), (b_q, b_k, b_v) = in_weight.chunk(3), in_bias.chunk(3)
    q, k, v = (
        rearrange(F.linear(each, weight, bias), "b n (heads d) -> b heads n d", heads=heads)
        for each, weight, bias in ((x, w_q, b_q), (other, w_k, b_k), (other, w_v, b_v))
    )
    out = rearrange(F.scaled_dot_product_attention(q, k, v), "b heads n d -> b n (heads d)")
    return F.linear(out, out_weight, out_bias)


def faq_query_aggregation_oracle(
    query: Tensor, ref_query: Tensor, ref_logits: Tensor, *weights: Tensor, heads: int, top_k: int, **named: Tensor
) -> Tensor:
    """Compute ``faq_query_aggregation`` the long way, with PyTorch's own modules, one clip at a time.

    Args:
        query, ref_query, ref_logits, heads, top_k: as there.
        weights, named: the other arguments, in that order or by name.
    """
    names = [
        f"{part}_{layer}_{kind}"
        for part in ("self", "cross", "ffn")
        for layer in ("in", "out", "norm")
        for kind in ("weight", "bias")
    ]
    given = {**dict(zip(names, weights, strict=False)), **named}
    c, outs = query.shape[-1], []
    for x, others, logits in zip(query, ref_query, ref_logits, strict=True):
        classes = logits.shape[1]
        scored = sorted((-logits[i, j].item(), i) for i in range(len(logits)) for j in range(classes))[:top_k]
        picks = torch.stack([others[i] for _, i in scored])
        for part, keys in (("self", x), ("cross", picks)):
            attention = nn.MultiheadAttention(c, heads, dtype=x.dtype)
            parts = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
            own = [given[f"{part}_{layer}_{kind}"] for layer in ("in", "out") for kind in ("weight", "bias")]
            attended, _ = functional_call(attention, dict(zip(parts, own, strict=True)), (x, keys, keys))
            x = _norm(x + attended, given[f"{part}_norm_weight"], given[f"{part}_norm_bias"])
        hidden = (x @ given["ffn_in_weight"].mT + given["ffn_in_bias"]).clamp(min=0)
        x = x + hidden @ given["ffn_out_weight"].mT + given["ffn_out_bias"]
        outs.append(_norm(x, given["ffn_norm_weight"], given["ffn_norm_bias"]))
    return torch.stack(outs)


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centered = x - x.mean(dim=-1, keepdim=True)
    return centered / (centered.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def faq_vanilla_queries(
    queries: Float[Tensor, "b frames queries d"],
    current_feature: Float[Tensor, "b c"],
    frame_features: Float[Tensor, "b frames2 c"],
    alpha_weight: Float[Tensor, "e c"],
    beta_weight: Float[Tensor, "e2 c"],
) -> Float[Tensor, "b queries d"]:
    """Add up all frames' queries by how alike each frame is to the current one.

    out = Σ_f w_f Q_f, w_f = cos(α F, β F_f)

    (frames + 1)·e·c + frames·(e + queries·d) multiplications, (frames + 1)·e numbers at once. The weights are cosines,
    −1 to 1, do not sum to 1, and may be negative.

    Args:
        queries: Q of each frame.
        current_feature: F, pooled over the current frame.
        frame_features: F_f, pooled over each frame.
        alpha_weight, beta_weight: α and β, linear without bias.

    Raises:
        ValueError: features of another number of frames than queries, or α and β of different widths.

    Source: the paper's equation, arXiv 2303.08319; it is not in the released code. That α and β have no bias, that
    features are pooled, and that weights are not normalized over frames was chosen here: the description at hand leaves
    it open.
    """
    if queries.shape[1] != frame_features.shape[1]:
        raise ValueError(
            f"queries of {queries.shape[1]} frames, features of {frame_features.shape[1]}: pass both of every frame"
        )
    if len(alpha_weight) != len(beta_weight):
        raise ValueError(
            f"alpha_weight makes {len(alpha_weight)} channels, beta_weight {len(beta_weight)}: make them equal"
        )
    own, others = F.linear(current_feature, alpha_weight), F.linear(frame_features, beta_weight)
    weights = F.cosine_similarity(own.unsqueeze(1), others, dim=-1)
    return torch.einsum("bf,bfqd->bqd", weights, queries)


def faq_vanilla_queries_oracle(
    queries: Tensor, current_feature: Tensor, frame_features: Tensor, alpha_weight: Tensor, beta_weight: Tensor
) -> Tensor:
    """Compute ``faq_vanilla_queries`` the long way, frame by frame."""
    outs = []
    for clip, current, features in zip(queries, current_feature, frame_features, strict=True):
        total = torch.zeros_like(clip[0])
        for of_frame, feature in zip(clip, features, strict=True):
            a, b = alpha_weight @ current, beta_weight @ feature
            total = total + of_frame * (a @ b) / (a.norm() * b.norm())
        outs.append(total)
    return torch.stack(outs)
