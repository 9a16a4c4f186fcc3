"""A small color model and clips for the tests of it."""

import torch

from linvid_edu.models.color_transformer import ColorTransformer, make_model
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.variants import VARIANTS

SIZES = {"image_size": 24, "kernel": 8, "stride": 4, "padding": 2, "width": 16, "depth": 1, "heads": 2}
T, N = 4, 36  # frames of a clip, and tokens of a frame


def color_config(variant: str = "linear", **changes) -> ModelConfig:
    """Return a small color model's configuration."""
    sizes = {**SIZES, "num_classes": 2, "num_frames": T, "mlp_hidden": 16, "head_hidden": 8, "dropout": 0.0}
    colors = {"output": "colors", "space_time": "space", "spatial_embedding": True}
    return ModelConfig(**{**sizes, **colors, **VARIANTS[variant].changes, **changes})


def color_model(variant: str = "linear", seed: int = 0) -> ColorTransformer:
    """Return a small color model with random weights."""
    torch.manual_seed(seed)
    model = make_model(color_config(variant)).eval()
    assert isinstance(model, ColorTransformer)
    return model


def copying_variants() -> list[str]:
    """Return the names of the variants whose mechanism can copy colors."""
    names = []
    for name in VARIANTS:
        try:
            color_config(name)
        except ValueError:
            continue
        names.append(name)
    return names


def lab_clips(seed: int = 0, clips: int = 2) -> torch.Tensor:
    """Return random clips in Lab, (clips 3 4 24 24)."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([20.0, 30.0, 30.0])[None, :, None, None, None]
    center = torch.tensor([50.0, 0.0, 0.0])[None, :, None, None, None]
    return center + spread * torch.randn(clips, 3, T, 24, 24, generator=generator)


def clip_of_colors(known=(0,), t: int = 6, source: str = "/home/me/clip.mp4", notes=()):
    """Return a clip for the page of colors: a red square that moves over blue and green."""
    from linvid_edu.figures.color_page import ColorClip

    frames = torch.zeros(t, 48, 48, 3, dtype=torch.uint8)
    frames[:, :24] = torch.tensor([60, 90, 190], dtype=torch.uint8)
    frames[:, 24:] = torch.tensor([70, 160, 60], dtype=torch.uint8)
    for index in range(t):
        frames[index, 16:32, 4 * index : 4 * index + 16] = torch.tensor([210, 60, 40], dtype=torch.uint8)
    return ColorClip(source, frames, torch.arange(t) / 10, (), known, tuple(range(t)), notes)


def painters(*variants: str):
    """Return small color models for the page of colors; none means softmax and linear."""
    from linvid_edu.figures.color_page import Painter

    return [Painter(color_model(name), f"{name}.safetensors") for name in variants or ("softmax", "linear")]
