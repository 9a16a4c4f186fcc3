"""The FixationExplorer: which channels of a token the ratios keep, and what happens if they are forced."""

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
from linvid_edu.files import materials
from linvid_edu.models.interventions import changed_ratios, forced
from linvid_edu.models.shipped import shipped_models
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.evaluation import SHUT
from linvid_edu.training.tasks import find_task
from linvid_edu.video.clip import Clip
from linvid_edu.video.reading import load_clip
from linvid_edu.video.sample_objects import known_class
from linvid_edu.video.tokens import pair

from .attention import PackedData
from .frontend import Pictured, front_end, style
from .packing import pack
from .shared_table import RATIO_SCALES, RATIO_SIDES
from .views import TracedModel, trace_models

SAMPLE = "motion_recedes_photo.mp4"  # one of those that the shipped model answers right


class Forced(NamedTuple):
    """One forward pass with forced ratios.

    traced: The model and what its attention received
    logits: The answer, (classes)
    """

    traced: TracedModel
    logits: Tensor


def run_forced(
    clip: Clip, model: VideoTransformer, position: float = 0.0, layer: tuple[int, Span] | None = None
) -> Forced:
    """Run a model on a clip while its ratios are forced.

    Args:
        clip: Clip with the number of frames and the size that the model expects.
        model: Model with fixation.
        position: −1 shuts every channel, 0 keeps the learned ratios, 1 opens all.
        layer: Index of the block and span of the only layer that is forced; None forces all.

    Raises:
        ValueError: The model has no fixation, or the clip does not fit it.
    """
    outputs: list[Tensor] = []
    hook = model.register_forward_hook(lambda _, inputs, logits: outputs.append(logits.detach()))
    try:
        with changed_ratios(model, forced(position), layer=layer):
            traced = trace_models(clip, {model.config.label: model})[0]
    finally:
        hook.remove()
    return Forced(traced, outputs[0][0].float().cpu())


class FixationExplorer(Pictured, anywidget.AnyWidget):
    """Show the fixation ratios of a token, of a channel over the frames, and of each layer; a slider forces them.

    Args:
        clip: Clip with the number of frames and the size that the model expects; None loads a sample clip.
        model: Model with fixation; None loads the trained checkpoint with cooperative fixation of ``data_samples``.
        classes: Names of the labels; None takes those of the checkpoint, or numbers for a model of one's own.

    Attributes:
        query: Frame, row and column of the query token.
        layer: Index of a block, and span of its attention.
        side: "query" or "key", whose ratios the frames show.
        head: Index of the head that the frames show; None is the mean over heads.
        channel: Index of the channel that the frames show; None is the mean over channels.
        position: Place of the slider: −1 shuts every channel, 0 keeps the learned ratios, 1 opens all.
        alone: Whether the slider forces this layer alone.
        scale: Color scale of the ratios, from 0 to 1 or from the lowest to the highest learned one in the frames.
        problem: What does not fit; empty if all fits.
    """

    _esm = front_end("fixation.js")
    _css = style("explorer.css") + style("fixation.css")

    packed = traitlets.Instance(PackedData, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    problem = traitlets.Unicode().tag(sync=True)
    query = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int(), default_value=(0, 0, 0)).tag(sync=True)
    layer = traitlets.Tuple(traitlets.Int(), traitlets.Unicode(), default_value=(0, "space")).tag(sync=True)
    side = traitlets.Enum(RATIO_SIDES, "key").tag(sync=True)
    head = traitlets.Int(None, allow_none=True).tag(sync=True)
    channel = traitlets.Int(None, allow_none=True).tag(sync=True)
    position = traitlets.Float(0.0, min=-1, max=1).tag(sync=True)
    alone = traitlets.Bool(False).tag(sync=True)
    scale = traitlets.Enum(RATIO_SCALES, RATIO_SCALES[0]).tag(sync=True)

    def __init__(
        self,
        clip: Clip | None = None,
        model: VideoTransformer | None = None,
        *,
        classes: Sequence[str] | None = None,
    ):
        if model is None:
            model, classes = shipped_models()["cooperative"], classes or find_task("motion").classes
        if clip is None:
            size = pair(model.config.image_size)[0]
            clip = load_clip(materials().data_samples / SAMPLE, num_frames=model.config.num_frames, size=size)
        self._model, self._classes = model, classes
        self._clip: Clip | None = None
        self._clips_shown = 0  # the front end is rebuilt only when the clip changes
        super().__init__()
        self.show(clip)

    def show(self, clip: Clip) -> None:
        """Show another clip; if it does not fit, the widget says why and keeps the clip it has."""
        try:
            learned = run_forced(clip, self._model)
        except (ValueError, RuntimeError) as error:
            self.problem = f"{Path(clip.source).name} is not shown: {error}."
            return
        self._clip, self._learned, self._forced = clip, learned, learned
        self._clips_shown += 1
        blocks = learned.traced.trace.blocks
        last = len(blocks) - 1
        with self.hold_sync():
            self.position, self.problem = 0.0, ""
            self.query = choose_query(clip, self._model.config)[:3]
            self.layer = (last, "joint" if learned.traced.joint else "space")
            self._update_browser()

    def ratios(self) -> tuple[Tensor, Tensor]:
        """Return the layer's present ratios, r_q and r_k, each (heads t n d), 0 to 1."""
        index, span = self.layer
        ratios = self._forced.traced.trace.blocks[index][span].ratios
        assert ratios is not None  # run_forced raises for a model without fixation
        return ratios.q[0].float().cpu(), ratios.k[0].float().cpu()

    def logits(self) -> Tensor:
        """Return the present logits, (classes)."""
        return self._forced.logits

    def shut(self) -> tuple[int, int]:
        """Count the layer's channels whose ratio is below .05 for every token: those of queries, and those of keys."""
        q, k = (int((ratio.amax(dim=(1, 2)) < SHUT).sum()) for ratio in self.ratios())
        return q, k

    def snapshot(self) -> Picture | None:
        """Draw what the widget shows as a static picture; None if it only reports a problem."""
        if self._clip is None:
            return None
        frame, row, column = self.query
        place = self._forced.traced.grid.token(row, column)
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
    def _check_trait(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if self._clip is None or value is None:
            return value
        traced = self._forced.traced
        blocks = traced.trace.blocks
        heads, t, _, d = next(iter(blocks[0].values())).q.shape[1:]
        if name == "query":
            for axis, index, size in zip(("frame", "row", "column"), value, (t, *traced.grid), strict=True):
                index_of(axis, index, size)
        elif name == "layer":
            index_of("block", value[0], len(blocks))
            if value[1] not in blocks[value[0]]:
                raise ValueError(f"span={value[1]!r} does not exist: choose one of {', '.join(blocks[value[0]])}")
        else:
            index_of(name, value, heads if name == "head" else d)
        return value

    @traitlets.observe("position", "alone", "layer")
    def _force(self, change: Any) -> None:
        """Run the model again if the change affects which ratios are forced, or how."""
        if self._clip is None or (change["name"] != "position" and self.position == 0):
            return
        if change["name"] == "layer" and not self.alone:
            return
        self._forced = run_forced(self._clip, self._model, self.position, self.layer if self.alone else None)
        self._update_browser()

    def _update_browser(self) -> None:
        """Send the browser features, ratios and answers of the latest forward pass."""
        assert self._clip is not None
        meta, data = pack(self._clip, [self._forced.traced], kind="float16")
        ratios, layers = bytearray(), []
        for index, block in enumerate(self._forced.traced.trace.blocks):
            for span, layer in block.items():
                assert layer.ratios is not None
                layers.append([index, span])
                for ratio in layer.ratios:
                    ratios += (ratio[0].float().cpu() * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
        numbered = [f"class {index}" for index in range(len(self._forced.logits))]
        names, truth = [str(name) for name in self._classes or numbered], known_class(self._clip)
        extra = {
            "clip": self._clips_shown,
            "layers": layers,
            "ratiosAt": len(data),
            "classes": names,
            "truth": names.index(truth) if truth in names else None,
            "learned": self._learned.logits.softmax(-1).tolist(),
            "now": self._forced.logits.softmax(-1).tolist(),
        }
        before = self.packed
        self.packed = PackedData(meta=meta | extra, data=data + bytes(ratios))
        if before is not None:
            before.close()
