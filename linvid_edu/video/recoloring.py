"""Random changes of clips in Lab, so that a model has to look for a color and cannot know it from the gray picture.

Every function leaves its argument as it is. The random numbers come from the generator, on whose device they are drawn.
"""

import torch
from einops import einsum, rearrange
from torch import Generator, Tensor

from linvid_edu.shapes import Float

SATURATION = (0.8, 1.5)
GAIN = (0.7, 1.2)
# largest change of lightness, of a clip and of one frame, and largest standard deviation of its noise; 100 is white
OFFSET, FLICKER, NOISE = 10.0, 3.0, 3.0
# sine waves that make a curved map of colors, the difference in color over which one of them turns by a radian, and
# their height, in Lab units
WAVES, WAVELENGTH, HEIGHT = 4, 18, 14


def augment(
    clips: Float[Tensor, "b 3 t h w"],
    generator: Generator,
    *,
    flips: bool = True,
    reversal: bool = True,
    lightness: bool = True,
    curves: bool = False,
    turns: bool = True,
) -> Float[Tensor, "b 3 t h w"]:
    """Apply the random changes of this module, one after the other, to each clip of a batch.

    Args:
        clips: Clips in Lab; the frames are square if they are flipped.
        generator: Source of the random numbers.
        flips: Whether to apply ``flip_frames``.
        reversal: Whether to apply ``reverse_time``.
        lightness: Whether to apply ``vary_lightness``.
        curves: Whether to apply ``recolor``.
        turns: Whether to apply ``turn_colors``.

    Returns:
        Changed clips in Lab.

    Raises:
        ValueError: The frames are to be flipped and are not square.
    """
    steps = {
        flip_frames: flips,
        reverse_time: reversal,
        vary_lightness: lightness,
        recolor: curves,
        turn_colors: turns,
    }
    for step, wanted in steps.items():
        if wanted:
            clips = step(clips, generator)
    return clips


def turn_colors(clips: Float[Tensor, "b 3 t h w"], generator: Generator) -> Float[Tensor, "b 3 t h w"]:
    """Turn all colors of a clip by one angle, and change their saturation, so that hue is independent of the picture.

    (a, b) ← s · (a cos θ − b sin θ, a sin θ + b cos θ),  θ in 0 to 2π,  s in 0.8 to 1.5

    Args:
        clips: Clips in Lab.
        generator: Source of the random numbers.

    Returns:
        Clips with the lightness that they had. Some of their colors may be outside what a screen shows.
    """
    angle = 2 * torch.pi * _uniform(clips, generator)
    saturation = _uniform(clips, generator, *SATURATION)
    a, b = clips[:, 1:2], clips[:, 2:]
    cos, sin = saturation * angle.cos(), saturation * angle.sin()
    return torch.cat([clips[:, :1], cos * a - sin * b, sin * a + cos * b], dim=1)


def recolor(clips: Float[Tensor, "b 3 t h w"], generator: Generator) -> Float[Tensor, "b 3 t h w"]:
    """Replace the colors of a clip by a random curved map of them, so that mixing two colors does not give a third.

    (a, b) ← 14 · Σ_i u_i · sin(v_i · (a, b) / 18 + p_i),  i = 1 … 4

    u_i and v_i are pairs of normal random numbers and p_i are random phases. They are the same for all of a clip, so
    that what had one color still has one.

    Args:
        clips: Clips in Lab.
        generator: Source of the random numbers.

    Returns:
        Clips with the lightness that they had. Some of their colors may be outside what a screen shows.
    """
    heights, frequencies = _normal(clips, generator, 2, 2, WAVES).unbind(1)
    phases = 2 * torch.pi * _uniform(clips, generator, axes=(WAVES, 1, 1, 1))
    waves = einsum(frequencies / WAVELENGTH, clips[:, 1:], "b c waves, b c t h w -> b waves t h w")
    colors = einsum(HEIGHT * heights, (waves + phases).sin(), "b c waves, b waves t h w -> b c t h w")
    return torch.cat([clips[:, :1], colors], dim=1)


def vary_lightness(clips: Float[Tensor, "b 3 t h w"], generator: Generator) -> Float[Tensor, "b 3 t h w"]:
    """Change contrast and brightness of a clip, let its frames flicker, and add noise.

    L ← 50 + gain · (L − 50) + offset + flicker_t + noise, clamped to 0 to 100

    The gain is 0.7 to 1.2, the offset −10 to 10, the flicker of each frame −3 to 3, and the standard deviation of the
    noise 0 to 3.

    Args:
        clips: Clips in Lab.
        generator: Source of the random numbers.

    Returns:
        Clips with the colors a and b that they had.
    """
    gain, offset = _uniform(clips, generator, *GAIN), _uniform(clips, generator, -OFFSET, OFFSET)
    flicker = _uniform(clips, generator, -FLICKER, FLICKER, axes=(1, clips.shape[2], 1, 1))
    noise = _uniform(clips, generator, 0.0, NOISE) * _normal(clips, generator, 1, *clips.shape[2:])
    lightness = 50 + gain * (clips[:, :1] - 50) + offset + flicker + noise
    return torch.cat([lightness.clamp(0, 100), clips[:, 1:]], dim=1)


def flip_frames(clips: Float[Tensor, "b 3 t h w"], generator: Generator) -> Float[Tensor, "b 3 t h w"]:
    """Flip all frames of a clip, or none: left to right, upside down, and rows to columns, each for half of the clips.

    Args:
        clips: Clips in Lab with square frames.
        generator: Source of the random numbers.

    Returns:
        Clips with the pixels that they had, in one of eight orders.

    Raises:
        ValueError: The frames are not square.
    """
    height, width = clips.shape[3:]
    if height != width:
        raise ValueError(f"frames are {height}×{width}: crop them to squares, since rows are exchanged with columns")
    across, down, diagonal = (_uniform(clips, generator, axes=(3, 1, 1, 1, 1)) < 0.5).unbind(1)
    clips = torch.where(across, clips.flip(-1), clips)
    clips = torch.where(down, clips.flip(-2), clips)
    return torch.where(diagonal, rearrange(clips, "b c t h w -> b c t w h"), clips)


def reverse_time(clips: Float[Tensor, "b 3 t h w"], generator: Generator) -> Float[Tensor, "b 3 t h w"]:
    """Reverse the order of the frames of half of the clips.

    Args:
        clips: Clips in Lab.
        generator: Source of the random numbers.

    Returns:
        Clips with the frames that they had.
    """
    return torch.where(_uniform(clips, generator) < 0.5, clips.flip(2), clips)


def _uniform(
    clips: Tensor, generator: Generator, low: float = 0.0, high: float = 1.0, axes: tuple[int, ...] = (1, 1, 1, 1)
) -> Tensor:
    """Return uniform random numbers for each clip, (b *axes), on the device of the clips."""
    draws = torch.rand(len(clips), *axes, generator=generator, device=generator.device)
    return low + (high - low) * draws.to(clips.device)


def _normal(clips: Tensor, generator: Generator, *axes: int) -> Tensor:
    """Return normal random numbers for each clip, (b *axes), on the device of the clips."""
    return torch.randn(len(clips), *axes, generator=generator, device=generator.device).to(clips.device)
