"""Softmax attention and linear attention as pure functions, each beside a readable oracle, and their explicit maps.

All functions take queries, keys and values of shape (…, tokens, e), with any batch axes in front, heads among them.
``fold`` and ``unfold`` bring the tokens of a video into that shape for attention over space, over time, or over both.
"""

from collections.abc import Callable
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .shapes import Float

FeatureMap = Callable[[Tensor], Tensor]
Span = Literal["time", "space", "joint"]
Similarity = Literal["softmax", "linear", "product"]
EPS = 1e-6


def relu_offset(x: Float[Tensor, "*batch e"]) -> Float[Tensor, "*batch e"]:
    """Map queries or keys to positive features.

    φ(x) = ReLU(x) + e^(−1/2)

    The offset is added, not multiplied: it keeps every weight of the implicit map positive.

    Args:
        x: any range, head width e on the last axis.

    Returns:
        Features of at least e^(−1/2), so that φ(q)·φ(k) ≥ 1.

    Source: arXiv 2210.08164.
    """
    return F.relu(x) + x.shape[-1] ** -0.5


def elu_plus_one(x: Float[Tensor, "*batch e"]) -> Float[Tensor, "*batch e"]:
    """Map queries or keys to positive features without a lower bound.

    φ(x) = ELU(x) + 1: x + 1 above 0, exp(x) below

    Args:
        x: any range.

    Returns:
        Features of at least 0, so that a weight of the implicit map can vanish; float32 rounds them to 0 below −17.

    Source: arXiv 2006.16236.
    """
    return F.elu(x) + 1


def identity(x: Tensor) -> Tensor:
    """Return x: the feature map for queries and keys that already are features."""
    return x


def softmax_attention(
    q: Float[Tensor, "*batch n e"], k: Float[Tensor, "*batch m e"], v: Float[Tensor, "*batch m e2"]
) -> Float[Tensor, "*batch n e2"]:
    """Average the values by the softmax of scaled dot products.

    out = softmax(q kᵀ / √e) v, O(n·m·e)

    Args:
        q, k, v: any range.

    Returns:
        For each query a convex combination of the values.

    Source: arXiv 1706.03762.
    """
    return F.scaled_dot_product_attention(q, k, v)


def softmax_attention_oracle(
    q: Float[Tensor, "*batch n e"], k: Float[Tensor, "*batch m e"], v: Float[Tensor, "*batch m e2"]
) -> Float[Tensor, "*batch n e2"]:
    """Compute ``softmax_attention`` the long way, through its explicit map."""
    return attention_map(q, k) @ v


def linear_attention(
    q: Float[Tensor, "*batch n e"],
    k: Float[Tensor, "*batch m e"],
    v: Float[Tensor, "*batch m e2"],
    *,
    feature_map: FeatureMap = relu_offset,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n e2"]:
    """Average the values by products of features, without ever building the n × m map.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / (φ(q_i) · Σ_j φ(k_j) + eps), O((n + m)·e·e2)

    Args:
        q, k, v: any range that the feature map takes.
        feature_map: φ, applied to q and k; it must not be negative. Pass ``identity`` where q and k are features.
        eps: added to the denominator.

    Returns:
        For each query a convex combination of the values (up to eps).

    Source: arXiv 2006.16236 for the reordering, arXiv 2210.08164 for the default φ and eps.
    """
    return feature_attention(feature_map(q), feature_map(k), v, eps=eps)


def feature_attention(
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch m f"],
    v: Float[Tensor, "*batch m e2"],
    *,
    weigh_q: Float[Tensor, "*batch n f2"] | None = None,
    weigh_k: Float[Tensor, "*batch m f2"] | None = None,
    eps: int | float = EPS,
    floor: int | float = 0.0,
) -> Float[Tensor, "*batch n e2"]:
    """Average the values by products of features that are already computed: what every kernel method shares.

    out_i = φ_i · Σ_j φ_j v_jᵀ / z_i, z_i = max(ψ_i · Σ_j ψ_j + eps, floor), O((n + m)·f·e2)

    The product φ_q φ_kᵀ v may be taken in either order. Where there are fewer tokens than channels, as between the few
    frames of a clip, (φ_q φ_kᵀ) v is the cheaper one and is taken.

    Args:
        phi_q, phi_k: φ, features of queries and keys.
        v: values.
        weigh_q, weigh_k: ψ, the features in the normalizer; None means φ.
        eps: added to the normalizer.
        floor: the least normalizer.

    Returns:
        For each query a combination of the values, convex where ψ = φ ≥ 0 (up to eps and floor).

    Source: arXiv 2006.16236 for the reordering.
    """
    n, m, f, e2 = phi_q.shape[-2], phi_k.shape[-2], phi_q.shape[-1], v.shape[-1]
    few_tokens = n * m * (f + e2) < (n + m) * f * e2
    # (vᵀ φ(k))ᵀ, not φ(k)ᵀ v: the gradient of φ(k) then lies in memory as φ(k) does, and ReLU's backward is quick
    out = (phi_q @ phi_k.mT) @ v if few_tokens else phi_q @ (v.mT @ phi_k).mT
    weigh_q, weigh_k = phi_q if weigh_q is None else weigh_q, phi_k if weigh_k is None else weigh_k
    return out * (1 / normalizer(weigh_q, weigh_k, eps=eps, floor=floor))


def normalizer(
    weigh_q: Float[Tensor, "*batch n f"],
    weigh_k: Float[Tensor, "*batch m f"],
    *,
    eps: int | float = EPS,
    floor: int | float = 0.0,
) -> Float[Tensor, "*batch n 1"]:
    """Sum the weights of each query before they are normalized: z_i = max(ψ_i·Σ_j ψ_j + eps, floor), O((n + m)·f)."""
    z = (weigh_q * weigh_k.sum(dim=-2, keepdim=True)).sum(dim=-1, keepdim=True) + eps
    return z.clamp(min=floor) if floor else z


def linear_attention_oracle(
    q: Float[Tensor, "*batch n e"],
    k: Float[Tensor, "*batch m e"],
    v: Float[Tensor, "*batch m e2"],
    *,
    feature_map: FeatureMap = relu_offset,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n e2"]:
    """Compute ``linear_attention`` the long way, through its explicit map."""
    return attention_map(q, k, feature_map=feature_map, eps=eps) @ v


def attention_row(
    q: Float[Tensor, "*batch e"],
    k: Float[Tensor, "*batch m e"],
    *,
    feature_map: FeatureMap | None = None,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch m"]:
    """Compute the weights that one query gives to every key, in O(m·e).

    softmax (no feature map): a_j = exp(q·k_j / √e) / Σ_j' exp(q·k_j' / √e)
    linear: a_j = φ(q)·φ(k_j) / (Σ_j' φ(q)·φ(k_j') + eps)

    Args:
        q: one query for each batch entry.
        k: its keys.
        feature_map: φ of linear attention; None means softmax attention.
        eps: as in ``linear_attention``, so that a · v is exactly its output.

    Returns:
        Weights of at least 0 that sum to 1 (linear: up to eps).
    """
    return attention_map(q.unsqueeze(-2), k, feature_map=feature_map, eps=eps).squeeze(-2)


def attention_map(
    q: Float[Tensor, "*batch n e"],
    k: Float[Tensor, "*batch m e"],
    *,
    feature_map: FeatureMap | None = None,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n m"]:
    """Compute the explicit weights of every query on every key, in O(n·m·e).

    softmax (no feature map): A = softmax(q kᵀ / √e)
    linear: A_ij = φ(q_i)·φ(k_j) / (Σ_j' φ(q_i)·φ(k_j') + eps), of rank e at most

    Args:
        q, k: queries and keys.
        feature_map: φ of linear attention; None means softmax attention.
        eps: as in ``linear_attention``, so that A v is exactly its output.

    Returns:
        Rows of weights of at least 0 that sum to 1 (linear: up to eps).
    """
    if feature_map is None:
        return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)
    similarity = feature_map(q) @ feature_map(k).mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + eps)


def weights_between(
    q: Float[Tensor, "*batch n e"], k: Float[Tensor, "*batch m e"], similarity: Similarity
) -> Float[Tensor, "*batch n m"]:
    """Compute the explicit weights between what an attention function received, in O(n·m·e).

    softmax: ``attention_map(q, k)``; linear: that of features; product: A = q kᵀ as it is, for the factors of a map

    Args:
        q, k: queries and keys, features, or factors.
        similarity: which of them.
    """
    if similarity == "product":
        return q @ k.mT
    return attention_map(q, k, feature_map=identity if similarity == "linear" else None)


def divided_row(
    space_row: Float[Tensor, "*batch n"], time_rows: Float[Tensor, "*batch n t"]
) -> Float[Tensor, "*batch t n"]:
    """Compose temporal attention, then spatial attention, into the weights of one query on all tokens of the clip.

    The query (t, n) collects from location n' of its frame, which had collected from frame t' of its location:
    a(t', n') = A_space(n, n') · A_time[n'](t, t')

    Args:
        space_row: the query's weights on the locations of its frame.
        time_rows: for each location, the weights of frame t on all frames.

    Returns:
        Weights on all frames and locations; they sum to 1 where the arguments do. Values, residuals and the layers
        between the two are left out, so this describes where attention looks, not all that flows.
    """
    return rearrange(space_row.unsqueeze(-1) * time_rows, "... n t -> ... t n")


_FOLDED = {"time": "(b n) heads t e", "space": "(b t) heads n e", "joint": "b heads (t n) e"}


def fold(x: Float[Tensor, "b t n d"], span: Span, heads: int) -> Float[Tensor, "batch heads tokens e"]:
    """Split the heads and put on one axis the tokens that attend to each other.

    time: the same location over frames; space: one frame; joint: the whole clip. Channels are head-major.

    Args:
        x: queries, keys or values of a clip, d = heads · e.
        span: which tokens attend to each other.
        heads: attention heads; must divide d.
    """
    # the one copy of a layer: whatever follows, up to the matrix products, finds its operands in order
    return rearrange(x, f"b t n (heads e) -> {_FOLDED[span]}", heads=heads).contiguous()


def unfold(
    x: Float[Tensor, "batch heads tokens e"], span: Span, *, t: int, n: int, merge_heads: bool = True
) -> Tensor:
    """Undo ``fold``.

    Args:
        x: what ``fold`` or an attention function returned.
        span: as given to ``fold``.
        t, n: frames of the clip and tokens of one frame.
        merge_heads: return (b t n d) if true, (b heads t n e) if not.
    """
    unfolded = "b t n (heads e)" if merge_heads else "b heads t n e"
    sizes = {"time": {"n": n}, "space": {"t": t}, "joint": {"t": t}}[span]
    return rearrange(x, f"{_FOLDED[span]} -> {unfolded}", **sizes)
