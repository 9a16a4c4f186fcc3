"""The variants of the model that are compared: the name, the label and the color of each.

This table is the only place that defines the settings of a mechanism. It needs no torch, so that the command line can
list the names.
"""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .config import ModelConfig

# the fields of a ModelConfig that make its mechanism
MECHANISM_FIELDS = ("attention", "settings", "feature_map", "fixation", "shared_fixation", "gate", "association")
ASSOCIATION = "-association"  # at the end of any name

BLACK, BLUE, SKY, ORANGE, RED, PINK, GREEN = (
    "#000000", "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#cc79a7", "#009e73",
)  # fmt: skip


class Variant(NamedTuple):
    """A model with one mechanism: how users type it and how figures show it.

    name: name that ``TrainConfig`` and the command line accept, and that tables of results use
    label: name that figures and pages show
    color: color of its line in a figure
    group: group of variants that it is shown with; "rival" and "rival + fixation" are those from other papers
    changes: the fields of a ``ModelConfig`` that differ from the defaults
    matched: whether its MLP is widened until the model has as many weights as with cooperative fixation
    """

    name: str
    label: str
    color: str
    group: str
    changes: Mapping[str, Any] = MappingProxyType({})
    matched: bool = False


SOFTMAX = {"attention": "softmax"}
COOPERATIVE = {"fixation": "cooperative"}
ASSOCIATED = {"association": True}

# variants of the paper, then controls that show what causes a gain
_ABLATION = (
    Variant("softmax", "softmax", BLACK, "softmax", SOFTMAX),
    Variant("softmax-association", "softmax + association", PINK, "association", SOFTMAX | ASSOCIATED),
    Variant("linear", "linear", BLUE, "linear"),
    Variant("linear-association", "linear + association", SKY, "association", ASSOCIATED),
    Variant("separate", "separate fixation", ORANGE, "fixation", {"fixation": "separate"}),
    Variant("cooperative", "cooperative fixation", RED, "fixation", COOPERATIVE),
    Variant(
        "cooperative-shared",
        "cooperative fixation, shared layer",
        PINK,
        "fixation",
        COOPERATIVE | {"shared_fixation": True},
    ),
    Variant(
        "cooperative-association",
        "cooperative fixation + association",
        GREEN,
        "association",
        COOPERATIVE | ASSOCIATED,
    ),
    Variant("linear-wide", "linear, wider MLP", SKY, "linear", matched=True),
    Variant("constant", "constant ratios", PINK, "gate or constant ratios", {"fixation": "constant"}),
    Variant("gate", "gate on value and output", GREEN, "gate or constant ratios", {"gate": "both"}),
    Variant("gate-value", "gate on value", SKY, "gate or constant ratios", {"gate": "value"}),
    Variant("gate-output", "gate on output", ORANGE, "gate or constant ratios", {"gate": "output"}),
    Variant("linear-relu", "linear, φ = ReLU", SKY, "linear, other φ", {"feature_map": "relu"}),
    Variant(
        "cooperative-relu",
        "cooperative fixation, φ = ReLU",
        ORANGE,
        "fixation, other φ",
        COOPERATIVE | {"feature_map": "relu"},
    ),
    Variant("linear-elu", "linear, φ = ELU + 1", GREEN, "linear, other φ", {"feature_map": "elu + 1"}),
    Variant(
        "cooperative-elu",
        "cooperative fixation, φ = ELU + 1",
        PINK,
        "fixation, other φ",
        COOPERATIVE | {"feature_map": "elu + 1"},
    ),
)

# name of a rival, its label, and whether it has features that fixation can reweight
_RIVALS = (
    ("cosformer", "cosFormer", BLUE, True),
    ("dynamic_window_attention", "dynamic windows", SKY, False),
    ("elu_linear", "ELU + 1 linear", GREEN, True),
    ("focused_linear", "focused linear", RED, True),
    ("nystrom", "Nyströmformer", ORANGE, False),
    ("orthoformer", "Orthoformer", PINK, False),
    ("performer", "Performer", BLACK, True),
    ("sana_block_causal", "SANA block-causal", SKY, True),
    ("sana_relu_linear", "SANA ReLU linear", ORANGE, True),
    ("sana_video_attention", "SANA-Video", PINK, True),
    ("shuffle_window", "shuffled windows", GREEN, False),
)


def _rivals() -> list[Variant]:
    """Return each rival without fixation, then each rival with features combined with cooperative fixation."""
    alone = [Variant(name, label, color, "rival", {"attention": name}) for name, label, color, _ in _RIVALS]
    fixated = [
        Variant(
            f"{name}-cooperative",
            f"{label} + cooperative fixation",
            color,
            "rival + fixation",
            {"attention": name} | COOPERATIVE,
        )
        for name, label, color, has_features in _RIVALS
        if has_features
    ]
    return alone + fixated


# color of each group of the ablation, in figures that do not show its variants one by one
GROUP_COLORS: Mapping[str, str] = MappingProxyType(
    {
        "softmax": BLACK,
        "linear": BLUE,
        "association": GREEN,
        "fixation": RED,
        "gate or constant ratios": PINK,
        "linear, other φ": SKY,
        "fixation, other φ": ORANGE,
    }
)

VARIANTS: Mapping[str, Variant] = MappingProxyType({variant.name: variant for variant in (*_ABLATION, *_rivals())})
ABLATION = tuple(variant.name for variant in _ABLATION)


def find_variant(name: str) -> Variant:
    """Return a variant by its name, possibly with "-association" at its end.

    Raises:
        ValueError: no variant has this name; the message lists the names.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    base = VARIANTS.get(name.removesuffix(ASSOCIATION))
    if base is None or "association" in base.changes:
        raise ValueError(
            f"variant {name!r} is unknown: choose one of {', '.join(VARIANTS)}; any may end in {ASSOCIATION}"
        )
    return _with_association(base)


def variant_of(config: "ModelConfig") -> Variant:
    """Return the variant that a configuration has.

    A mechanism that the table lacks gets the name of the closest variant, with the fields that differ added to it, such
    as "constant, feature_map='relu'". The width of the MLP is not part of a mechanism: "linear-wide" counts as
    "linear".
    """
    defaults = {field.name: field.default for field in fields(config)} | {"settings": {}}
    values = {name: getattr(config, name) for name in MECHANISM_FIELDS}
    changes = {name: value for name, value in values.items() if value != defaults[name]}
    candidates = [variant for variant in VARIANTS.values() if not variant.matched]
    for variant in candidates:
        if variant.changes == changes:
            return variant
    rest = {name: value for name, value in changes.items() if name != "association"}
    closest = max(
        (variant for variant in candidates if variant.changes.items() <= rest.items()),
        key=lambda variant: len(variant.changes),
    )
    rest = {name: value for name, value in rest.items() if name not in closest.changes}
    if config.association:
        closest = _with_association(closest)
    added = "".join(f", {name}={value!r}" for name, value in rest.items())
    return closest._replace(name=closest.name + added, label=closest.label + added, changes=changes)


def label_of(name: str) -> str:
    """Return the label of a name in a table of results; the name may go on after a comma: "cooperative, same time"."""
    variant, *rest = name.split(", ", 1)
    return ", ".join([find_variant(variant).label, *rest])


def _with_association(variant: Variant) -> Variant:
    return variant._replace(
        name=variant.name + ASSOCIATION,
        label=f"{variant.label} + association",
        group="association",
        changes={**variant.changes, **ASSOCIATED},
    )
