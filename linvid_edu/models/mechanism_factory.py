"""The mechanism of an attention layer, made from a model's configuration."""

from typing import TYPE_CHECKING

from torch.nn import functional as F

from linvid_edu.attention.feature_maps import FeatureMap, elu_plus_one, relu_offset
from linvid_edu.attention.fixation import Fixation, ValueGate
from linvid_edu.attention.mechanisms import LinearAttention, Mechanism, SoftmaxAttention
from linvid_edu.attention.rivals import RIVALS, Setting
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Extent

if TYPE_CHECKING:
    from .config import ModelConfig

FEATURE_MAPS: dict[str, FeatureMap] = {"relu + offset": relu_offset, "relu": F.relu, "elu + 1": elu_plus_one}


def make_mechanism(config: "ModelConfig", span: Span, block: int = 0) -> Mechanism:
    """Make the mechanism of one attention layer.

    Args:
        config: Configuration of the model.
        span: Which tokens attend to each other.
        block: Index of the block.

    Raises:
        ValueError: If a rival does not have one of the settings, or does not fit the model's size.
    """
    head_width, kind = config.width // config.heads, config.fixation

    def make_fixation(features: int) -> Fixation:
        assert kind != "none"
        return Fixation(head_width, kind=kind, shared=config.shared_fixation, features=features)

    if config.attention == "softmax":
        return SoftmaxAttention()
    if config.attention == "linear":
        fixation = None if kind == "none" else make_fixation(head_width)
        gate = None if config.gate == "none" else ValueGate(head_width, target=config.gate)
        return LinearAttention(fixation, feature_map=FEATURE_MAPS[config.feature_map], gate=gate)
    extent = Extent.over(span, config.num_frames, config.grid)
    maker = None if kind == "none" else make_fixation
    return RIVALS[config.attention](Setting(config.heads, head_width, span, extent, block, maker), **config.settings)
