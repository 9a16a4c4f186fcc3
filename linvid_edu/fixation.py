"""Feature fixation and neighborhood association: the two cures for attention that is not concentrated.

Fixation reweights the features of query and key, per token, head and channel, before linear attention. Association
lets key and value borrow channels from neighbors in time and space before that.
"""

from typing import Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from .shapes import Float
from .tokens import Grid


class FixationRatios(NamedTuple):
    """How far each feature is kept open, in 0 to 1.

    q: r_q, for φ(q) ← r_q ∘ φ(q)
    k: r_k, for φ(k) ← r_k ∘ φ(k)
    """

    q: Float[Tensor, "*batch n e"]
    k: Float[Tensor, "*batch m e"]


def constant_fixation(
    phi_q: Float[Tensor, "*batch n e"],
    phi_k: Float[Tensor, "*batch m e"],
    bias_q: Float[Tensor, "e"],
    bias_k: Float[Tensor, "e"],
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
    phi_q: Float[Tensor, "*batch n e"],
    phi_k: Float[Tensor, "*batch m e"],
    weight_q: Float[Tensor, "e e"],
    bias_q: Float[Tensor, "e"],
    weight_k: Float[Tensor, "e e"],
    bias_k: Float[Tensor, "e"],
) -> FixationRatios:
    """Learn the ratios of query and key each from itself.

    r_q = σ(W_q φ(q) + b_q), r_k = σ(W_k φ(k) + b_k)

    Args:
        phi_q, phi_k: features of queries and keys.
        weight_q, bias_q, weight_k, bias_k: one e → e layer for each, the same for every head.

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
    v: Float[Tensor, "*batch n e"],
    weight_q: Float[Tensor, "f e3"],
    bias_q: Float[Tensor, "f"],
    weight_k: Float[Tensor, "f e3"],
    bias_k: Float[Tensor, "f"],
) -> FixationRatios:
    """Learn both ratios from query, key and value of the token together.

    z = [φ(q); φ(k); v], r_q = σ(W_q z + b_q), r_k = σ(W_k z + b_k)

    Args:
        phi_q, phi_k: features of queries and keys, f channels; f = e in the paper.
        v: the raw values, after association where there is one.
        weight_q, bias_q, weight_k, bias_k: one 2f + e → f layer for each, the same for every head; pass the same
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
        head_width: e; one layer serves every head.
        kind: "separate", "cooperative", or "constant" for ratios that do not depend on the input.
        shared: one layer for query and key; cooperative only, since separate layers see different inputs.
        features: f, channels of φ(q) and φ(k); None means e, as in the paper.

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
        v: Float[Tensor, "*batch n e"],
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
        head_width: e; one layer serves every head.
        target: "value", "output", or "both", which has as many weights as cooperative fixation.

    Source: an addition, as a control of arXiv 2210.08164.
    """

    def __init__(self, head_width: int, *, target: Literal["value", "output", "both"]):
        super().__init__()
        self.value = None if target == "output" else nn.Linear(3 * head_width, head_width)
        self.output = None if target == "value" else nn.Linear(3 * head_width, head_width)

    def forward(
        self,
        phi_q: Float[Tensor, "*batch n e"],
        phi_k: Float[Tensor, "*batch n e"],
        v: Float[Tensor, "*batch n e"],
    ) -> tuple[Tensor | float, Tensor | float]:
        """Return the factors of values and outputs; 1.0 where there is no gate."""
        z = torch.cat([phi_q, phi_k, v], dim=-1)
        r_v = 1.0 if self.value is None else torch.sigmoid(self.value(z))
        r_o = 1.0 if self.output is None else torch.sigmoid(self.output(z))
        return r_v, r_o


def temporal_association(x: Float[Tensor, "b t n d"], *, shift_div: int) -> Float[Tensor, "b t n d"]:
    """Borrow channels from the neighboring frames, for keys and values of spatial attention.

    With c = ⌊d / shift_div⌋: channels 0 to c come from the next frame, c to 2c from the previous frame, the rest stay.
    Missing frames are zeros.

    Args:
        x: keys or values, channels head-major; with shift_div 4 and 8 heads, heads 0–1 look ahead, 2–3 look back.
        shift_div: which fraction of the channels moves each way; at least 2. The paper's code uses 4 for
            Something-Something v2 and 8 for Kinetics.

    Raises:
        ValueError: shift_div below 2.

    Source: arXiv 2210.08164. Differs from the reference implementation: the shift runs over the whole clip, where
    the reference's Kinetics configuration cuts 16 frames into segments of 8.
    """
    if shift_div < 2:
        raise ValueError(f"shift_div={shift_div} would move more channels than there are: use 2 or more")
    c = x.shape[-1] // shift_div
    ahead, back, stay = x.split([c, c, x.shape[-1] - 2 * c], dim=-1)
    # pads come last axis first: channels, tokens, frames; −1 drops a frame at one end, 1 adds zeros at the other
    ahead, back = F.pad(ahead, (0, 0, 0, 0, -1, 1)), F.pad(back, (0, 0, 0, 0, 1, -1))
    return torch.cat([ahead, back, stay], dim=-1)


# (row, column) of the neighbor that each group of channels borrows from
NEIGHBORS = ((1, 0), (-1, 0), (0, 1), (0, -1), (-1, -1), (1, 1), (-1, 1), (1, -1))


def spatial_association(x: Float[Tensor, "b t n d"], *, grid: Grid) -> Float[Tensor, "b t n d"]:
    """Borrow channels from the 8 neighboring locations, for keys and values of temporal attention.

    With c = ⌊d / 16⌋: channels g·c to (g+1)·c come from the location at offset ``NEIGHBORS[g]``, g = 0 … 7; the
    rest, half of all channels, stay. Where the neighbor lies outside the frame, groups 0–3 are zero, but groups 4–7
    keep the location's own value: a quirk of the reference implementation, kept.

    Args:
        x: keys or values, channels head-major.
        grid: rows and columns of the n tokens of one frame.

    Raises:
        ValueError: the grid has another number of tokens.

    Source: arXiv 2210.08164.
    """
    if grid.tokens != x.shape[-2]:
        raise ValueError(f"a {grid.rows}×{grid.columns} grid has {grid.tokens} tokens, x has {x.shape[-2]}")
    c = x.shape[-1] // 16
    source = rearrange(x, "b t (h w) d -> b t h w d", h=grid.rows)
    *groups, stay = source.split([c] * 8 + [x.shape[-1] - 8 * c], dim=-1)
    inside = x.new_ones(*source.shape[2:4], 1)
    for g, (down, right) in enumerate(NEIGHBORS):
        pads = (0, 0, -right, right, -down, down)  # last axis first: channels, columns, rows
        shifted = F.pad(groups[g], pads)
        groups[g] = shifted if g < 4 else torch.where(F.pad(inside, pads) > 0, shifted, groups[g])
    return rearrange(torch.cat([*groups, stay], dim=-1), "b t h w d -> b t (h w) d")
