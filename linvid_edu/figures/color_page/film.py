"""The recolored clips side by side, with labels, as one video file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from linvid_edu.files import atomic_path
from linvid_edu.models.variants import variant_of
from linvid_edu.shapes import UInt8
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.samples import encode

from .color_clip import ColorClip
from .coloring import Painter, painted_film
from .packing import gray_frames

LABEL_PIXELS, GAP_PIXELS, TEXT_PIXELS = 24, 8, 13
MOST_COLUMNS = 5
BACKGROUND, INK = (22, 24, 27), (228, 230, 232)
FONT = Path("fonts", "ttf", "DejaVuSans.ttf")  # in matplotlib's data; it has Greek letters


def tile_films(clip: ColorClip, films: Mapping[str, UInt8[Tensor, "t h w 3"]]) -> UInt8[Tensor, "t height width 3"]:
    """Put films side by side, in rows of at most five, each under its label; known frames say so.

    Args:
        clip: The clip, which says which frames are known.
        films: Frames by label, all of one size.

    Returns:
        Frames of even height and width.
    """
    t, height, width = next(iter(films.values())).shape[:3]
    columns = min(len(films), MOST_COLUMNS)
    rows = math.ceil(len(films) / columns)
    cell = (height + LABEL_PIXELS + GAP_PIXELS, width + GAP_PIXELS)
    size = [side + GAP_PIXELS for side in (rows * cell[0], columns * cell[1])]
    size = [side + side % 2 for side in size]
    canvas = torch.tensor(BACKGROUND, dtype=torch.uint8).expand(t, *size, 3).clone()
    for index, (label, film) in enumerate(films.items()):
        top, left = GAP_PIXELS + index // columns * cell[0], GAP_PIXELS + index % columns * cell[1]
        canvas[:, top : top + LABEL_PIXELS, left : left + width] = _label(label, width)
        canvas[list(clip.known), top : top + LABEL_PIXELS, left : left + width] = _label(f"{label} (known)", width)
        top += LABEL_PIXELS
        canvas[:, top : top + height, left : left + width] = film
    return canvas


def _label(text: str, width: int) -> UInt8[Tensor, "height width 3"]:
    """Draw a label, cut off at the width of a film."""
    picture = Image.new("RGB", (width, LABEL_PIXELS), BACKGROUND)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / FONT), TEXT_PIXELS)
    ImageDraw.Draw(picture).text((0, LABEL_PIXELS // 2), text, fill=INK, font=font, anchor="lm")
    return torch.from_numpy(np.array(picture))


def save_film(clip: ColorClip, painters: Sequence[Painter], path: str | Path) -> Path:
    """Write gray, truth, and the whole clip as each model colors it, as an MP4 file.

    Args:
        clip: The clip; all of its frames are colored.
        painters: Color models, see ``paint_clip``.
        path: Path of the file.

    Returns:
        The path.
    """
    lab = to_lab(clip.frames)
    films = {"gray": gray_frames(lab), "truth": clip.frames}
    films |= {variant_of(painter.model.config).label: painted_film(clip, lab, painter.model) for painter in painters}
    data = encode(tile_films(clip, films).numpy(), max(1, round(clip.rate)), preset="veryfast")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)
