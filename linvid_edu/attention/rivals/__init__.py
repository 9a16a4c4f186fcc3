"""The family: published attention functions beside feature fixation, each a pure function with its map and an oracle.

``ModelConfig(attention="performer")`` takes those that stand in for softmax attention by the name of their function. To
add one, write its file and import its names here; a ``Rival`` among them is found by itself.
"""

from .base import Facts, KernelRival, Rival, Setting
from .cosformer_2022 import Cosformer, cosformer, cosformer_map, cosformer_oracle
from .dynamic_window_2022 import (
    DynamicWindowAttention,
    dynamic_window,
    dynamic_window_attention,
    dynamic_window_attention_map,
    dynamic_window_attention_oracle,
    dynamic_window_oracle,
)
from .elu_linear_2020 import EluLinear, elu_linear, elu_linear_map, elu_linear_oracle
from .faq_2023 import (
    faq_dynamic_queries,
    faq_dynamic_queries_oracle,
    faq_query_aggregation,
    faq_query_aggregation_oracle,
    faq_vanilla_queries,
    faq_vanilla_queries_oracle,
)
from .focused_linear_2023 import FocusedLinear, focused_linear, focused_linear_map, focused_linear_oracle
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
from .performer_2020 import Performer, orthogonal_projection, performer, performer_map, performer_oracle
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
from .sana_video_mixffn_2025 import sana_video_mixffn, sana_video_mixffn_oracle
from .shuffle_window_2021 import ShuffleWindow, shuffle_window, shuffle_window_map, shuffle_window_oracle

_here = [each for each in list(globals().values()) if isinstance(each, type) and issubclass(each, Rival)]
RIVALS: dict[str, type[Rival]] = {each.function.__name__: each for each in _here if hasattr(each, "function")}
