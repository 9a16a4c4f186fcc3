"""The variants that are compared, by name."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from linvid_edu.attention.rivals import RIVALS

from .config import KERNELS, ModelConfig
from .transformer import VideoTransformer

# the ablation: what the paper has, then controls that tell what a gain is due to
VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "softmax": {"attention": "softmax"},
        "softmax-association": {"attention": "softmax", "association": True},
        "linear": {},
        "linear-association": {"association": True},
        "separate": {"fixation": "separate"},
        "cooperative": {"fixation": "cooperative"},
        "cooperative-shared": {"fixation": "cooperative", "shared_fixation": True},
        "cooperative-association": {"fixation": "cooperative", "association": True},
        "linear-wide": {},  # as many weights as cooperative, in the MLP
        "constant": {"fixation": "constant"},
        "gate": {"gate": "both"},
        "gate-value": {"gate": "value"},
        "gate-output": {"gate": "output"},
        "linear-relu": {"feature_map": "relu"},
        "cooperative-relu": {"feature_map": "relu", "fixation": "cooperative"},
        "linear-elu": {"feature_map": "elu + 1"},
        "cooperative-elu": {"feature_map": "elu + 1", "fixation": "cooperative"},
    }
)


# the family: each rival alone, and with cooperative fixation where it has features
FAMILY: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: {"attention": name} for name in RIVALS}
    | {f"{name}-cooperative": {"attention": name, "fixation": "cooperative"} for name in KERNELS}
)


def matched_hidden(config: ModelConfig) -> int:
    """Return the smallest MLP width at which a model has as many weights as with cooperative fixation."""

    def weights(**changes: Any) -> int:
        return sum(weight.numel() for weight in VideoTransformer(replace(config, **changes)).parameters())

    base, more = config.mlp_hidden, weights(fixation="cooperative") - weights()
    each = weights(mlp_hidden=base + 1) - weights()
    return base + -(-more // each)
