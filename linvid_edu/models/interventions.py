"""Change what a trained model attends to inside a ``with`` block, to see whether its answers change with it.

A correlation between concentrated attention and accuracy does not say which one causes the other. ``sharpened`` changes
the concentration of every map and nothing else, ``restricted`` takes tokens out of it, and ``changed_ratios`` changes
the fixation ratios and nothing else. ``record`` shows the maps and the ratios that the changed model uses.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from torch import Tensor, nn

from linvid_edu.attention.fixation import Fixation, FixationRatios
from linvid_edu.attention.mechanisms import AttentionInputs, Mechanism, weights_between
from linvid_edu.attention.rivals.base import whole_map
from linvid_edu.attention.spans import Span
from linvid_edu.shapes import Bool, Extent

from .color_transformer import CopyHead
from .layers import SpaceTimeAttention
from .transformer import VideoTransformer

Changed = TypeVar("Changed", VideoTransformer, CopyHead)


@contextmanager
def changed_maps(model: Changed, change: Callable[[Tensor], Tensor]) -> Iterator[Changed]:
    """Change every attention map, and rescale each row to sum to 1.

    A_ij ← B_ij / Σ_j' B_ij' with B = change(A)

    Args:
        model: Model, or the copy head of a color model alone. It is restored when the block ends, even after an
            exception.
        change: Function of the explicit maps of one layer, (batch heads tokens tokens), that returns maps without
            negative weights. Anything that a rival adds to the result of its map, such as a convolution of v, is left
            out.
    """
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, Mechanism):
                stack.enter_context(_changed_map(module, change))
        yield model


@contextmanager
def _changed_map(mechanism: Mechanism, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace ``attention_inputs`` of a mechanism, which ``record`` reads too, and let ``forward`` use its map."""
    unchanged = mechanism.attention_inputs

    def attention_inputs(q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> AttentionInputs:
        operands = unchanged(q, k, v, extent)
        weights = change(weights_between(operands.q, operands.k, operands.similarity))
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-30)
        return whole_map(weights)._replace(ratios=operands.ratios)

    def forward(q: Tensor, k: Tensor, v: Tensor, extent: Extent | None = None) -> Tensor:
        weights = mechanism.attention_inputs(q, k, v, extent).q
        if mechanism.gate is None:
            return weights @ v
        features = type(mechanism).attention_inputs(mechanism, q, k, v, extent)
        r_v, r_o = mechanism.gate(features.q, features.k, v)
        return r_o * (weights @ (r_v * v))

    with _replaced(mechanism, "attention_inputs", attention_inputs), _replaced(mechanism, "forward", forward):
        yield


@contextmanager
def _replaced(module: nn.Module, name: str, method: Callable) -> Iterator[None]:
    """Replace a method of one module, and restore the previous one afterward."""
    before = vars(module).get(name)  # set by an enclosing intervention; usually None, as the method is the class's own
    setattr(module, name, method)
    try:
        yield
    finally:
        delattr(module, name)
        if before is not None:
            setattr(module, name, before)


def sharpened(model: Changed, power: float) -> AbstractContextManager[Changed]:
    """Raise every attention weight to a power, and rescale each row to sum to 1.

    A_ij ← A_ij^p / Σ_j' A_ij'^p

    Args:
        model: Model, or the copy head of a color model alone. It is restored when the block ends, even after an
            exception.
        power: p, above 0. A power above 1 sharpens, below 1 flattens, and 1 changes nothing beyond rounding. It is an
            inverse temperature for softmax attention.

    Raises:
        ValueError: If power is not above 0, or a map has negative weights.
    """
    if not power > 0:
        raise ValueError(f"power={power} must be above 0: below 1 flattens, above 1 sharpens")

    def change(weights: Tensor) -> Tensor:
        if (weights < 0).any():
            raise ValueError(
                f"a weight of {weights.min().item():.3g} has no power {power}: sharpen maps without negative weights"
            )
        return (weights / weights.amax(dim=-1, keepdim=True).clamp(min=1e-30)) ** power  # no row underflows to 0

    return changed_maps(model, change)


def restricted(model: VideoTransformer, keys: Bool[Tensor, "b m"]) -> AbstractContextManager[VideoTransformer]:
    """Let every query attend to some keys only: set all other weights to 0, and rescale each row to sum to 1.

    A_ij ← m_j A_ij / Σ_j' m_j' A_ij'

    Args:
        model: Model with joint attention, which is restored when the block ends, even after an exception.
        keys: m, True for the tokens of each clip that may be attended to; b and m must match the forward passes inside
            the ``with`` block.

    Raises:
        ValueError: If attention is not joint, so that a layer does not attend to the whole clip.
    """
    if model.config.space_time != "joint":
        raise ValueError(f"space_time={model.config.space_time!r}: the mask of a whole clip needs joint attention")
    return changed_maps(model, lambda weights: weights * keys[:, None, None, :])


@contextmanager
def changed_ratios(
    model: Changed,
    change: Callable[[FixationRatios], FixationRatios],
    *,
    layer: tuple[int, Span] | None = None,
) -> Iterator[Changed]:
    """Replace the fixation ratios of every layer, or of one.

    Args:
        model: Model with fixation, or the copy head of a color model, the only layer of such a model that has fixation.
            It is restored when the block ends, even after an exception.
        change: Function of the learned ratios, each (batch heads tokens d), that returns ratios of the same shape, such
            as ``opened(0.5)`` or ``averaged``.
        layer: Index of a block and the span of its attention, (0, "joint") for a copy head; None means all layers.

    Raises:
        ValueError: If the model has no fixation, or no such layer.
    """
    layers = _fixations(model)
    if not layers:
        name = "this copy head" if isinstance(model, CopyHead) else f"a {model.config.variant} model"
        raise ValueError(f"{name} has no fixation ratios: take one with fixation")
    if layer is not None and layer not in layers:
        names = ", ".join(f"({index}, {span!r})" for index, span in layers)
        raise ValueError(f"layer={layer} does not exist: choose one of {names}")

    def replace(_: nn.Module, inputs: tuple[Tensor, ...], ratios: FixationRatios) -> FixationRatios:
        return change(ratios)

    with ExitStack() as stack:
        for fixation in layers.values() if layer is None else [layers[layer]]:
            stack.callback(fixation.register_forward_hook(replace).remove)
        yield model


def _fixations(model: VideoTransformer | CopyHead) -> dict[tuple[int, Span], Fixation]:
    """Return the layers that learn ratios, by the index of their block and the span of their attention."""
    head = model if isinstance(model, CopyHead) else model.head
    if isinstance(head, CopyHead):
        return {} if head.mechanism.fixation is None else {(0, "joint"): head.mechanism.fixation}
    assert isinstance(model, VideoTransformer)
    return {
        (index, attention.span): attention.mechanism.fixation
        for index, block in enumerate(model.blocks.children())
        for attention in block.modules()
        if isinstance(attention, SpaceTimeAttention) and attention.mechanism.fixation is not None
    }


def forced(position: float) -> Callable[[FixationRatios], FixationRatios]:
    """Return a change that moves ratios from 0 through the learned values to 1.

    r ← (1 + s) · r for s ≤ 0, r ← r + s · (1 − r) for s ≥ 0

    Args:
        position: s, from −1 to 1: −1 shuts every channel, 0 keeps the learned ratios, and 1 opens every channel, as
            without fixation.

    Raises:
        ValueError: If position is outside −1 to 1.
    """
    if not -1 <= position <= 1:
        raise ValueError(f"position={position} must lie in −1 (shut) to 1 (open); 0 keeps the learned ratios")

    def change(ratios: FixationRatios) -> FixationRatios:
        return FixationRatios(*((1 - abs(position)) * ratio + max(position, 0.0) for ratio in ratios))

    return change


def opened(share: float) -> Callable[[FixationRatios], FixationRatios]:
    """Return the change r ← r + share · (1 − r): a share of 0 keeps the learned ratios, 1 removes fixation."""
    return forced(share)


def averaged(ratios: FixationRatios) -> FixationRatios:
    """Replace the ratio of each head and channel by its mean over tokens and clips, the same for all of them."""
    return FixationRatios(*(ratio.mean(dim=(0, 2), keepdim=True).expand_as(ratio) for ratio in ratios))
