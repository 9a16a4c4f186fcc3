"""linvid_edu: linear attention for video, built step by step.

The names here are the core and need torch, einops and numpy alone. Modules that need more are imported by name:
``linvid_edu.video``, ``.plots``, ``.checkpoint``, ``.explain``, ``.course``.
"""

from .attention import attention_map, attention_row, linear_attention, relu_offset, softmax_attention
from .check import assert_same
from .fixation import Fixation, cooperative_fixation, separate_fixation, spatial_association, temporal_association
from .model import ModelConfig, VideoTransformer
from .official import load_official
from .trace import record

__version__ = "0.1.0"

__all__ = [
    "Fixation",
    "ModelConfig",
    "VideoTransformer",
    "assert_same",
    "attention_map",
    "attention_row",
    "cooperative_fixation",
    "linear_attention",
    "load_official",
    "record",
    "relu_offset",
    "separate_fixation",
    "softmax_attention",
    "spatial_association",
    "temporal_association",
]
