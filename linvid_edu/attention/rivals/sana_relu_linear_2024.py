"""SANA's linear attention, with ReLU features and no offset."""

from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.functions import linear_attention, linear_attention_oracle
from linvid_edu.shapes import Float

from .base import Facts, FeatureMapRival

SANA_EPS = 1e-15


def sana_relu_linear(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d_v"],
    eps: int | float = SANA_EPS,
) -> Float[Tensor, "b heads n d_v"]:
    """Average the values by products of ReLU features: ``linear_attention`` with another φ.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / (φ(q_i) · Σ_j φ(k_j) + eps), φ(x) = ReLU(x)

    A head takes 2·N·d·d_v multiplications and has a state of d·d_v + d numbers. Row i of the map sums to S / (S + eps)
    with S = φ(q_i) · Σ_j φ(k_j), which is 1 for the default eps; no weight is negative. A query without a positive
    channel has a row of zeros and output 0.

    Args:
        q, k, v: Queries, keys and values, any range; no 1/√d is applied. SANA's video models first normalize q and k
            over all heads (RMSNorm), which is not part of this function.
        eps: Number added to the normalizer.

    Returns:
        A convex combination of the values for each query, or 0.

    Source: SANA: Efficient High-Resolution Image Synthesis with Linear Diffusion Transformers, 2024, arXiv 2410.10629.
    """
    return linear_attention(q, k, v, feature_map=F.relu, eps=eps)


def sana_relu_linear_map(q: Tensor, k: Tensor, eps: int | float = SANA_EPS) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``sana_relu_linear``."""
    similarity = F.relu(q) @ F.relu(k).mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + eps)


def sana_relu_linear_oracle(q: Tensor, k: Tensor, v: Tensor, eps: int | float = SANA_EPS) -> Tensor:
    """Compute ``sana_relu_linear`` through its explicit map."""
    return linear_attention_oracle(q, k, v, feature_map=F.relu, eps=eps)


class SanaReluLinear(FeatureMapRival):
    """``sana_relu_linear`` as a layer."""

    facts = Facts(
        "SANA: Efficient High-Resolution Image Synthesis with Linear Diffusion Transformers",
        2024,
        "2410.10629",
        rows="1, or 0 where a query has no positive channel",
        signs="never negative",
        rank="d",
        operations="2·N·d²",
        memory="2·N·d + d²",
        sees="content alone",
    )
    function = staticmethod(sana_relu_linear)
    feature_map = staticmethod(F.relu)
    published_eps = SANA_EPS
