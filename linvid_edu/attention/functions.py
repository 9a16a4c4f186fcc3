"""Softmax attention and linear attention as pure functions, with readable oracles and explicit maps.

Every function takes queries, keys and values of shape (…, tokens, d) with any batch axes in front, heads included.
``fold`` and ``unfold`` bring the tokens of a video into that shape for attention over space, over time, or over both.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float

from .feature_maps import FeatureMap, relu_offset

EPS = 1e-6


def softmax_attention(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch m d"], v: Float[Tensor, "*batch m d_v"]
) -> Float[Tensor, "*batch n d_v"]:
    """Average the values by the softmax of scaled dot products.

    out = softmax(q kᵀ / √d) v, in O(n·m·d)

    Args:
        q, k, v: Queries, keys and values, any range.

    Returns:
        A convex combination of the values for each query.

    Source: arXiv 1706.03762.
    """
    return F.scaled_dot_product_attention(q, k, v)


def softmax_attention_oracle(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch m d"], v: Float[Tensor, "*batch m d_v"]
) -> Float[Tensor, "*batch n d_v"]:
    """Compute ``softmax_attention`` through its explicit map."""
    return attention_map(q, k) @ v


def linear_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch m d"],
    v: Float[Tensor, "*batch m d_v"],
    *,
    feature_map: FeatureMap = relu_offset,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n d_v"]:
    """Average the values by products of features, without building the n × m map.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / (φ(q_i) · Σ_j φ(k_j) + eps), in O((n + m)·d·d_v)

    Args:
        q, k, v: Queries, keys and values, in any range that the feature map accepts.
        feature_map: φ, applied to q and k; its values must be at least 0. Pass ``identity`` if q and k are features.
        eps: Number added to the normalizer.

    Returns:
        A convex combination of the values for each query, up to eps.

    Source: arXiv 2006.16236 for the order of the products, arXiv 2210.08164 for the default φ and eps.
    """
    phi_q, phi_k = feature_map(q), feature_map(k)
    normalizer = (phi_q * phi_k.sum(dim=-2, keepdim=True)).sum(dim=-1, keepdim=True) + eps  # (… n 1)
    return weighted_sums(phi_q, phi_k, v) * (1 / normalizer)


def linear_attention_oracle(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch m d"],
    v: Float[Tensor, "*batch m d_v"],
    *,
    feature_map: FeatureMap = relu_offset,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n d_v"]:
    """Compute ``linear_attention`` through its explicit map."""
    return attention_map(q, k, feature_map=feature_map, eps=eps) @ v


def attention_map(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch m d"],
    *,
    feature_map: FeatureMap | None = None,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n m"]:
    """Compute the weights of every query on every key, in O(n·m·d).

    softmax (no feature map): A = softmax(q kᵀ / √d)
    linear: A_ij = φ(q_i)·φ(k_j) / (Σ_j' φ(q_i)·φ(k_j') + eps), of rank d at most

    Args:
        q, k: Queries and keys.
        feature_map: φ of linear attention; None means softmax attention.
        eps: Number added to the normalizer of linear attention; with the same eps, A v equals ``linear_attention``.

    Returns:
        Weights of at least 0 whose rows sum to 1 (linear: up to eps).
    """
    if feature_map is None:
        return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)
    similarity = feature_map(q) @ feature_map(k).mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + eps)


def attention_row(
    q: Float[Tensor, "*batch d"],
    k: Float[Tensor, "*batch m d"],
    *,
    feature_map: FeatureMap | None = None,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch m"]:
    """Compute the weights of one query on every key, in O(m·d): one row of ``attention_map``.

    softmax (no feature map): a_j = exp(q·k_j / √d) / Σ_j' exp(q·k_j' / √d)
    linear: a_j = φ(q)·φ(k_j) / (Σ_j' φ(q)·φ(k_j') + eps)

    Args:
        q: One query for each batch entry.
        k: Keys.
        feature_map: φ of linear attention; None means softmax attention.
        eps: Number added to the normalizer of linear attention.

    Returns:
        Weights of at least 0 that sum to 1 (linear: up to eps).
    """
    return attention_map(q.unsqueeze(-2), k, feature_map=feature_map, eps=eps).squeeze(-2)


def weighted_sums(
    phi_q: Float[Tensor, "*batch n f"], phi_k: Float[Tensor, "*batch m f"], v: Float[Tensor, "*batch m d_v"]
) -> Float[Tensor, "*batch n d_v"]:
    """Compute φ(q) φ(k)ᵀ v, the numerator of linear attention, in the order that takes fewer multiplications.

    many tokens: φ(q) (φ(k)ᵀ v), in O((n + m)·f·d_v)
    few tokens, such as the frames of a clip: (φ(q) φ(k)ᵀ) v, in O(n·m·(f + d_v))

    Args:
        phi_q, phi_k: Features of queries and keys.
        v: Values.

    Returns:
        Sums of the values, weighted by φ(q_i)·φ(k_j) and not normalized.
    """
    n, m, f, d_v = phi_q.shape[-2], phi_k.shape[-2], phi_q.shape[-1], v.shape[-1]
    if n * m * (f + d_v) < (n + m) * f * d_v:
        return (phi_q @ phi_k.mT) @ v
    # (vᵀ φ(k))ᵀ equals φ(k)ᵀ v, but keeps the gradient of φ(k) contiguous, which speeds up ReLU's backward
    state = (v.mT @ phi_k).mT  # (… f d_v)
    return phi_q @ state
