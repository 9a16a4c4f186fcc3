"""Performer (FAVOR+): random features whose products estimate the exponential of softmax attention."""

import math

import torch
from torch import Tensor

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting


def performer(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d_v"],
    projection: Float[Tensor, "f d"],
    feature_offset: int | float = 1e-4,
) -> Float[Tensor, "b heads n d_v"]:
    """Average the values by products of f positive random features.

    out = φ(q) (φ(k)ᵀ v) / (φ(q) · Σ_j φ(k_j)),
    φ(x) = f^(−1/2) (exp(W x̂ − |x̂|²/2 − c) + feature_offset), x̂ = x / d^(1/4)

    c keeps the exponential in range. For q it is the largest W x̂ of that token, for k the largest over all tokens and
    features of the head. No gradient flows through it, as in the published code.

    It takes 2·N·f·(d + d_v) multiplications and has a state of f·(d_v + 1) numbers. Rows of the map sum to 1 exactly,
    no weight is negative, and the rank is at most f.

    Args:
        q, k, v: Queries, keys and values, any range.
        projection: W, shared by all heads; see ``orthogonal_projection``.
        feature_offset: Number added to each feature. The exponential of the largest key of a head is about 1, so the
            offset acts as a lower bound on the weights of much smaller keys.

    Returns:
        A convex combination of the values for each query.

    Raises:
        ValueError: If the projection is for another head width, or has no rows.

    Source: Rethinking Attention with Performers, 2020, arXiv 2009.14794. Differs from the paper in the same way as the
    published code: c and feature_offset leave the estimate of softmax attention slightly biased, and the offset is
    1e-4, while the code of the paper's authors has 1e-6 for softmax attention.
    """
    return Products(*performer_features(q, k, projection, feature_offset), eps=0.0).attend(v)


def performer_features(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    projection: Float[Tensor, "f d"],
    feature_offset: int | float = 1e-4,
) -> tuple[Float[Tensor, "b heads n f"], Float[Tensor, "b heads m f"]]:
    """Compute φ(q) and φ(k); the arguments are those of ``performer``."""
    f, d = projection.shape
    if d != q.shape[-1] or f < 1:
        raise ValueError(
            f"projection is for heads of {d} channels with {f} features, q has {q.shape[-1]} channels: make it with "
            f"orthogonal_projection(features, {q.shape[-1]})"
        )
    features = []
    for x, axes_of_c in ((q, (-1,)), (k, (-2, -1))):
        scaled = x * d**-0.25
        projected = scaled @ projection.mT  # (… n f)
        c = projected.detach().amax(dim=axes_of_c, keepdim=True)
        shift = scaled.square().sum(dim=-1, keepdim=True) / 2 + c
        features.append(f**-0.5 * ((projected - shift).exp() + feature_offset))
    return features[0], features[1]


def performer_map(
    q: Tensor, k: Tensor, projection: Tensor, feature_offset: int | float = 1e-4
) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``performer``, one query against all keys at a time."""
    d = q.shape[-1]
    u_q, u_k = (torch.einsum("bhnd,fd->bhnf", x / d**0.25, projection) for x in (q, k))
    half_q, half_k = ((x * x).sum(dim=-1, keepdim=True) / (2 * d**0.5) for x in (q, k))
    highest = u_k.detach().flatten(2).max(dim=-1).values[:, :, None, None]
    phi_q = torch.exp(u_q - half_q - u_q.detach().max(dim=-1, keepdim=True).values) + feature_offset
    phi_k = torch.exp(u_k - half_k - highest) + feature_offset
    similarity = torch.einsum("bhnf,bhmf->bhnm", phi_q, phi_k)
    return similarity / similarity.sum(dim=-1, keepdim=True)


def performer_oracle(q: Tensor, k: Tensor, v: Tensor, projection: Tensor, feature_offset: int | float = 1e-4) -> Tensor:
    """Compute ``performer`` through its explicit map."""
    return performer_map(q, k, projection, feature_offset) @ v


def orthogonal_projection(
    features: int, head_width: int, generator: torch.Generator | None = None
) -> Float[Tensor, "f d"]:
    """Sample W: blocks of d orthogonal directions, with the lengths of Gaussian vectors.

    Args:
        features: f, at least 1.
        head_width: d, at least 1.
        generator: Source of the random numbers; None means PyTorch's own.

    Returns:
        W on the CPU.

    Raises:
        ValueError: If a number is below 1.

    Source: arXiv 2009.14794.
    """
    if features < 1 or head_width < 1:
        raise ValueError(f"features={features} and head_width={head_width} must be at least 1")
    blocks = []
    for _ in range(math.ceil(features / head_width)):
        directions, upper = torch.linalg.qr(torch.randn(head_width, head_width, generator=generator))
        blocks.append((directions * upper.diagonal().sign()).mT)  # makes all rotations equally likely
    lengths = torch.randn(features, head_width, generator=generator).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:features] * lengths


class Performer(KernelRival):
    """``performer`` as a layer; its projection is random and not learned.

    Args:
        setting: Place in the model.
        features: f, the number of features; None means ⌊d ln d⌋, but at least 1.
        feature_offset: Number added to each feature.
    """

    facts = Facts(
        "Rethinking Attention with Performers",
        2020,
        "2009.14794",
        rows="1",
        signs="never negative",
        rank="f",
        operations="4·N·f·d",
        memory="2·N·f + f·d",
        sees="content alone",
    )
    function = staticmethod(performer)
    not_streaming = "its features are scaled by the largest key, and a later key may be larger"
    projection: Tensor

    def __init__(self, setting: Setting, *, features: int | None = None, feature_offset: int | float = 1e-4):
        d = setting.head_width
        f = max(1, int(d * math.log(d))) if features is None else features
        super().__init__(setting, features=f)
        self.feature_offset = feature_offset
        self.register_buffer("projection", orthogonal_projection(f, d))

    def randomize_buffers(self, generator: torch.Generator) -> None:
        """Sample a new projection."""
        features, head_width = self.projection.shape
        self.projection.copy_(orthogonal_projection(features, head_width, generator))

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(q) and φ(k)."""
        return performer_features(q, k, self.projection, self.feature_offset)

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the features; nothing is added to the normalizer."""
        return Products(phi_q, phi_k, eps=0.0)
