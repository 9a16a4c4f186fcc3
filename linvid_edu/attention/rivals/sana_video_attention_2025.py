"""SANA-Video's linear attention: rotary positions rotate the features of the numerator only."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting
from .sana_relu_linear_2024 import SANA_EPS

THETA = 10000.0


def rotary_widths(head_width: int) -> tuple[int, int, int]:
    """Split the d channels of a head into those for frame, row and column: d − 2·side, side, side; side = 2·⌊d/6⌋.

    Raises:
        ValueError: If d is odd, so that the channels do not form pairs.
    """
    if head_width < 2 or head_width % 2:
        even = f"{max(2, head_width - 1)} or {max(2, head_width + 1)}"
        raise ValueError(f"a head of {head_width} channels cannot be rotated in pairs: choose an even width, {even}")
    side = 2 * (head_width // 6)
    return head_width - 2 * side, side, side


def rotary_angles(extent: Extent, head_width: int, theta: int | float = THETA) -> Float[Tensor, "n pairs"]:
    """Compute the angle of every token and pair of channels: position · theta^(−2i/share), i = 0 … share/2 − 1.

    Args:
        extent: Frames, rows and columns; positions on each axis start at 0.
        head_width: d, an even number. Each axis has a share of the channels, in the order t, h, w: ``rotary_widths``.
        theta: Base of the frequencies, above 0.

    Returns:
        Angles on the CPU, in float64, because the positions in long clips need this precision.
    """
    positions = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in extent), indexing="ij")
    angles = [
        position.flatten()[:, None] * theta ** (-torch.arange(0, share, 2, dtype=torch.float64) / max(share, 1))
        for position, share in zip(positions, rotary_widths(head_width), strict=True)
    ]
    return torch.cat(angles, dim=-1)


def rotate(x: Float[Tensor, "*batch n d"], angles: Float[Tensor, "n pairs"]) -> Float[Tensor, "*batch n d"]:
    """Rotate each pair of channels (2i, 2i + 1): (x, y) → (x cos a − y sin a, x sin a + y cos a)."""
    angles = angles.to(x.device)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1).flatten(-2)


def sana_video_attention(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d_v"],
    t: int,
    h: int,
    w: int,
    theta: int | float = THETA,
    eps: int | float = SANA_EPS,
) -> Float[Tensor, "b heads n d_v"]:
    """Weight the values by products of rotated ReLU features, and normalize by products of the unrotated features.

    out_i = Σ_j (R_i a_i · R_j b_j) v_j / (a_i · Σ_j b_j + eps), a = ReLU(q), b = ReLU(k), R the rotary rotation

    It takes 2·N·d·d_v multiplications and has a state of d·d_v + d numbers. Rows of the map do not sum to 1 and weights
    may be negative, so the output is not an average of the values. The normalizer has no rotation, so it is at least 0.
    It can be 0 while the rotated numerator is not: a query that shares no channel with any key before the rotation may
    share one after it, and its output is then as large as 1/eps. Few keys and narrow heads make this likely.

    Args:
        q, k, v: Queries, keys and values, any range, frame by frame and row by row; d must be even.
        t, h, w: Frames, rows and columns; their product is the number of tokens.
        theta: Base of the frequencies of the rotation.
        eps: Number added to the normalizer.

    Raises:
        ValueError: If d is odd, or the grid does not hold the tokens.

    Source: SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer, 2025, arXiv 2509.24695.
    Differs from the released class, which accepts other shares for the axes but splits its table at the default ones.
    """
    return rotated_products(q.relu(), k.relu(), Extent(t, h, w), theta, eps).attend(v)


def sana_video_attention_map(
    q: Tensor, k: Tensor, t: int, h: int, w: int, theta: int | float = THETA, eps: int | float = SANA_EPS
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``sana_video_attention``, from cosine and sine of the differences of angles."""
    a, b = q.relu(), k.relu()
    angles = rotary_angles(Extent(t, h, w), q.shape[-1], theta).to(q)
    apart = angles[:, None] - angles[None, :]  # (n n pairs)
    (a1, a2), (b1, b2) = (x.unflatten(-1, (-1, 2)).unbind(-1) for x in (a, b))

    def pairwise(x: Tensor, y: Tensor, factor: Tensor) -> Tensor:
        return torch.einsum("...np,...mp,nmp->...nm", x, y, factor)

    along = pairwise(a1, b1, apart.cos()) + pairwise(a2, b2, apart.cos())
    across = pairwise(a1, b2, apart.sin()) - pairwise(a2, b1, apart.sin())
    return (along + across) / ((a @ b.mT).sum(dim=-1, keepdim=True) + eps)


def sana_video_attention_oracle(
    q: Tensor, k: Tensor, v: Tensor, t: int, h: int, w: int, theta: int | float = THETA, eps: int | float = SANA_EPS
) -> Tensor:
    """Compute ``sana_video_attention`` through its explicit map."""
    return sana_video_attention_map(q, k, t, h, w, theta, eps) @ v


def rotated_products(a: Tensor, b: Tensor, extent: Extent, theta: int | float, eps: int | float) -> Products:
    """Return the products of ReLU features a, b: rotated in the numerator, unrotated in the normalizer."""
    extent.expect(a.shape[-2])
    angles = rotary_angles(extent, a.shape[-1], theta)
    return Products(rotate(a, angles), rotate(b, angles), a, b, eps=eps)


class SanaVideoAttention(KernelRival):
    """``sana_video_attention`` as a layer. Fixation reweights ReLU(q) and ReLU(k) before the rotation.

    Args:
        setting: Place in the model.
        theta: Base of the frequencies of the rotation.
        eps: Number added to the normalizer.
    """

    facts = Facts(
        "SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer",
        2025,
        "2509.24695",
        rows="any number, because positions rotate the numerator only",
        signs="may be negative",
        rank="d",
        operations="2·N·d²",
        memory="4·N·d + d²",
        sees="content and how far apart two tokens are in time, rows and columns",
    )

    function: ClassVar[Any] = staticmethod(sana_video_attention)

    def __init__(self, setting: Setting, *, theta: int | float = THETA, eps: int | float = SANA_EPS):
        rotary_widths(setting.head_width)
        super().__init__(setting, features=setting.head_width)
        self.theta, self.eps = theta, eps

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return ReLU(q) and ReLU(k)."""
        return q.relu(), k.relu()

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the rotated features, and the features of the normalizer."""
        return rotated_products(phi_q, phi_k, extent, self.theta, self.eps)

    def stream_products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent, seen: int) -> Products:
        """Return the products of a block, whose first frame comes after all earlier frames of the stream."""
        products = self.products(phi_q, phi_k, extent)
        one_frame = rotary_angles(Extent(2, 1, 1), phi_q.shape[-1], self.theta)[1:]  # (1 pairs)
        shift = seen // (extent.h * extent.w) * one_frame.expand(extent.tokens, -1)
        return products._replace(phi_q=rotate(products.phi_q, shift), phi_k=rotate(products.phi_k, shift))
