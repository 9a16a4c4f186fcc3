"""SANA's linear attention: the features are ReLU alone, without an offset."""

from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.functions import linear_attention, linear_attention_oracle
from linvid_edu.shapes import Float

from .base import Facts, FeatureMapRival


def sana_relu_linear(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d2"],
    eps: int | float = 1e-15,
) -> Float[Tensor, "b heads n d2"]:
    """Average the values by products of features ReLU: ``linear_attention`` with another φ.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / (φ(q_i) · Σ_j φ(k_j) + eps), φ(x) = ReLU(x)

    2·N·d·d2 multiplications and d·d2 + d numbers of state for each head. Rows of the map sum to S / (S + eps), 1 at the
    default; no weight is negative. A query without a positive channel has a row of zeros and gives 0, not a mean.

    Args:
        q, k, v: any range; no 1/√d is applied. SANA's video models normalize q and k over all heads before (RMSNorm),
            which is outside this function.
        eps: added to the normalizer.

    Returns:
        For each query a convex combination of the values, or 0.

    Source: SANA: Efficient High-Resolution Image Synthesis with Linear Diffusion Transformers, 2024, arXiv 2410.10629.
    """
    return linear_attention(q, k, v, feature_map=F.relu, eps=eps)


def sana_relu_linear_map(q: Tensor, k: Tensor, eps: int | float = 1e-15) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``sana_relu_linear``."""
    similarity = F.relu(q) @ F.relu(k).mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + eps)


def sana_relu_linear_oracle(q: Tensor, k: Tensor, v: Tensor, eps: int | float = 1e-15) -> Tensor:
    """Compute ``sana_relu_linear`` the long way, through its explicit map."""
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
    published_eps = 1e-15
