from .attention import rivals as rivals
from .attention.association import (
    spatial_association as spatial_association,
)
from .attention.association import (
    temporal_association as temporal_association,
)
from .attention.feature_maps import relu_offset as relu_offset
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
from .models.checkpoint import load_model as load_model
from .models.config import ModelConfig as ModelConfig
from .models.reference_weights import load_official as load_official
from .models.trace import record as record
from .models.transformer import VideoTransformer as VideoTransformer
from .testing import assert_same as assert_same
from .video.reading import load_clip as load_clip

__version__: str
