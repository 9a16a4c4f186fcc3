"""The AttentionExplorer: click a token of a clip and see where it looks, under several models side by side."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor

from linvid_edu.figures.explain_page import Answering, choose_query, index_of
from linvid_edu.figures.plots import Picture, attention_strips, film_strip
from linvid_edu.models.shipped import shipped_color_models, shipped_models
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.clip import Clip
from linvid_edu.video.sample_objects import known_objects
from linvid_edu.video.tokens import pair

from .frontend import Pictured, front_end, style
from .packing import Kind, Packed, feature_numbers, pack
from .shared_table import SCALES
from .views import MOST_MODELS, ROW, VIEW_DIRECTIONS, TracedModel, View, choices, token_weights, trace_models

# largest counts of numbers that are sent to the browser as float32 and as float16; beyond them, Python keeps them
MOST_FLOAT32, MOST_FLOAT16 = 4_000_000, 50_000_000


class PackedData(ipywidgets.Widget):
    """Arrays for the browser, in a model of their own, because Jupyter's rate limit does not delay a new model."""

    meta = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)


class AttentionExplorer(Pictured, anywidget.AnyWidget):
    """Show the attention of one token over the frames of a clip, under up to four models side by side.

    To compare mechanisms with one set of weights:
    ``AttentionExplorer(clip, answering_models(clip, mechanisms=["linear", "nystrom", "cosformer-cooperative"]))``

    Python runs each model once. The browser gets the queries and keys of each layer and computes any row from them,
    O(tokens · d). If they are too large to send, Python computes the rows one by one.

    Args:
        clip: Clip with the number of frames and the size that the models expect.
        models: Name to model, or what ``explain_page.answering_models`` yields. If there are more than four, the
            learner chooses which are shown. None loads the trained checkpoints of ``data_samples``.
        objects: Name to the tokens of a known object, (t rows columns); None takes those of a sample clip.
        where: Where rows are computed, "browser" or "kernel"; "auto" decides by size.
        statuses: Name to a few words about a model's weights; models that were never trained are labeled without it.

    Attributes:
        offered: Names of all models.
        shown: Names of the one to four models that stand side by side.
        query: Frame, row and column of the query token.
        compared: Frame, row and column of a second token; None compares nothing.
        block: Index of the block, counted from 0.
        head: Index of the head, counted from 0; None is the mean over heads.
        span: "time" or "space", the map of one layer; "clip", both composed, or the map of joint attention.
        direction: "query → keys" or "key ← queries".
        scale: "separate", a color scale for each model, or "common", one for all, on which a flat map may show nothing.
        problem: What does not fit, such as a clip with another number of frames; empty if all fits.

    Raises:
        ValueError: `where` is unknown.
    """

    _esm = front_end("attention.js")
    _css = style("explorer.css")

    packed = traitlets.Instance(PackedData, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    problem = traitlets.Unicode().tag(sync=True)
    offered = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    query = traitlets.Tuple(*3 * [traitlets.Int()], default_value=(0, 0, 0)).tag(sync=True)
    compared = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int(), allow_none=True).tag(sync=True)
    block = traitlets.Int().tag(sync=True)
    span = traitlets.Unicode("clip").tag(sync=True)
    head = traitlets.Int(None, allow_none=True).tag(sync=True)
    direction = traitlets.Enum(VIEW_DIRECTIONS, ROW).tag(sync=True)
    scale = traitlets.Enum(SCALES, "separate").tag(sync=True)

    def __init__(
        self,
        clip: Clip,
        models: Mapping[str, VideoTransformer] | Iterable[Answering] | None = None,
        *,
        objects: Mapping[str, Tensor] | None = None,
        where: str = "auto",
        statuses: Mapping[str, str] | None = None,
    ):
        if where not in ("auto", "browser", "kernel"):
            raise ValueError(f"where={where!r} is unknown: choose 'auto', 'browser' or 'kernel'")
        origins: dict[str, str] = {}
        if models is not None and not isinstance(models, Mapping):
            answering = list(models)
            models = {answer.label: answer.model for answer in answering}
            origins = {answer.label: answer.status for answer in answering}
        if models is None:
            models = {model.config.label: model for model in _fitting_models(clip).values()}
        self._models = dict(models)
        self._statuses, self._where = {**origins, **(statuses or {})}, where
        self._traced: list[TracedModel] = []
        names = list(self._models)
        super().__init__(offered=names, shown=names[:MOST_MODELS])
        self.show(clip, objects=objects)
        self.on_msg(self._send_rows)

    def show(self, clip: Clip, *, objects: Mapping[str, Tensor] | None = None) -> None:
        """Show another clip; if it does not fit, the widget says why and keeps the clip it has.

        Args:
            clip: As at construction.
            objects: As at construction.
        """
        try:
            self._trace(clip, objects)
        except (ValueError, RuntimeError) as error:
            self.problem = f"{Path(clip.source).name} is not shown: {error}."
            return
        config = self._models[self.shown[0]].config
        last = choices(self._traced)["blocks"] - 1
        self._update_browser(query=choose_query(clip, config)[:3], compared=None, block=last)

    @traitlets.observe("shown")
    def _change_models(self, _: Any) -> None:
        """Show the chosen models; if they do not fit together, keep the previous ones."""
        names = [model.name for model in self._traced]
        if not names or names == self.shown:
            return
        try:
            self._trace(self._clip, self._objects)
        except (ValueError, RuntimeError) as error:
            self.problem, self.shown = f"These models are not shown together: {error}.", names
            return
        limits = choices(self._traced)
        exists = self.head is not None and self.head < limits["heads"]
        self._update_browser(block=min(self.block, limits["blocks"] - 1), head=self.head if exists else None)

    def _update_browser(self, **state: Any) -> None:
        """Send the browser new arrays together with the state in which they are shown."""
        before, packed = self.packed, self.pack(self._kind())
        with self.hold_sync():
            for name, value in {**state, "packed": PackedData(**packed._asdict()), "problem": ""}.items():
                setattr(self, name, value)
        if before is not None:
            before.close()

    def snapshot(self) -> Picture | None:
        """Draw what the widget shows as a static picture; None if nothing fits and ``problem`` says why."""
        if not self._traced:
            return None
        reached = self.rows()[:, 0].double()
        rows = reached.nan_to_num(0)
        shares = rows / rows.abs().sum(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        head = "mean over heads" if self.head is None else f"head {self.head}"
        span = "time and space" if self.span == "clip" else self.span
        title = f"Attention over {span}, block {self.block}, {head}, {self.direction}"
        weights = {model.name: share for model, share in zip(self._traced, shares, strict=True) if share.any()}
        place: dict[str, Any] = {"query": self.query, "times": self._clip.times}
        scale: Any = self.scale
        if not weights:  # possible without the offset, if the query has no feature in common with any key
            title += ": no weight on any token"
            return film_strip(self._clip.frames, grid=self._traced[0].grid, **place, title=title)
        return attention_strips(
            self._clip.frames,
            weights,
            **place,
            scale=scale,
            title=title,
            signed=True,
            keys=int(reached[0].isfinite().sum()),
        )

    def pack(self, kind: Kind | None, blocks: Sequence[int] | None = None) -> Packed:
        """Pack what the browser needs; see ``packing.pack``."""
        return pack(self._clip, self._traced, objects=self._objects, kind=kind, blocks=blocks)

    def rows(self, state: Mapping[str, Any] | None = None) -> Tensor:
        """Compute the weights of the query, and of the compared token, under each model.

        Args:
            state: Values of query, compared, block, span, head and direction; None takes the present ones.

        Returns:
            Weights, (models tokens t rows columns); NaN where the map does not reach.

        Raises:
            ValueError: Nothing is shown, for the reason that ``problem`` gives, or there is no such place.
        """
        if not self._traced:
            raise ValueError(self.problem)
        names = ("query", "compared", *View._fields)
        values = {name: getattr(self, name) if state is None else state[name] for name in names}
        for name, value in values.items():
            self._check(name, value)
        query, compared, *view = values.values()
        tokens = [tuple(token) for token in (query, compared) if token is not None]
        return torch.stack(
            [torch.stack([token_weights(model, View(*view), token) for token in tokens]) for model in self._traced]
        )

    @traitlets.validate("shown")
    def _check_models(self, proposal: Any) -> list[str]:
        names = list(proposal["value"])
        if unknown := [name for name in names if name not in self._models]:
            raise ValueError(f"model {unknown[0]!r} was not given: choose from {', '.join(map(repr, self._models))}")
        if len(set(names)) != len(names) or (self._models and not 1 <= len(names) <= MOST_MODELS):
            raise ValueError(f"shown={names}: name 1 to {MOST_MODELS} different models, which stand side by side")
        return names

    @traitlets.validate("query", "compared", *View._fields)
    def _check_trait(self, proposal: Any) -> Any:
        self._check(proposal["trait"].name, proposal["value"])
        return proposal["value"]

    def _check(self, name: str, value: Any) -> None:
        """Raise ValueError if there is no such token, block, span or head."""
        if value is None or not self._traced:
            return
        limits = choices(self._traced)
        if name in ("query", "compared"):
            sizes = (len(self._clip.frames), *self._traced[0].grid)
            for axis, index, size in zip(("frame", "row", "column"), value, sizes, strict=True):
                index_of(axis, index, size)
        elif name == "span" and value not in limits["spans"]:
            raise ValueError(f"span={value!r} does not exist: choose one of {', '.join(map(repr, limits['spans']))}")
        elif name in ("block", "head"):
            index_of(name, value, limits[f"{name}s"])

    def _trace(self, clip: Clip, objects: Mapping[str, Tensor] | None) -> None:
        """Trace the models on a clip; nothing changes if that fails."""
        traced = trace_models(clip, {name: self._models[name] for name in self.shown}, self._statuses)
        grid = traced[0].grid
        masks = known_objects(clip, grid) if objects is None else dict(objects)
        for name, mask in masks.items():
            if mask.shape != (len(clip.frames), *grid):
                raise ValueError(
                    f"mask of {name!r} has shape {tuple(mask.shape)}, expected {(len(clip.frames), *grid)}: "
                    "frames, rows and columns of the tokens"
                )
        self._clip, self._traced, self._objects = clip, traced, masks

    def _kind(self) -> Kind | None:
        """Choose how queries and keys are sent; None leaves them in Python."""
        count = feature_numbers(self._traced)
        if self._where == "kernel" or (self._where == "auto" and count > MOST_FLOAT16):
            return None
        return "float32" if count <= MOST_FLOAT32 else "float16"

    def _send_rows(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """Answer the browser's request for rows, or report why there are none."""
        try:
            rows, problem = [self.rows(content["state"]).numpy().tobytes()], ""
        except (ValueError, KeyError, IndexError) as error:
            rows, problem = [], str(error)
        self.send({"client": content.get("client"), "problem": problem}, rows)


def _fitting_models(clip: Clip) -> dict[str, VideoTransformer]:
    """Return the shipped models that take a clip: those of colors, unless it has the size of those of motion."""
    motion = shipped_models()
    size = pair(next(iter(motion.values())).config.image_size)
    return motion if tuple(clip.frames.shape[1:3]) == size else shipped_color_models()
