"""Observe a model from outside: what every attention layer received in the latest forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from linvid_edu.attention.fixation import FixationRatios
from linvid_edu.attention.functions import EPS
from linvid_edu.attention.mechanisms import Mechanism, Similarity, weights_between
from linvid_edu.attention.spans import Span, divided_row, fold, unfold
from linvid_edu.shapes import Extent, Float, Grid

from .color_transformer import SMALLEST_SUM, CopyHead
from .layers import SpaceTimeAttention
from .transformer import VideoTransformer

MASKED_EXPONENT = 1000.0  # exp(−1000) is 0 in float32


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Record of one attention layer in one forward pass. All tensors are detached and of shape (b heads t n d).

    Args:
        span: Which tokens attend to each other.
        q, k, v: Queries, keys and values after association, before the feature map.
        input_q, input_k: Operands of the attention function, with f channels: q and k for softmax attention,
            r_q ∘ φ(q) and r_k ∘ φ(k) for linear attention, two factors whose product is the map for a rival.
        ratios: Fixation ratios r_q and r_k; None without fixation.
        similarity: How the operands are combined into weights: "softmax", "linear" or "product".
        known: Frames whose tokens may be attended to, in a copy head; None means all frames. The weights on other
            frames are 0, and Σ_j |A_ij| = 1 over the known frames.
    """

    span: Span
    q: Float[Tensor, "b heads t n d"]
    k: Float[Tensor, "b heads t n d"]
    v: Float[Tensor, "b heads t n d"]
    input_q: Float[Tensor, "b heads t n f"]
    input_k: Float[Tensor, "b heads t n f"]
    ratios: FixationRatios | None
    similarity: Similarity

    def map(self) -> Tensor:
        """Return the explicit map: space (b heads t n n), time (b heads n t t), joint (b heads t·n t·n)."""
        q, k = self._grouped(self.input_q), self._grouped(self.input_k)
        return weights_between(q, k, self.similarity)

    def row(self, frame: int, token: int) -> Tensor:
        """Return the weights of one query: space (b heads n), time (b heads t), joint (b heads t n); O(tokens · d)."""
        t, n = self.q.shape[2:4]
        q, k = self.input_q[:, :, frame, token], self._grouped(self.input_k)
        if self.span == "space":
            return self._row(q, k[:, :, frame])
        if self.span == "time":
            return self._row(q, k[:, :, token])
        return self._row(q, k).unflatten(-1, (t, n))

    def column(self, frame: int, token: int) -> Tensor:
        """Return the weights that one key gets from every query; the same shapes as ``row``, O(tokens · d).

        linear: q_i·k_j / z_i; softmax: exp(q_i·k_j / √d − z_i); product: q_i·k_j; z is the ``normalizer``
        """
        group = (slice(None), slice(None), *self.group(frame, token))
        similarity = torch.einsum("bh...d,bhd->bh...", self.input_q[group], self.input_k[:, :, frame, token])
        if self.similarity != "softmax":
            return similarity / self.normalizer[group]
        return (similarity * self.input_q.shape[-1] ** -0.5 - self.normalizer[group]).exp()

    @cached_property
    def normalizer(self) -> Float[Tensor, "b heads t n"]:
        """The normalizer of the weights of each query, computed once for a layer.

        linear: z_i = Σ_j q_i·k_j + eps, O(tokens · d)
        softmax: z_i = ln Σ_j exp(q_i·k_j / √d), the logarithm of the sum that divides the weights
        product: z_i = 1
        """
        q, k = self.input_q, self.input_k
        if self.similarity == "product":
            return q.new_ones(q.shape[:-1])
        if self.similarity == "linear":
            axes = {"space": (3,), "time": (2,), "joint": (2, 3)}[self.span]
            return (q * k.sum(dim=axes, keepdim=True)).sum(dim=-1) + EPS
        scaled = q * q.shape[-1] ** -0.5
        if self.span == "time":
            return (scaled.transpose(2, 3) @ k.transpose(2, 3).mT).logsumexp(dim=-1).transpose(2, 3)
        if self.span == "space":
            return (scaled @ k.mT).logsumexp(dim=-1)
        keys = k.flatten(2, 3).mT
        # one frame of queries at a time: the map of a whole clip may not fit into memory
        return torch.stack([(queries @ keys).logsumexp(dim=-1) for queries in scaled.unbind(2)], dim=2)

    def group(self, frame: int, token: int) -> tuple[Any, Any]:
        """Return the index, on the axes t and n, of the group of tokens in which a token attends."""
        frames = frame if self.span == "space" else slice(None)
        return frames, token if self.span == "time" else slice(None)

    def rows_over_time(self, frame: int) -> Float[Tensor, "b heads n t"]:
        """Return, for every location, the weights of one frame on all frames; temporal attention only."""
        if self.span != "time":
            raise ValueError(f"rows over time belong to temporal attention, this layer's span is {self.span!r}")
        return self._row(self.input_q[:, :, frame], self._grouped(self.input_k))

    def _row(self, q: Tensor, k: Tensor) -> Tensor:
        return weights_between(q.unsqueeze(-2), k, self.similarity).squeeze(-2)

    def _grouped(self, x: Tensor) -> Tensor:
        """Put the tokens that attend to each other on the second-to-last axis."""
        if self.span == "time":
            return x.transpose(2, 3)
        return x.flatten(2, 3) if self.span == "joint" else x


@dataclass
class Trace:
    """The layers of the latest forward pass, by block: ``trace.blocks[i]["time"]``, ``["space"]`` or ``["joint"]``.

    An entry is empty until a forward pass has run inside the ``with`` block; each further pass replaces it.
    """

    blocks: list[dict[str, LayerTrace]]

    def row(self, block: int, frame: int, token: int) -> Float[Tensor, "b heads t n"]:
        """Return the weights of one query on all tokens of the clip.

        For divided attention, the weights of the two layers are composed (``divided_row``); attention within frames and
        joint attention are read directly.

        Args:
            block: Index of the block; −1 is the last.
            frame, token: Frame and token of the query.

        Raises:
            ValueError: If nothing was recorded yet.
            IndexError: If there is no such block, frame or token.
        """
        layers = self._layers(block, frame, token)
        if "joint" in layers:
            return layers["joint"].row(frame, token)
        if "time" not in layers:
            return _in_frame(layers["space"].row(frame, token), frame, layers["space"].q.shape[2])
        return divided_row(layers["space"].row(frame, token), layers["time"].rows_over_time(frame))

    def column(self, block: int, frame: int, token: int) -> Float[Tensor, "b heads t n"]:
        """Return the weights that one key gets from all queries of the clip.

        For divided attention, the two layers are composed: the key at frame t′ and location n′ gets
        A_time[n′](t, t′) · A_space[t](n, n′) from the query at (t, n). Attention within frames and joint attention are
        read directly.

        Args:
            block: Index of the block; −1 is the last.
            frame, token: Frame and token of the key.

        Raises:
            ValueError: If nothing was recorded yet.
            IndexError: If there is no such block, frame or token.
        """
        layers = self._layers(block, frame, token)
        if "joint" in layers:
            return layers["joint"].column(frame, token)
        if "time" not in layers:
            return _in_frame(layers["space"].column(frame, token), frame, layers["space"].q.shape[2])
        over_time, space = layers["time"].column(frame, token), layers["space"]
        over_space = [space.column(other, token) for other in range(space.q.shape[2])]
        return over_time.unsqueeze(-1) * torch.stack(over_space, dim=2)

    def _layers(self, block: int, frame: int, token: int) -> dict[str, LayerTrace]:
        """Return the layers of a block that has run, and check that the token exists."""
        layers = self.blocks[block]
        if not layers:
            raise ValueError("nothing was recorded: run the model inside `with record(model) as trace:` first")
        t, n = next(iter(layers.values())).q.shape[2:4]
        if not (0 <= frame < t and 0 <= token < n):
            raise IndexError(f"token (frame {frame}, token {token}) is outside the clip's {t} frames of {n} tokens")
        return layers


def _in_frame(weights: Float[Tensor, "b heads n"], frame: int, t: int) -> Float[Tensor, "b heads t n"]:
    """Put the weights of attention within one frame into a clip of t frames; the others get no weight."""
    clip = weights.new_zeros(*weights.shape[:2], t, weights.shape[-1])
    clip[:, :, frame] = weights
    return clip


@contextmanager
def record(model: VideoTransformer) -> Iterator[Trace]:
    """Record what every attention layer receives while the ``with`` block runs.

    Recording changes neither the computation nor the model, even if an exception ends the block. Inside an
    intervention, such as ``sharpened``, the trace shows the map and the ratios that the model used. The copy head of a
    color model counts as the last block.

    Args:
        model: Model, on any device.

    Returns:
        Trace that each forward pass overwrites. Its tensors stay on the device of the model.
    """
    trace = Trace([{} for _ in model.blocks])
    with ExitStack() as stack:
        for block, layers in zip(model.blocks.children(), trace.blocks, strict=True):
            for layer in _attention_layers(block):
                sizes: dict[str, int] = {}
                stack.callback(layer.register_forward_pre_hook(_keep_sizes(sizes)).remove)
                stack.callback(layer.mechanism.register_forward_hook(_keep_layer(layers, layer.span, sizes)).remove)
        if isinstance(model.head, CopyHead):
            trace.blocks.append({})
            stack.callback(model.head.register_forward_hook(_keep_copy(trace.blocks[-1])).remove)
        yield trace


def _keep_copy(layers: dict[str, LayerTrace]) -> Callable:
    def see(head: CopyHead, inputs: tuple[Tensor, Grid, Sequence[int]], _: Tensor) -> None:
        x, grid, references = inputs
        t, n = x.shape[1:3]

        def place(tokens: Tensor) -> Tensor:
            return unfold(tokens.detach(), "joint", t=t, n=n, merge_heads=False)

        with torch.no_grad():
            q, k, v = (place(fold(tokens, "joint", 1)) for tokens in head.project(x, grid))
            attended = head.attention_inputs(x, grid)
            input_q, input_k = place(attended.q), place(attended.k)
            input_q, input_k = _only_known(input_q, input_k, attended.similarity, references)
        ratios = attended.ratios and FixationRatios(*map(place, attended.ratios))
        layers["joint"] = LayerTrace("joint", q, k, v, input_q, input_k, ratios, attended.similarity)

    return see


def _only_known(
    q: Float[Tensor, "b heads t n f"],
    k: Float[Tensor, "b heads t n f"],
    similarity: Similarity,
    references: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Return operands of the map over the whole clip whose weights on unknown frames are 0.

    Features of unknown keys become 0. For softmax, whose weights no feature can remove, queries and keys get one more
    channel, in which an unknown key makes the exponent smaller by ``MASKED_EXPONENT``.
    """
    t, d = q.shape[2], q.shape[-1]
    known = torch.zeros(t, 1, 1, dtype=torch.bool, device=q.device)
    known[list(references)] = True
    if similarity == "softmax":
        scale = ((d + 1) / d) ** 0.5  # the weights divide by √(d + 1) now
        masked = torch.where(known, 0.0, -MASKED_EXPONENT * (d + 1) ** 0.5).to(q.dtype).expand_as(k[..., :1])
        return torch.cat([q * scale, torch.ones_like(q[..., :1])], -1), torch.cat([k, masked], -1)
    k = k * known
    if similarity == "product":
        sums = (q.flatten(2, 3) @ k.flatten(2, 3).mT).abs().sum(dim=-1).clamp(min=SMALLEST_SUM)
        q = q / sums.unflatten(-1, q.shape[2:4]).unsqueeze(-1)
    return q, k


def _attention_layers(block: nn.Module) -> list[SpaceTimeAttention]:
    return [module for module in block.modules() if isinstance(module, SpaceTimeAttention)]


def _keep_sizes(sizes: dict[str, int]) -> Callable:
    def see(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        sizes["t"], sizes["n"] = inputs[0].shape[1:3]

    return see


def _keep_layer(layers: dict[str, LayerTrace], span: Span, sizes: dict[str, int]) -> Callable:
    def see(mechanism: Mechanism, inputs: tuple[Tensor, Tensor, Tensor, Extent], _: Tensor) -> None:
        def place(x: Tensor) -> Tensor:
            return unfold(x.detach(), span, **sizes, merge_heads=False)

        with torch.no_grad():
            attended = mechanism.attention_inputs(*inputs)
        q, k, v = map(place, inputs[:3])
        ratios = attended.ratios and FixationRatios(*map(place, attended.ratios))
        layers[span] = LayerTrace(span, q, k, v, place(attended.q), place(attended.k), ratios, attended.similarity)

    return see
