"""A clip in memory: frames to display, a normalized tensor for the model, and the times of the frames."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from linvid_edu.shapes import Float, UInt8

MEAN = 0.5
STD = 0.5


def normalize(frames: UInt8[Tensor, "*batch t h w 3"]) -> Float[Tensor, "*batch 3 t h w"]:
    """Turn frames that can be displayed into the input of a model.

    video = (frames / 255 − 0.5) / 0.5

    Args:
        frames: RGB values, 0 to 255, with any leading batch axes.

    Returns:
        float32 in −1 to 1, color channels before time.

    Source: mean and standard deviation of arXiv 2210.08164.
    """
    return rearrange((frames.float() / 255 - MEAN) / STD, "... t h w c -> ... c t h w")


def denormalize(video: Float[Tensor, "*batch 3 t h w"]) -> UInt8[Tensor, "*batch t h w 3"]:
    """Turn the input of a model back into frames that can be displayed: the inverse of ``normalize``.

    frames = round(255 · (0.5 · video + 0.5)), clamped to 0 to 255

    Args:
        video: Normalized clip, −1 to 1; values outside are clamped.

    Returns:
        RGB values, 0 to 255.
    """
    levels = (255 * (STD * video + MEAN)).round().clamp(0, 255).to(torch.uint8)
    return rearrange(levels, "... c t h w -> ... t h w c")


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames sampled from one video.

    Args:
        video: Clip normalized to −1 to 1, (3 t h w).
        frames: The same pixels for display, 0 to 255, (t h w 3).
        times: Presentation time of each frame in the source, in seconds, (t).
        source: Path of the video file, or a description of the rendered scene.
        repeated: Number of frames that repeat the previous frame, because the source has too few.
    """

    video: Float[Tensor, "3 t h w"]
    frames: UInt8[Tensor, "t h w 3"]
    times: Float[Tensor, "t"]
    source: str
    repeated: int = 0
