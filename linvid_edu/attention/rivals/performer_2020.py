"""Performer (FAVOR+): random features whose products estimate the exponential of softmax attention."""

import math

import torch
from torch import Tensor

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting


def performer(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n2 d"],
    v: Float[Tensor, "b heads n2 d2"],
    projection: Float[Tensor, "m width"],
    eps: int | float = 1e-4,
) -> Float[Tensor, "b heads n d2"]:
    """Average the values by products of m positive random features.

    out = φ(q) (φ(k)ᵀ v) / (φ(q) · Σ_j φ(k_j)), φ(x) = m^(−1/2) (exp(W x̂ − |x̂|²/2 − c) + eps), x̂ = x / d^(1/4)

    c keeps the exponential in range: for q the largest W x̂ of that token, for k the largest over all tokens and
    features of the head; no gradient flows through it, as in the published code.

    2·N·m·(d + d2) multiplications, state m·(d2 + 1). Rows of the map sum to 1 exactly; no weight is negative. Its rank
    is m at most.

    Args:
        q, k, v: any range.
        projection: W, one for all heads; see ``orthogonal_projection``.
        eps: added to each feature. It is relative to the largest key of a head, so it is a floor under far keys.

    Returns:
        For each query a convex combination of the values.

    Raises:
        ValueError: the projection is for another width, or has no rows.

    Source: Rethinking Attention with Performers, 2020, arXiv 2009.14794. Differs from the paper as the published code
    does: c and eps leave the estimate of softmax attention slightly biased; eps is 1e-4 where the paper's own code
    has 1e-6 for softmax attention.
    """
    return Products(*performer_features(q, k, projection, eps), eps=0.0).attend(v)


def performer_features(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n2 d"],
    projection: Float[Tensor, "m width"],
    eps: int | float = 1e-4,
) -> tuple[Float[Tensor, "b heads n m"], Float[Tensor, "b heads n2 m"]]:
    """Compute φ(q) and φ(k); the arguments are those of ``performer``."""
    m, d = projection.shape
    if d != q.shape[-1] or m < 1:
        raise ValueError(
            f"projection is for heads of {d} channels with {m} features, q has {q.shape[-1]} channels: make it with "
            f"orthogonal_projection(m, {q.shape[-1]})"
        )
    features = []
    for x, over in ((q, (-1,)), (k, (-2, -1))):
        scaled = x * d**-0.25
        projected = scaled @ projection.mT  # (… n m)
        shift = scaled.square().sum(dim=-1, keepdim=True) / 2 + projected.detach().amax(dim=over, keepdim=True)
        features.append(m**-0.5 * ((projected - shift).exp() + eps))
    return features[0], features[1]


def performer_map(q: Tensor, k: Tensor, projection: Tensor, eps: int | float = 1e-4) -> Float[Tensor, "b heads n n2"]:
    """Return the explicit map of ``performer``, one query against all keys at a time."""
    d = q.shape[-1]
    u_q, u_k = (torch.einsum("bhnd,md->bhnm", x / d**0.25, projection) for x in (q, k))
    half_q, half_k = ((x * x).sum(dim=-1, keepdim=True) / (2 * d**0.5) for x in (q, k))
    highest = u_k.detach().flatten(2).max(dim=-1).values[:, :, None, None]
    phi_q = torch.exp(u_q - half_q - u_q.detach().max(dim=-1, keepdim=True).values) + eps
    phi_k = torch.exp(u_k - half_k - highest) + eps
    similarity = torch.einsum("bhnm,bhjm->bhnj", phi_q, phi_k)
    return similarity / similarity.sum(dim=-1, keepdim=True)


def performer_oracle(q: Tensor, k: Tensor, v: Tensor, projection: Tensor, eps: int | float = 1e-4) -> Tensor:
    """Compute ``performer`` the long way, through its explicit map."""
    return performer_map(q, k, projection, eps) @ v


def orthogonal_projection(
    features: int, head_width: int, generator: torch.Generator | None = None
) -> Float[Tensor, "m d"]:
    """Draw W: blocks of d orthogonal directions, whose lengths are those of Gaussian vectors.

    Args:
        features: m, at least 1.
        head_width: d, at least 1.
        generator: of the random numbers.

    Returns:
        W on the CPU.

    Raises:
        ValueError: a number below 1.

    Source: arXiv 2009.14794.
    """
    if features < 1 or head_width < 1:
        raise ValueError(f"features={features} and head_width={head_width} must be at least 1")
    blocks = []
    for _ in range(math.ceil(features / head_width)):
        directions, upper = torch.linalg.qr(torch.randn(head_width, head_width, generator=generator))
        blocks.append((directions * upper.diagonal().sign()).mT)  # so that every rotation is as likely
    lengths = torch.randn(features, head_width, generator=generator).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:features] * lengths


class Performer(KernelRival):
    """``performer`` as a layer; its projection is drawn once and not learned.

    Args:
        setting: where it stands.
        features: m; None means ⌊d ln d⌋, 1 at least.
        eps: added to each feature.
    """

    facts = Facts(
        "Rethinking Attention with Performers",
        2020,
        "2009.14794",
        rows="1",
        signs="never negative",
        rank="m",
        operations="4·N·m·d",
        memory="2·N·m + m·d",
        sees="content alone",
    )
    function = staticmethod(performer)
    not_streaming = "its features are scaled by the largest of all keys, and a larger one may be still to come"
    projection: Tensor

    def __init__(self, setting: Setting, *, features: int | None = None, eps: int | float = 1e-4):
        d = setting.head_width
        m = max(1, int(d * math.log(d))) if features is None else features
        super().__init__(setting, features=m)
        self.eps = eps
        self.register_buffer("projection", orthogonal_projection(m, d))

    def draw(self, generator: torch.Generator) -> None:
        """Draw the projection anew."""
        features, head_width = self.projection.shape
        self.projection.copy_(orthogonal_projection(features, head_width, generator))

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        return performer_features(q, k, self.projection, self.eps)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features; nothing is added to the normalizer."""
        return Products(phi_q, phi_k, eps=0.0)
