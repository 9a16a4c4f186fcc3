"""Softmax attention and linear attention as pure functions, each beside a readable oracle, and their explicit maps.

All functions take queries, keys and values of shape (…, tokens, d), with any batch axes in front, heads among them.
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

    out = softmax(q kᵀ / √d) v, O(n·m·d)

    Args:
        q, k, v: any range.

    Returns:
        For each query a convex combination of the values.

    Source: arXiv 1706.03762.
    """
    return F.scaled_dot_product_attention(q, k, v)


def softmax_attention_oracle(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch m d"], v: Float[Tensor, "*batch m d_v"]
) -> Float[Tensor, "*batch n d_v"]:
    """Compute ``softmax_attention`` the long way, through its explicit map."""
    return attention_map(q, k) @ v


def linear_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch m d"],
    v: Float[Tensor, "*batch m d_v"],
    *,
    feature_map: FeatureMap = relu_offset,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n d_v"]:
    """Average the values by products of features, without ever building the n × m map.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / (φ(q_i) · Σ_j φ(k_j) + eps), O((n + m)·d·d_v)

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
    v: Float[Tensor, "*batch m d_v"],
    *,
    weigh_q: Float[Tensor, "*batch n f2"] | None = None,
    weigh_k: Float[Tensor, "*batch m f2"] | None = None,
    eps: int | float = EPS,
    floor: int | float = 0.0,
) -> Float[Tensor, "*batch n d_v"]:
    """Average the values by products of features that are already computed: what every kernel method shares.

    out_i = φ_i · Σ_j φ_j v_jᵀ / z_i, z_i = max(ψ_i · Σ_j ψ_j + eps, floor), O((n + m)·f·d_v)

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
    n, m, f, d_v = phi_q.shape[-2], phi_k.shape[-2], phi_q.shape[-1], v.shape[-1]
    few_tokens = n * m * (f + d_v) < (n + m) * f * d_v
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
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch m d"],
    v: Float[Tensor, "*batch m d_v"],
    *,
    feature_map: FeatureMap = relu_offset,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n d_v"]:
    """Compute ``linear_attention`` the long way, through its explicit map."""
    return attention_map(q, k, feature_map=feature_map, eps=eps) @ v


def attention_row(
    q: Float[Tensor, "*batch d"],
    k: Float[Tensor, "*batch m d"],
    *,
    feature_map: FeatureMap | None = None,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch m"]:
    """Compute the weights that one query gives to every key, in O(m·d).

    softmax (no feature map): a_j = exp(q·k_j / √d) / Σ_j' exp(q·k_j' / √d)
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
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch m d"],
    *,
    feature_map: FeatureMap | None = None,
    eps: int | float = EPS,
) -> Float[Tensor, "*batch n m"]:
    """Compute the explicit weights of every query on every key, in O(n·m·d).

    softmax (no feature map): A = softmax(q kᵀ / √d)
    linear: A_ij = φ(q_i)·φ(k_j) / (Σ_j' φ(q_i)·φ(k_j') + eps), of rank d at most

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










