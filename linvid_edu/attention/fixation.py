"""Feature fixation and neighborhood association: the two cures for attention that is not concentrated.

Fixation reweights the features of query and key, per token, head and channel, before linear attention. Association
lets key and value borrow channels from neighbors in time and space before that.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.shapes import Float


class FixationRatios(NamedTuple):
    """How far each feature is kept open, in 0 to 1.

    q: r_q, for φ(q) ← r_q ∘ φ(q)
    k: r_k, for φ(k) ← r_k ∘ φ(k)
    """

    q: Float[Tensor, "*batch n d"]
    k: Float[Tensor, "*batch m d"]


def constant_fixation(
    phi_q: Float[Tensor, "*batch n d"],
    phi_k: Float[Tensor, "*batch m d"],
    bias_q: Float[Tensor, "d"],
    bias_k: Float[Tensor, "d"],
) -> FixationRatios:
    """Learn ratios that do not depend on the input: a control, which can only weigh the channels once and for all.

    r_q = σ(b_q), r_k = σ(b_k)

    Args:
        phi_q, phi_k: features of queries and keys; only their shapes count.
        bias_q, bias_k: one value for each channel, the same for every head.

    Returns:
        Ratios in 0 to 1, the same for every token and head.

    Source: an addition, as a control of arXiv 2210.08164.
    """
    return FixationRatios(torch.sigmoid(bias_q).expand_as(phi_q), torch.sigmoid(bias_k).expand_as(phi_k))


def separate_fixation(
    phi_q: Float[Tensor, "*batch n d"],
    phi_k: Float[Tensor, "*batch m d"],
    weight_q: Float[Tensor, "d d"],
    bias_q: Float[Tensor, "d"],
    weight_k: Float[Tensor, "d d"],
    bias_k: Float[Tensor, "d"],
) -> FixationRatios:
    """Learn the ratios of query and key each from itself.

    r_q = σ(W_q φ(q) + b_q), r_k = σ(W_k φ(k) + b_k)

    Args:
        phi_q, phi_k: features of queries and keys.
        weight_q, bias_q, weight_k, bias_k: one d → d layer for each, the same for every head.

    Returns:
        Ratios in 0 to 1, one for each token, head and channel.

    Source: arXiv 2210.08164, the ablation that cooperative fixation is compared with.
    """
    return FixationRatios(
        torch.sigmoid(F.linear(phi_q, weight_q, bias_q)), torch.sigmoid(F.linear(phi_k, weight_k, bias_k))
    )


def cooperative_fixation(
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch n f"],
    v: Float[Tensor, "*batch n d"],
    weight_q: Float[Tensor, "f z"],
    bias_q: Float[Tensor, "f"],
    weight_k: Float[Tensor, "f z"],
    bias_k: Float[Tensor, "f"],
) -> FixationRatios:
    """Learn both ratios from query, key and value of the token together.

    z = [φ(q); φ(k); v], r_q = σ(W_q z + b_q), r_k = σ(W_k z + b_k)

    Args:
        phi_q, phi_k: features of queries and keys, f channels; f = d in the paper.
        v: the raw values, after association where there is one.
        weight_q, bias_q, weight_k, bias_k: one 2f + d → f layer for each, the same for every head; pass the same
            tensors twice to share one layer, which is then computed once.

    Returns:
        Ratios in 0 to 1, one for each token, head and channel.

    Source: arXiv 2210.08164.
    """
    z = torch.cat([phi_q, phi_k, v], dim=-1)
    if weight_k is weight_q:
        r_q = r_k = torch.sigmoid(F.linear(z, weight_q, bias_q))
    else:
        both = F.linear(z, torch.cat([weight_q, weight_k]), torch.cat([bias_q, bias_k]))
        r_q, r_k = torch.sigmoid(both).chunk(2, dim=-1)
    return FixationRatios(r_q, r_k)


class Fixation(nn.Module):
    """Own the layers that learn the fixation ratios.

    Args:
        head_width: d; one layer serves every head.
        kind: "separate", "cooperative", or "constant" for ratios that do not depend on the input.
        shared: one layer for query and key; cooperative only, since separate layers see different inputs.
        features: f, channels of φ(q) and φ(k); None means d, as in the paper.

    Source: arXiv 2210.08164; the constant kind is an addition.
    """

    def __init__(
        self,
        head_width: int,
        *,
        kind: Literal["separate", "cooperative", "constant"],
        shared: bool = False,
        features: int | None = None,
    ):
        super().__init__()
        self.kind = kind
        features = head_width if features is None else features
        if kind == "constant":
            self.query_bias, self.key_bias = (nn.Parameter(torch.zeros(features)) for _ in range(2))
            return
        inputs = {"separate": features, "cooperative": 2 * features + head_width}[kind]
        self.query = nn.Linear(inputs, features)
        self.key = self.query if shared else nn.Linear(inputs, features)

    def forward(
        self,
        phi_q: Float[Tensor, "*batch n f"],
        phi_k: Float[Tensor, "*batch n f"],
        v: Float[Tensor, "*batch n d"],
    ) -> FixationRatios:
        """Return the ratios for the features of queries and keys."""
        if self.kind == "constant":
            return constant_fixation(phi_q, phi_k, self.query_bias, self.key_bias)
        layers = self.query.weight, self.query.bias, self.key.weight, self.key.bias
        if self.kind == "separate":
            return separate_fixation(phi_q, phi_k, *layers)
        return cooperative_fixation(phi_q, phi_k, v, *layers)


class ValueGate(nn.Module):
    """Gate values or outputs where fixation gates queries and keys: a control with layers of the same size.

    z = [φ(q); φ(k); v], v ← σ(W_v z + b_v) ∘ v before attention, out ← σ(W_o z + b_o) ∘ out after it

    With fixation as well, z has the reweighted features.

    Args:
        head_width: d; one layer serves every head.
        target: "value", "output", or "both", which has as many weights as cooperative fixation.

    Source: an addition, as a control of arXiv 2210.08164.
    """

    def __init__(self, head_width: int, *, target: Literal["value", "output", "both"]):
        super().__init__()
        self.value = None if target == "output" else nn.Linear(3 * head_width, head_width)
        self.output = None if target == "value" else nn.Linear(3 * head_width, head_width)

    def forward(
        self,
        phi_q: Float[Tensor, "*batch n d"],
        phi_k: Float[Tensor, "*batch n d"],
        v: Float[Tensor, "*batch n d"],
    ) -> tuple[Tensor | float, Tensor | float]:
        """Return the factors of values and outputs; 1.0 where there is no gate."""
        z = torch.cat([phi_q, phi_k, v], dim=-1)
        r_v = 1.0 if self.value is None else torch.sigmoid(self.value(z))
        r_o = 1.0 if self.output is None else torch.sigmoid(self.output(z))
        return r_v, r_o






