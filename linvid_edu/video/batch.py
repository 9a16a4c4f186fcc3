"""A batch of clips, for training and tests: with labels, or in color."""

from typing import NamedTuple

import torch
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

    @property
    def clips(self) -> int:
        """Number of clips."""
        return len(self.label)

    def share(self, clips: slice, device: torch.device | str) -> "Batch":
        """Return some of the clips on a device."""
        readout = None if self.readout is None else self.readout[clips].to(device)
        return Batch(self.video[clips].to(device), self.label[clips].to(device), readout)


class ColorBatch(NamedTuple):
    """Clips in Lab, of which some frames are known in color.

    lab: L in 0 to 100, a and b in about −100 to 100, (b 3 t h w)
    references: indices of the known frames
    """

    lab: Float[Tensor, "b 3 t h w"]
    references: tuple[int, ...]

    @property
    def clips(self) -> int:
        """Number of clips."""
        return len(self.lab)

    def share(self, clips: slice, device: torch.device | str) -> "ColorBatch":
        """Return some of the clips on a device."""
        return ColorBatch(self.lab[clips].to(device), self.references)
