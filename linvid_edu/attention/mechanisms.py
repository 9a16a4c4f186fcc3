"""The attention functions as layers of a model: what each receives, owns and returns."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from linvid_edu.shapes import Extent, Float

from .feature_maps import FeatureMap, identity, relu_offset
from .fixation import Fixation, FixationRatios, ValueGate
from .functions import attention_map, linear_attention, softmax_attention

Similarity = Literal["softmax", "linear", "product"]


def weights_between(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch m d"], similarity: Similarity
) -> Float[Tensor, "*batch n m"]:
    """Compute the explicit weights between what an attention function received, in O(n·m·d).

    softmax: ``attention_map(q, k)``; linear: that of features; product: A = q kᵀ as it is, for the factors of a map

    Args:
        q, k: queries and keys, features, or factors.
        similarity: which of them.
    """
    if similarity == "product":
        return q @ k.mT
    return attention_map(q, k, feature_map=identity if similarity == "linear" else None)


class AttentionInputs(NamedTuple):
    """What an attention function receives.

    q, k: queries and keys, or their reweighted features, or the two factors of an attention map
    ratios: the fixation ratios behind them, None without fixation
    similarity: how they make weights: see ``weights_between``
    """

    q: Float[Tensor, "batch heads tokens f"]
    k: Float[Tensor, "batch heads tokens f"]
    ratios: FixationRatios | None = None
    similarity: Similarity = "linear"


class Mechanism(nn.Module):
    """An attention function as a model's layer sees it: queries, keys and values of all heads in, attended values out.

    It owns what the function learns beside the projections.

    Args:
        fixation: the layers that learn r_q and r_k; None means r_q = r_k = 1.
        gate: a gate on v and out; None means none.
    """

    def __init__(self, fixation: Fixation | None = None, *, gate: ValueGate | None = None):
        super().__init__()
        self.fixation, self.gate = fixation, gate

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return what makes the map, for a recorder to see; the arguments are those of ``forward``."""
        raise NotImplementedError

    def forward(
        self,
        q: Float[Tensor, "batch heads tokens d"],
        k: Float[Tensor, "batch heads tokens d"],
        v: Float[Tensor, "batch heads tokens d"],
        extent: Extent | None = None,
    ) -> Float[Tensor, "batch heads tokens d"]:
        """Return the attended values.

        Args:
            q, k, v: of the tokens that attend to each other.
            extent: how these tokens lie in the clip; None where a mechanism does not ask.
        """
        raise NotImplementedError

    def randomize_buffers(self, generator: torch.Generator) -> None:
        """Sample what is random but not learned; most mechanisms have no such buffers."""


class SoftmaxAttention(Mechanism):
    """Call ``softmax_attention``; it owns no weights, and exists so that a recorder can see its inputs."""

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return queries and keys as they are."""
        return AttentionInputs(q, k, similarity="softmax")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        return softmax_attention(q, k, v)


class LinearAttention(Mechanism):
    """Apply the feature map, then fixation where there is one, then linear attention.

    out = linear_attention(r_q ∘ φ(q), r_k ∘ φ(k), v)

    Args:
        fixation: the layers that learn r_q and r_k; None means r_q = r_k = 1.
        feature_map: φ.
        gate: a gate on v and out; None means none.

    Source: arXiv 2210.08164, with φ = ``relu_offset`` and no gate.
    """

    def __init__(
        self,
        fixation: Fixation | None = None,
        *,
        feature_map: FeatureMap = relu_offset,
        gate: ValueGate | None = None,
    ):
        super().__init__(fixation, gate=gate)
        self.feature_map = feature_map

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return r_q ∘ φ(q), r_k ∘ φ(k) and the ratios."""
        return fixate(self.fixation, self.feature_map(q), self.feature_map(k), v)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        features = self.attention_inputs(q, k, v)
        if self.gate is None:
            return linear_attention(features.q, features.k, v, feature_map=identity)
        r_v, r_o = self.gate(features.q, features.k, v)
        return r_o * linear_attention(features.q, features.k, r_v * v, feature_map=identity)


def fixate(
    fixation: Callable[..., FixationRatios] | None,
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch n f"],
    v: Float[Tensor, "*batch n d"],
) -> AttentionInputs:
    """Reweight features by the ratios learned from them: r_q ∘ φ(q), r_k ∘ φ(k); without fixation they stay."""
    if fixation is None:
        return AttentionInputs(phi_q, phi_k)
    ratios = fixation(phi_q, phi_k, v)
    return AttentionInputs(ratios.q * phi_q, ratios.k * phi_k, ratios)
