"""A linear layer for tokens that is faster on some CPUs."""

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from linvid_edu.shapes import Float

SMALLEST = 8192  # number of tokens from which the convolution is faster


class TokenLinear(nn.Linear):
    """``nn.Linear`` for tokens, which uses the faster of two ways to compute the same numbers.

    A linear layer is a convolution with a 1 × 1 kernel. On a CPU, PyTorch gives matrix products to MKL and convolutions
    to oneDNN, and on some machines (AMD's with AVX-512) only oneDNN uses the full vector width. Small batches, other
    devices and other precisions use the matrix product.
    """

    def forward(self, x: Float[torch.Tensor, "b t n width"]) -> Float[torch.Tensor, "b t n outputs"]:
        """Return x Wᵀ + b."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.shape[:-1].numel() < SMALLEST:
            return super().forward(x)
        picture = rearrange(x, "b t n width -> (b t) width 1 n")
        out = F.conv2d(picture, self.weight[:, :, None, None], self.bias)
        return rearrange(out, "(b t) width 1 n -> b t n width", b=len(x))
