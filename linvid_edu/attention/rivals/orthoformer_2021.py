"""Orthoformer: softmax attention in two steps, through queries that are as unlike each other as possible."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.mechanisms import AttentionInputs
from linvid_edu.shapes import Extent, Float, Int

from .base import Facts, Rival, Setting


def orthoformer(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d_v"],
    landmark_index: Int[Tensor, "b heads landmarks"],
) -> Float[Tensor, "b heads n d_v"]:
    """Attend from queries to landmarks and from landmarks to keys.

    out = softmax(q Pᵀ / √d) (softmax(P kᵀ / √d) v), P = q[landmark_index]

    It takes 2·N·m·(d + d_v) multiplications for m landmarks, plus N·m·(d + m) to choose them, and keeps 2·N·m numbers
    at the same time. Rows of the map sum to 1 exactly, no weight is negative, and the rank is at most m. Unlike
    ``nystrom`` it has no inverse, so with all tokens as landmarks it is softmax attention applied twice.

    Args:
        q, k, v: Queries, keys and values, any range.
        landmark_index: Indices of the queries that are landmarks, for each head, in any order; see
            ``orthoformer_landmarks``. No gradient flows into the choice or the landmarks.

    Raises:
        ValueError: If there are no landmarks, there are more landmarks than queries, or an index is out of range.

    Source: Keeping Your Eye on the Ball: Trajectory Attention in Video Transformers, 2021, arXiv 2106.05392. Differs
    from the paper in the same way as the published code: only queries are candidates, never keys. In Motionformer
    itself the second softmax runs within each frame and a frame axis remains, see ``orthoformer_frames``.
    """
    to_landmarks, to_keys = orthoformer_factors(q, k, landmark_index)
    return to_landmarks @ (to_keys @ v)


def orthoformer_factors(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads m d"], landmark_index: Int[Tensor, "b heads landmarks"]
) -> tuple[Float[Tensor, "b heads n landmarks"], Float[Tensor, "b heads landmarks m"]]:
    """Compute the two maps whose product is the map of ``orthoformer``."""
    check_landmarks(landmark_index, q.shape[-2], axes=3)
    landmarks = take_landmarks(q, landmark_index)
    scale = q.shape[-1] ** -0.5
    return (q @ landmarks.mT * scale).softmax(dim=-1), (landmarks @ k.mT * scale).softmax(dim=-1)


def orthoformer_landmarks(
    q: Float[Tensor, "b heads n d"], first_index: Int[Tensor, "b heads"], num_landmarks: int
) -> Int[Tensor, "b heads landmarks"]:
    """Choose landmarks greedily: the next one is the query that is least similar to its nearest chosen landmark.

    next = argmin_i max_{c chosen} |q_i·q_c| / (|q_i| |q_c|), among those not chosen

    It takes (m − 1)·N·d multiplications and keeps 2·N numbers at the same time, beside the normalized queries.

    Args:
        q: Queries; a query of zeros has cosine 0 with all others.
        first_index: First landmark of each head, which the published code chooses at random.
        num_landmarks: m, 1 to n.

    Returns:
        Indices of tokens in ascending order.

    Raises:
        ValueError: If num_landmarks or first_index is out of range.

    Source: arXiv 2106.05392.
    """
    tokens = q.shape[-2]
    if not 1 <= num_landmarks <= tokens:
        raise ValueError(f"num_landmarks={num_landmarks} of {tokens} tokens: choose 1 to {tokens}")
    check_landmarks(first_index.unsqueeze(-1), tokens, axes=3)
    unit = F.normalize(q.detach(), dim=-1)
    newest = first_index.long().unsqueeze(-1)  # (b heads 1)
    chosen = [newest]
    nearest = torch.zeros_like(unit[..., 0])  # the largest |cosine| of each query with a chosen landmark
    for _ in range(num_landmarks - 1):
        cosine = (unit @ take_landmarks(unit, newest).mT).squeeze(-1)
        nearest = torch.maximum(nearest, cosine.abs()).scatter(-1, newest, torch.inf)  # never choose it again
        newest = nearest.argmin(dim=-1, keepdim=True)
        chosen.append(newest)
    return torch.cat(chosen, dim=-1).sort(dim=-1).values


def orthoformer_landmarks_oracle(
    q: Tensor, first_index: Int[Tensor, "b heads"], num_landmarks: int
) -> Int[Tensor, "b heads landmarks"]:
    """Compute ``orthoformer_landmarks`` candidate by candidate."""
    index = torch.empty(*q.shape[:2], num_landmarks, dtype=torch.long)
    for b, heads in enumerate(q.detach()):
        for h, tokens in enumerate(heads):
            unit = [token / token.norm().clamp(min=1e-12) for token in tokens]
            chosen = [int(first_index[b, h])]
            while len(chosen) < num_landmarks:
                rest = [i for i in range(len(unit)) if i not in chosen]
                chosen.append(min(rest, key=lambda i: max(abs(float(unit[i] @ unit[j])) for j in chosen)))
            index[b, h] = torch.tensor(sorted(chosen))
    return index.to(q.device)


def check_landmarks(index: Tensor, tokens: int, axes: int) -> None:
    """Raise ValueError if indices of landmarks lack an axis, are too many, or are out of range."""
    if index.ndim != axes:
        names = "(b, heads, frames, landmarks)" if axes == 4 else "(b, heads, landmarks)"
        raise ValueError(f"landmark_index has {index.ndim} axes, {axes} are expected: pass {names}")
    if not 1 <= index.shape[-1] <= tokens:
        raise ValueError(f"{index.shape[-1]} landmarks of {tokens} tokens: choose 1 to {tokens}")
    if index.numel() and not index.is_meta and (index.min() < 0 or index.max() >= tokens):
        raise ValueError(
            f"landmarks are tokens {index.min().item()} to {index.max().item()}: choose among 0 to {tokens - 1}"
        )


def take_landmarks(q: Float[Tensor, "*batch n d"], index: Int[Tensor, "*batch landmarks"]) -> Tensor:
    """Return the queries of these indices without gradient, (…, landmarks, d)."""
    return q.detach().take_along_dim(index.long().unsqueeze(-1), dim=-2)


def orthoformer_map(
    q: Tensor, k: Tensor, landmark_index: Int[Tensor, "b heads landmarks"]
) -> Float[Tensor, "b heads n m"]:
    """Return the explicit map of ``orthoformer``, with landmarks picked by a product with zeros and ones."""
    pick = (landmark_index.unsqueeze(-1) == torch.arange(q.shape[-2], device=q.device)).to(q)  # (b heads landmarks n)
    landmarks, scale = pick @ q.detach(), q.shape[-1] ** 0.5
    to_landmarks = torch.softmax(torch.einsum("bhnd,bhld->bhnl", q, landmarks) / scale, dim=-1)
    to_keys = torch.softmax(torch.einsum("bhld,bhmd->bhlm", landmarks, k) / scale, dim=-1)
    return torch.einsum("bhnl,bhlm->bhnm", to_landmarks, to_keys)


def orthoformer_oracle(q: Tensor, k: Tensor, v: Tensor, landmark_index: Int[Tensor, "b heads landmarks"]) -> Tensor:
    """Compute ``orthoformer`` through its explicit map."""
    return orthoformer_map(q, k, landmark_index) @ v


class Orthoformer(Rival):
    """``orthoformer`` as a layer.

    Args:
        setting: Place in the model.
        num_landmarks: m; None means the square root of the number of tokens, rounded.

    Differs from the published code: the first landmark is token 0 and not random, so that a model is deterministic.
    """

    facts = Facts(
        "Keeping Your Eye on the Ball: Trajectory Attention in Video Transformers",
        2021,
        "2106.05392",
        rows="1",
        signs="never negative",
        rank="m",
        operations="4·N·m·d + (m − 1)·N·d",
        memory="2·N·m",
        sees="content, through a few queries",
    )
    function: ClassVar[Any] = staticmethod(orthoformer)

    def __init__(self, setting: Setting, *, num_landmarks: int | None = None):
        super().__init__(setting)
        tokens = setting.extent.tokens
        if num_landmarks is not None and not 1 <= num_landmarks <= tokens:
            raise ValueError(f"num_landmarks={num_landmarks} of {tokens} tokens: choose 1 to {tokens}")
        self.num_landmarks = num_landmarks

    def landmarks(self, q: Float[Tensor, "b heads n d"]) -> Int[Tensor, "b heads landmarks"]:
        """Choose the landmarks among these queries."""
        count = self.num_landmarks or max(1, round(q.shape[-2] ** 0.5))
        first = torch.zeros(q.shape[:2], dtype=torch.long, device=q.device)
        return orthoformer_landmarks(q, first, count)

    def attention_inputs(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        """Return the factors of the map."""
        left, right = orthoformer_factors(q, k, self.landmarks(q))
        return AttentionInputs(left, right.mT, similarity="product")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        """Return the attended values."""
        return orthoformer(q, k, v, self.landmarks(q))
