"""Orthoformer inside Motionformer: every frame is read out on its own. No drop-in, since a frame axis stays."""

import torch
from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float, Int

from .orthoformer_2021 import check_landmarks, take_landmarks


def orthoformer_frames(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d2"],
    landmark_index: Int[Tensor, "b heads *landmarks"],
    num_frames: int,
    shared_landmarks: bool = True,
) -> Float[Tensor, "b heads n t d2"]:
    """Read out each frame on its own, through landmarks: the first half of trajectory attention.

    out[i, g] = softmax(q_i P_gᵀ / √d) (softmax(P_f k_gᵀ / √d) v_g), query i in frame f, over the keys of frame g alone

    2·t·N·L·(d + d2) multiplications, t·L·(2·N + t·d2) numbers at once. For each frame, rows sum to 1 exactly; no
    weight is negative.

    Args:
        q, k, v: tokens frame by frame.
        landmark_index: (b heads L), tokens of the clip, where landmarks are shared by all frames; else
            (b heads t L), tokens counted within each frame, whose order matters.
        num_frames: t; must divide the number of tokens.
        shared_landmarks: whether P_f = P_g = P.

    Raises:
        ValueError: frames that do not divide the tokens, or landmarks as in ``orthoformer``.

    Source: Keeping Your Eye on the Ball: Trajectory Attention in Video Transformers, 2021, arXiv 2106.05392. Where each
    frame has landmarks of its own, this differs from the paper as the published code does: landmark l of the query's
    frame is paired with landmark l of the key's frame, which are different vectors.
    """
    landmarks = _frame_landmarks(q, landmark_index, num_frames, shared_landmarks)
    frames_q, frames_k, frames_v = (rearrange(x, "b h (t s) d -> b h t s d", t=num_frames) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    to_landmarks = torch.einsum("bhfsd,bhgld->bhfsgl", frames_q, landmarks).mul(scale).softmax(dim=-1)
    to_keys = torch.einsum("bhfld,bhgsd->bhfgls", landmarks, frames_k).mul(scale).softmax(dim=-1)
    read = torch.einsum("bhfgls,bhgsd->bhfgld", to_keys, frames_v)
    return rearrange(torch.einsum("bhfsgl,bhfgld->bhfsgd", to_landmarks, read), "b h f s g d -> b h (f s) g d")


def _frame_landmarks(
    q: Float[Tensor, "b heads n d"], landmark_index: Tensor, num_frames: int, shared_landmarks: bool
) -> Float[Tensor, "b heads t landmarks d"]:
    """Return the landmarks of each frame, and refuse what does not fit."""
    tokens = q.shape[-2]
    if num_frames < 1 or tokens % num_frames:
        raise ValueError(f"{tokens} tokens are no {num_frames} frames of one size: num_frames must divide them")
    if shared_landmarks:
        check_landmarks(landmark_index, tokens, axes=3)
        return take_landmarks(q, landmark_index).unsqueeze(2).expand(-1, -1, num_frames, -1, -1)
    check_landmarks(landmark_index, tokens // num_frames, axes=4)
    if landmark_index.shape[2] != num_frames:
        raise ValueError(
            f"landmark_index has landmarks of {landmark_index.shape[2]} frames, num_frames={num_frames}: pass them "
            "for each frame"
        )
    return take_landmarks(rearrange(q, "b h (t s) d -> b h t s d", t=num_frames), landmark_index)


def orthoformer_frames_map(
    q: Tensor, k: Tensor, landmark_index: Tensor, num_frames: int, shared_landmarks: bool = True
) -> Float[Tensor, "b heads n t s"]:
    """Return the explicit map of ``orthoformer_frames`` on the tokens of each frame, frame pair by frame pair."""
    landmarks = _frame_landmarks(q, landmark_index, num_frames, shared_landmarks).unbind(2)
    frames_q, frames_k = (x.chunk(num_frames, dim=-2) for x in (q, k))
    scale, rows = q.shape[-1] ** 0.5, []
    for queries, own in zip(frames_q, landmarks, strict=True):
        read = []
        for keys, others in zip(frames_k, landmarks, strict=True):
            to_landmarks = torch.softmax(queries @ others.mT / scale, dim=-1)
            read.append(to_landmarks @ torch.softmax(own @ keys.mT / scale, dim=-1))
        rows.append(torch.stack(read, dim=3))
    return torch.cat(rows, dim=2)


def orthoformer_frames_oracle(
    q: Tensor, k: Tensor, v: Tensor, landmark_index: Tensor, num_frames: int, shared_landmarks: bool = True
) -> Tensor:
    """Compute ``orthoformer_frames`` the long way, through its explicit map."""
    weights = orthoformer_frames_map(q, k, landmark_index, num_frames, shared_landmarks)
    read = [weights[:, :, :, g] @ values for g, values in enumerate(v.chunk(num_frames, dim=-2))]
    return torch.stack(read, dim=3)
