"""Change what a trained model attends to while a ``with`` block runs, to see whether its answers follow.

A correlation between concentrated attention and accuracy leaves open which one causes the other. ``sharpened`` changes
the concentration of every map and nothing else; ``changed_ratios`` changes the fixation ratios and nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from torch import Tensor, nn

from .attention import attention_map, identity
from .fixation import Fixation, FixationRatios
from .layers import LinearAttention, SoftmaxAttention
from .model import VideoTransformer

Mechanism: TypeAlias = SoftmaxAttention | LinearAttention


@contextmanager
def sharpened(model: VideoTransformer, power: float) -> Iterator[VideoTransformer]:
    """Raise every attention weight to a power, and let each row sum to 1 again.

    A_ij ← A_ij^p / Σ_j' A_ij'^p

    Args:
        model: unchanged after the block, also after an exception.
        power: p above 0; above 1 sharpens, below 1 flattens, 1 changes nothing beyond rounding. Under softmax attention
            p is an inverse temperature.

    Raises:
        ValueError: power is not above 0.
    """
    if not power > 0:
        raise ValueError(f"power={power} must be above 0: below 1 flattens, above 1 sharpens")

    def attend(mechanism: Mechanism, inputs: tuple[Tensor, Tensor, Tensor], _: Tensor) -> Tensor:
        q, k, v = inputs
        features = mechanism.attention_inputs(q, k, v)
        feature_map = identity if isinstance(mechanism, LinearAttention) else None
        weights = attention_map(features.q, features.k, feature_map=feature_map)
        weights = weights / weights.amax(dim=-1, keepdim=True).clamp(min=1e-30)  # so that no power underflows
        weights = weights**power
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
        if isinstance(mechanism, LinearAttention) and mechanism.gate is not None:
            r_v, r_o = mechanism.gate(features.q, features.k, v)
            return r_o * (weights @ (r_v * v))
        return weights @ v

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, (SoftmaxAttention, LinearAttention)):
                stack.callback(module.register_forward_hook(attend).remove)
        yield model


@contextmanager
def changed_ratios(
    model: VideoTransformer, change: Callable[[FixationRatios], FixationRatios]
) -> Iterator[VideoTransformer]:
    """Replace the fixation ratios of every layer.

    Args:
        model: with fixation; unchanged after the block, also after an exception.
        change: takes the learned ratios, each (batch heads tokens e), and returns others of the same shape, such as
            ``opened(0.5)`` or ``averaged``.

    Raises:
        ValueError: the model has no fixation.
    """
    layers = [module for module in model.modules() if isinstance(module, Fixation)]
    if not layers:
        raise ValueError(f"a {model.config.variant} model has no fixation ratios: take one with fixation")

    def replace(_: nn.Module, inputs: tuple[Tensor, ...], ratios: FixationRatios) -> FixationRatios:
        return change(ratios)

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(replace).remove)
        yield model


def opened(share: float) -> Callable[[FixationRatios], FixationRatios]:
    """Return the change r ← r + share · (1 − r): 0 keeps the learned ratios, 1 opens all, as without fixation."""

    def change(ratios: FixationRatios) -> FixationRatios:
        return FixationRatios(*(ratio + share * (1 - ratio) for ratio in ratios))

    return change


def averaged(ratios: FixationRatios) -> FixationRatios:
    """Replace each head's and channel's ratio by its mean over tokens and clips: none depends on its input then."""
    return FixationRatios(*(ratio.mean(dim=(0, 2), keepdim=True).expand_as(ratio) for ratio in ratios))
