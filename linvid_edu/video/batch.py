"""A batch of clips with their labels, for training and tests."""

from typing import NamedTuple

from torch import Tensor

from linvid_edu.shapes import Bool, Float, Int

# purpose of a clip: the first number of its seed, so that no clip occurs for two purposes
TRAINING, VALIDATION, TEST = range(3)


class Batch(NamedTuple):
    """Clips with their labels.

    video: normalized to −1 to 1, (b 3 t h w)
    label: index of the class, (b)
    readout: the tokens that the head averages, (b t n); None means all tokens
    """

    video: Float[Tensor, "b 3 t h w"]
    label: Int[Tensor, "b"]
    readout: Bool[Tensor, "b t n"] | None = None
