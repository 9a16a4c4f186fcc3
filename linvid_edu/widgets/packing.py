"""Traced models as one array of bytes and a description of where each array lies in it, for static/packing.js."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor

from linvid_edu.figures.color_page.packing import webp_url
from linvid_edu.models.clip_trace import KNOWN_FRAME, Recolored
from linvid_edu.models.trace import LayerTrace
from linvid_edu.shapes import Bool
from linvid_edu.video.clip import Clip

from .views import TracedModel, choices

Kind = Literal["float32", "float16", "scaled"]
RECOLORED_QUALITY = 90  # of recolored frames, which are shown enlarged


class Packed(NamedTuple):
    """What the browser gets.

    meta: Plain values for JSON; an array is {"kind", "at", "shape"}, its place in the bytes
    data: The bytes of all arrays, one after another
    """

    meta: dict[str, Any]
    data: bytes


def feature_numbers(traced: Sequence[TracedModel]) -> int:
    """Count the numbers of all queries and keys that the browser would need."""
    layers = [layer for model in traced for block in model.trace.blocks for layer in block.values()]
    return sum(layer.input_q.numel() + layer.input_k.numel() for layer in layers)


def pack(
    clip: Clip,
    traced: Sequence[TracedModel],
    *,
    objects: Mapping[str, Bool[Tensor, "t rows columns"]] | None = None,
    kind: Kind | None = "float32",
    blocks: Sequence[int] | None = None,
) -> Packed:
    """Pack a clip, what the models' attention received on it, and masks of known objects.

    Args:
        clip: Clip that the models were traced on.
        traced: Models with the same grid of tokens.
        objects: Name to mask.
        kind: How queries and keys are stored. "float32" and "float16" keep 24 and 11 bits of each number; "scaled"
            keeps 8, between the lowest and the highest value of its channel. None leaves them out, and Python
            computes the rows.
        blocks: Indices of the packed blocks, counted from 0; None packs all.

    Returns:
        The bytes and their description.
    """
    arrays = _Arrays()
    offered = choices(traced)
    chosen = list(range(offered["blocks"]) if blocks is None else blocks)
    meta = {
        "shape": list(clip.frames.shape[:3]),
        "grid": list(traced[0].grid),
        "times": clip.times.tolist(),
        "source": Path(clip.source).name,
        "choices": offered | {"blocks": chosen},
        "inBrowser": kind is not None,
        "pixels": arrays.add(clip.frames.numpy(), "uint8"),
        "objects": [[name, arrays.add(mask.numpy(), "uint8")] for name, mask in (objects or {}).items()],
        "models": [
            {
                "name": model.name,
                "status": model.status,
                "recolored": None if model.recolored is None else _pack_recolored(model.recolored),
                "blocks": {
                    str(index): {
                        span: _pack_layer(arrays, layer, kind) for span, layer in model.trace.blocks[index].items()
                    }
                    for index in chosen
                    if kind is not None
                },
            }
            for model in traced
        ],
    }
    return Packed(meta, b"".join(arrays.pieces))


def _pack_recolored(recolored: Recolored) -> dict[str, Any]:
    pictures = [webp_url(frame, RECOLORED_QUALITY) for frame in recolored.frames]
    return {"known": KNOWN_FRAME, "pictures": pictures, "errors": list(recolored.errors)}


def _pack_layer(arrays: "_Arrays", layer: LayerTrace, kind: Kind) -> dict[str, Any]:
    q, k, z = (values[0].cpu().numpy() for values in (layer.input_q, layer.input_k, layer.normalizer))
    if layer.similarity == "product":  # rows may differ by any power of ten: normalize each, and store its scale in z
        z = np.abs(q).max(axis=-1).clip(np.finfo(np.float32).tiny)
        q = q / z[..., None]
    add = arrays.add_scaled if kind == "scaled" else lambda values: arrays.add(values, kind)
    return {"similarity": layer.similarity, "q": add(q), "k": add(k), "z": arrays.add(z, "float32")}


class _Arrays:
    """The bytes of arrays, each of which begins at a multiple of 4 bytes, as typed arrays in JavaScript must."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, values: np.ndarray, kind: str) -> dict[str, Any]:
        """Append an array in a type of numpy, and return its place."""
        data = np.ascontiguousarray(values, dtype=kind).tobytes()
        data += bytes(-len(data) % 4)
        place = {"kind": kind, "at": self.size, "shape": list(values.shape)}
        self.pieces.append(data)
        self.size += len(data)
        return place

    def add_scaled(self, values: np.ndarray) -> dict[str, Any]:
        """Round each channel of each head, (heads t n d), to 256 levels between its lowest and its highest value."""
        low, high = (extreme(values, axis=(1, 2), keepdims=True) for extreme in (np.min, np.max))
        step = np.maximum(high - low, np.finfo(np.float32).tiny) / 255
        levels = self.add(np.round((values - low) / step), "uint8")
        return {**levels, "kind": "scaled", "low": self.add(low, "float32"), "step": self.add(step, "float32")}
