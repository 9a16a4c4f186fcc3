"""How concentrated attention is: numbers for a row of attention weights, each defined by its equation.

Every measure takes weights a of shape (…, m), and first turns each row into the shares p_j = |a_j| / Σ_j' |a_j'|, which
divides weights of at least 0 by their sum. Some rivals have negative weights in rows that do not sum to 1: their shares
tell over how many tokens the sizes of the weights lie, not what is added and what is subtracted. So ``negative_share``
and the sum of the row are told beside them.
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
    if not (total > 0).all():
        raise ValueError("a row of weights is 0 everywhere or not a number: pass rows with some attention in them")
    return sizes / total


def entropy(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """H = −Σ_j p_j ln p_j, in nats: 0 for one token, ln m for uniform attention."""
    return torch.special.entr(_shares(weights)).sum(dim=-1)


def normalized_entropy(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """H / ln m, in 0 to 1: 0 for one token, 1 for uniform attention; 0 where there is only one token."""
    m = weights.shape[-1]
    return entropy(weights) / torch.tensor(float(max(m, 2))).log()


def effective_tokens(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """exp(H), in 1 to m: the number of tokens that uniform attention of this entropy would spread over."""
    return entropy(weights).exp()


def top_mass(weights: Float[Tensor, "*batch m"], *, share: float = 0.05) -> Float[Tensor, "*batch"]:
    """Σ of the ⌈share · m⌉ largest p_j, in 0 to 1; uniform attention gives about `share`.

    Raises:
        ValueError: share outside 0 to 1, 0 excluded.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must be above 0 and at most 1")
    count = math.ceil(share * weights.shape[-1] - 1e-9)  # 0.07 · 100 is a little above 7 in floating point
    return _shares(weights).topk(count, dim=-1).values.sum(dim=-1)


def gini(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """G = Σ_j (2j − m − 1) p_(j) / m with p_(1) ≤ … ≤ p_(m): 0 for uniform attention, 1 − 1/m for one token."""
    p = _shares(weights).sort(dim=-1).values
    m = p.shape[-1]
    rank = torch.arange(1, m + 1, dtype=p.dtype, device=p.device)
    return ((2 * rank - m - 1) * p).sum(dim=-1) / m


def mass_on(weights: Float[Tensor, "*batch m"], mask: Bool[Tensor, "*mask"]) -> Float[Tensor, "*batch"]:
    """Σ_j p_j over the masked tokens, in 0 to 1: how much attention lies on a known object.

    Args:
        weights: (…, m).
        mask: which tokens are the object's; (m), or with the batch axes of the weights.
    """
    return (_shares(weights) * mask).sum(dim=-1)


def mask_share(mask: Bool[Tensor, "*mask"]) -> Float[Tensor, "*rest"]:
    """Σ_j mask_j / m, in 0 to 1: the mass that uniform attention puts on the masked tokens."""
    return mask.float().mean(dim=-1)


def negative_share(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch"]:
    """Σ_j p_j over the tokens with a_j < 0, in 0 to 1: how much of a row is subtracted; 0 for most attention."""
    return (_shares(weights) * (weights < 0)).sum(dim=-1)


def numerical_rank(attention_map: Float[Tensor, "*batch n m"], *, tolerance: float | None = None) -> Tensor:
    """Count the singular values of a map above `tolerance` times the largest.

    rank = #{i : s_i > tolerance · s_1}; a map of linear attention has rank d, the head width, at most.

    Args:
        attention_map: (…, n, m).
        tolerance: above 0; by default max(n, m) times the machine epsilon of the map's type.

    Returns:
        Whole numbers, (…).
    """
    return torch.linalg.matrix_rank(attention_map, rtol=tolerance)


class Concentration(NamedTuple):
    """The measures of one row of weights, or their means over many rows.

    normalized_entropy: H / ln m
    effective_tokens: exp(H)
    top_mass: mass of the 5 % largest weights
    gini: Gini coefficient
    """

    normalized_entropy: float
    effective_tokens: float
    top_mass: float
    gini: float


def concentration(weights: Float[Tensor, "*batch m"]) -> Concentration:
    """Return every measure that needs no ground truth, averaged over the rows."""
    measures = (normalized_entropy, effective_tokens, top_mass, gini)
    return Concentration(*(measure(weights).mean().item() for measure in measures))
