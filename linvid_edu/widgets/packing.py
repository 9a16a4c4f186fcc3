"""Recordings as one array of bytes and a description of what lies where in it, for the front end's packing.js."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor

from linvid_edu.models.trace import LayerTrace
from linvid_edu.shapes import Bool
from linvid_edu.video.clip import Clip

from .recording import Recording, choices, normalizer

Kind = Literal["float32", "float16", "scaled"]


class Packed(NamedTuple):
    """What the front end gets.

    meta: plain values for JSON; an array is {"kind", "at", "shape"}, its place in the bytes
    data: all arrays after one another
    """

    meta: dict[str, Any]
    data: bytes


def feature_numbers(recordings: Sequence[Recording]) -> int:
    """Count the numbers of all queries and keys that the front end would need."""
    return sum(layer.input_q.numel() + layer.input_k.numel() for layer in _layers(recordings))


def pack(
    clip: Clip,
    recordings: Sequence[Recording],
    *,
    objects: Mapping[str, Bool[Tensor, "t rows columns"]] | None = None,
    kind: Kind | None = "float32",
    blocks: Sequence[int] | None = None,
) -> Packed:
    """Pack a clip, what the models' attention received on it, and masks of known objects.

    Args:
        clip: the one that was recorded.
        recordings: of one grid.
        objects: name to mask.
        kind: of queries and keys. "float32" and "float16" keep 24 and 11 bits of each number; "scaled" keeps 8, between
            the lowest and the highest value of its channel; None leaves them out, and rows come from Python.
        blocks: counted from 0; None packs all.

    Returns:
        the bytes and their description.
    """
    arrays = _Arrays()
    offered = choices(recordings)
    chosen = list(range(offered["blocks"]) if blocks is None else blocks)
    meta = {
        "shape": list(clip.frames.shape[:3]),
        "grid": list(recordings[0].grid),
        "times": clip.times.tolist(),
        "source": Path(clip.source).name,
        "choices": offered | {"blocks": chosen},
        "inBrowser": kind is not None,
        "pixels": arrays.add(clip.frames.numpy(), "uint8"),
        "objects": [[name, arrays.add(mask.numpy(), "uint8")] for name, mask in (objects or {}).items()],
        "models": [
            {
                "name": each.name,
                "status": each.status,
                "blocks": {
                    str(i): {span: _pack_layer(arrays, layer, kind) for span, layer in each.trace.blocks[i].items()}
                    for i in chosen
                    if kind is not None
                },
            }
            for each in recordings
        ],
    }
    return Packed(meta, b"".join(arrays.parts))


def _layers(recordings: Sequence[Recording]) -> list[LayerTrace]:
    return [layer for each in recordings for layers in each.trace.blocks for layer in layers.values()]


def _pack_layer(arrays: "_Arrays", layer: LayerTrace, kind: Kind) -> dict[str, Any]:
    q, k, z = (each[0].cpu().numpy() for each in (layer.input_q, layer.input_k, normalizer(layer)))
    if layer.similarity == "product":  # the rows of a factor may differ by any power of ten: z keeps their size
        z = np.abs(q).max(axis=-1).clip(np.finfo(np.float32).tiny)
        q = q / z[..., None]
    add = arrays.add_scaled if kind == "scaled" else lambda values: arrays.add(values, kind)
    return {"similarity": layer.similarity, "q": add(q), "k": add(k), "z": arrays.add(z, "float32")}


class _Arrays:
    """Arrays after one another, each at a multiple of 4 bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, values: np.ndarray, kind: str) -> dict[str, Any]:
        data = np.ascontiguousarray(values, dtype=kind).tobytes()
        data += bytes(-len(data) % 4)
        part = {"kind": kind, "at": self.size, "shape": list(values.shape)}
        self.parts.append(data)
        self.size += len(data)
        return part

    def add_scaled(self, values: np.ndarray) -> dict[str, Any]:
        """Round each channel of each head, (heads t n e), to 256 levels between its lowest and its highest value."""
        low, high = (edge(values, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
        step = np.maximum(high - low, np.finfo(np.float32).tiny) / 255
        levels = self.add(np.round((values - low) / step), "uint8")
        return {**levels, "kind": "scaled", "low": self.add(low, "float32"), "step": self.add(step, "float32")}
