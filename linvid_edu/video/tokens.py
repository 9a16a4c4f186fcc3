"""From pixels to tokens: patches, tubelets, and the overlapping patch embedding."""

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from linvid_edu.shapes import Float, Grid


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a size that is given as one number or as two."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def patch_grid(image_size: int | tuple[int, int], *, kernel: int, stride: int, padding: int = 0) -> Grid:
    """Return the grid of patches that a sliding window cuts from a frame.

    count = ⌊(size + 2·padding − kernel) / stride⌋ + 1, along each side

    Args:
        image_size: Side of a square frame, or (height, width), in pixels.
        kernel: Side of the window in pixels.
        stride: Step of the window in pixels.
        padding: Number of zeros added on each side, in pixels.

    Raises:
        ValueError: The window does not fit into the frame.

    Source: arXiv 2210.08164 uses kernel 16, stride 14, padding 8: a 224-pixel frame gives 17 × 17 tokens.
    """
    counts = [(side + 2 * padding - kernel) // stride + 1 for side in pair(image_size)]
    if min(counts) < 1:
        height, width = pair(image_size)
        raise ValueError(
            f"a {height}×{width} frame with padding {padding} is smaller than the {kernel}-pixel patch: "
            "use larger frames or a smaller kernel"
        )
    return Grid(*counts)


def patch_boxes(grid: Grid, *, kernel: int, stride: int, padding: int = 0) -> Float[Tensor, "n 4"]:
    """Return the box of pixels that each token covers.

    The patch at (row, column) covers [column · stride − padding, + kernel) by [row · stride − padding, + kernel).

    Returns:
        x0, y0, x1, y1 in pixels for every token. With padding, patches at the border reach outside the frame.
    """
    row, column = torch.meshgrid(torch.arange(grid.rows), torch.arange(grid.columns), indexing="ij")
    corner = torch.stack([column, row], dim=-1).reshape(-1, 2).float() * stride - padding
    return torch.cat([corner, corner + kernel], dim=-1)


def to_tubelets(video: Float[Tensor, "b c t h w"], *, frames: int, patch: int) -> Float[Tensor, "b times n values"]:
    """Cut a video into blocks of frames × patch × patch pixels that do not overlap, and flatten each block.

    times = t / frames, n = (h / patch) · (w / patch), values = c · frames · patch²

    Args:
        video: Clips with values in any range.
        frames: Number of frames in a block.
        patch: Side of a block in pixels.

    Returns:
        One row of pixel values per tubelet. ``from_tubelets`` is the inverse.

    Raises:
        ValueError: The blocks do not tile the video.
    """
    t, h, w = video.shape[-3:]
    if t % frames or h % patch or w % patch:
        raise ValueError(
            f"a video of {t} × {h} × {w} (frames × rows × columns) cannot be divided into blocks of "
            f"{frames} × {patch} × {patch}: choose sizes that divide these numbers"
        )
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (c f p q)", f=frames, p=patch, q=patch)


def from_tubelets(
    tubelets: Float[Tensor, "b times n values"], *, frames: int, patch: int, grid: Grid
) -> Float[Tensor, "b c t h w"]:
    """Put tubelets back together: the inverse of ``to_tubelets``.

    Args:
        tubelets: Output of ``to_tubelets``.
        frames: Number of frames in a block.
        patch: Side of a block in pixels.
        grid: Rows and columns of blocks in one frame.

    Raises:
        ValueError: The grid has a different number of tokens, or the values do not make whole blocks.
    """
    n, values = tubelets.shape[-2:]
    if n != grid.tokens or values % (frames * patch * patch):
        raise ValueError(
            f"{n} tubelets of {values} values do not fill a {grid.rows}×{grid.columns} grid of blocks of "
            f"{frames}×{patch}×{patch} pixels: pass the frames, patch and grid that made them"
        )
    return rearrange(tubelets, "b t (h w) (c f p q) -> b c (t f) (h p) (w q)", f=frames, p=patch, q=patch, h=grid.rows)


def to_patches(video: Float[Tensor, "b c t h w"], *, patch: int) -> Float[Tensor, "b t n values"]:
    """Cut every frame into squares of patch × patch pixels that do not overlap: tubelets of one frame.

    n = (h / patch) · (w / patch), values = c · patch²
    """
    return to_tubelets(video, frames=1, patch=patch)


def from_patches(patches: Float[Tensor, "b t n values"], *, patch: int, grid: Grid) -> Float[Tensor, "b c t h w"]:
    """Put patches back together: the inverse of ``to_patches``."""
    return from_tubelets(patches, frames=1, patch=patch, grid=grid)


def color_tokens(video: Float[Tensor, "b c t h w"], *, patch: int, cells: int = 2) -> Float[Tensor, "b t n d"]:
    """Describe every patch by the colors of its parts, so that attention can be shown before anything is trained.

    token = √d · x / |x|, with d = c · cells²

    x holds the mean colors of the cells × cells parts of the patch, standardized over the clip.

    Args:
        video: Clips with values in any range.
        patch: Side of a patch in pixels; must divide h and w.
        cells: Number of parts along each side of a patch; must divide patch.

    Returns:
        Tokens of length √d, like those of a LayerNorm. A patch whose color is exactly average gives a token of zeros.

    Raises:
        ValueError: patch does not divide h and w, or cells does not divide patch.
    """
    if patch % cells:
        raise ValueError(f"a patch of {patch} pixels cannot be split into {cells} parts a side: choose a divisor")
    patches = to_patches(video, patch=patch)
    side = patch // cells
    parts = {"c": video.shape[1], "p": cells, "q": cells, "i": side, "j": side}
    z = reduce(patches, "b t n (c p i q j) -> b t n (c p q)", "mean", **parts)
    z = (z - z.mean(dim=(1, 2), keepdim=True)) / z.std(dim=(1, 2), keepdim=True, correction=0).clamp(min=1e-6)
    return z.shape[-1] ** 0.5 * z / z.norm(dim=-1, keepdim=True).clamp(min=1e-6)


class PatchEmbedding(nn.Module):
    """Embed overlapping patches of every frame: a strided convolution, then LayerNorm over channels.

    token = LayerNorm(W · patch + b), eps 1e-5

    Args:
        width: Number of channels of a token.
        kernel: Side of a patch in pixels.
        stride: Step between patches in pixels; patches overlap if it is smaller than kernel.
        padding: Number of zeros added on each side, in pixels.
        in_channels: Number of color channels.

    Source: arXiv 2210.08164, with kernel 16, stride 14, padding 8.
    """

    def __init__(self, width: int, *, kernel: int, stride: int, padding: int, in_channels: int = 3):
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, kernel, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, video: Float[Tensor, "b c t h w"]) -> tuple[Float[Tensor, "b t n width"], Grid]:
        """Return the tokens and their grid, which follows from the size of the frames."""
        frames = self.projection(rearrange(video, "b c t h w -> (b t) c h w"))
        tokens = rearrange(frames, "(b t) width h w -> b t (h w) width", b=len(video))
        return self.norm(tokens), Grid(*frames.shape[-2:])
