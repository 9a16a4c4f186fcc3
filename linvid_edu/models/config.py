"""The configuration of a model: its size and its mechanism, checked when it is made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch

from linvid_edu.attention.rivals import RIVALS, KernelRival
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Grid
from linvid_edu.video.tokens import patch_grid

from .mechanism_factory import FEATURE_MAPS, make_mechanism
from .variants import MECHANISM_FIELDS, find_variant, variant_of

FixationKind = Literal["none", "separate", "cooperative", "constant"]
Gate = Literal["none", "value", "output", "both"]
SpaceTime = Literal["divided", "joint", "space"]
Output = Literal["classes", "colors"]

KERNELS = tuple(name for name, rival in RIVALS.items() if issubclass(rival, KernelRival))  # rivals with features

CHOICES: dict[str, Sequence[str]] = {
    "attention": ("softmax", "linear", *RIVALS),
    "feature_map": tuple(FEATURE_MAPS),
    "fixation": get_args(FixationKind),
    "gate": get_args(Gate),
    "space_time": get_args(SpaceTime),
    "output": get_args(Output),
}
SIZES = (
    "num_classes",
    "num_frames",
    "kernel",
    "stride",
    "width",
    "depth",
    "heads",
    "mlp_hidden",
    "head_hidden",
)
SWITCHES = ("shared_fixation", "association", "qkv_bias", "mlp_convolution", "spatial_embedding")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that decides a model's shape and mechanism.

    Args:
        num_classes: Number of classes; 2 for colors, the channels a and b.
        num_frames: t, the frames of a clip.
        image_size: Side of a square frame, or (height, width), in pixels. Without a spatial embedding the model also
            takes other sizes.
        kernel, stride, padding: Window of a patch, in pixels.
        width: Channels of a token.
        depth: Number of blocks.
        heads: Number of attention heads, a divisor of width.
        mlp_hidden: Channels inside the MLP of a block.
        head_hidden: Channels inside the classification head; d of the copy head.
        dropout: Share of the head's hidden channels that are dropped in training, from 0 to below 1.
        attention: "softmax", "linear", or a rival by the name of its function, such as "performer", see ``RIVALS``.
        settings: Constants of a rival, such as {"num_landmarks": 16}. Constants that are left out keep their defaults.
        feature_map: φ of linear attention, one of ``FEATURE_MAPS``; the paper's is "relu + offset".
        fixation: "none", "separate", "cooperative", or "constant", a control whose ratios do not depend on the input.
            Fixation is available for linear attention and for every rival with features φ(q), φ(k), see ``KERNELS``.
        gate: "none", "value", "output" or "both". A control for linear attention, which gates v or the output or both,
            with layers like those of cooperative fixation.
        shared_fixation: Whether query and key share one layer of cooperative fixation.
        association: Whether keys and values have neighborhood association.
        shift_div: Temporal association moves 1/shift_div of the channels in each direction; at least 2.
        space_time: "divided" (attention over time, then over space), "joint" (all tokens of the clip at once) or
            "space" (each frame by itself).
        qkv_bias: Whether the projection to queries, keys and values has a bias.
        mlp_convolution: Whether the MLP has its depthwise convolution, the paper's only source of spatial position.
        spatial_embedding: Whether each location has a learned embedding. An addition: the paper has none.
        output: "classes" for logits, or "colors" for colors that a copy head takes from frames whose colors are known,
            see ``ColorTransformer``. With "colors", the mechanism is that of the copy head, and the blocks have linear
            attention.

    Raises:
        ValueError: If a value is out of range, or a combination of values makes no sense.
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
    attention: str = "linear"
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    feature_map: str = "relu + offset"
    fixation: FixationKind = "none"
    gate: Gate = "none"
    shared_fixation: bool = False
    association: bool = False
    shift_div: int = 4
    space_time: SpaceTime = "divided"
    qkv_bias: bool = True
    mlp_convolution: bool = True
    spatial_embedding: bool = False
    output: Output = "classes"

    @classmethod
    def reference(cls, num_classes: int = 174, **changes: Any) -> "ModelConfig":
        """Return the paper's full size for Something-Something v2: 12 blocks of width 512 on 16 frames of 224 × 224."""
        return cls(**_geometry(num_classes, 16, 224, (16, 14, 8), width=512, depth=12, heads=8, mlp=4) | changes)

    @classmethod
    def compact(cls, num_classes: int = 4, **changes: Any) -> "ModelConfig":
        """Return a size that a laptop trains in minutes: 2 blocks of width 64 on 8 frames of 32 × 32, 8 × 8 tokens."""
        return cls(**_geometry(num_classes, 8, 32, (6, 4, 1), width=64, depth=2, heads=4, mlp=2) | changes)

    @classmethod
    def probe(cls, num_classes: int = 4, **changes: Any) -> "ModelConfig":
        """Return the size of the ablation, which trains in a minute: 2 blocks of width 32 on one frame of 8 × 8 cells.

        A token is a cell of 4 × 4 pixels. There are 4 heads of 8 channels, joint attention, no convolution, no dropout.
        """
        one_token_a_cell = _geometry(num_classes, 1, 32, (4, 4, 0), width=32, depth=2, heads=4, mlp=2)
        plain = {"space_time": "joint", "mlp_convolution": False, "dropout": 0.0}
        return cls(**one_token_a_cell | plain | changes)

    @classmethod
    def gpu(cls, num_classes: int = 8, **changes: Any) -> "ModelConfig":
        """Return a size for one GPU: 6 blocks of width 192 on 16 frames of 64 × 64, 11 × 11 tokens."""
        return cls(**_geometry(num_classes, 16, 64, (8, 6, 2), width=192, depth=6, heads=6, mlp=4) | changes)

    def __post_init__(self) -> None:
        _check_values(self)
        _check_image_size(self)
        _check_fixation(self)
        _check_linear_only(self)
        _check_rival(self)
        _check_colors(self)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans of the attention layers of a block, in order."""
        return ("time", "space") if self.space_time == "divided" else (self.space_time,)

    @property
    def blocks(self) -> "ModelConfig":
        """The configuration of the blocks: plain linear attention if the mechanism is that of a copy head."""
        return self if self.output == "classes" else replace(self.with_variant("linear"), output="classes")

    @property
    def copy_head(self) -> "ModelConfig":
        """The configuration of the copy head's mechanism: one head of ``head_hidden`` channels over the whole clip."""
        return replace(self, output="classes", width=self.head_hidden, heads=1, space_time="joint")

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


def _check_values(config: ModelConfig) -> None:
    """Check each field by itself."""
    for name, choices in CHOICES.items():
        value = getattr(config, name)
        if value not in choices:
            raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(map(repr, choices))}")
    for name, least in {**dict.fromkeys(SIZES, 1), "padding": 0, "shift_div": 2}.items():
        value = getattr(config, name)
        if type(value) is not int or value < least:
            raise ValueError(f"{name}={value!r} must be a whole number of at least {least}")
    for name in SWITCHES:
        value = getattr(config, name)
        if type(value) is not bool:
            raise ValueError(f"{name}={value!r} must be True or False")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout={config.dropout} must be at least 0 and below 1")
    if config.width % config.heads:
        raise ValueError(f"width={config.width} is not divisible by heads={config.heads}: choose a multiple")


def _check_image_size(config: ModelConfig) -> None:
    """Check the size of a frame, and that it holds a patch."""
    size = config.image_size
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise ValueError(f"image_size={size!r} must be one whole number of pixels, or (height, width)")
    patch_grid(size, kernel=config.kernel, stride=config.stride, padding=config.padding)


def _check_fixation(config: ModelConfig) -> None:
    """Check that the attention has features if there is fixation, and that only cooperative fixation is shared."""
    if config.fixation != "none" and config.attention not in ("linear", *KERNELS):
        raise ValueError(
            f"fixation={config.fixation!r} reweights the features φ(q), φ(k), which attention={config.attention!r} "
            f'does not have: use "linear" or one of {", ".join(KERNELS)}, or fixation="none"'
        )
    if config.shared_fixation and config.fixation != "cooperative":
        raise ValueError(f'shared_fixation needs fixation="cooperative", not {config.fixation!r}')


def _check_linear_only(config: ModelConfig) -> None:
    """Check that feature map and gate have their defaults unless attention is linear."""
    for name, default in (("feature_map", "relu + offset"), ("gate", "none")):
        value = getattr(config, name)
        if config.attention != "linear" and value != default:
            raise ValueError(
                f"{name}={value!r} belongs to linear attention, not {config.attention!r}: use "
                f'attention="linear", or leave {name} out'
            )


def _check_colors(config: ModelConfig) -> None:
    """Check that a model of colors has two output channels, frames by themselves, and values that nothing changes."""
    if config.output == "classes":
        return
    if config.num_classes != 2:
        raise ValueError(f"num_classes={config.num_classes} must be 2 for colors: the channels a and b")
    if config.space_time != "space":
        raise ValueError(f'space_time={config.space_time!r} must be "space" for colors: blocks see one frame at a time')
    if config.gate != "none":
        raise ValueError(f'gate={config.gate!r} would change the colors that are copied: use gate="none"')
    try:
        config.copy_head  # noqa: B018 – making it checks it
    except ValueError as error:
        raise ValueError(f"{config.attention!r} cannot copy colors from another frame: {error}") from error


def _check_rival(config: ModelConfig) -> None:
    """Check the settings of a rival, and that it fits the model's size, without allocating anything."""
    if config.attention not in RIVALS:
        if config.settings:
            raise ValueError(f"settings={config.settings} are a rival's, {config.attention!r} has none: leave them out")
        return
    known = RIVALS[config.attention].constants()
    if unknown := sorted(set(config.settings) - set(known)):
        raise ValueError(f"{config.attention} has no setting {unknown[0]!r}: it has {', '.join(known) or 'none'}")
    with torch.device("meta"):
        for span in config.spans:
            make_mechanism(config, span)


PRESETS = MappingProxyType({"probe": ModelConfig.probe, "compact": ModelConfig.compact, "gpu": ModelConfig.gpu})
