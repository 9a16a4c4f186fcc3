"""What the script of the page needs: pictures as WebP, and colors, maps and measures as packed numbers."""

from base64 import b64encode
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from linvid_edu.models.color_measures import mean_color_errors
from linvid_edu.shapes import Float, UInt8
from linvid_edu.video.cielab import from_lab, paint

from .coloring import Coloring, Painted, token_measures

LEVELS = 32767  # of a number that is packed into 16 bits


def page_state(coloring: Coloring, quality: int) -> dict[str, Any]:
    """Return what the script of the page needs, as plain values for JSON.

    Args:
        coloring: What ``paint_clip`` returned.
        quality: Quality of the WebP files, 1 to 100.

    Returns:
        "times" of the shown frames in seconds, "known" frames, "grid", "frame" and "token" to begin with; "pictures",
        data URLs of the gray and the true frames; "truth", the true colors of the tokens; and "mechanisms", each with
        its "pictures" (None for known frames), "colors", "errors" (of each frame, relative), "map" and "tokens" (the
        effective tokens, the share on the right color, and the error in Lab units of each token).
    """
    clip, shown = coloring.clip, list(coloring.clip.shown)
    frame, token = first_query(coloring)
    return {
        "times": [round(seconds, 2) for seconds in clip.times[shown].tolist()],
        "known": list(coloring.known),
        "targets": coloring.targets,
        "grid": list(coloring.grid),
        "frame": frame,
        "token": token,
        "pictures": {
            "gray": [webp_url(pixels, quality) for pixels in gray_frames(coloring.lab)],
            "truth": [webp_url(pixels, quality) for pixels in clip.frames[shown]],
        },
        "truth": _swatches(coloring.token_lab, coloring.token_lab[..., 1:]),
        "mechanisms": [_mechanism_state(painted, coloring, quality) for painted in coloring.painted],
    }


def _mechanism_state(painted: Painted, coloring: Coloring, quality: int) -> dict[str, Any]:
    film = paint(coloring.lab, painted.colors, coloring.grid)
    effective, right = token_measures(painted, coloring.colors)
    mean_errors = mean_color_errors(coloring.colors)[0].sum(dim=1)
    relative = painted.errors.sum(dim=1) / mean_errors
    return {
        "label": painted.label,
        "pictures": [None if index in coloring.known else webp_url(film[index], quality) for index in range(len(film))],
        "colors": _swatches(coloring.token_lab, painted.colors),
        "errors": [round(value, 4) if value < float("inf") else None for value in relative.tolist()],
        "map": _packed_map(painted),
        "tokens": _packed_floats(torch.stack([effective, right, painted.errors])),
    }


def first_query(coloring: Coloring) -> tuple[int, int]:
    """Return the frame and the token that the page begins with.

    The frame is the one in the middle of those that were colored. The token is one that moved, if any did, whose color
    is known somewhere and far from the mean color: there, a mechanism that looks at the wrong place fails most.
    """
    middle = len(coloring.targets) // 2
    reachable = coloring.baselines["mean color"][middle] - coloring.baselines["best reference"][middle]
    moving = coloring.colors.moving[0, middle]
    reachable = torch.where(moving, reachable, torch.zeros_like(reachable)) if moving.any() else reachable
    return coloring.targets[middle], int(reachable.argmax())


def _packed_map(painted: Painted) -> dict[str, Any]:
    """Pack queries and keys, or the map itself if it is smaller.

    The script computes w_j = q · k_j, or exp(q · k_j) for softmax, and divides by Σ |w_j|.
    """
    q, k = painted.q, painted.k.flatten(0, 1)
    if k.shape[1] > k.shape[0]:
        return {"similarity": "rows", "q": _packed_integers(painted.weights.flatten(2))}
    scale = k.shape[1] ** -0.5 if painted.similarity == "softmax" else 1.0
    return {"similarity": painted.similarity, "q": _packed_integers(scale * q), "k": _packed_integers(k)}


def _packed_integers(values: Tensor) -> dict[str, Any]:
    """Pack numbers into 16 bits: value = scale · integer."""
    scale = max(values.abs().max().item(), 1e-30) / LEVELS
    return {"scale": scale, "data": _base64((values / scale).round().to(torch.int16))}


def _packed_floats(values: Tensor) -> str:
    return _base64(values.float())


def _swatches(token_lab: Float[Tensor, "t n 3"], colors: Float[Tensor, "t n 2"]) -> str:
    """Pack the red, green and blue of each token, with its own lightness."""
    lab = torch.cat([token_lab[..., :1], colors], dim=-1)
    return _base64(from_lab(lab.permute(2, 0, 1)[..., None]))


def _base64(values: Tensor) -> str:
    return b64encode(values.contiguous().numpy().tobytes()).decode()


def webp_url(pixels: UInt8[Tensor, "h w 3"], quality: int) -> str:
    """Write a picture as a data URL of a WebP file."""
    file = BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "WEBP", quality=quality, method=2)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def gray_frames(lab: Float[Tensor, "3 t h w"]) -> UInt8[Tensor, "t h w 3"]:
    """Return the lightness of frames as gray pictures."""
    return from_lab(torch.cat([lab[:1], torch.zeros_like(lab[1:])]))
