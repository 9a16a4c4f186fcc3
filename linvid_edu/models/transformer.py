"""The video transformer; every variant of the ablation is one of its configurations."""

import torch
from torch import Tensor, nn

from linvid_edu.shapes import Bool, Float, Grid
from linvid_edu.video.tokens import PatchEmbedding, pair

from .config import ModelConfig
from .layers import Block, ConvolutionalMLP, SpaceTimeAttention
from .mechanism_factory import make_mechanism
from .stream_state import ModelState


class VideoTransformer(nn.Module):
    """Classify a clip.

    tokens = patch embedding + temporal embedding (+ spatial embedding); blocks; LayerNorm; mean over the tokens of a
    frame, then over frames; head: LayerNorm → Linear → GELU → Dropout → Linear.

    Args:
        config: Size and mechanism.

    Source: arXiv 2210.08164.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embedding = PatchEmbedding(width, kernel=config.kernel, stride=config.stride, padding=config.padding)
        # a model of colors takes clips of any length
        self.temporal_embedding = (
            nn.Parameter(torch.zeros(1, config.num_frames, 1, width)) if config.output == "classes" else None
        )
        tokens = config.grid.tokens
        self.spatial_embedding = (
            nn.Parameter(0.02 * torch.randn(1, 1, tokens, width)) if config.spatial_embedding else None
        )
        self.blocks = nn.ModuleList(_block(config.blocks, index) for index in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head: nn.Module = self.make_head(config)

    def make_head(self, config: ModelConfig) -> nn.Module:
        """Return the layers after the last LayerNorm."""
        return nn.Sequential(
            nn.LayerNorm(config.width, eps=1e-5),
            nn.Linear(config.width, config.head_hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.head_hidden, config.num_classes),
        )

    def forward(
        self, video: Float[Tensor, "b 3 t h w"], readout: Bool[Tensor, "b t n"] | None = None
    ) -> Float[Tensor, "b classes"]:
        """Return the logits of a batch of clips.

        Args:
            video: Clips, normalized to −1 to 1.
            readout: Tokens whose mean goes to the head, at least one of each clip; None means all tokens.
        """
        x = self.encode(video)
        if readout is None:
            return self.head(x.mean(dim=2).mean(dim=1))
        weights = readout.to(x.dtype)
        weights = weights / weights.sum(dim=(1, 2), keepdim=True)
        return self.head(torch.einsum("btn,btnd->bd", weights, x))

    def encode(
        self, video: Float[Tensor, "b 3 t h w"], state: ModelState | None = None
    ) -> Float[Tensor, "b t n width"]:
        """Return the tokens after the last LayerNorm.

        Args:
            video: Clips, or the next frame of a stream with t = 1, normalized to −1 to 1.
            state: State after the previous frames, updated in place with this frame; None means clips.

        Raises:
            ValueError: If the video has other axes, another number of frames or another size than the model expects.
        """
        x, grid = self.embed(video, state)
        for index, block in enumerate(self.blocks):
            x = block(x, grid, None if state is None else state.blocks[index])
        return self.norm(x)

    def embed(
        self, video: Float[Tensor, "b 3 t h w"], state: ModelState | None = None
    ) -> tuple[Float[Tensor, "b t n width"], Grid]:
        """Return the tokens before the first block, and the grid of a frame; arguments and errors as for ``encode``.

        Frames of a stream beyond the length of a clip get the last temporal embedding.
        """
        _check_axes(video, self.patch_embedding.projection.in_channels)
        x, grid = self.patch_embedding(video)
        if self.temporal_embedding is not None:
            frames, expected = video.shape[2], self.config.num_frames
            if state is None and frames != expected:
                raise ValueError(
                    f"clip has {frames} frames, the model expects {expected}: resample with num_frames={expected}"
                )
            frame = slice(None) if state is None else [min(state.frames, expected - 1)]
            x = x + self.temporal_embedding[:, frame]
        if self.spatial_embedding is not None:
            if grid != self.config.grid:
                height, width = pair(self.config.image_size)
                raise ValueError(
                    f"clip has {video.shape[3]}×{video.shape[4]} pixels, the model's spatial embedding expects "
                    f"{height}×{width}: load the clip with size={self.config.image_size}"
                )
            x = x + self.spatial_embedding
        return x, grid


def _check_axes(video: Tensor, channels: int) -> None:
    """Raise ValueError if a video is no batch of clips (b, channels, t, h, w)."""
    shape = tuple(video.shape)
    expected = f"the model expects (clips, {channels}, frames, height, width)"
    if video.ndim == 4:
        raise ValueError(f"video has shape {shape}, {expected}: add the axis of the batch with video[None]")
    if video.ndim != 5:
        raise ValueError(f"video has shape {shape}, {expected}: pass a batch of clips")
    if shape[1] != channels:
        swapped = shape[2] == channels
        way_out = "swap frames and channels with video.transpose(1, 2)" if swapped else f"give it {channels} channels"
        raise ValueError(f"video has shape {shape}, {expected}: {way_out}")
    if shape[0] == 0:
        raise ValueError(f"video has shape {shape}, a batch without clips: pass at least one clip")
    if not video.is_floating_point():
        raise ValueError(f"video holds {video.dtype}, the model expects numbers from −1 to 1: use video / 127.5 - 1")


def _block(config: ModelConfig, index: int) -> Block:
    attention = {
        span: SpaceTimeAttention(
            config.width,
            config.heads,
            span=span,
            mechanism=make_mechanism(config, span, index),
            shift_div=config.shift_div if config.association else None,
            qkv_bias=config.qkv_bias,
        )
        for span in config.spans
    }
    mlp = ConvolutionalMLP(config.width, config.mlp_hidden, convolution=config.mlp_convolution)
    return Block(attention, width=config.width, mlp=mlp)
