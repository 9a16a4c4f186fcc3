"""The rivals: published attention functions to compare with feature fixation, each with its map and an oracle.

``RIVALS`` maps the name of a function to its rival, for all rivals that can replace softmax attention in a model:
``ModelConfig(attention="performer")``. To add one, write its file and import its names here.
"""

from .base import RIVALS, Facts, KernelRival, Rival, Setting
from .cosformer_2022 import Cosformer, cosformer, cosformer_features, cosformer_map, cosformer_oracle
from .dynamic_window_2022 import (
    DynamicWindowAttention,
    dynamic_window_attention,
    dynamic_window_attention_map,
    dynamic_window_attention_oracle,
)
from .dynamic_window_layer_2022 import DynamicWindowWeights, dynamic_window, dynamic_window_oracle
from .elu_linear_2020 import EluLinear, elu_linear, elu_linear_map, elu_linear_oracle
from .faq_2023 import (
    AggregationWeights,
    AttentionWeights,
    faq_dynamic_queries,
    faq_dynamic_queries_oracle,
    faq_query_aggregation,
    faq_query_aggregation_oracle,
    faq_vanilla_queries,
    faq_vanilla_queries_oracle,
)
from .focused_linear_2023 import (
    FocusedLinear,
    focused_features,
    focused_linear,
    focused_linear_map,
    focused_linear_oracle,
)
from .nystrom_2021 import Nystrom, nystrom, nystrom_map, nystrom_oracle
from .orthoformer_2021 import (
    Orthoformer,
    orthoformer,
    orthoformer_landmarks,
    orthoformer_landmarks_oracle,
    orthoformer_map,
    orthoformer_oracle,
)
from .orthoformer_frames_2021 import orthoformer_frames, orthoformer_frames_map, orthoformer_frames_oracle
from .performer_2020 import (
    Performer,
    orthogonal_projection,
    performer,
    performer_features,
    performer_map,
    performer_oracle,
)
from .sana_block_causal_2025 import (
    SanaBlockCausal,
    sana_block_causal,
    sana_block_causal_map,
    sana_block_causal_oracle,
)
from .sana_relu_linear_2024 import SanaReluLinear, sana_relu_linear, sana_relu_linear_map, sana_relu_linear_oracle
from .sana_video_attention_2025 import (
    SanaVideoAttention,
    sana_video_attention,
    sana_video_attention_map,
    sana_video_attention_oracle,
)
from .sana_video_mixffn_2025 import MixFFNWeights, sana_video_mixffn, sana_video_mixffn_oracle
from .shuffle_window_2021 import ShuffleWindow, shuffle_window, shuffle_window_map, shuffle_window_oracle
from .weights import DepthwiseWeights, LinearWeights, NormWeights
