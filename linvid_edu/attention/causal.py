"""Causal linear attention, block by block: a state of fixed size, and what it gives to each block."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from linvid_edu.shapes import Extent, Float

from .feature_maps import FeatureMap, relu_offset
from .fixation import FixationRatios
from .functions import EPS
from .mechanisms import fixate
from .rivals.base import Products


class State(NamedTuple):
    """All that causal linear attention keeps of what has passed: f·(d_v + 1) numbers for each head.

    weighted: S = Σ_j φ(k_j) v_jᵀ
    total: z = Σ_j φ(k_j)

    Both are float64 where the device has it. In float32, sums of one token after another are off by about 1e-5 of their
    size after 10⁵ tokens, and after 10⁷ they no longer notice a new one.
    """

    weighted: Float[Tensor, "*batch f d_v"]
    total: Float[Tensor, "*batch 1 f"]


class Passed(NamedTuple):
    """What causal attention did with one block.

    out: the attended values
    q, k: the features r_q ∘ φ(q) and r_k ∘ φ(k) of the block
    own: the share of each query's weights that lies on its own block, 0 to 1
    ratios: the fixation ratios; None without fixation
    """

    out: Float[Tensor, "*batch n d_v"]
    q: Float[Tensor, "*batch n f"]
    k: Float[Tensor, "*batch n f"]
    own: Float[Tensor, "*batch n"]
    ratios: FixationRatios | None


class CausalAttention:
    """Linear attention to everything so far, block by block.

    S ← S + Σ_{j in block} φ(k_j) v_jᵀ, z ← z + Σ_{j in block} φ(k_j); out_i = φ(q_i) S / (φ(q_i) · z + eps)

    A block sees itself in full and all blocks before it, so its outputs are those of ``linear_attention`` over all
    tokens up to its end. Fixation streams exactly, since a token's ratios depend on that token alone.

    Args:
        feature_map: φ; it must work token by token.
        fixation: makes the ratios from φ(q), φ(k) and v, such as a ``Fixation``; None means r_q = r_k = 1.
        eps: added to the normalizer.

    Source: Transformers are RNNs, 2020, arXiv 2006.16236, for the sums; that fixation streams is an addition.
    """

    def __init__(
        self,
        feature_map: FeatureMap = relu_offset,
        *,
        fixation: Callable[..., FixationRatios] | None = None,
        eps: int | float = EPS,
    ) -> None:
        self.feature_map, self.fixation, self.eps = feature_map, fixation, eps
        self.state: State | None = None
        self.seen = 0  # tokens

    def reset(self) -> None:
        """Forget what has passed."""
        self.state, self.seen = None, 0

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k) of a block."""
        return self.feature_map(q), self.feature_map(k)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return what is multiplied, from features of a block that fixation may have reweighted."""
        return Products(phi_q, phi_k, eps=self.eps)

    def update(
        self,
        q: Float[Tensor, "*batch n d"],
        k: Float[Tensor, "*keys d"],
        v: Float[Tensor, "*values d_v"],
        extent: Extent | None = None,
    ) -> Float[Tensor, "*batch n d_v"]:
        """Take the next block in, and return its attended values.

        Args:
            q, k, v: of this block, at least 1 token; all other axes are those of the first block.
            extent: how the tokens of this block lie; None: as frames of one token each.

        Raises:
            ValueError: an empty block, or one that does not fit those before.
        """
        return self.observe(q, k, v, extent).out

    def observe(
        self,
        q: Float[Tensor, "*batch n d"],
        k: Float[Tensor, "*keys d"],
        v: Float[Tensor, "*values d_v"],
        extent: Extent | None = None,
    ) -> Passed:
        """Take the next block in, and return what happened; arguments and errors are those of ``update``."""
        n = q.shape[-2]
        if not n:
            raise ValueError("a block of 0 tokens: pass at least 1")
        if q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
            shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in (("q", q), ("k", k), ("v", v)))
            raise ValueError(f"{shapes} do not belong to one block: pass as many keys and values as queries")
        fixated = fixate(self.fixation, *self.features(q, k), v)
        made = self.products(fixated.q, fixated.k, extent or Extent(n, 1, 1))
        weigh_q, weigh_k = (
            phi if weigh is None else weigh for weigh, phi in ((made.weigh_q, made.phi_q), (made.weigh_k, made.phi_k))
        )
        here = weigh_k.sum(dim=-2, keepdim=True)
        self.state, self.seen = self._add(made.phi_k.mT @ v, here), self.seen + n
        weighted, total = (part.to(q.dtype) for part in self.state)
        z = ((weigh_q * total).sum(dim=-1, keepdim=True) + made.eps).clamp(min=made.floor)
        own = (weigh_q * here).sum(dim=-1) / z.squeeze(-1)
        return Passed(made.phi_q @ weighted / z, made.phi_q, made.phi_k, own, fixated.ratios)

    def _add(self, weighted: Tensor, total: Tensor) -> State:
        """Return the state with the sums of one more block."""
        precise = weighted.dtype if weighted.device.type == "mps" else torch.float64
        if self.state is None:
            return State(weighted.to(precise), total.to(precise))
        if weighted.shape != self.state.weighted.shape:
            raise ValueError(
                f"a block whose sums Σ φ(k) vᵀ are {tuple(weighted.shape)} does not fit those before, whose state is "
                f"{tuple(self.state.weighted.shape)}: reset() begins a new stream"
            )
        return State(self.state.weighted + weighted, self.state.total + total)


def frame_rows(passed: Passed, token: int) -> Float[Tensor, "batch heads n"]:
    """Return the weights that one token gives to the tokens of its own frame, as shares of their sizes.

    p_j = |φ(q) · φ(k_j)| / Σ_j' |φ(q) · φ(k_j')| over the tokens j' of this frame

    Args:
        passed: of attention over space, or joint attention.
        token: number of the query in its frame.
    """
    return _shares(passed.q[..., [token], :], passed.k).squeeze(-2)


def frame_map(passed: Passed, *, every: int = 1) -> Float[Tensor, "batch heads queries n"]:
    """Return ``frame_rows`` of every token of the frame, or of each so-many-th.

    Args:
        passed: of attention over space, or joint attention.
        every: 1 for all tokens, 2 for every other one.
    """
    return _shares(passed.q[..., ::every, :], passed.k)


def _shares(q: Tensor, k: Tensor) -> Tensor:
    weights = (q @ k.mT).abs()
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
