"""SANA-Video's linear attention: rotary positions turn the features of the numerator alone."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from linvid_edu.shapes import Extent, Float

from .base import Facts, KernelRival, Products, Setting

EPS, THETA = 1e-15, 10000.0


def rotary_widths(head_width: int) -> tuple[int, int, int]:
    """Split the d channels of a head among frame, row and column: d − 2·side, side, side, with side = 2·⌊d/6⌋.

    Raises:
        ValueError: d is odd, so that channels do not pair.
    """
    if head_width < 2 or head_width % 2:
        even = f"{max(2, head_width - 1)} or {max(2, head_width + 1)}"
        raise ValueError(f"a head of {head_width} channels cannot be rotated in pairs: choose an even width, {even}")
    side = 2 * (head_width // 6)
    return head_width - 2 * side, side, side


def rotary_angles(extent: Extent, head_width: int, theta: int | float = THETA) -> Float[Tensor, "n half"]:
    """Compute the angle of every token and pair of channels: position · theta^(−2i/m), i = 0 … m/2 − 1.

    Args:
        extent: frames, rows and columns; positions count from 0 on each.
        head_width: d, even; m is an axis' share of it, see ``rotary_widths``; channels lie in the order t, h, w.
        theta: above 0.

    Returns:
        float64, since positions of long clips need it.
    """
    positions = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in extent), indexing="ij")
    angles = [
        position.flatten()[:, None] * theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / max(width, 1))
        for position, width in zip(positions, rotary_widths(head_width), strict=True)
    ]
    return torch.cat(angles, dim=-1)


def rotate(x: Float[Tensor, "*batch n d"], angles: Float[Tensor, "n half"]) -> Float[Tensor, "*batch n d"]:
    """Turn each pair of channels (2i, 2i + 1): (x, y) → (x cos a − y sin a, x sin a + y cos a)."""
    angles = angles.to(x.device)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1).flatten(-2)


def sana_video_attention(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d2"],
    t: int,
    h: int,
    w: int,
    theta: int | float = THETA,
    eps: int | float = EPS,
) -> Float[Tensor, "b heads n d2"]:
    """Weigh the values by products of rotated ReLU features, over products of the features before rotation.

    out_i = Σ_j (R_i a_i · R_j b_j) v_j / (a_i · Σ_j b_j + eps), a = ReLU(q), b = ReLU(k), R the rotary rotation

    2·N·d·d2 multiplications, state d·d2 + d. Rows of the map do not sum to 1 and weights may be negative, so this is no
    average of the values; leaving the rotation out of the normalizer keeps that at least 0. It can be 0 where the
    rotated numerator is not: a query that shares no channel with any key before the rotation may share one after it,
    and its output is then as large as 1/eps. Few keys and narrow heads make that likely.

    Args:
        q, k, v: any range; tokens lie frame by frame, row by row. d must be even.
        t, h, w: frames, rows, columns; their product is the number of tokens.
        theta: of the rotary angles.
        eps: added to the normalizer.

    Raises:
        ValueError: an odd d, or a grid that does not hold the tokens.

    Source: SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer, 2025, arXiv 2509.24695.
    Differs from the released class, which accepts other widths for the axes but cuts its table at the default ones.
    """
    return rotated_products(q.relu(), k.relu(), Extent(t, h, w), theta, eps).attend(v)


def sana_video_attention_map(
    q: Tensor, k: Tensor, t: int, h: int, w: int, theta: int | float = THETA, eps: int | float = EPS
) -> Float[Tensor, "b heads n n"]:
    """Return the explicit map of ``sana_video_attention``, written with the cosine and sine of angle differences."""
    a, b = q.relu(), k.relu()
    angles = rotary_angles(Extent(t, h, w), q.shape[-1], theta).to(q)
    apart = angles[:, None] - angles[None, :]  # (n n half)
    (a1, a2), (b1, b2) = (x.unflatten(-1, (-1, 2)).unbind(-1) for x in (a, b))
    along = torch.einsum("...ic,...jc,ijc->...ij", a1, b1, apart.cos()) + torch.einsum(
        "...ic,...jc,ijc->...ij", a2, b2, apart.cos()
    )
    across = torch.einsum("...ic,...jc,ijc->...ij", a1, b2, apart.sin()) - torch.einsum(
        "...ic,...jc,ijc->...ij", a2, b1, apart.sin()
    )
    return (along + across) / ((a @ b.mT).sum(dim=-1, keepdim=True) + eps)


def sana_video_attention_oracle(
    q: Tensor, k: Tensor, v: Tensor, t: int, h: int, w: int, theta: int | float = THETA, eps: int | float = EPS
) -> Tensor:
    """Compute ``sana_video_attention`` the long way, through its explicit map."""
    return sana_video_attention_map(q, k, t, h, w, theta, eps) @ v


def rotated_products(a: Tensor, b: Tensor, extent: Extent, theta: int | float, eps: int | float) -> Products:
    """Return ReLU features a, b with their rotation in the numerator and without it in the normalizer."""
    extent.expect(a.shape[-2])
    angles = rotary_angles(extent, a.shape[-1], theta)
    return Products(rotate(a, angles), rotate(b, angles), a, b, eps=eps)


class SanaVideoAttention(KernelRival):
    """``sana_video_attention`` as a layer. Fixation reweights ReLU(q) and ReLU(k), before the rotation."""

    facts = Facts(
        "SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer",
        2025,
        "2509.24695",
        rows="anything, since positions turn the numerator alone",
        signs="may be negative",
        rank="d",
        operations="2·N·d²",
        memory="4·N·d + d²",
        sees="content and how far apart two tokens are in time, rows and columns",
    )

    function: ClassVar[Any] = staticmethod(sana_video_attention)

    def __init__(self, setting: Setting, *, theta: int | float = THETA, eps: int | float = EPS):
        rotary_widths(setting.head_width)
        super().__init__(setting, features=setting.head_width)
        self.theta, self.eps = theta, eps

    def features(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return ReLU(q) and ReLU(k)."""
        return q.relu(), k.relu()

    def products(self, phi_q: Tensor, phi_k: Tensor, extent: Extent) -> Products:
        """Return the rotated features, and those of the normalizer."""
        return rotated_products(phi_q, phi_k, extent, self.theta, self.eps)
