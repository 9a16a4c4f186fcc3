"""What the attention of a model did on one clip, for models of classes and of colors alike."""

from typing import NamedTuple

import torch
from torch import Tensor

from linvid_edu.shapes import UInt8
from linvid_edu.video.cielab import paint, to_lab
from linvid_edu.video.clip import Clip

from .color_measures import ClipColors, color_distance, mean_color_errors
from .color_transformer import ColorTransformer, copied_colors, gray_video, target_frames, token_colors
from .config import ModelConfig
from .trace import Trace, record
from .transformer import VideoTransformer

KNOWN_FRAME = 0  # of a color model: the frame whose colors are known


def trace_clip(model: VideoTransformer, clip: Clip) -> Trace:
    """Run a model on a clip once, and return what its attention received.

    A color model colors the clip from its first frame. Its trace has one block, the copy head.

    Args:
        model: Model on any device.
        clip: Clip of the model's size.

    Raises:
        ValueError: The clip does not fit the model.
    """
    device = next(model.parameters()).device
    with torch.no_grad(), record(model) as trace:
        if isinstance(model, ColorTransformer):
            model.copy_map(gray_video(to_lab(clip.frames[None].to(device))), (KNOWN_FRAME,))
            return Trace(trace.blocks[-1:])
        model(clip.video.unsqueeze(0).to(device))
    return trace


class Recolored(NamedTuple):
    """A clip as a color model colors it from its first frame.

    frames: sRGB values, 0 to 255; the known frame is the clip's own
    errors: for each frame, the error of the copied colors over that of the mean known color, see ``relative_error``;
        0 for the known frame, whose colors are not copied
    """

    frames: UInt8[Tensor, "t h w 3"]
    errors: tuple[float, ...]


def recolor_clip(model: ColorTransformer, clip: Clip) -> Recolored:
    """Color a clip from its first frame.

    Args:
        model: Color model on any device.
        clip: Clip of the model's size.
    """
    device, grid = next(model.parameters()).device, model.config.grid
    lab = to_lab(clip.frames[None].to(device))
    clip_colors, colors = ClipColors.of(lab, grid, (KNOWN_FRAME,)), token_colors(lab, grid)
    targets = target_frames(lab.shape[2], (KNOWN_FRAME,))
    with torch.no_grad():
        copied = copied_colors(model.copy_map(gray_video(lab), (KNOWN_FRAME,)), clip_colors.known)
    colors[:, targets] = copied
    frames = paint(lab[0], colors[0], grid).cpu()
    frames[KNOWN_FRAME] = clip.frames[KNOWN_FRAME]
    errors = torch.zeros(len(frames))
    ratios = color_distance(copied, clip_colors.truth).sum(-1) / mean_color_errors(clip_colors).sum(-1)
    errors[targets] = ratios[0].cpu()
    return Recolored(frames, tuple(errors.tolist()))


def traced_blocks(config: ModelConfig) -> int:
    """Return the number of blocks of a model's ``trace_clip``."""
    return config.depth if config.output == "classes" else 1


def traced_heads(config: ModelConfig) -> int:
    """Return the number of heads of each block of a model's ``trace_clip``."""
    return config.heads if config.output == "classes" else 1
