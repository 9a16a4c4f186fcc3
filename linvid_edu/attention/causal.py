"""Attention and association on a stream: objects that hold the state between one block of tokens and the next."""

from collections.abc import Callable

import torch
from torch import Tensor

from linvid_edu.shapes import Extent, Float

from .association import temporal_association
from .causal_sums import Passed, State
from .feature_maps import FeatureMap, relu_offset
from .fixation import FixationRatios
from .mechanisms import LinearAttention, Mechanism
from .rivals import RIVALS


class CausalAttention:
    """Linear attention to everything so far, block by block.

    Each block goes through ``causal_step``: it sees itself in full and all blocks before it. Fixation streams exactly,
    because the ratios of a token depend on that token alone.

    Args:
        feature_map: φ, which must work token by token.
        fixation: Function of φ(q), φ(k) and v that returns the ratios, such as a ``Fixation``; None means
            r_q = r_k = 1.

    Source: Transformers are RNNs, 2020, arXiv 2006.16236, for the sums; streaming with fixation is an addition.
    """

    def __init__(
        self, feature_map: FeatureMap = relu_offset, *, fixation: Callable[..., FixationRatios] | None = None
    ) -> None:
        self.mechanism: Mechanism = LinearAttention(fixation, feature_map=feature_map)  # type: ignore[arg-type]
        self.reset()

    @classmethod
    def of(cls, mechanism: Mechanism) -> "CausalAttention":
        """Return a stream that computes what a model's mechanism computes, with the same features and fixation.

        Args:
            mechanism: Linear attention, or a kernel rival in which the features of a token depend only on that token
                and its position.

        Raises:
            ValueError: If the mechanism has no sums to keep, or its features depend on other tokens.
        """
        if mechanism.not_streaming:
            names = ", ".join(name for name, rival in RIVALS.items() if not rival.not_streaming)
            raise ValueError(
                f"{type(mechanism).__name__} does not stream here: {mechanism.not_streaming}; use linear (without a "
                f"gate), or one of {names}"
            )
        stream = cls()
        stream.mechanism = mechanism
        return stream

    def reset(self) -> None:
        """Forget all earlier tokens."""
        self.state: State | None = None
        self.seen = 0  # tokens

    def update(
        self,
        q: Float[Tensor, "*batch n d"],
        k: Float[Tensor, "*keys d"],
        v: Float[Tensor, "*values d_v"],
        extent: Extent | None = None,
    ) -> Float[Tensor, "*batch n d_v"]:
        """Take the next block, and return its attended values.

        Args:
            q, k, v: Queries, keys and values of the block, which has at least 1 token. All other axes must match those
                of the first block.
            extent: Frames, rows and columns of the block; None means frames of one token each.

        Raises:
            ValueError: If the block is empty, or its shape does not match that of the earlier blocks.
        """
        return self.observe(q, k, v, extent).out

    def observe(
        self,
        q: Float[Tensor, "*batch n d"],
        k: Float[Tensor, "*keys d"],
        v: Float[Tensor, "*values d_v"],
        extent: Extent | None = None,
    ) -> Passed:
        """Take the next block, and return its attended values, features and ratios.

        Arguments and errors are those of ``update``.
        """
        n = q.shape[-2]
        if not n:
            raise ValueError("a block of 0 tokens: pass at least 1")
        if q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
            shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in (("q", q), ("k", k), ("v", v)))
            raise ValueError(f"{shapes} do not belong to one block: pass as many keys and values as queries")
        passed, self.state = self.mechanism.stream(q, k, v, extent or Extent(n, 1, 1), self.state, self.seen)
        self.seen += n
        return passed


class CausalAssociation:
    """Temporal association frame by frame, without access to the next frame.

    Channels 0 to c, which a clip takes from the next frame, are zero. Channels c to 2c come from the previous frame,
    and all others stay in place, with c = ⌊width / shift_div⌋. ``temporal_association`` does the same to the last frame
    of a clip: each frame is treated as if the clip ended with it. Waiting for the next frame instead would add a delay
    of one frame in every block of a model.

    Args:
        shift_div: Divisor of the width that gives c, at least 2.

    Raises:
        ValueError: If shift_div is below 2.
    """

    def __init__(self, shift_div: int) -> None:
        if shift_div < 2:
            raise ValueError(f"shift_div={shift_div} would move more channels than there are: use 2 or more")
        self.shift_div = shift_div
        self.before: Tensor | None = None  # channels c to 2c of the previous frame

    def update(self, x: Float[Tensor, "b one n width"]) -> Float[Tensor, "b one n width"]:
        """Take the keys or values of the next frame, and return them associated."""
        c = x.shape[-1] // self.shift_div
        before = torch.zeros_like(x)
        if self.before is not None:
            before[..., c : 2 * c] = self.before
        self.before = x[..., c : 2 * c].clone()
        return temporal_association(torch.cat([before, x], dim=1), shift_div=self.shift_div)[:, 1:]


def frame_rows(passed: Passed, token: int) -> Float[Tensor, "batch heads n"]:
    """Return the weights that one token gives to the tokens of its own frame, as shares of their absolute sum.

    p_j = |φ(q) · φ(k_j)| / Σ_j' |φ(q) · φ(k_j')| over the tokens j' of this frame

    Args:
        passed: Result of attention over space, or of joint attention.
        token: Index of the query in its frame.
    """
    return _shares(passed.q[..., [token], :], passed.k).squeeze(-2)


def frame_map(passed: Passed, *, every: int = 1) -> Float[Tensor, "batch heads queries n"]:
    """Return ``frame_rows`` for every token of the frame, or only for every second, third, … token.

    Args:
        passed: Result of attention over space, or of joint attention.
        every: Distance between the queries: 1 takes all tokens, 2 every second one.
    """
    return _shares(passed.q[..., ::every, :], passed.k)


def _shares(q: Tensor, k: Tensor) -> Tensor:
    weights = (q @ k.mT).abs()
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
