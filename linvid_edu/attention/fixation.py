"""Feature fixation: reweight the features of queries and keys before linear attention.

Each token, head and channel has a fixation ratio of its own, between 0 and 1. The ratios are learned from the query,
the key and the value of the token.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.shapes import Float


class FixationRatios(NamedTuple):
    """Factors in 0 to 1 that reweight the features of queries and keys.

    q: r_q in φ(q) ← r_q ∘ φ(q)
    k: r_k in φ(k) ← r_k ∘ φ(k)
    """

    q: Float[Tensor, "*batch n d"]
    k: Float[Tensor, "*batch m d"]


def constant_fixation(
    phi_q: Float[Tensor, "*batch n d"],
    phi_k: Float[Tensor, "*batch m d"],
    bias_q: Float[Tensor, "d"],
    bias_k: Float[Tensor, "d"],
) -> FixationRatios:
    """Compute ratios that do not depend on the input: a control that can only weight the channels.

    r_q = σ(b_q), r_k = σ(b_k)

    Args:
        phi_q, phi_k: Features of queries and keys; only their shapes matter.
        bias_q, bias_k: Learned value for each channel, shared by all heads.

    Returns:
        Ratios in 0 to 1, the same for every token and head.

    Source: an addition, to serve as a control for arXiv 2210.08164.
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
    """Compute the ratios of a query from that query, and the ratios of a key from that key.

    r_q = σ(W_q φ(q) + b_q), r_k = σ(W_k φ(k) + b_k)

    Args:
        phi_q, phi_k: Features of queries and keys.
        weight_q, bias_q: Linear layer for r_q, shared by all heads.
        weight_k, bias_k: Linear layer for r_k, shared by all heads.

    Returns:
        Ratios in 0 to 1 for each token, head and channel.

    Source: arXiv 2210.08164, which uses it as an ablation of cooperative fixation.
    """
    return FixationRatios(
        torch.sigmoid(F.linear(phi_q, weight_q, bias_q)), torch.sigmoid(F.linear(phi_k, weight_k, bias_k))
    )


def cooperative_fixation(
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch n f"],
    v: Float[Tensor, "*batch n d"],
    weight_q: Float[Tensor, "f 2*f+d"],
    bias_q: Float[Tensor, "f"],
    weight_k: Float[Tensor, "f 2*f+d"],
    bias_k: Float[Tensor, "f"],
) -> FixationRatios:
    """Compute both ratios of a token from its query, key and value together.

    x = [φ(q); φ(k); v], r_q = σ(W_q x + b_q), r_k = σ(W_k x + b_k)

    Args:
        phi_q, phi_k: Features of queries and keys; f = d in the paper.
        v: Values, after association if there is any.
        weight_q, bias_q: Linear layer for r_q, shared by all heads.
        weight_k, bias_k: Linear layer for r_k, shared by all heads. To share one layer for both ratios, pass weight_q
            and bias_q again; the layer is then computed once.

    Returns:
        Ratios in 0 to 1 for each token, head and channel.

    Source: arXiv 2210.08164.
    """
    x = torch.cat([phi_q, phi_k, v], dim=-1)
    if weight_k is weight_q:
        r_q = r_k = torch.sigmoid(F.linear(x, weight_q, bias_q))
    else:
        both = F.linear(x, torch.cat([weight_q, weight_k]), torch.cat([bias_q, bias_k]))
        r_q, r_k = torch.sigmoid(both).chunk(2, dim=-1)
    return FixationRatios(r_q, r_k)


class Fixation(nn.Module):
    """The linear layers that compute the fixation ratios, shared by all heads.

    Args:
        head_width: d, the width of a head.
        kind: "separate", "cooperative", or "constant" for ratios that do not depend on the input.
        shared: Whether r_q and r_k come from one layer. This is possible only for the cooperative kind, because the
            layers of the separate kind have different inputs.
        features: f, the number of features of a query or key; None means d, as in the paper.

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
            self.query_bias = nn.Parameter(torch.zeros(features))
            self.key_bias = nn.Parameter(torch.zeros(features))
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
        """Return the ratios for these features."""
        if self.kind == "constant":
            return constant_fixation(phi_q, phi_k, self.query_bias, self.key_bias)
        layers = self.query.weight, self.query.bias, self.key.weight, self.key.bias
        if self.kind == "separate":
            return separate_fixation(phi_q, phi_k, *layers)
        return cooperative_fixation(phi_q, phi_k, v, *layers)


class ValueGate(nn.Module):
    """Gate the values or the outputs instead of queries and keys: a control for fixation with layers of the same size.

    x = [φ(q); φ(k); v], v ← σ(W_v x + b_v) ∘ v before attention, out ← σ(W_o x + b_o) ∘ out after it

    If fixation is used as well, x holds the reweighted features.

    Args:
        head_width: d, the width of a head; all heads share the layers.
        target: "value", "output", or "both", which has as many weights as cooperative fixation.

    Source: an addition, to serve as a control for arXiv 2210.08164.
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
        """Return the factors of values and outputs; a factor is 1.0 if its target is not gated."""
        x = torch.cat([phi_q, phi_k, v], dim=-1)
        r_v = 1.0 if self.value is None else torch.sigmoid(self.value(x))
        r_o = 1.0 if self.output is None else torch.sigmoid(self.output(x))
        return r_v, r_o
