"""Change what a trained model attends to while a ``with`` block runs, to see whether its answers follow.

A correlation between concentrated attention and accuracy leaves open which one causes the other. ``sharpened`` changes
the concentration of every map and nothing else, ``restricted`` takes tokens out of it, and ``changed_ratios`` changes
the fixation ratios and nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch import Tensor, nn

from linvid_edu.attention.fixation import FixationRatios
from linvid_edu.attention.mechanisms import Mechanism, weights_between
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Bool, Extent

from .layers import SpaceTimeAttention
from .transformer import VideoTransformer


@contextmanager
def changed_maps(model: VideoTransformer, change: Callable[[Tensor], Tensor]) -> Iterator[VideoTransformer]:
    """Change every attention map, and let each row sum to 1 again.

    A_ij ← B_ij / Σ_j' B_ij' with B = change(A)

    Args:
        model: unchanged after the block, also after an exception.
        change: takes the explicit maps of one layer, (batch heads tokens tokens), and returns others of at least 0;
            what a rival adds beside its map, such as a convolution of v, is left out.
    """

    def attend(mechanism: Mechanism, inputs: tuple[Tensor, Tensor, Tensor, Extent], _: Tensor) -> Tensor:
        features, v = mechanism.attention_inputs(*inputs), inputs[2]
        weights = change(weights_between(features.q, features.k, features.similarity))
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
        if mechanism.gate is not None:
            r_v, r_o = mechanism.gate(features.q, features.k, v)
            return r_o * (weights @ (r_v * v))
        return weights @ v

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, Mechanism):
                stack.callback(module.register_forward_hook(attend).remove)
        yield model


def sharpened(model: VideoTransformer, power: float) -> AbstractContextManager[VideoTransformer]:
    """Raise every attention weight to a power, and let each row sum to 1 again.

    A_ij ← A_ij^p / Σ_j' A_ij'^p

    Args:
        model: unchanged after the block, also after an exception.
        power: p above 0; above 1 sharpens, below 1 flattens, 1 changes nothing beyond rounding. Under softmax attention
            p is an inverse temperature.

    Raises:
        ValueError: power is not above 0, or a map has negative weights.
    """
    if not power > 0:
        raise ValueError(f"power={power} must be above 0: below 1 flattens, above 1 sharpens")

    def change(weights: Tensor) -> Tensor:
        if (weights < 0).any():
            raise ValueError(
                f"a weight of {weights.min().item():.3g} has no power {power}: sharpen maps without negative weights"
            )
        return (weights / weights.amax(dim=-1, keepdim=True).clamp(min=1e-30)) ** power  # so that no power underflows

    return changed_maps(model, change)


def restricted(model: VideoTransformer, keys: Bool[Tensor, "b m"]) -> AbstractContextManager[VideoTransformer]:
    """Let every query attend to some keys alone: the weights of the others become 0, and each row sums to 1 again.

    A_ij ← m_j A_ij / Σ_j' m_j' A_ij'

    Args:
        model: with joint attention; unchanged after the block, also after an exception.
        keys: m, true for the tokens of each clip that may be attended to; b and m as in the forward passes inside.

    Raises:
        ValueError: attention is not joint, so that a layer sees other groups of tokens.
    """
    if model.config.space_time != "joint":
        raise ValueError(f"space_time={model.config.space_time!r}: the mask of a whole clip needs joint attention")
    return changed_maps(model, lambda weights: weights * keys[:, None, None, :])


@contextmanager
def changed_ratios(
    model: VideoTransformer,
    change: Callable[[FixationRatios], FixationRatios],
    *,
    layer: tuple[int, Span] | None = None,
) -> Iterator[VideoTransformer]:
    """Replace the fixation ratios of every layer, or of one.

    Args:
        model: with fixation; unchanged after the block, also after an exception.
        change: takes the learned ratios, each (batch heads tokens d), and returns others of the same shape, such as
            ``opened(0.5)`` or ``averaged``.
        layer: index of a block and the span of its attention; None means all.

    Raises:
        ValueError: the model has no fixation, or no such layer.
    """
    layers = {
        (index, attention.span): attention.mechanism.fixation
        for index, block in enumerate(model.blocks.children())
        for attention in block.modules()
        if isinstance(attention, SpaceTimeAttention) and attention.mechanism.fixation is not None
    }
    if not layers:
        raise ValueError(f"a {model.config.variant} model has no fixation ratios: take one with fixation")
    if layer is not None and layer not in layers:
        names = ", ".join(f"({index}, {span!r})" for index, span in layers)
        raise ValueError(f"layer={layer} does not exist: choose one of {names}")

    def replace(_: nn.Module, inputs: tuple[Tensor, ...], ratios: FixationRatios) -> FixationRatios:
        return change(ratios)

    with ExitStack() as stack:
        for fixation in layers.values() if layer is None else [layers[layer]]:
            stack.callback(fixation.register_forward_hook(replace).remove)
        yield model


def forced(position: float) -> Callable[[FixationRatios], FixationRatios]:
    """Return a change that runs from all ratios 0 over the learned ones to all ratios 1.

    r ← (1 + s) · r for s ≤ 0, r ← r + s · (1 − r) for s ≥ 0

    Args:
        position: s, −1 to 1: −1 shuts every channel, 0 keeps the learned ratios, 1 opens all, as without fixation.

    Raises:
        ValueError: s lies outside.
    """
    if not -1 <= position <= 1:
        raise ValueError(f"position={position} must lie in −1 (shut) to 1 (open); 0 keeps the learned ratios")

    def change(ratios: FixationRatios) -> FixationRatios:
        return FixationRatios(*((1 - abs(position)) * ratio + max(position, 0.0) for ratio in ratios))

    return change


def opened(share: float) -> Callable[[FixationRatios], FixationRatios]:
    """Return the change r ← r + share · (1 − r): 0 keeps the learned ratios, 1 opens all, as without fixation."""
    return forced(share)


def averaged(ratios: FixationRatios) -> FixationRatios:
    """Replace each head's and channel's ratio by its mean over tokens and clips: none depends on its input then."""
    return FixationRatios(*(ratio.mean(dim=(0, 2), keepdim=True).expand_as(ratio) for ratio in ratios))
