from .checkpoint import (
    CheckpointError as CheckpointError,
)
from .checkpoint import (
    load_model as load_model,
)
from .checkpoint import (
    save_model as save_model,
)
from .clip_trace import recolor_clip as recolor_clip
from .color_measures import measure_colors as measure_colors
from .color_transformer import ColorTransformer as ColorTransformer
from .config import (
    KERNELS as KERNELS,
)
from .config import (
    PRESETS as PRESETS,
)
from .config import (
    ModelConfig as ModelConfig,
)
from .interventions import (
    averaged as averaged,
)
from .interventions import (
    changed_maps as changed_maps,
)
from .interventions import (
    changed_ratios as changed_ratios,
)
from .interventions import (
    forced as forced,
)
from .interventions import (
    opened as opened,
)
from .interventions import (
    restricted as restricted,
)
from .interventions import (
    sharpened as sharpened,
)
from .layers import SpaceTimeAttention as SpaceTimeAttention
from .reference_weights import (
    load_official as load_official,
)
from .reference_weights import (
    official_name as official_name,
)
from .shipped import (
    shipped_color_models as shipped_color_models,
)
from .shipped import (
    shipped_models as shipped_models,
)
from .streaming import ModelStream as ModelStream
from .trace import record as record
from .transformer import VideoTransformer as VideoTransformer
from .variants import (
    ABLATION as ABLATION,
)
from .variants import (
    VARIANTS as VARIANTS,
)
from .variants import (
    find_variant as find_variant,
)
