"""Linear attention as it was first proposed, with the features ELU + 1."""

from torch import Tensor

from linvid_edu.attention.feature_maps import elu_plus_one
from linvid_edu.attention.functions import linear_attention, linear_attention_oracle
from linvid_edu.shapes import Float

from .base import Facts, FeatureMapRival


def elu_linear(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d_v"],
    eps: int | float = 1e-6,
) -> Float[Tensor, "b heads n d_v"]:
    """Average the values by products of ELU + 1 features: ``linear_attention`` with another φ.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / (φ(q_i) · Σ_j φ(k_j) + eps), φ(x) = ELU(x) + 1

    A head takes 2·N·d·d_v multiplications and has a state of d·d_v + d numbers. Rows of the map sum to 1, up to eps; no
    weight is negative.

    Args:
        q, k, v: Queries, keys and values, any range; no 1/√d is applied.
        eps: Number added to the normalizer.

    Returns:
        A convex combination of the values for each query, up to eps.

    Source: Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention, 2020, arXiv 2006.16236.
    """
    return linear_attention(q, k, v, feature_map=elu_plus_one, eps=eps)


def elu_linear_map(q: Tensor, k: Tensor, eps: int | float = 1e-6) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``elu_linear``."""
    similarity = elu_plus_one(q) @ elu_plus_one(k).mT
    return similarity / (similarity.sum(dim=-1, keepdim=True) + eps)


def elu_linear_oracle(q: Tensor, k: Tensor, v: Tensor, eps: int | float = 1e-6) -> Tensor:
    """Compute ``elu_linear`` through its explicit map."""
    return linear_attention_oracle(q, k, v, feature_map=elu_plus_one, eps=eps)


class EluLinear(FeatureMapRival):
    """``elu_linear`` as a layer."""

    facts = Facts(
        "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
        2020,
        "2006.16236",
        rows="1",
        signs="never negative",
        rank="d",
        operations="2·N·d²",
        memory="2·N·d + d²",
        sees="content alone",
    )
    function = staticmethod(elu_linear)
    feature_map = staticmethod(elu_plus_one)
    published_eps = 1e-6
