"""cosFormer: ReLU features turned by their place, so that tokens near each other in the sequence weigh more."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting


def cosformer(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n2 d"],
    v: Float[Tensor, "b heads n2 d2"],
    eps: int | float = 1e-6,
) -> Float[Tensor, "b heads n d2"]:
    """Average the values by products of ReLU features, weighed by how near query and key are.

    out_i = φ(q_i) · Σ_j φ(k_j) v_jᵀ / max(φ(q_i) · Σ_j φ(k_j), eps), φ(x_i) = [ReLU(x_i) sin a_i; ReLU(x_i) cos a_i],
    a_i = (π/2) i / n, so that A_ij ∝ ReLU(q_i) · ReLU(k_j) cos(π (i − j) / 2n)

    4·N·d·d2 multiplications, state 2·d·(d2 + 1). Rows of the map sum to 1, except where a query has no positive
    channel: its row is 0. No weight is negative.

    Args:
        q, k, v: any range; no 1/√d is applied. Tokens are a line: on a grid that is flattened row by row, left and
            right neighbors are near and the row below is far.
        eps: the least normalizer; it is a floor and not added.

    Returns:
        For each query a convex combination of the values, or 0.

    Raises:
        ValueError: there are not as many keys as queries.

    Source: cosFormer: Rethinking Softmax in Attention, 2022, arXiv 2202.08791. n is the length at hand, so the same
    two tokens get another weight in a longer sequence. The option of ELU features in the published code cannot run.
    """
    return Products(*cosformer_features(q, k), eps=0.0, floor=eps).attend(v)


def cosformer_features(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads n2 d"]
) -> tuple[Float[Tensor, "b heads n d2"], Float[Tensor, "b heads n d2"]]:
    """Compute φ(q) and φ(k), each with 2·d channels."""
    n = q.shape[-2]
    if k.shape[-2] != n:
        raise ValueError(f"q has {n} tokens and k has {k.shape[-2]}: places count within one sequence, pass both of it")
    angle = (math.pi / 2 / n * torch.arange(n, dtype=q.dtype, device=q.device)).unsqueeze(-1)  # (n 1)
    sine, cosine = angle.sin(), angle.cos()
    phi_q, phi_k = (torch.cat([x * sine, x * cosine], dim=-1) for x in (F.relu(q), F.relu(k)))
    return phi_q, phi_k


def cosformer_map(q: Tensor, k: Tensor, eps: int | float = 1e-6) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``cosformer``, written with the cosine of the distance."""
    place = torch.arange(q.shape[-2], dtype=q.dtype, device=q.device)
    nearness = torch.cos(math.pi * (place[:, None] - place[None, :]) / (2 * len(place)))
    similarity = F.relu(q) @ F.relu(k).mT * nearness
    return similarity / similarity.sum(dim=-1, keepdim=True).clamp(min=eps)


def cosformer_oracle(q: Tensor, k: Tensor, v: Tensor, eps: int | float = 1e-6) -> Tensor:
    """Compute ``cosformer`` the long way, through its explicit map."""
    return cosformer_map(q, k, eps) @ v


class Cosformer(KernelRival):
    """``cosformer`` as a layer. Fixation reweights all 2·d features of a token."""

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
    not_streaming = (
        "its angles are shares of the length n, so every frame that comes changes those of all that has passed"
    )

    def __init__(self, setting: Setting, *, eps: int | float = 1e-6):
        super().__init__(setting, features=2 * setting.head_width)
        self.eps = eps

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        return cosformer_features(q, k)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features with the floor of this function."""
        return Products(phi_q, phi_k, eps=0.0, floor=self.eps)
