"""A clip in memory: pixels for the eye, a normalized tensor for the model, and the times of its frames."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float, UInt8

MEAN = 0.5
STD = 0.5


def normalize(frames: UInt8[Tensor, "*batch t h w 3"]) -> Float[Tensor, "*batch 3 t h w"]:
    """Turn displayable frames into the model's input.

    video = (frames / 255 − 0.5) / 0.5

    Args:
        frames: RGB, 0 to 255, with any leading batch axes.

    Returns:
        float32 in −1 to 1, color channels before time.

    Source: mean and standard deviation of arXiv 2210.08164.
    """
    return rearrange((frames.float() / 255 - MEAN) / STD, "... t h w c -> ... c t h w")


def denormalize(video: Float[Tensor, "*batch 3 t h w"]) -> UInt8[Tensor, "*batch t h w 3"]:
    """Turn a model's input back into displayable frames: the inverse of ``normalize``.

    frames = round(255 · (0.5 · video + 0.5)), cut off to 0 to 255

    Args:
        video: normalized, −1 to 1; values outside are cut off.

    Returns:
        RGB, 0 to 255.
    """
    levels = (255 * (STD * video + MEAN)).round().clamp(0, 255).to(torch.uint8)
    return rearrange(levels, "... c t h w -> ... t h w c")


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames sampled from one video.

    Args:
        video: normalized to −1 to 1, (3 t h w).
        frames: the same pixels for display, 0 to 255, (t h w 3).
        times: the presentation time of each frame in the source, in seconds, (t).
        source: where the clip came from: a path, or the words that describe a rendered scene.
        repeated: how many of the frames repeat the one before, because the source had too few.
    """

    video: Float[Tensor, "3 t h w"]
    frames: UInt8[Tensor, "t h w 3"]
    times: Float[Tensor, "t"]
    source: str
    repeated: int = 0
