"""Feature maps φ, which linear attention applies to queries and keys."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from linvid_edu.shapes import Float

FeatureMap = Callable[[Tensor], Tensor]


def relu_offset(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Map queries or keys to positive features.

    φ(x) = ReLU(x) + 1/√d

    The offset is added, not multiplied. It keeps every weight of the implicit map positive.

    Args:
        x: Queries or keys with d channels, any range.

    Returns:
        Features of at least 1/√d, so that φ(q)·φ(k) ≥ 1.

    Source: arXiv 2210.08164.
    """
    return F.relu(x) + x.shape[-1] ** -0.5


def elu_plus_one(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Map queries or keys to positive features that can come arbitrarily close to 0.

    φ(x) = ELU(x) + 1, which is x + 1 above 0 and exp(x) below 0

    Args:
        x: Queries or keys, any range.

    Returns:
        Features of at least 0, so that a weight of the implicit map can vanish: float32 rounds φ(x) to 0 for x < −17.

    Source: arXiv 2006.16236.
    """
    return F.elu(x) + 1


def identity(x: Tensor) -> Tensor:
    """Return x unchanged: the feature map for queries and keys that are features already."""
    return x
