"""The fixation ratios of a trained model, live: which channels a token keeps, and what happens when they are forced."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor

from linvid_edu.attention.spans import Span
from linvid_edu.figures.explain_page import choose_query, index_of
from linvid_edu.figures.plots import Picture, fixation_ratios
from linvid_edu.models.interventions import changed_ratios, forced
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.tasks import find_task
from linvid_edu.video.clip import Clip

from .attention import PackedData, shipped_models
from .frontend import Pictured, front_end, style
from .packing import pack
from .recording import Recording, record_models

SHUT = 0.05  # a channel whose ratio stays below this for every token of the clip is called shut everywhere


class Run(NamedTuple):
    """One forward pass with forced ratios.

    recording: what attention received
    logits: (classes)
    """

    recording: Recording
    logits: Tensor


def run_forced(
    clip: Clip, model: VideoTransformer, position: float = 0.0, layer: tuple[int, Span] | None = None
) -> Run:
    """Run a model on a clip while its ratios are forced.

    Args:
        clip: of the model's number of frames and size.
        model: with fixation.
        position: −1 shuts every channel, 0 keeps the learned ratios, 1 opens all.
        layer: index of a block and span, forced alone; None forces all.

    Raises:
        ValueError: the model has no fixation, or the clip does not fit it.
    """
    seen: list[Tensor] = []
    watch = model.register_forward_hook(lambda _, inputs, logits: seen.append(logits.detach()))
    try:
        with changed_ratios(model, forced(position), layer=layer):
            recording = record_models(clip, {model.config.label: model})[0]
    finally:
        watch.remove()
    return Run(recording, seen[0][0].float().cpu())


class FixationExplorer(Pictured, anywidget.AnyWidget):
    """Show the fixation ratios of a token, of a channel over the frames, and of each layer, and force them by a slider.

    Args:
        clip: of the model's number of frames and size.
        model: with fixation; None takes the trained checkpoint with cooperative fixation of ``data_samples``.
        classes: names of the labels; None numbers them, and names those of the checkpoint.

    Attributes:
        query: frame, row and column of the token.
        layer: index of a block and span of its attention.
        side: "query" or "key", whose ratios the frames show.
        head, channel: which one the frames show; None is the mean.
        position: of the slider: −1 shuts every channel, 0 keeps the learned ratios, 1 opens all.
        alone: whether the slider forces this layer alone.
        problem: what does not fit, in words; empty where all does.
    """

    _esm = front_end("fixation.js")
    _css = style("explorer.css") + style("fixation.css")

    packed = traitlets.Instance(PackedData, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    problem = traitlets.Unicode().tag(sync=True)
    query = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int(), default_value=(0, 0, 0)).tag(sync=True)
    layer = traitlets.Tuple(traitlets.Int(), traitlets.Unicode(), default_value=(0, "space")).tag(sync=True)
    side = traitlets.Enum(("query", "key"), "key").tag(sync=True)
    head = traitlets.Int(None, allow_none=True).tag(sync=True)
    channel = traitlets.Int(None, allow_none=True).tag(sync=True)
    position = traitlets.Float(0.0, min=-1, max=1).tag(sync=True)
    alone = traitlets.Bool(False).tag(sync=True)

    def __init__(self, clip: Clip, model: VideoTransformer | None = None, *, classes: Sequence[str] | None = None):
        if model is None:
            model, classes = shipped_models()["cooperative"], classes or find_task("motion").classes
        self._model, self._classes = model, classes
        self._clip: Clip | None = None
        self._shown = 0  # clips so far: the front end builds itself anew for another one only
        super().__init__()
        self.show(clip)

    def show(self, clip: Clip) -> None:
        """Show another clip; what does not fit is told in the widget, which then keeps the clip it has."""
        try:
            learned = run_forced(clip, self._model)
        except (ValueError, RuntimeError) as error:
            self.problem = f"{Path(clip.source).name} is not shown: {error}."
            return
        self._clip, self._learned, self._now = clip, learned, learned
        self._shown += 1
        blocks = learned.recording.trace.blocks
        last = len(blocks) - 1
        with self.hold_sync():
            self.position, self.problem = 0.0, ""
            self.query = choose_query(clip, self._model.config)[:3]
            self.layer = (last, "joint" if "joint" in blocks[last] else "space")
            self._pack()

    def ratios(self) -> tuple[Tensor, Tensor]:
        """Return the ratios of the layer as they are now, r_q and r_k, each (heads t n e), 0 to 1."""
        index, span = self.layer
        found = self._now.recording.trace.blocks[index][span].ratios
        assert found is not None  # a model without fixation is refused before
        return found.q[0].float().cpu(), found.k[0].float().cpu()

    def logits(self) -> Tensor:
        """Return the logits as they are now, (classes)."""
        return self._now.logits

    def shut(self) -> tuple[int, int]:
        """Count channels of the layer whose ratio is below .05 for every token of the clip: of queries, of keys."""
        found = [int((ratio.amax(dim=(1, 2)) < SHUT).sum()) for ratio in self.ratios()]
        return found[0], found[1]

    def snapshot(self) -> Picture | None:
        """Draw what is seen now as a static picture; None where there is nothing to see but a problem."""
        if self._clip is None:
            return None
        frame, row, column = self.query
        place = self._now.recording.grid.token(row, column)
        q, k = self.ratios()
        index, span = self.layer
        forced_to = "" if self.position == 0 else f", forced to {self.position:+.2f}".replace("-", "−")
        return fixation_ratios(
            q,
            k,
            token=(frame, place),
            title=f"Fixation ratios, block {index}, {span}{forced_to}; frame {frame}, row {row}, column {column}",
        )

    @traitlets.validate("query", "layer", "head", "channel")
    def _valid(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if self._clip is None or value is None:
            return value
        blocks = self._now.recording.trace.blocks
        heads, t, _, e = self._now.recording.trace.blocks[0][next(iter(blocks[0]))].q.shape[1:]
        if name == "query":
            for axis, at, size in zip(("frame", "row", "column"), value, (t, *self._now.recording.grid), strict=True):
                index_of(axis, at, size)
        elif name == "layer":
            index_of("block", value[0], len(blocks))
            if value[1] not in blocks[value[0]]:
                raise ValueError(f"span={value[1]!r} does not exist: choose one of {', '.join(blocks[value[0]])}")
        else:
            index_of(name, value, heads if name == "head" else e)
        return value

    @traitlets.observe("position", "alone", "layer")
    def _force(self, change: Any) -> None:
        """Run the model again where that changes anything."""
        if self._clip is None or (change["name"] != "position" and self.position == 0):
            return
        if change["name"] == "layer" and not self.alone:
            return
        self._now = run_forced(self._clip, self._model, self.position, self.layer if self.alone else None)
        self._pack()

    def _pack(self) -> None:
        assert self._clip is not None
        recording = self._now.recording
        meta, data = pack(self._clip, [recording], kind="float16")
        ratios, layers = bytearray(), []
        for index, block in enumerate(recording.trace.blocks):
            for span, layer in block.items():
                assert layer.ratios is not None
                layers.append([index, span])
                for each in layer.ratios:
                    ratios += (each[0].float().cpu() * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
        names = self._classes or [f"class {index}" for index in range(len(self._now.logits))]
        extra = {
            "clip": self._shown,
            "layers": layers,
            "ratiosAt": len(data),
            "classes": [str(name) for name in names],
            "learned": self._learned.logits.softmax(-1).tolist(),
            "now": self._now.logits.softmax(-1).tolist(),
            "position": self.position,
            "shut": SHUT,
        }
        before = self.packed
        self.packed = PackedData(meta=meta | extra, data=data + bytes(ratios))
        if before is not None:
            before.close()
