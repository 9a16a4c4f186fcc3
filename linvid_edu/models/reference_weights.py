"""Read a checkpoint of the paper's reference implementation into our model."""

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .config import FixationKind, ModelConfig
from .transformer import VideoTransformer

# patch window of the reference, which cannot be read off the shape of a weight
STRIDE, PADDING = 14, 8

# patterns of our names, and the names in the reference
_NAMES = (
    (r"^temporal_embedding", "base_model.temp_embed"),
    (r"^patch_embedding\.projection\.", "base_model.patch_embed.proj."),
    (r"^patch_embedding\.norm\.", "base_model.patch_embed.norm."),
    (r"^norm\.", "base_model.norm."),
    (r"^head\.", "consensus.mlp_head."),
    (r"^blocks\.", "base_model.blocks."),
    (r"\.attention_norm\.time\.", ".temporal_norm1."),
    (r"\.attention_norm\.space\.", ".norm1."),
    (r"\.attention\.time\.", ".temporal_attn."),
    (r"\.attention\.space\.", ".attn."),
    (r"(attn)\.projection\.", r"\1.proj."),
    (r"\.mlp_norm\.", ".norm2."),
    (r"\.mlp\.expand\.", ".mlp.fc1."),
    (r"\.mlp\.convolution\.", ".mlp.dwconv.dwconv."),
    (r"\.mlp\.contract\.", ".mlp.fc2."),
)
_FIXATION = {True: {"query": "pgate", "key": "pgate"}, False: {"query": "q_gate", "key": "k_gate"}}


def official_name(name: str, *, shared_fixation: bool) -> str:
    """Return the reference implementation's name for one of our weights."""
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    gates = _FIXATION[shared_fixation]
    return re.sub(r"mechanism\.fixation\.(query|key)", lambda match: gates[match[1]], name)


def load_official(
    state: Mapping[str, Tensor | np.ndarray],
    *,
    heads: int,
    image_size: int | tuple[int, int],
    temporal_shift_div: int | None = None,
) -> VideoTransformer:
    """Build a model from a state dict of the reference implementation.

    Args:
        state: Weights by name, tensors or arrays. A leading "module." of a name is removed.
        heads: Number of attention heads, which cannot be read off the weights.
        image_size: Side of a square frame, or (height, width), in pixels.
        temporal_shift_div: 4 for Something-Something v2, 8 for Kinetics; None means no association.

    Returns:
        Model with these weights, in evaluation mode. Frames, widths, depth, classes and the kind of fixation are read
        off the shapes; patches have the stride 14 and the padding 8 of the reference.

    Raises:
        ValueError: If weights are missing, unknown or misshapen (one error lists all), or heads or image_size do not
            fit.
    """
    given = {name.removeprefix("module."): torch.as_tensor(weight) for name, weight in state.items()}
    config = read_config(given, heads=heads, image_size=image_size, temporal_shift_div=temporal_shift_div)
    model = VideoTransformer(config)
    weights = model.state_dict()
    official = {name: official_name(name, shared_fixation=config.shared_fixation) for name in weights}
    problems = _compare({official[name]: weight for name, weight in weights.items()}, given)
    if problems:
        raise ValueError(
            f"{len(problems)} weights do not fit a reference checkpoint with heads={heads}:\n  " + "\n  ".join(problems)
        )
    model.load_state_dict({name: given[official[name]] for name in weights})
    return model.eval()


def read_config(
    state: Mapping[str, Tensor],
    *,
    heads: int,
    image_size: int | tuple[int, int],
    temporal_shift_div: int | None = None,
) -> ModelConfig:
    """Read the configuration off the shapes of a state dict in the reference's names.

    If weights disagree about a size, the most frequent value is used, so that a single misshapen weight can be named.
    If no weight shows a size, it is set to 1; the width is then set to heads.
    """
    blocks = {match[1] for name in state if (match := re.match(r"base_model\.blocks\.(\d+)\.", name))}
    shared = any(".pgate." in name for name in state)
    separate_layers = any(".q_gate." in name or ".k_gate." in name for name in state)
    width = _size(state, {r"norm\d?\.(weight|bias)": 0}, default=heads)
    outputs, inputs = (_size(state, {r"(q_gate|k_gate|pgate)\.weight": axis}, default=axis) for axis in (0, 1))
    kind: FixationKind = "separate" if inputs == outputs else "cooperative"
    return ModelConfig(
        num_classes=_size(state, {r"mlp_head\.4\.(weight|bias)": 0}),
        num_frames=_size(state, {r"temp_embed": 1}),
        image_size=image_size,
        kernel=_size(state, {r"patch_embed\.proj\.weight": 3}),
        stride=STRIDE,
        padding=PADDING,
        width=width,
        depth=max(1, len(blocks)),
        heads=heads,
        mlp_hidden=_size(state, {r"mlp\.(fc1|dwconv\.dwconv)\.(weight|bias)": 0}),
        head_hidden=_size(state, {r"mlp_head\.1\.(weight|bias)": 0, r"mlp_head\.4\.weight": 1}),
        fixation=kind if shared or separate_layers else "none",
        shared_fixation=shared and not separate_layers and kind == "cooperative",
        association=temporal_shift_div is not None,
        shift_div=4 if temporal_shift_div is None else temporal_shift_div,
        qkv_bias=any(name.endswith("qkv.bias") for name in state),
    )


def _size(state: Mapping[str, Tensor], axes: dict[str, int], *, default: int = 1) -> int:
    """Return the most frequent size among the weights whose names end with a pattern, along its axis in ``axes``."""
    sizes = [
        weight.shape[axis]
        for name, weight in state.items()
        for pattern, axis in axes.items()
        if re.search(pattern + "$", name) and weight.ndim > axis
    ]
    return Counter(sizes).most_common(1)[0][0] if sizes else default


def _compare(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Return one line for each missing, unknown or misshapen weight."""
    missing = [f"missing: {name} {tuple(expected[name].shape)}" for name in sorted(set(expected) - set(given))]
    unknown = [f"unknown: {name} {tuple(given[name].shape)}" for name in sorted(set(given) - set(expected))]
    misshapen = [
        f"misshapen: {name} is {tuple(given[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(set(given) & set(expected))
        if given[name].shape != expected[name].shape
    ]
    return missing + unknown + misshapen
