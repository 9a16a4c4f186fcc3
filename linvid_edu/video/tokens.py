"""From pixels to tokens: patches, tubelets, the overlapping patch embedding, and which token looks where."""


import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from linvid_edu.shapes import Float, Grid


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) from one number for both, or from the two numbers."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def patch_grid(image_size: int | tuple[int, int], *, kernel: int, stride: int, padding: int = 0) -> Grid:
    """Count the patches that a window of `kernel` pixels finds, moved by `stride` over the padded frame.

    count = ⌊(size + 2·padding − kernel) / stride⌋ + 1, along each side

    Args:
        image_size: side of a square frame, or (height, width), in pixels.
        kernel: side of the window, in pixels.
        stride: step of the window, in pixels.
        padding: zeros added on each side, in pixels.

    Raises:
        ValueError: the window does not fit once.

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
    """Say which pixels each token looks at.

    The patch at (row, column) covers [column · stride − padding, + kernel) by [row · stride − padding, + kernel).

    Returns:
        x0, y0, x1, y1 in pixels for every token; with padding, border patches reach outside the frame.
    """
    row, column = torch.meshgrid(torch.arange(grid.rows), torch.arange(grid.columns), indexing="ij")
    corner = torch.stack([column, row], dim=-1).reshape(-1, 2).float() * stride - padding
    return torch.cat([corner, corner + kernel], dim=-1)


def to_tubelets(video: Float[Tensor, "b c t h w"], *, frames: int, patch: int) -> Float[Tensor, "b t1 n values"]:
    """Cut a video into blocks of frames × patch × patch pixels that do not overlap, and flatten each.

    t1 = t / frames, n = (h / patch) · (w / patch), values = c · frames · patch²

    Args:
        video: any range.
        frames: how many frames one block spans.
        patch: side of a block, in pixels.

    Returns:
        One row of pixel values for each tubelet, nothing lost: ``from_tubelets`` inverts it.

    Raises:
        ValueError: the blocks do not tile the video.
    """
    t, h, w = video.shape[-3:]
    if t % frames or h % patch or w % patch:
        raise ValueError(
            f"a video of {t} frames of {h}×{w} cannot be tiled by blocks of {frames} frames of {patch}×{patch}: "
            "choose sizes that divide"
        )
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (c f p q)", f=frames, p=patch, q=patch)


def from_tubelets(
    tubelets: Float[Tensor, "b t1 n values"], *, frames: int, patch: int, grid: Grid
) -> Float[Tensor, "b c t h w"]:
    """Put tubelets back together: the inverse of ``to_tubelets``.

    Args:
        tubelets: what ``to_tubelets`` returned.
        frames: how many frames one block spans.
        patch: side of a block, in pixels.
        grid: rows and columns of blocks in one frame.

    Raises:
        ValueError: the grid has another number of tokens, or the values are not whole blocks.
    """
    n, values = tubelets.shape[-2:]
    if n != grid.tokens or values % (frames * patch * patch):
        raise ValueError(
            f"{n} tubelets of {values} values do not fill a {grid.rows}×{grid.columns} grid of blocks of "
            f"{frames}×{patch}×{patch} pixels: pass the frames, patch and grid that made them"
        )
    return rearrange(
        tubelets, "b t (h w) (c f p q) -> b c (t f) (h p) (w q)", f=frames, p=patch, q=patch, h=grid.rows
    )


def to_patches(video: Float[Tensor, "b c t h w"], *, patch: int) -> Float[Tensor, "b t n values"]:
    """Cut every frame into patch × patch squares that do not overlap: tubelets of one frame.

    n = (h / patch) · (w / patch), values = c · patch²
    """
    return to_tubelets(video, frames=1, patch=patch)


def from_patches(patches: Float[Tensor, "b t n values"], *, patch: int, grid: Grid) -> Float[Tensor, "b c t h w"]:
    """Put patches back together: the inverse of ``to_patches``."""
    return from_tubelets(patches, frames=1, patch=patch, grid=grid)


def color_tokens(video: Float[Tensor, "b c t h w"], *, patch: int, cells: int = 2) -> Float[Tensor, "b t n d"]:
    """Describe every patch by the colors of its parts, so that attention can be seen before anything is trained.

    token = √d · z / |z|, with z the mean color of each of cells × cells parts of the patch, in standard deviations
    from its mean over the clip, and d = c · cells²

    Args:
        video: any range.
        patch: side of a patch in pixels; must divide h and w.
        cells: parts along each side of a patch; must divide patch.

    Returns:
        Tokens of length √d, as a LayerNorm would give them; a patch of exactly average color is 0.

    Raises:
        ValueError: the sizes do not divide.
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
        width: channels of a token.
        kernel, stride, padding: the window, in pixels; patches overlap where stride < kernel.
        in_channels: color channels.

    Source: arXiv 2210.08164, with kernel 16, stride 14, padding 8.
    """

    def __init__(self, width: int, *, kernel: int, stride: int, padding: int, in_channels: int = 3):
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, kernel, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, video: Float[Tensor, "b c t h w"]) -> tuple[Float[Tensor, "b t n width"], Grid]:
        """Return the tokens and the grid they stand on, read off the frames' size."""
        frames = self.projection(rearrange(video, "b c t h w -> (b t) c h w"))
        tokens = rearrange(frames, "(b t) width h w -> b t (h w) width", b=len(video))
        return self.norm(tokens), Grid(*frames.shape[-2:])
