"""SANA-Video's block-causal attention: one running sum represents all earlier frames."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.mechanisms import AttentionInputs, fixate
from linvid_edu.shapes import Extent, Float

from .base import Products, Setting, identity_values, one_token_per_frame, whole_map
from .sana_relu_linear_2024 import SANA_EPS
from .sana_video_attention_2025 import THETA, SanaVideoAttention, rotated_products, sana_video_attention_map


def sana_block_causal(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d_v"],
    t: int,
    h: int,
    w: int,
    block_starts: Sequence[int],
    theta: int | float = THETA,
    eps: int | float = SANA_EPS,
) -> Float[Tensor, "b heads n d_v"]:
    """Attend as ``sana_video_attention`` does, but only to the block of frames of the query and earlier blocks.

    After block m: S ← S + Σ_{j in m} (R_j b_j) v_jᵀ, z ← z + Σ_{j in m} b_j; out_i = (R_i a_i)ᵀ S / (a_i · z + eps)

    It takes 2·N·d·d_v multiplications in all, and its state of d·d_v + d numbers does not grow. Rows of the map do not
    sum to 1 and weights may be negative.

    Args:
        q, k, v, t, h, w, theta, eps: Arguments of ``sana_video_attention``; positions count from the start of the clip.
        block_starts: First frame of each block, in ascending order from 0 and below t.

    Raises:
        ValueError: If block_starts is not ascending from 0, or for any of the reasons listed for
            ``sana_video_attention``.

    Source: arXiv 2509.24695. Differs from the released cached class, which returns the sums of one block. Its pipeline
    keeps a pair of sums for each block and adds them up, so its memory grows. This function keeps one running sum.
    """
    extent = Extent(t, h, w)
    return _block_causal(rotated_products(q.relu(), k.relu(), extent, theta, eps), v, extent, block_starts)


def sana_block_causal_map(
    q: Tensor,
    k: Tensor,
    t: int,
    h: int,
    w: int,
    block_starts: Sequence[int],
    theta: int | float = THETA,
    eps: int | float = SANA_EPS,
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``sana_block_causal``: a block takes its rows from the map of all frames so far."""
    rows = []
    for start, end in _blocks(block_starts, Extent(t, h, w)):
        prefix = sana_video_attention_map(q[:, :, :end], k[:, :, :end], end // (h * w), h, w, theta, eps)
        rows.append(F.pad(prefix[:, :, start:], (0, t * h * w - end)))
    return torch.cat(rows, dim=-2)


def sana_block_causal_oracle(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    t: int,
    h: int,
    w: int,
    block_starts: Sequence[int],
    theta: int | float = THETA,
    eps: int | float = SANA_EPS,
) -> Tensor:
    """Compute ``sana_block_causal`` through its explicit map."""
    return sana_block_causal_map(q, k, t, h, w, block_starts, theta, eps) @ v


def _blocks(starts: Sequence[int], extent: Extent) -> list[tuple[int, int]]:
    """Return the first token of each block and the first token after it."""
    bounds = [*starts, extent.t]
    if not starts or starts[0] != 0 or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError(
            f"block_starts={list(starts)} of {extent.t} frames: pass the first frame of each block, ascending from 0 "
            f"and below {extent.t}"
        )
    frame = extent.h * extent.w
    return [(a * frame, b * frame) for a, b in pairwise(bounds)]


def _block_causal(products: Products, v: Tensor, extent: Extent, starts: Sequence[int]) -> Tensor:
    """Return the attended values from rotated products: running sums over the blocks."""
    assert products.weigh_q is not None
    assert products.weigh_k is not None
    tensors = (products.phi_q, products.phi_k, products.weigh_q, products.weigh_k, v)
    state, total = v.new_zeros(()), v.new_zeros(())
    out = []
    for start, end in _blocks(starts, extent):
        phi_q, phi_k, psi_q, psi_k, values = (x[..., start:end, :] for x in tensors)
        state = state + (values.mT @ phi_k).mT  # contiguous gradient of φ(k), as in weighted_sums
        total = total + psi_k.sum(dim=-2, keepdim=True)
        z = (psi_q * total).sum(dim=-1, keepdim=True) + products.eps
        out.append(phi_q @ state * (1 / z))
    return torch.cat(out, dim=-2)


class SanaBlockCausal(SanaVideoAttention):
    """``sana_block_causal`` as a layer.

    Args:
        setting: Place in the model.
        block_frames: Number of frames of a block, at least 1; the last block may be shorter.
        theta: Base of the frequencies of the rotation.
        eps: Number added to the normalizer.
    """

    facts = SanaVideoAttention.facts._replace(
        rank="d for the rows of a block",
        memory="4·N·d + d² + d",
        sees="as sana_video_attention, but no later blocks of frames",
    )
    function: ClassVar[Any] = staticmethod(sana_block_causal)

    def __init__(
        self, setting: Setting, *, block_frames: int = 1, theta: int | float = THETA, eps: int | float = SANA_EPS
    ):
        super().__init__(setting, theta=theta, eps=eps)
        if block_frames < 1:
            raise ValueError(f"block_frames={block_frames} must be at least 1")
        self.block_frames = block_frames
        self.frames_ahead = block_frames - 1

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the whole map, because thin factors cannot express its mask, and the fixation ratios."""
        extent = extent or one_token_per_frame(q)
        fixated = fixate(self.fixation, *self.features(q, k), v)
        products = self.products(fixated.q, fixated.k, extent)
        weights = _block_causal(products, identity_values(v), extent, self._starts(extent))
        return whole_map(weights)._replace(ratios=fixated.ratios)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        extent = extent or one_token_per_frame(q)
        fixated = fixate(self.fixation, *self.features(q, k), v)
        return _block_causal(self.products(fixated.q, fixated.k, extent), v, extent, self._starts(extent))

    def _starts(self, extent: Extent) -> list[int]:
        return list(range(0, extent.t, self.block_frames))
