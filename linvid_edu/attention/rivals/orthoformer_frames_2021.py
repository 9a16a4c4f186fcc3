"""Orthoformer inside Motionformer: queries attend to each frame separately, and the result keeps a frame axis."""

import torch
from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float, Int

from .orthoformer_2021 import check_landmarks, take_landmarks


def orthoformer_frames(
    q: Float[Tensor, "b heads tokens d"],
    k: Float[Tensor, "b heads tokens d"],
    v: Float[Tensor, "b heads tokens d_v"],
    landmark_index: Int[Tensor, "b heads *frames landmarks"],
    num_frames: int,
    shared_landmarks: bool = True,
) -> Float[Tensor, "b heads tokens t d_v"]:
    """Attend to each frame separately, through landmarks: the first half of trajectory attention.

    out[i, g] = softmax(q_i P_gᵀ / √d) (softmax(P_f k_gᵀ / √d) v_g), for query i of frame f and the keys of frame g

    For m landmarks it takes 2·t·N·m·(d + d_v) multiplications and keeps t·m·(2·N + t·d_v) numbers at the same time. For
    each frame, rows sum to 1 exactly; no weight is negative.

    Args:
        q, k, v: Tokens frame by frame.
        landmark_index: Indices of tokens of the clip, (b heads landmarks), if all frames share the landmarks; otherwise
            indices of tokens within each frame, (b heads t landmarks), whose order matters.
        num_frames: t, a divisor of the number of tokens.
        shared_landmarks: Whether all frames share the landmarks: P_f = P_g = P.

    Raises:
        ValueError: If num_frames does not divide the tokens, or landmarks do not fit.

    Source: Keeping Your Eye on the Ball: Trajectory Attention in Video Transformers, 2021, arXiv 2106.05392. If each
    frame has its own landmarks, this differs from the paper in the same way as the published code: landmark l of the
    frame of the query is paired with landmark l of the frame of the key, although they are different vectors.
    """
    landmarks = _frame_landmarks(q, landmark_index, num_frames, shared_landmarks)
    frames_q, frames_k, frames_v = (rearrange(x, "b heads (t n) d -> b heads t n d", t=num_frames) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    to_landmarks = torch.einsum("bhfsd,bhgld->bhfsgl", frames_q, landmarks).mul(scale).softmax(dim=-1)
    to_keys = torch.einsum("bhfld,bhgsd->bhfgls", landmarks, frames_k).mul(scale).softmax(dim=-1)
    read = torch.einsum("bhfgls,bhgsd->bhfgld", to_keys, frames_v)
    return rearrange(torch.einsum("bhfsgl,bhfgld->bhfsgd", to_landmarks, read), "b heads f n g d -> b heads (f n) g d")


def _frame_landmarks(
    q: Float[Tensor, "b heads tokens d"], landmark_index: Tensor, num_frames: int, shared_landmarks: bool
) -> Float[Tensor, "b heads t landmarks d"]:
    """Return the landmarks of each frame; raise ValueError if they do not fit."""
    tokens = q.shape[-2]
    if num_frames < 1 or tokens % num_frames:
        raise ValueError(f"{tokens} tokens cannot be cut into {num_frames} equal frames: num_frames must divide them")
    if shared_landmarks:
        check_landmarks(landmark_index, tokens, axes=3)
        return take_landmarks(q, landmark_index).unsqueeze(2).expand(-1, -1, num_frames, -1, -1)
    check_landmarks(landmark_index, tokens // num_frames, axes=4)
    if landmark_index.shape[2] != num_frames:
        raise ValueError(
            f"landmark_index has landmarks of {landmark_index.shape[2]} frames, num_frames={num_frames}: pass "
            "landmarks for each frame"
        )
    return take_landmarks(rearrange(q, "b heads (t n) d -> b heads t n d", t=num_frames), landmark_index)


def orthoformer_frames_map(
    q: Tensor, k: Tensor, landmark_index: Tensor, num_frames: int, shared_landmarks: bool = True
) -> Float[Tensor, "b heads tokens t n"]:
    """Return the explicit map of ``orthoformer_frames``, one pair of frames at a time."""
    landmarks = _frame_landmarks(q, landmark_index, num_frames, shared_landmarks).unbind(2)
    frames_q, frames_k = (x.chunk(num_frames, dim=-2) for x in (q, k))
    scale, rows = q.shape[-1] ** 0.5, []
    for queries, query_landmarks in zip(frames_q, landmarks, strict=True):
        maps = []
        for keys, key_landmarks in zip(frames_k, landmarks, strict=True):
            to_landmarks = torch.softmax(queries @ key_landmarks.mT / scale, dim=-1)
            maps.append(to_landmarks @ torch.softmax(query_landmarks @ keys.mT / scale, dim=-1))
        rows.append(torch.stack(maps, dim=3))
    return torch.cat(rows, dim=2)


def orthoformer_frames_oracle(
    q: Tensor, k: Tensor, v: Tensor, landmark_index: Tensor, num_frames: int, shared_landmarks: bool = True
) -> Tensor:
    """Compute ``orthoformer_frames`` through its explicit map."""
    weights = orthoformer_frames_map(q, k, landmark_index, num_frames, shared_landmarks)
    read = [weights[:, :, :, g] @ values for g, values in enumerate(v.chunk(num_frames, dim=-2))]
    return torch.stack(read, dim=3)
