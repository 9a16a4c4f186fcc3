"""The video transformer that colors a gray clip: every token copies the colors of known tokens by its attention."""

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.attention.mechanisms import AttentionInputs, Similarity, weights_between
from linvid_edu.attention.spans import fold
from linvid_edu.shapes import Extent, Float, Grid

from .config import ModelConfig
from .layers import associate
from .mechanism_factory import make_mechanism
from .token_linear import TokenLinear
from .transformer import VideoTransformer

GRAY_CENTER = 50.0  # L of middle gray; L of Lab is in 0 to 100
SMALLEST_SUM = 1e-6  # a row of weights that are all 0 stays 0, and paints gray


class CopyHead(nn.Module):
    """One attention layer whose values are colors: no layer and no residual comes after it.

    color_i = Σ_j A_ij · color_j over the tokens j of the known frames, with Σ_j |A_ij| = 1

    Queries and keys come from gray pixels alone, and so do the values from which cooperative fixation learns its
    ratios. A color can thus reach the output only through the map A.

    Args:
        config: Configuration of the model: its mechanism is that of this layer.

    Source: copying colors by attention is the idea of arXiv 1806.09594; other mechanisms than softmax are an addition.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        width, d = config.width, config.head_hidden
        self.shift_div = config.shift_div if config.association else None
        self.query, self.key = TokenLinear(width, d), TokenLinear(width, d)
        self.gray_value = TokenLinear(width, d) if config.fixation == "cooperative" else None
        self.mechanism = make_mechanism(config.copy_head, "joint")

    def start_equal(self) -> None:
        """Give queries and keys the same weights, so that at the start tokens attend to similar tokens."""
        self.key.load_state_dict(self.query.state_dict())

    def project(
        self, x: Float[Tensor, "b t n width"], grid: Grid
    ) -> tuple[Float[Tensor, "b t n d"], Float[Tensor, "b t n d"], Float[Tensor, "b t n d"]]:
        """Return queries, keys, and the gray values that only fixation sees; q itself if fixation needs no values."""
        q, k = self.query(x), self.key(x)
        v = q if self.gray_value is None else self.gray_value(x)
        if self.shift_div is not None:
            k = associate(k, grid, span="joint", shift_div=self.shift_div)
            v = v if self.gray_value is None else associate(v, grid, span="joint", shift_div=self.shift_div)
        return q, k, v

    def attention_inputs(self, x: Float[Tensor, "b t n width"], grid: Grid) -> AttentionInputs:
        """Return the operands of the map between all tokens of the clip, (b 1 t·n f)."""
        q, k, v = (fold(tokens, "joint", 1) for tokens in self.project(x, grid))
        return self.mechanism.attention_inputs(q, k, v, Extent.over("joint", x.shape[1], grid))

    def forward(
        self, x: Float[Tensor, "b t n width"], grid: Grid, references: Sequence[int]
    ) -> Float[Tensor, "b targets n known n"]:
        """Return the map A of the tokens of unknown frames on the tokens of known frames.

        Args:
            x: Tokens of gray clips.
            grid: Rows and columns of the tokens of a frame.
            references: Indices of the known frames; the targets are all others, in order.
        """
        t = x.shape[1]
        q, k, _, similarity = self.attention_inputs(x, grid)
        q, k = (rearrange(tokens, "b 1 (t n) f -> b t n f", t=t) for tokens in (q, k))
        targets = target_frames(t, references)
        weights = weights_between(
            rearrange(q[:, targets], "b t n f -> b (t n) f"),
            rearrange(k[:, list(references)], "b t n f -> b (t n) f"),
            similarity,
        )
        weights = normalized_copy(weights, similarity)
        return rearrange(weights, "b (t n) (r m) -> b t n r m", t=len(targets), r=len(references))


class ColorTransformer(VideoTransformer):
    """Color the frames of a gray clip from frames whose colors are known.

    tokens = patch embedding + spatial embedding of gray frames; blocks, one frame at a time; LayerNorm; copy head

    Args:
        config: Size and mechanism, with ``output="colors"``.

    Source: see ``CopyHead``.
    """

    head: CopyHead

    def make_head(self, config: ModelConfig) -> nn.Module:
        """Return the copy head."""
        return CopyHead(config)

    def forward(  # type: ignore[override]
        self, video: Float[Tensor, "b 3 t h w"], known: Float[Tensor, "b known n 2"], references: Sequence[int]
    ) -> Float[Tensor, "b targets n 2"]:
        """Return the color of every token of the frames that are not known.

        Args:
            video: Gray clips, see ``gray_video``.
            known: ab color of each token of the known frames, in Lab units.
            references: Indices of the known frames.

        Raises:
            ValueError: If a reference is not a frame of the clip or is named twice, or if no frame is left to color.
        """
        return copied_colors(self.copy_map(video, references), known)

    def copy_map(
        self, video: Float[Tensor, "b 3 t h w"], references: Sequence[int]
    ) -> Float[Tensor, "b targets n known n"]:
        """Return the weights of each token of the unknown frames on the tokens of the known frames.

        Args:
            video, references: As for ``forward``.
        """
        target_frames(video.shape[2], references)
        return self.head(self.encode(video), self.config.grid, references)


def normalized_copy(weights: Float[Tensor, "*batch n m"], similarity: Similarity) -> Float[Tensor, "*batch n m"]:
    """Divide each row of a rival's map by Σ_j |A_ij| over the known tokens; other maps are normalized already."""
    if similarity != "product":
        return weights
    return weights / weights.abs().sum(dim=-1, keepdim=True).clamp(min=SMALLEST_SUM)


def make_model(config: ModelConfig) -> VideoTransformer:
    """Return the model that a configuration describes, with random weights."""
    return ColorTransformer(config) if config.output == "colors" else VideoTransformer(config)


def copied_colors(
    weights: Float[Tensor, "b targets n known m"], known: Float[Tensor, "b known m 2"]
) -> Float[Tensor, "b targets n 2"]:
    """Return the mean of the known colors, weighted by a map: color_i = Σ_j A_ij · color_j."""
    colors = rearrange(known, "b r m ab -> b (r m) ab")
    t = weights.shape[1]
    return rearrange(rearrange(weights, "b t n r m -> b (t n) (r m)") @ colors, "b (t n) ab -> b t n ab", t=t)


def gray_video(lab: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t h w"]:
    """Return what a color model sees of a clip in Lab: L / 50 − 1, in −1 to 1, on all three channels."""
    return (lab[:, :1] / GRAY_CENTER - 1).expand(-1, 3, -1, -1, -1)


def token_colors(lab: Float[Tensor, "b 3 t h w"], grid: Grid) -> Float[Tensor, "b t n 2"]:
    """Return the mean ab color of the cell of each token; the cells tile a frame."""
    b, _, t = lab.shape[:3]
    cells = F.adaptive_avg_pool2d(rearrange(lab[:, 1:], "b ab t h w -> (b t) ab h w"), (grid.rows, grid.columns))
    return rearrange(cells, "(b t) ab h w -> b t (h w) ab", b=b, t=t)


def target_frames(t: int, references: Sequence[int]) -> list[int]:
    """Return the frames to color: all frames of a clip that are not references, in order.

    Raises:
        ValueError: If a reference is not a frame of the clip or is named twice, or if no frame is left.
    """
    if not references or len(set(references)) < len(references) or not all(0 <= frame < t for frame in references):
        raise ValueError(f"references={list(references)} must be different frames of 0 to {t - 1}, at least one")
    if len(references) == t:
        raise ValueError(f"all {t} frames are references: leave at least one frame to color")
    return [frame for frame in range(t) if frame not in references]
