"""cosFormer: ReLU features rotated by their position, so that near tokens of the sequence get larger weights."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting


def cosformer(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d_v"],
    floor: int | float = 1e-6,
) -> Float[Tensor, "b heads n d_v"]:
    """Average the values by products of ReLU features, weighted by the distance of query and key.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / max(φ(q_i) · Σ_j φ(k_j), floor), φ(x_i) = [ReLU(x_i) sin a_i; ReLU(x_i) cos a_i],
    a_i = (π/2) i / n, so that A_ij ∝ ReLU(q_i) · ReLU(k_j) cos(π (i − j) / 2n)

    It takes 4·N·d·d_v multiplications and has a state of 2·d·(d_v + 1) numbers. Rows of the map sum to 1, but a query
    without a positive channel has a row of zeros. No weight is negative.

    Args:
        q, k, v: Queries, keys and values, any range; no 1/√d is applied. The tokens form a line: on a grid that is
            flattened row by row, left and right neighbors are near, and the row below is far.
        floor: Smallest value that the normalizer may have.

    Returns:
        A convex combination of the values for each query, or 0.

    Raises:
        ValueError: If the numbers of keys and queries differ.

    Source: cosFormer: Rethinking Softmax in Attention, 2022, arXiv 2202.08791. n is the number of tokens, so the weight
    between the same two tokens changes with the length of the sequence. The option for ELU features in the published
    code fails.
    """
    return Products(*cosformer_features(q, k), eps=0.0, floor=floor).attend(v)


def cosformer_features(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads m d"]
) -> tuple[Float[Tensor, "b heads n 2*d"], Float[Tensor, "b heads n 2*d"]]:
    """Compute φ(q) and φ(k), which have 2·d channels."""
    n = q.shape[-2]
    if k.shape[-2] != n:
        raise ValueError(f"q has {n} tokens and k has {k.shape[-2]}: pass queries and keys of the same tokens")
    angle = (math.pi / 2 / n * torch.arange(n, dtype=q.dtype, device=q.device)).unsqueeze(-1)  # (n 1)
    sine, cosine = angle.sin(), angle.cos()
    phi_q, phi_k = (torch.cat([x * sine, x * cosine], dim=-1) for x in (F.relu(q), F.relu(k)))
    return phi_q, phi_k


def cosformer_map(q: Tensor, k: Tensor, floor: int | float = 1e-6) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``cosformer``, written with the cosine of the distance."""
    position = torch.arange(q.shape[-2], dtype=q.dtype, device=q.device)
    nearness = torch.cos(math.pi * (position[:, None] - position[None, :]) / (2 * len(position)))
    similarity = F.relu(q) @ F.relu(k).mT * nearness
    return similarity / similarity.sum(dim=-1, keepdim=True).clamp(min=floor)


def cosformer_oracle(q: Tensor, k: Tensor, v: Tensor, floor: int | float = 1e-6) -> Tensor:
    """Compute ``cosformer`` through its explicit map."""
    return cosformer_map(q, k, floor) @ v


class Cosformer(KernelRival):
    """``cosformer`` as a layer. Fixation reweights all 2·d features of a token.

    Args:
        setting: Place in the model.
        floor: Smallest value that the normalizer may have.
    """

    facts = Facts(
        "cosFormer: Rethinking Softmax in Attention",
        2022,
        "2202.08791",
        rows="1, or 0 where a query has no positive channel",
        signs="never negative",
        rank="2·d",
        operations="4·N·d²",
        memory="4·N·d + 2·d²",
        sees="content, and how near two tokens are on the flattened line",
    )
    function = staticmethod(cosformer)
    not_streaming = "its angles depend on the number of tokens, so every new frame changes those of all earlier tokens"

    def __init__(self, setting: Setting, *, floor: int | float = 1e-6):
        super().__init__(setting, features=2 * setting.head_width)
        self.floor = floor

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        return cosformer_features(q, k)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features with the floor of this rival."""
        return Products(phi_q, phi_k, eps=0.0, floor=self.floor)
