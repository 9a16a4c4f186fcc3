from .attention import rivals as rivals
from .attention.association import (
    spatial_association as spatial_association,
)
from .attention.association import (
    temporal_association as temporal_association,
)
from .attention.causal import CausalAssociation as CausalAssociation
from .attention.feature_maps import (
    identity as identity,
)
from .attention.feature_maps import (
    relu_offset as relu_offset,
)
from .attention.fixation import (
    Fixation as Fixation,
)
from .attention.fixation import (
    cooperative_fixation as cooperative_fixation,
)
from .attention.fixation import (
    separate_fixation as separate_fixation,
)
from .attention.functions import (
    attention_map as attention_map,
)
from .attention.functions import (
    attention_row as attention_row,
)
from .attention.functions import (
    linear_attention as linear_attention,
)
from .attention.functions import (
    softmax_attention as softmax_attention,
)
from .attention.measures import (
    effective_tokens as effective_tokens,
)
from .attention.measures import (
    mask_share as mask_share,
)
from .attention.measures import (
    mass_on as mass_on,
)
from .experiments.per_variant import by_run as by_run
from .experiments.report import blank_curves as blank_curves
from .figures.plots import (
    attention_heatmap as attention_heatmap,
)
from .figures.plots import (
    bars as bars,
)
from .figures.plots import (
    curves as curves,
)
from .figures.plots import (
    film_strip as film_strip,
)
from .models.checkpoint import load_model as load_model
from .models.config import ModelConfig as ModelConfig
from .models.reference_weights import load_official as load_official
from .models.shipped import shipped_models as shipped_models
from .models.trace import record as record
from .models.transformer import VideoTransformer as VideoTransformer
from .models.variants import VARIANTS as VARIANTS
from .shapes import (
    Extent as Extent,
)
from .shapes import (
    Grid as Grid,
)
from .testing import assert_same as assert_same
from .training.loop import initialize as initialize
from .training.run_checkpoints import (
    load_checkpoint as load_checkpoint,
)
from .training.run_checkpoints import (
    save_checkpoint as save_checkpoint,
)
from .training.tasks import TASKS as TASKS
from .video.reading import load_clip as load_clip
from .video.tokens import (
    color_tokens as color_tokens,
)
from .video.tokens import (
    patch_grid as patch_grid,
)
from .widgets.association import AssociationExplorer as AssociationExplorer
from .widgets.attention import (
    AttentionExplorer as AttentionExplorer,
)
from .widgets.clips import ClipPicker as ClipPicker
from .widgets.controls import controlled as controlled
from .widgets.fixation import FixationExplorer as FixationExplorer
from .widgets.monitor import TrainingMonitor as TrainingMonitor

__version__: str
