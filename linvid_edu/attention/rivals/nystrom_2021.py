"""Nyströmformer: softmax attention through a few landmarks, the means of neighboring tokens."""

from typing import Any, ClassVar

import torch
from einops import reduce
from torch import Tensor

from linvid_edu.attention.mechanisms import AttentionInputs
from linvid_edu.shapes import Extent, Float

from .base import Facts, Rival, Setting


def nystrom(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d_v"],
    num_landmarks: int,
    iterations: int = 6,
    init: str = "original",
) -> Float[Tensor, "b heads n d_v"]:
    """Approximate softmax attention through m landmarks.

    out = F Z (B v), F = softmax(q k̃ᵀ), B = softmax(q̃ kᵀ), A = softmax(q̃ k̃ᵀ), Z ≈ A⁺, with q, k ← q, k / d^(1/4)
    Z₀ = Aᵀ / c, then Z ← ¼ Z (13 I − AZ (15 I − AZ (7 I − AZ)))

    Landmarks q̃, k̃ are means of N/m successive tokens. It takes 2·N·m·(d + d_v) + m²·(d + d_v) multiplications, plus
    4·m³ for each iteration, and keeps 2·N·m + 4·m² numbers at the same time. Rows of the map sum to 1 only once Z has
    converged, weights may be negative, and the rank is at most m. With m = N it converges to softmax attention.

    Args:
        q, k, v: Queries, keys and values, any range.
        num_landmarks: m, at least 1, a divisor of the number of tokens.
        iterations: Number of steps towards A⁺, 0 or more.
        init: With "original", c is the largest column sum of A over the whole batch and all heads, so the output for a
            clip depends on the other clips of the batch. With "exact", each clip and head has its own c.

    Raises:
        ValueError: If m does not divide the number of tokens, iterations are negative, or init is unknown.

    Source: Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention, 2021, arXiv 2102.03902. Differs
    from the paper in the same way as the published code: c leaves out the second norm, which is 1 because rows of A sum
    to 1. That code checks one configuration key and reads another, so that "exact" cannot be selected there; here it
    can. The optional convolution of v is left out.
    """
    forward, inverse, back = nystrom_factors(q, k, num_landmarks, iterations, init)
    return forward @ (inverse @ (back @ v))


def nystrom_factors(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    num_landmarks: int,
    iterations: int = 6,
    init: str = "original",
) -> tuple[
    Float[Tensor, "b heads n landmarks"],
    Float[Tensor, "b heads landmarks landmarks"],
    Float[Tensor, "b heads landmarks m"],
]:
    """Compute F, Z and B, whose product is the map; the arguments are those of ``nystrom``."""
    for x in (q, k):
        check_nystrom(x.shape[-2], num_landmarks, iterations, init)
    q, k = q * q.shape[-1] ** -0.25, k * k.shape[-1] ** -0.25
    q_mean, k_mean = (
        reduce(x, "b heads (landmarks s) d -> b heads landmarks d", "mean", landmarks=num_landmarks) for x in (q, k)
    )
    forward, middle, back = ((x @ y.mT).softmax(dim=-1) for x, y in ((q, k_mean), (q_mean, k_mean), (q_mean, k)))
    return forward, pseudo_inverse(middle, iterations, init), back


def check_nystrom(tokens: int, num_landmarks: int, iterations: int, init: str) -> None:
    """Raise ValueError if the arguments of ``nystrom`` do not fit together."""
    if not 1 <= num_landmarks <= tokens or tokens % num_landmarks:
        raise ValueError(
            f"num_landmarks={num_landmarks} does not divide {tokens} tokens: choose one of "
            f"{', '.join(map(str, divisors(tokens)))}"
        )
    if init not in ("original", "exact"):
        raise ValueError(f'init={init!r} is unknown: choose "original" or "exact"')
    if iterations < 0:
        raise ValueError(f"iterations={iterations} must be 0 or more: 6 is the published value")


def pseudo_inverse(
    a: Float[Tensor, "b heads landmarks landmarks"], iterations: int, init: str
) -> Float[Tensor, "b heads landmarks landmarks"]:
    """Approximate A⁺ by a Newton–Schulz iteration of high order, see ``nystrom``."""
    columns = a.sum(dim=-2)
    z = a.mT / (columns.max() if init == "original" else columns.amax(dim=-1)[..., None, None])
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    for _ in range(iterations):
        az = a @ z
        z = 0.25 * z @ (13 * identity - az @ (15 * identity - az @ (7 * identity - az)))
    return z


def nystrom_map(
    q: Tensor, k: Tensor, num_landmarks: int, iterations: int = 6, init: str = "original"
) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``nystrom``, landmark by landmark."""
    scale = q.shape[-1] ** 0.5

    def means(x: Tensor) -> Tensor:
        return torch.stack([group.mean(dim=-2) for group in x.chunk(num_landmarks, dim=-2)], dim=-2)

    forward = torch.softmax(q @ means(k).mT / scale, dim=-1)
    middle = torch.softmax(means(q) @ means(k).mT / scale, dim=-1)
    back = torch.softmax(means(q) @ k.mT / scale, dim=-1)
    largest = middle.sum(dim=-2).amax(dim=-1)  # (b heads)
    z = middle.mT / (largest.max() if init == "original" else largest[:, :, None, None])
    one = torch.eye(num_landmarks, dtype=q.dtype, device=q.device)
    for _ in range(iterations):
        az = middle @ z
        z = z @ (13 * one - 15 * az + 7 * az @ az - az @ az @ az) / 4
    return forward @ z @ back


def nystrom_oracle(
    q: Tensor, k: Tensor, v: Tensor, num_landmarks: int, iterations: int = 6, init: str = "original"
) -> Tensor:
    """Compute ``nystrom`` through its explicit map."""
    return nystrom_map(q, k, num_landmarks, iterations, init) @ v


def divisors(number: int) -> list[int]:
    """Return the divisors of a number in ascending order."""
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def default_landmarks(tokens: int) -> int:
    """Return the largest divisor of the number of tokens that is not above its square root."""
    return max(divisor for divisor in divisors(tokens) if divisor**2 <= tokens)


class Nystrom(Rival):
    """``nystrom`` as a layer.

    Args:
        setting: Place in the model.
        num_landmarks: m; None means the largest divisor of the number of tokens up to its square root.
        iterations: Number of steps towards A⁺.
        init: As for ``nystrom``; with "exact" the output for a clip does not depend on the rest of its batch.
    """

    facts = Facts(
        "Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention",
        2021,
        "2102.03902",
        rows="1 only once the iteration has converged",
        signs="may be negative",
        rank="m",
        operations="4·N·m·d + 2·m²·d + 24·m³",
        memory="2·N·m + 4·m²",
        sees="content, through means of successive tokens",
    )
    function: ClassVar[Any] = staticmethod(nystrom)

    def __init__(self, setting: Setting, *, num_landmarks: int | None = None, iterations: int = 6, init: str = "exact"):
        super().__init__(setting)
        self.num_landmarks, self.iterations, self.init = num_landmarks, iterations, init
        tokens = setting.extent.tokens
        check_nystrom(tokens, self.landmarks(tokens), iterations, init)

    def landmarks(self, tokens: int) -> int:
        """Return the number of landmarks for a number of tokens."""
        return default_landmarks(tokens) if self.num_landmarks is None else self.num_landmarks

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the factors of the map."""
        forward, inverse, back = nystrom_factors(q, k, self.landmarks(q.shape[-2]), self.iterations, self.init)
        return AttentionInputs(forward @ inverse, back.mT, similarity="product")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        return nystrom(q, k, v, self.landmarks(q.shape[-2]), self.iterations, self.init)
