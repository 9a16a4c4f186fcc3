"""The configuration of a model: its size and its mechanism, checked once."""

from dataclasses import asdict, dataclass, field, fields, replace
from inspect import signature
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

import torch
from torch.nn import functional as F

from linvid_edu.attention.feature_maps import FeatureMap, elu_plus_one, relu_offset
from linvid_edu.attention.fixation import Fixation, ValueGate
from linvid_edu.attention.mechanisms import LinearAttention, Mechanism, SoftmaxAttention
from linvid_edu.attention.rivals import RIVALS, KernelRival, Setting
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Extent, Grid
from linvid_edu.video.tokens import patch_grid

from .variants import MECHANISM_FIELDS, find_variant, variant_of

Attention = str  # "softmax", "linear" or one of RIVALS


FixationKind = Literal["none", "separate", "cooperative", "constant"]


FeatureMapName = Literal["relu + offset", "relu", "elu + 1"]


Gate = Literal["none", "value", "output", "both"]


SpaceTime = Literal["divided", "joint"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that decides a model's shape and mechanism; checked once, here.

    Args:
        num_classes: classes of the head.
        num_frames: t, frames of a clip.
        image_size: side of a square frame, or (height, width), in pixels. Without a spatial embedding the model also
            takes other sizes.
        kernel, stride, padding: the patch window, in pixels.
        width: channels of a token.
        depth: blocks.
        heads: attention heads; must divide width.
        mlp_hidden: channels inside each block's MLP.
        head_hidden: channels inside the classification head.
        dropout: share of the head's hidden channels dropped in training, 0 to 1.
        attention: "softmax", "linear", or a rival by the name of its function, such as "performer": see ``RIVALS``.
        settings: constants of a rival, by keyword, such as {"num_landmarks": 16}; what is left out has its default.
        feature_map: φ of linear attention: "relu + offset" (the paper's), "relu" or "elu + 1".
        fixation: "none", "separate", "cooperative", or "constant" (a control: ratios that do not depend on the
            input); for linear attention and every rival with features φ(q), φ(k).
        gate: "value", "output" or "both": a control, which gates v and the output with layers like those of cooperative
            fixation; linear attention only.
        shared_fixation: one cooperative layer for query and key.
        association: neighborhood association on keys and values.
        shift_div: temporal association moves 1/shift_div of the channels each way; at least 2.
        space_time: "divided" (temporal, then spatial attention) or "joint" (all tokens of the clip at once).
        qkv_bias: whether the projection to queries, keys and values has a bias.
        mlp_convolution: whether the MLP has its depthwise convolution, the paper's only source of spatial position.
        spatial_embedding: a learned embedding for each location. An addition: the paper has none, its MLP's
            convolution carries position.

    Raises:
        ValueError: a value out of range, or a combination without meaning; it names the value and the way out.
    """

    num_classes: int
    num_frames: int
    image_size: int | tuple[int, int]
    kernel: int
    stride: int
    padding: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    head_hidden: int
    dropout: float = 0.5
    attention: Attention = "linear"
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    feature_map: FeatureMapName = "relu + offset"
    fixation: FixationKind = "none"
    gate: Gate = "none"
    shared_fixation: bool = False
    association: bool = False
    shift_div: int = 4
    space_time: SpaceTime = "divided"
    qkv_bias: bool = True
    mlp_convolution: bool = True
    spatial_embedding: bool = False

    @classmethod
    def reference(cls, num_classes: int = 174, **changes: Any) -> "ModelConfig":
        """The paper's full size for Something-Something v2: 12 blocks of width 512 on 16 frames of 224 × 224."""
        return cls(**_geometry(num_classes, 16, 224, (16, 14, 8), width=512, depth=12, heads=8, mlp=4) | changes)

    @classmethod
    def compact(cls, num_classes: int = 4, **changes: Any) -> "ModelConfig":
        """A size that a laptop's CPU trains in minutes: 2 blocks of width 64 on 8 frames of 32 × 32, 8 × 8 tokens."""
        return cls(**_geometry(num_classes, 8, 32, (6, 4, 1), width=64, depth=2, heads=4, mlp=2) | changes)

    @classmethod
    def probe(cls, num_classes: int = 4, **changes: Any) -> "ModelConfig":
        """The size of the ablation, trained in a minute: 2 blocks of width 32 on one frame of 8 × 8 cells.

        One token a cell of 4 × 4 pixels, 4 heads of 8 channels, joint attention, no convolution, no dropout.
        """
        one_token_a_cell = _geometry(num_classes, 1, 32, (4, 4, 0), width=32, depth=2, heads=4, mlp=2)
        plain = {"space_time": "joint", "mlp_convolution": False, "dropout": 0.0}
        return cls(**one_token_a_cell | plain | changes)

    @classmethod
    def gpu(cls, num_classes: int = 8, **changes: Any) -> "ModelConfig":
        """A size for one GPU: 6 blocks of width 192 on 16 frames of 64 × 64, 11 × 11 tokens."""
        return cls(**_geometry(num_classes, 16, 64, (8, 6, 2), width=192, depth=6, heads=6, mlp=4) | changes)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        choices = {name: get_args(hints[name]) for name in ("feature_map", "fixation", "gate", "space_time")}
        for name, allowed in {"attention": ("softmax", "linear", *RIVALS), **choices}.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(map(repr, allowed))}")
        sizes = "num_classes num_frames kernel stride width depth heads mlp_hidden head_hidden"
        for name in sizes.split():
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number of at least 1")
        for name in ("shared_fixation", "association", "qkv_bias", "mlp_convolution", "spatial_embedding"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False")
        if type(self.padding) is not int or self.padding < 0:
            raise ValueError(f"padding={self.padding!r} must be a whole number of at least 0")
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size,) * 2
        if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
            raise ValueError(f"image_size={self.image_size!r} must be one whole number of pixels, or (height, width)")
        if self.width % self.heads:
            raise ValueError(f"width={self.width} is not divisible by heads={self.heads}: choose a multiple")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and below 1")
        if self.fixation != "none" and self.attention not in ("linear", *KERNELS):
            raise ValueError(
                f"fixation={self.fixation!r} reweights the features φ(q), φ(k), which attention={self.attention!r} "
                f'does not have: use "linear" or one of {", ".join(KERNELS)}, or fixation="none"'
            )
        for name, plain in (("feature_map", "relu + offset"), ("gate", "none")):
            if self.attention != "linear" and getattr(self, name) != plain:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} belongs to linear attention, not {self.attention!r}: use "
                    f'attention="linear", or leave {name} out'
                )
        if self.settings and self.attention not in RIVALS:
            raise ValueError(f"settings={self.settings} are a rival's, {self.attention!r} has none: leave them out")
        if self.shared_fixation and self.fixation != "cooperative":
            raise ValueError(f'shared_fixation needs fixation="cooperative", not {self.fixation!r}')
        if self.shift_div < 2:
            raise ValueError(f"shift_div={self.shift_div} would move more channels than there are: use 2 or more")
        _ = self.grid  # refuses frames smaller than a patch
        with torch.device("meta"):  # a rival refuses what does not fit it, before anything is allocated
            for span in self.spans:
                make_mechanism(self, span)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The attention layers of a block, in their order."""
        return ("time", "space") if self.space_time == "divided" else ("joint",)

    @property
    def grid(self) -> Grid:
        """Rows and columns of the tokens of one frame."""
        return patch_grid(self.image_size, kernel=self.kernel, stride=self.stride, padding=self.padding)

    @property
    def variant(self) -> str:
        """The name of the mechanism, such as "cooperative-association", see ``variant_of``."""
        return variant_of(self).name

    @property
    def label(self) -> str:
        """The mechanism as figures show it, such as "cooperative fixation + association"."""
        return variant_of(self).label

    def with_variant(self, name: str) -> "ModelConfig":
        """Return this size with the mechanism of a variant, such as "performer-cooperative".

        Raises:
            ValueError: the variant is unknown, or does not fit this size.
        """
        plain: dict[str, Any] = {each.name: each.default for each in fields(self) if each.name in MECHANISM_FIELDS}
        return replace(self, **plain | {"settings": {}} | dict(find_variant(name).changes))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """Read what ``to_dict`` wrote; unknown and missing names raise ValueError."""
        values = dict(values)
        if unknown := sorted(set(values) - {each.name for each in fields(cls)}):
            raise ValueError(f"unknown fields of a model configuration: {', '.join(unknown)}")
        if isinstance(values.get("image_size"), list):
            values["image_size"] = tuple(values["image_size"])
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not a model configuration: {error}") from error


def _geometry(
    num_classes: int, num_frames: int, image_size: int, window: tuple[int, int, int], *, mlp: int, **sizes: int
) -> dict[str, Any]:
    kernel, stride, padding = window
    hidden = mlp * sizes["width"]
    frames = {"num_classes": num_classes, "num_frames": num_frames, "image_size": image_size}
    patches = {"kernel": kernel, "stride": stride, "padding": padding}
    return frames | patches | sizes | {"mlp_hidden": hidden, "head_hidden": hidden}


_FEATURE_MAPS: dict[str, FeatureMap] = {"relu + offset": relu_offset, "relu": F.relu, "elu + 1": elu_plus_one}


KERNELS = tuple(name for name, rival in RIVALS.items() if issubclass(rival, KernelRival))


def make_mechanism(config: ModelConfig, span: Span, block: int = 0) -> Mechanism:
    head_width = config.width // config.heads

    def make_fixation(features: int) -> Fixation:
        kind, shared = config.fixation, config.shared_fixation
        assert kind != "none"
        return Fixation(head_width, kind=kind, shared=shared, features=features)

    if config.attention == "softmax":
        return SoftmaxAttention()
    maker = None if config.fixation == "none" else make_fixation
    if config.attention == "linear":
        gate = None if config.gate == "none" else ValueGate(head_width, target=config.gate)
        return LinearAttention(maker and maker(head_width), feature_map=_FEATURE_MAPS[config.feature_map], gate=gate)
    rival, extent = RIVALS[config.attention], Extent.over(span, config.num_frames, config.grid)
    known = [name for name in signature(rival).parameters if name != "setting"]
    if unknown := sorted(set(config.settings) - set(known)):
        raise ValueError(f"{config.attention} has no setting {unknown[0]!r}: it has {', '.join(known) or 'none'}")
    return rival(Setting(config.heads, head_width, span, extent, block, maker), **config.settings)


PRESETS = MappingProxyType({"probe": ModelConfig.probe, "compact": ModelConfig.compact, "gpu": ModelConfig.gpu})
