"""Clips with their labels, as a model is trained and tested on."""

from typing import NamedTuple

from torch import Tensor

from linvid_edu.shapes import Bool, Float, Int

TRAINING, VALIDATION, TEST = range(3)  # the first number of a seed: clips of one are never clips of another


class Batch(NamedTuple):
    """Clips with their labels.

    video: normalized to −1 to 1, (b 3 t h w)
    label: (b)
    readout: the tokens whose mean the head sees, (b t n); None means all
    """

    video: Float[Tensor, "b 3 t h w"]
    label: Int[Tensor, "b"]
    readout: Bool[Tensor, "b t n"] | None = None
