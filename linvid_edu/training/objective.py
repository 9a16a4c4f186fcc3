"""What a training step minimizes, and the accuracy that is reported of it."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from linvid_edu.models.color_measures import ClipColors, color_distance, mean_color_errors
from linvid_edu.models.color_transformer import gray_video
from linvid_edu.models.config import ModelConfig
from linvid_edu.shapes import Float
from linvid_edu.video.batch import Batch, ColorBatch

LAB_SCALE = 20.0  # Lab units: a typical difference of two colors
SMOOTH_BELOW = 0.25  # in units of LAB_SCALE: smaller differences count squared


class StepOutcome(NamedTuple):
    """Loss and accuracy of a model on a batch; both are scalars."""

    loss: Float[Tensor, ""]
    accuracy: Float[Tensor, ""]


def outcome(model: nn.Module, batch: Batch | ColorBatch, config: ModelConfig) -> StepOutcome:
    """Return the loss of a batch, and the accuracy.

    Clips with labels: mean cross entropy in nats, and the share of clips whose largest logit is that of their label.

    Clips in color: mean smooth L1 distance of a and b in units of 20 Lab, and the share of the mean color's error that
    the model avoids, 1 − relative error: 1 is perfect, 0 as good as the mean color of the known frames, below 0 is
    worse.

    Args:
        model: Model, possibly wrapped by Fabric.
        batch: Clips on the device of the model.
        config: Configuration of the model.
    """
    if isinstance(batch, ColorBatch):
        colors = ClipColors.of(batch.lab, config.grid, batch.references)
        copied = model(gray_video(batch.lab), colors.known, batch.references)
        loss = F.smooth_l1_loss(copied / LAB_SCALE, colors.truth / LAB_SCALE, beta=SMOOTH_BELOW)
        errors = color_distance(copied.detach(), colors.truth)
        return StepOutcome(loss, 1 - errors.sum() / mean_color_errors(colors).sum())
    logits = model(batch.video, batch.readout)
    return StepOutcome(F.cross_entropy(logits, batch.label), (logits.argmax(dim=-1) == batch.label).float().mean())
