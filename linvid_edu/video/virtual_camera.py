"""Clips from photographs: a virtual camera looks at one of them, and moving cut-outs of others pass in front of it.

A position in a picture is a complex number x + iy, from −1 − i at the upper left corner to 1 + i at the lower right.
A product then turns and zooms, and a sum moves. All random numbers are drawn on the CPU, so that every device gets the
same clips.
"""

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float

CHUNK = 16  # clips rendered at a time, which bounds the memory
STILL = 0.2  # share of cameras that do not move
PRESENT = 0.6  # probability of each cut-out
# largest motion from one frame to the next at speed 1: position, rotation in radians, and logarithm of the zoom
PAN, SPIN, ZOOM = 0.14, 0.05, 0.04
SHAKE = 0.02  # largest deviation of one frame's position at speed 1
TILT = 0.3  # largest rotation in the middle of a clip, in radians
PIXEL = (0.8, 1.5)  # pixels of a photograph to one pixel of a frame
CUTOUT = 0.52  # radius of the circle that holds a cut-out, in units of a position
ROUGHNESS = 0.25  # height of the waves of an outline, as a share of its radius


def virtual_clips(
    photographs: Float[Tensor, "m 3 side side"],
    *,
    count: int,
    frames: int = 6,
    size: int = 96,
    seed: int = 0,
    objects: int = 3,
) -> Float[Tensor, "count 3 frames size size"]:
    """Render clips of a camera that pans, zooms and turns over a photograph, with moving cut-outs of others in front.

    frame_t(z) = photograph(turn_t · z + shift_t),  then for each cut-out  frame_t ← frame_t + α · (cut-out − frame_t)

    One camera in five is still and most are slow; no camera sees past the edge of its photograph. Each cut-out is
    there with a probability of 0.6, has a wavy outline and moves in its own way.

    Args:
        photographs: Squares in Lab, such as those of ``load_photographs``, at least as large as a frame.
        count: Number of clips.
        frames: Number of frames in a clip.
        size: Side of a frame in pixels.
        seed: Seed of the clips. Clip i depends on the seed and on i, and not on `count`.
        objects: Largest number of cut-outs in a clip.

    Returns:
        Clips in Lab, on the device of the photographs.

    Raises:
        ValueError: The photographs are smaller than a frame.
    """
    if photographs.shape[-1] < size:
        side = photographs.shape[-1]
        raise ValueError(f"photographs are {side}×{side}, frames {size}×{size}: load them with side={3 * size // 2}")
    camera, cutout = 11 + 2 * frames, 18 + 2 * frames
    draws = torch.rand(count, camera + objects * cutout, generator=torch.Generator().manual_seed(seed))
    clips = photographs.new_empty(count, 3, frames, size, size)
    for part, some in zip(clips.split(CHUNK), draws.split(CHUNK), strict=True):
        part.copy_(_background(photographs, some[:, :camera], frames, size))
        _paste_cutouts(part, photographs, some[:, camera:].unflatten(1, (objects, cutout)))
    return clips


def _background(photographs: Tensor, draws: Tensor, frames: int, size: int) -> Tensor:
    """Return what the cameras see of their photographs, (b 3 t size size)."""
    still, vigor, which, zoom, x, y = draws[:, :6].unbind(1)
    speed = torch.where(still < STILL, 0, (1.4 * vigor) ** 2)
    turn, shift = _motion(draws[:, 6:], speed, frames)
    side = photographs.shape[-1]
    scale = _photograph_pixels(zoom) * size / side
    turn, shift = scale[:, None] * turn, scale[:, None] * shift
    # the box around all that the camera sees is made small enough for the photograph, and then put anywhere in it
    border = 1 - 1 / side  # center of the outermost pixel
    reach = (turn.real.abs() + turn.imag.abs())[..., None]
    path = torch.view_as_real(shift)
    low, high = (path - reach).amin(dim=1), (path + reach).amax(dim=1)
    fit = (2 * border / (high - low).amax(dim=1, keepdim=True)).clamp(max=1)
    place = -border - fit * low + torch.stack([x, y], dim=1) * (2 * border - fit * (high - low))
    shift = fit * shift + torch.view_as_complex(place)[:, None]
    return _sample(_choose(photographs, which), fit * turn, shift, size, size)


def _paste_cutouts(clips: Tensor, photographs: Tensor, draws: Tensor) -> None:
    """Draw the cut-outs of some clips over them, in windows that are just large enough for a cut-out."""
    frames, size = clips.shape[2], clips.shape[-1]
    layer, clip = (draws[:, :, 0] < PRESENT).T.nonzero(as_tuple=True)
    if len(clip) == 0:
        return
    draws = draws[clip, layer]
    speed, x, y = draws[:, 1:4].unbind(1)
    turn, shift = _motion(draws[:, 13:], 0.2 + 1.4 * speed, frames)
    turn = turn / turn.abs().amax(dim=1, keepdim=True)  # no frame enlarges the cut-out beyond its circle
    position = shift + 0.7 * torch.complex(2 * x - 1, 2 * y - 1)[:, None]
    window = _cutout_side(size)
    corner = ((torch.view_as_real(position) + 1) / 2 * size - window / 2).round().clamp(0, size - window)
    middle = torch.view_as_complex((corner + window / 2) * 2 / size - 1)
    inverse = size / window / turn
    drawn = _sample(_cutouts(photographs, draws[:, 4:13], size), inverse, inverse * (middle - position), window, size)
    color, opacity = rearrange(drawn, "b c t h w -> b t c h w").split([3, 1], dim=2)
    # the window of each frame is read, drawn over and written back
    left, top = corner.long().to(clips.device).unbind(-1)
    clip, frame = clip.to(clips.device)[:, None], torch.arange(frames, device=clips.device)
    windows = clips.unfold(3, window, 1).unfold(4, window, 1)  # a view: every window of every frame
    of_layer = layer.bincount().tolist()
    for place in zip(*(part.split(of_layer) for part in (clip, top, left, color, opacity)), strict=True):
        clip, top, left, color, opacity = place
        at = (clip, slice(None), frame, top, left)
        windows[at] = torch.lerp(windows[at], color, opacity)


def _cutouts(photographs: Tensor, draws: Tensor, size: int) -> Tensor:
    """Return pieces of photographs with the opacity of a wavy shape as fourth channel, (b 4 side side)."""
    which, zoom, x, y, wide, high, lobes, phase, tilt = draws.unbind(1)
    side = _cutout_side(size)
    scale = _photograph_pixels(zoom) * side / photographs.shape[-1]
    turn = torch.polar(scale, TILT * (2 * tilt - 1))
    reach, border = turn.real.abs() + turn.imag.abs(), 1 - 1 / photographs.shape[-1]
    turn = turn * (border / reach).clamp(max=1)
    center = (border - reach).clamp(min=0) * torch.complex(2 * x - 1, 2 * y - 1)
    color = _sample(_choose(photographs, which), turn[:, None], center[:, None], side, side)[:, :, 0]
    pixel = (torch.arange(side) - (side - 1) / 2) * 2 / size
    radius = CUTOUT * (0.45 + 0.3 * torch.stack([wide, high]))[:, :, None, None]
    across, down = pixel / radius[0], pixel[:, None] / radius[1]
    angle = (2 + (3 * lobes).floor())[:, None, None] * torch.atan2(down, across) + 2 * torch.pi * phase[:, None, None]
    inside = 1 + ROUGHNESS * torch.sin(angle) - torch.hypot(across, down)
    distance = inside * radius.amin(dim=0) * size / 2  # from the outline, in pixels
    opacity = (distance + 0.5).clamp(0, 1)  # an edge of one pixel
    return torch.cat([color, opacity[:, None].to(color)], dim=1)


def _cutout_side(size: int) -> int:
    """Return the side, in pixels, of a square that holds any cut-out and a transparent pixel on each side of it."""
    return min(math.ceil(CUTOUT * size) + 2, size)


def _motion(draws: Tensor, speed: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return rotation with zoom, and position, of each frame of a steady motion with some shake; complex, (b t)."""
    angle, spin, zoom, x, y = (2 * draws[:, :5] - 1).unbind(1)
    shake = torch.view_as_complex((2 * draws[:, 5:] - 1).reshape(-1, frames, 2))
    time = torch.arange(frames) - (frames - 1) / 2
    speed = speed[:, None]
    turn = torch.exp(torch.complex(speed * (ZOOM * zoom)[:, None] * time, speed * (SPIN * spin)[:, None] * time))
    turn = turn * torch.exp(torch.complex(torch.zeros_like(angle), TILT * angle))[:, None]
    return turn, speed * (PAN * torch.complex(x, y)[:, None] * time + SHAKE * shake)


def _photograph_pixels(draw: Tensor) -> Tensor:
    """Return the pixels of a photograph to one pixel of a frame."""
    return PIXEL[0] * (PIXEL[1] / PIXEL[0]) ** draw


def _choose(photographs: Tensor, draw: Tensor) -> Tensor:
    return photographs.index_select(0, (draw * len(photographs)).long().to(photographs.device))


def _sample(pictures: Tensor, turn: Tensor, shift: Tensor, window: int, size: int) -> Tensor:
    """Return pictures at turn · z + shift, for z in a window around 0 of a frame with `size` pixels a side.

    Args:
        pictures: One picture a clip, (b c side side).
        turn: Rotation and zoom of each frame, (b t).
        shift: Position of the middle of the window in the picture, (b t).
        window: Side of the window in pixels.
        size: Side of the frame in pixels.

    Returns:
        (b c t window window).
    """
    turn, shift = (part.to(pictures.device)[:, :, None, None] for part in (turn, shift))
    pixel = (torch.arange(window, device=pictures.device) - (window - 1) / 2) * 2 / size
    grid = torch.view_as_real((turn * pixel + shift) + (1j * turn) * pixel[:, None])
    grid = rearrange(grid, "b t h w xy -> b (t h) w xy")
    out = F.grid_sample(pictures, grid, align_corners=False)
    return rearrange(out, "b c (t h) w -> b c t h w", h=window)
