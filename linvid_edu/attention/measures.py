"""Measures of how concentrated a row of attention weights is, each defined by its equation.

Every measure takes weights a of shape (…, m), and first turns each row into shares p_j = |a_j| / Σ_j' |a_j'|. For
weights of at least 0 this divides them by their sum. Some rivals have negative weights, in rows that do not sum to 1.
For these rows, the shares show how the magnitudes of the weights are distributed, but not which weights are negative;
``negative_share`` measures that.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from linvid_edu.shapes import Bool, Float


def _shares(weights: Tensor) -> Tensor:
    if weights.shape[-1] == 0:
        raise ValueError("attention over 0 tokens has no concentration: pass weights over at least 1 token")
    sizes = weights.abs()
    total = sizes.sum(dim=-1, keepdim=True)
    if not weights.is_meta and not (total > 0).all():
        raise ValueError("a row of weights is 0 everywhere or not a number: pass rows with some attention in them")
    return sizes / total


def entropy(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """H = −Σ_j p_j ln p_j, in nats: 0 for attention on one token, ln m for uniform attention."""
    return torch.special.entr(_shares(weights)).sum(dim=-1)


def normalized_entropy(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """H / ln m, in 0 to 1: 0 for attention on one token, 1 for uniform attention; 0 if m = 1."""
    m = weights.shape[-1]
    return entropy(weights) / math.log(max(m, 2))


def effective_tokens(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """exp(H), in 1 to m: the number of tokens for which uniform attention has the same entropy."""
    return entropy(weights).exp()


def top_mass(weights: Float[Tensor, "*batch m"], *, share: float = 0.05) -> Float[Tensor, "*batch"]:
    """Σ of the ⌈share · m⌉ largest p_j, in 0 to 1; uniform attention gives about `share`.

    Args:
        weights: Attention weights, (…, m).
        share: Share of the tokens to count, above 0 and at most 1.

    Raises:
        ValueError: If share is outside that range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must be above 0 and at most 1")
    count = math.ceil(share * weights.shape[-1] - 1e-9)  # 0.07 · 100 is a little above 7 in floating point
    return _shares(weights).topk(count, dim=-1).values.sum(dim=-1)


def gini(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """G = Σ_j (2j − m − 1) p_(j) / m with p_(1) ≤ … ≤ p_(m): 0 if uniform, 1 − 1/m for attention on one token."""
    p = _shares(weights).sort(dim=-1).values
    m = p.shape[-1]
    rank = torch.arange(1, m + 1, dtype=p.dtype, device=p.device)
    return ((2 * rank - m - 1) * p).sum(dim=-1) / m


def mass_on(weights: Float[Tensor, "*batch m"], mask: Bool[Tensor, "*mask"]) -> Float[Tensor, "*batch"]:
    """Σ_j p_j over the tokens of a mask, in 0 to 1: how much attention lies on a known object.

    Args:
        weights: Attention weights, (…, m).
        mask: True for the tokens of the object; (m), or with the batch axes of the weights.
    """
    return (_shares(weights) * mask).sum(dim=-1)


def mask_share(mask: Bool[Tensor, "*mask"]) -> Float[Tensor, "*rest"]:
    """Σ_j mask_j / m, in 0 to 1: the mass that uniform attention puts on the tokens of a mask."""
    return mask.float().mean(dim=-1)


def negative_share(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """Σ_j p_j over the tokens with a_j < 0, in 0 to 1: how much of a row is subtracted."""
    return (_shares(weights) * (weights < 0)).sum(dim=-1)


def numerical_rank(attention_map: Float[Tensor, "*batch n m"], *, tolerance: float | None = None) -> Tensor:
    """Count the singular values of a map that exceed `tolerance` times the largest one.

    rank = #{i : s_i > tolerance · s_1}; a map of linear attention has at most rank d, the head width

    Args:
        attention_map: Attention weights, (…, n, m).
        tolerance: Factor above 0; None means max(n, m) times the machine epsilon of the data type.

    Returns:
        Integers, (…).
    """
    return torch.linalg.matrix_rank(attention_map, rtol=tolerance)


class Concentration(NamedTuple):
    """The measures of one row of weights, or their means over several rows.

    normalized_entropy: H / ln m
    effective_tokens: exp(H)
    top_mass: share of the largest 5 % of the weights
    gini: Gini coefficient
    """

    normalized_entropy: float
    effective_tokens: float
    top_mass: float
    gini: float


def concentration(weights: Float[Tensor, "*batch m"]) -> Concentration:
    """Return the measures that need no ground truth, averaged over the rows."""
    measures = (normalized_entropy, effective_tokens, top_mass, gini)
    return Concentration(*(measure(weights).mean().item() for measure in measures))
