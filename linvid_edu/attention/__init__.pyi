from . import rivals as rivals
from .association import (
    NEIGHBORS as NEIGHBORS,
)
from .association import (
    spatial_association as spatial_association,
)
from .association import (
    temporal_association as temporal_association,
)
from .causal import (
    CausalAssociation as CausalAssociation,
)
from .causal import (
    CausalAttention as CausalAttention,
)
from .feature_maps import (
    FeatureMap as FeatureMap,
)
from .feature_maps import (
    elu_plus_one as elu_plus_one,
)
from .feature_maps import (
    identity as identity,
)
from .feature_maps import (
    relu_offset as relu_offset,
)
from .fixation import (
    Fixation as Fixation,
)
from .fixation import (
    FixationRatios as FixationRatios,
)
from .fixation import (
    constant_fixation as constant_fixation,
)
from .fixation import (
    cooperative_fixation as cooperative_fixation,
)
from .fixation import (
    separate_fixation as separate_fixation,
)
from .functions import (
    EPS as EPS,
)
from .functions import (
    attention_map as attention_map,
)
from .functions import (
    attention_row as attention_row,
)
from .functions import (
    linear_attention as linear_attention,
)
from .functions import (
    linear_attention_oracle as linear_attention_oracle,
)
from .functions import (
    softmax_attention as softmax_attention,
)
from .functions import (
    softmax_attention_oracle as softmax_attention_oracle,
)
from .measures import (
    concentration as concentration,
)
from .measures import (
    effective_tokens as effective_tokens,
)
from .measures import (
    entropy as entropy,
)
from .measures import (
    gini as gini,
)
from .measures import (
    mask_share as mask_share,
)
from .measures import (
    mass_on as mass_on,
)
from .measures import (
    normalized_entropy as normalized_entropy,
)
from .measures import (
    numerical_rank as numerical_rank,
)
from .measures import (
    top_mass as top_mass,
)
from .mechanisms import (
    LinearAttention as LinearAttention,
)
from .mechanisms import (
    Mechanism as Mechanism,
)
from .mechanisms import (
    SoftmaxAttention as SoftmaxAttention,
)
from .spans import (
    Span as Span,
)
from .spans import (
    divided_row as divided_row,
)
from .spans import (
    fold as fold,
)
from .spans import (
    unfold as unfold,
)
