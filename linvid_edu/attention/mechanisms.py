"""The attention functions as layers of a model."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from linvid_edu.shapes import Extent, Float

from .causal_sums import Passed, State, causal_step
from .feature_maps import FeatureMap, identity, relu_offset
from .fixation import Fixation, FixationRatios, ValueGate
from .functions import attention_map, linear_attention, softmax_attention

Similarity = Literal["softmax", "linear", "product"]


def weights_between(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch m d"], similarity: Similarity
) -> Float[Tensor, "*batch n m"]:
    """Compute the explicit weights from the operands of an attention function, in O(n·m·d).

    softmax: ``attention_map(q, k)``; linear: the map of features; product: A = q kᵀ, for the factors of a map

    Args:
        q, k: Queries and keys, features, or factors of a map.
        similarity: How q and k are combined into weights: "softmax", "linear" or "product".
    """
    if similarity == "product":
        return q @ k.mT
    return attention_map(q, k, feature_map=identity if similarity == "linear" else None)


class AttentionInputs(NamedTuple):
    """The operands of an attention map.

    q, k: queries and keys, or their reweighted features, or the two factors of a map
    ratios: fixation ratios of the features; None without fixation
    similarity: how q and k are combined into weights, see ``weights_between``
    """

    q: Float[Tensor, "batch heads tokens f"]
    k: Float[Tensor, "batch heads tokens f"]
    ratios: FixationRatios | None = None
    similarity: Similarity = "linear"


class Mechanism(nn.Module):
    """An attention function as a layer: queries, keys and values of all heads in, attended values out.

    It owns the learned weights of the function, but not the projections to q, k and v.

    ``not_streaming`` says why a stream cannot keep sums over earlier tokens; it is empty if a stream can.
    ``frames_ahead`` is the number of later frames that a token sees.

    Args:
        fixation: Layers that learn r_q and r_k; None means r_q = r_k = 1.
        gate: Gate on v and on the output; None means no gate.
    """

    not_streaming: str = "its map is not made of sums over keys that could be kept"
    frames_ahead: int = 0

    def __init__(self, fixation: Fixation | None = None, *, gate: ValueGate | None = None):
        super().__init__()
        self.fixation, self.gate = fixation, gate

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the operands of the map; the arguments are those of ``forward``."""
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
            q, k, v: Queries, keys and values of the tokens that attend to each other.
            extent: Frames, rows and columns of these tokens; None if the mechanism does not need them.
        """
        raise NotImplementedError

    def stream(
        self, q: Tensor, k: Tensor, v: Tensor, extent: Extent, state: State | None, seen: int
    ) -> tuple[Passed, State]:
        """Attend to a block of tokens and to all tokens before it.

        Args:
            q, k, v, extent: As for ``forward``, but for the block only.
            state: State after all earlier tokens; None if there are none.
            seen: Number of earlier tokens.

        Returns:
            The result for the block, and the state after it.
        """
        raise NotImplementedError

    def randomize_buffers(self, generator: torch.Generator) -> None:
        """Resample the buffers that are random and not learned; most mechanisms have none."""


class SoftmaxAttention(Mechanism):
    """``softmax_attention`` as a layer; it has no weights."""

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return queries and keys as they are."""
        return AttentionInputs(q, k, similarity="softmax")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        return softmax_attention(q, k, v)


class LinearAttention(Mechanism):
    """Apply the feature map, then fixation if there is one, then linear attention.

    out = linear_attention(r_q ∘ φ(q), r_k ∘ φ(k), v)

    Args:
        fixation: Layers that learn r_q and r_k; None means r_q = r_k = 1.
        feature_map: φ.
        gate: Gate on v and on the output; None means no gate.

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
        self.not_streaming = "" if gate is None else "its gate is a control for whole clips"

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

    def stream(
        self, q: Tensor, k: Tensor, v: Tensor, extent: Extent, state: State | None, seen: int
    ) -> tuple[Passed, State]:
        """Attend to a block of tokens and to all tokens before it."""
        features = self.attention_inputs(q, k, v)
        passed, state = causal_step(features.q, features.k, v, state)
        return passed._replace(ratios=features.ratios), state


def fixate(
    fixation: Callable[..., FixationRatios] | None,
    phi_q: Float[Tensor, "*batch n f"],
    phi_k: Float[Tensor, "*batch n f"],
    v: Float[Tensor, "*batch n d"],
) -> AttentionInputs:
    """Reweight features by the ratios that fixation computes from them: r_q ∘ φ(q), r_k ∘ φ(k)."""
    if fixation is None:
        return AttentionInputs(phi_q, phi_k)
    ratios = fixation(phi_q, phi_k, v)
    return AttentionInputs(ratios.q * phi_q, ratios.k * phi_k, ratios)
