"""Learned weights that a pure function takes as one argument."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float


class LinearWeights(NamedTuple):
    """The weights of a linear layer, x ↦ x Wᵀ + b.

    weight: W, (out, in)
    bias: b, (out)
    """

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, "outputs"]

    def __call__(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Apply the layer."""
        return F.linear(x, self.weight, self.bias)


class NormWeights(NamedTuple):
    """The weights of a layer normalization with eps 1e-5.

    weight, bias: scale and shift of each channel, (width)
    """

    weight: Float[Tensor, "width"]
    bias: Float[Tensor, "width"]

    def __call__(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Normalize over the channels."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


class DepthwiseWeights(NamedTuple):
    """The weights of a convolution of each channel on its own, in the plane of a frame.

    weight: a kernel for each channel, (channels, side, side), with an odd side
    bias: number added to each channel, (channels); None means 0
    """

    weight: Float[Tensor, "channels side side"]
    bias: Float[Tensor, "channels"] | None

    @property
    def side(self) -> int:
        """Side of the kernels."""
        return self.weight.shape[-1]

    def __call__(self, pictures: Float[Tensor, "*batch channels h w"]) -> Float[Tensor, "*batch channels h w"]:
        """Convolve with zeros outside the picture."""
        weight = self.weight.unsqueeze(1)
        return F.conv2d(pictures, weight, self.bias, padding=self.side // 2, groups=len(weight))
