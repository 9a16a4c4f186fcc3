"""What the attention of a model did on one clip, for models of classes and of colors alike."""

import torch

from linvid_edu.video.cielab import to_lab
from linvid_edu.video.clip import Clip

from .color_transformer import ColorTransformer, gray_video
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


def traced_blocks(config: ModelConfig) -> int:
    """Return the number of blocks of a model's ``trace_clip``."""
    return config.depth if config.output == "classes" else 1


def traced_heads(config: ModelConfig) -> int:
    """Return the number of heads of each block of a model's ``trace_clip``."""
    return config.heads if config.output == "classes" else 1
