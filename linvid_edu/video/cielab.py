"""Colors in CIE Lab: lightness apart from color, so that a gray picture is one channel and its colors are two."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float, Grid, UInt8

# linear sRGB to CIE XYZ under D65 (IEC 61966-2-1); the sum of a row is that coordinate of white
RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
KNEE = 6 / 29  # δ of CIE 15: below δ³ the cube root is replaced by a line


def to_lab(frames: UInt8[Tensor, "*batch t h w 3"]) -> Float[Tensor, "*batch 3 t h w"]:
    """Turn frames that can be displayed into CIE Lab under the white of D65.

    L = 116 · f(Y / Y_white) − 16,  a = 500 · (f(X / X_white) − f(Y / Y_white)),
    b = 200 · (f(Y / Y_white) − f(Z / Z_white)),  f(x) = ∛x if x > δ³, else x / (3δ²) + 4/29,  δ = 6/29

    Args:
        frames: sRGB values, 0 to 255, with any leading batch axes.

    Returns:
        float32, channels L, a, b before time, on the device of the frames. L is 0 (black) to 100 (white). a runs from
        green to red and b from blue to yellow, −108 to 99; both are 0 for gray.

    Source: CIE 15, Colorimetry; IEC 61966-2-1 for sRGB.
    """
    rgb = frames.float() / 255
    light = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = torch.tensor(RGB_TO_XYZ, device=frames.device)
    xyz = light @ (matrix / matrix.sum(dim=1, keepdim=True)).T
    x, y, z = torch.where(xyz > KNEE**3, xyz ** (1 / 3), xyz / (3 * KNEE**2) + 4 / 29).unbind(-1)
    lab = torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)
    return rearrange(lab, "... t h w c -> ... c t h w")


def from_lab(lab: Float[Tensor, "*batch 3 t h w"]) -> UInt8[Tensor, "*batch t h w 3"]:
    """Turn CIE Lab under the white of D65 into frames that can be displayed: the inverse of ``to_lab``.

    Args:
        lab: Channels L, a, b before time, with any leading batch axes.

    Returns:
        sRGB values, 0 to 255. Colors that no screen can show are clamped, each of red, green and blue alone.
    """
    lightness, a, b = rearrange(lab.float(), "... c t h w -> ... t h w c").unbind(-1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=-1)
    xyz = torch.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29))
    matrix = torch.tensor(RGB_TO_XYZ, device=lab.device)
    light = (xyz @ torch.linalg.inv(matrix / matrix.sum(dim=1, keepdim=True)).T).clamp(0, 1)
    rgb = torch.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    return (255 * rgb).round().to(torch.uint8)


def paint(lab: Float[Tensor, "3 t h w"], colors: Float[Tensor, "t n 2"], grid: Grid) -> UInt8[Tensor, "t h w 3"]:
    """Put the colors of tokens over the lightness of frames, interpolated bilinearly between the tokens' centers.

    Args:
        lab: Frames in Lab of any size, of which only L is used.
        colors: ab color of each token, in Lab units.
        grid: Rows and columns of the tokens of a frame.

    Returns:
        sRGB values, 0 to 255.
    """
    cells = rearrange(colors, "t (rows columns) ab -> t ab rows columns", rows=grid.rows)
    ab = F.interpolate(cells, size=lab.shape[2:], mode="bilinear", align_corners=False)
    return from_lab(torch.cat([lab[:1], rearrange(ab, "t ab h w -> ab t h w")]))
