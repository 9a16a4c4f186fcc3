"""Where one token of a clip looks, live: click a token, move it by keyboard, compare models side by side."""

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
from linvid_edu.files import materials
from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.clip import Clip

from .frontend import Pictured, front_end, style
from .objects import known_objects
from .packing import Kind, Packed, feature_numbers, pack
from .recording import MOST_MODELS, Recording, View, choices, record_models, token_weights

MOST_FULL, MOST_HALF = 4_000_000, 50_000_000  # numbers sent as float32, and as float16; more stay in Python


class PackedData(ipywidgets.Widget):
    """Arrays on their way to the browser, a model of its own: opening one is not held up by Jupyter's rate limit."""

    meta = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)


class AttentionExplorer(Pictured, anywidget.AnyWidget):
    """Show the attention of one token over the frames of a clip, under up to four models side by side.

    Any of the family, with one set of weights:
    ``AttentionExplorer(clip, answering_models(clip, mechanisms=["linear", "nystrom", "cosformer-cooperative"]))``

    Python runs each model once. The browser gets what the attention of each layer receives and computes any row from
    it, O(tokens · e); where that is too much to send, Python computes the rows one by one.

    Args:
        clip: of the models' number of frames and size.
        models: name to model, or what ``explain.answering_models`` makes; of more than four, the learner chooses which
            are shown. None takes the trained checkpoints of ``data_samples``.
        objects: name to the tokens of a known object, (t rows columns); None takes those of a sample clip.
        where: "browser" or "kernel", where rows are computed; "auto" decides by size.
        statuses: name to words about a model's weights; models that were never trained are labeled by themselves.

    Attributes:
        offered, shown: names of all models, and of the one to four that stand side by side.
        query, compared: frame, row and column of the token that asks, and of a second one or None.
        block, head: whose attention, counted from 0; head None is the mean over heads.
        span: "time" or "space", the map of one layer; "clip", both composed, or the map of joint attention.
        direction: "query → keys" or "key ← queries".
        scale: "common", one color scale for all models, or "separate".
        problem: what does not fit, in words, such as a clip of another number of frames; empty where all does.

    Raises:
        ValueError: an unknown `where`.
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
    direction = traitlets.Enum(("query → keys", "key ← queries"), "query → keys").tag(sync=True)
    scale = traitlets.Enum(("common", "separate"), "common").tag(sync=True)

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
        known: dict[str, str] = {}
        if models is not None and not isinstance(models, Mapping):
            answering = list(models)
            models = {each.label: each.model for each in answering}
            known = {each.label: each.status for each in answering}
        self._models = shipped_models() if models is None else dict(models)
        self._statuses, self._where = {**known, **(statuses or {})}, where
        self._recordings: list[Recording] = []
        names = list(self._models)
        super().__init__(offered=names, shown=names[:MOST_MODELS])
        self.show(clip, objects=objects)
        self.on_msg(self._answer)

    def show(self, clip: Clip, *, objects: Mapping[str, Tensor] | None = None) -> None:
        """Show another clip; what does not fit is told in the widget, which then keeps the clip it has.

        Args:
            clip, objects: as at construction.
        """
        try:
            self._take(clip, objects)
        except (ValueError, RuntimeError) as error:
            self.problem = f"{Path(clip.source).name} is not shown: {error}."
            return
        config = self._models[self.shown[0]].config
        last = choices(self._recordings)["blocks"] - 1
        self._hand_over(query=choose_query(clip, config)[:3], compared=None, block=last)

    @traitlets.observe("shown")
    def _swap(self, _: Any) -> None:
        """Show other models of those that were given; where one does not fit, those before stay."""
        names = [each.name for each in self._recordings]
        if not names or names == self.shown:
            return
        try:
            self._take(self._clip, self._objects)
        except (ValueError, RuntimeError) as error:
            self.problem, self.shown = f"These models are not shown together: {error}.", names
            return
        has = choices(self._recordings)
        known = self.head is not None and self.head < has["heads"]
        self._hand_over(block=min(self.block, has["blocks"] - 1), head=self.head if known else None)

    def _hand_over(self, **state: Any) -> None:
        """Send the browser what was recorded, and the state in which it is shown."""
        before, packed = self.packed, self.pack(self._kind())
        with self.hold_sync():
            for name, value in {**state, "packed": PackedData(**packed._asdict()), "problem": ""}.items():
                setattr(self, name, value)
        if before is not None:
            before.close()

    def snapshot(self) -> Picture | None:
        """Draw what is seen now as a static picture; None where nothing fits and ``problem`` says why."""
        if not self._recordings:
            return None
        found = self.rows()[:, 0].double().nan_to_num(0)
        shares = found / found.abs().sum(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        head = "mean over heads" if self.head is None else f"head {self.head}"
        span = "time and space" if self.span == "clip" else self.span
        title = f"Attention over {span}, block {self.block}, {head}, {self.direction}"
        named_shares = zip((each.name for each in self._recordings), shares, strict=True)
        weights = {name: share for name, share in named_shares if share.any()}
        shown: dict[str, Any] = {"query": self.query, "times": self._clip.times}
        scale: Any = self.scale
        if not weights:  # possible without the offset: no feature of the query meets one of a key
            title += ": no weight on any token"
            return film_strip(self._clip.frames, grid=self._recordings[0].grid, **shown, title=title)
        return attention_strips(self._clip.frames, weights, **shown, scale=scale, title=title, signed=True)

    def pack(self, kind: Kind | None, blocks: Sequence[int] | None = None) -> Packed:
        """Pack what the front end needs, as the function of that name does."""
        return pack(self._clip, self._recordings, objects=self._objects, kind=kind, blocks=blocks)

    def rows(self, state: Mapping[str, Any] | None = None) -> Tensor:
        """Compute the weights of the query, and of the compared token, under each model.

        Args:
            state: query, compared, block, span, head and direction; None takes the present ones.

        Returns:
            (models tokens t rows columns), NaN where the map does not reach.

        Raises:
            ValueError: nothing is shown, for the reason that ``problem`` gives, or there is no such place.
        """
        if not self._recordings:
            raise ValueError(self.problem)
        names = ("query", "compared", "block", "span", "head", "direction")
        asked = {name: getattr(self, name) if state is None else state[name] for name in names}
        view = View(asked["block"], asked["span"], asked["head"], asked["direction"])
        tokens = [tuple(token) for token in (asked["query"], asked["compared"]) if token is not None]
        for name, value in (("query", tokens[0]), ("compared", tokens[-1]), ("block", view.block), ("span", view.span)):
            self._checked(name, value)
        return torch.stack(
            [torch.stack([token_weights(each, view, token) for token in tokens]) for each in self._recordings]
        )

    @traitlets.validate("shown")
    def _valid_models(self, proposal: Any) -> list[str]:
        names = list(proposal["value"])
        if unknown := [name for name in names if name not in self._models]:
            raise ValueError(f"model {unknown[0]!r} was not given: choose of {', '.join(map(repr, self._models))}")
        if len(set(names)) != len(names) or (self._models and not 1 <= len(names) <= MOST_MODELS):
            raise ValueError(f"shown={names}: name 1 to {MOST_MODELS} different models, which stand side by side")
        return names

    @traitlets.validate("query", "compared", "block", "span", "head")
    def _valid(self, proposal: Any) -> Any:
        return self._checked(proposal["trait"].name, proposal["value"])

    def _checked(self, name: str, value: Any) -> Any:
        """Refuse a token, block, span or head that there is not."""
        if value is None or not self._recordings:
            return value
        has = choices(self._recordings)
        if name in ("query", "compared"):
            t, grid = len(self._clip.frames), self._recordings[0].grid
            for axis, index, size in zip(("frame", "row", "column"), value, (t, *grid), strict=True):
                index_of(axis, index, size)
        elif name == "span" and value not in has["spans"]:
            raise ValueError(f"span={value!r} does not exist: choose one of {', '.join(map(repr, has['spans']))}")
        elif name in ("block", "head"):
            index_of(name, value, has[f"{name}s"])
        return value

    def _take(self, clip: Clip, objects: Mapping[str, Tensor] | None) -> None:
        """Record the models on a clip; nothing changes where that fails."""
        recordings = record_models(clip, {name: self._models[name] for name in self.shown}, self._statuses)
        grid = recordings[0].grid
        masks = known_objects(clip, grid) if objects is None else dict(objects)
        for name, mask in masks.items():
            if mask.shape != (len(clip.frames), *grid):
                raise ValueError(
                    f"mask of {name!r} has shape {tuple(mask.shape)}, expected {(len(clip.frames), *grid)}: "
                    "frames, rows and columns of the tokens"
                )
        self._clip, self._recordings, self._objects = clip, recordings, masks

    def _kind(self) -> Kind | None:
        """Choose how queries and keys are sent; None leaves them in Python."""
        count = feature_numbers(self._recordings)
        if self._where == "kernel" or (self._where == "auto" and count > MOST_HALF):
            return None
        return "float32" if count <= MOST_FULL else "float16"

    def _answer(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """Send the browser the rows it asked for, or say why there are none."""
        try:
            rows, problem = [self.rows(content["state"]).numpy().tobytes()], ""
        except (ValueError, KeyError, IndexError) as error:
            rows, problem = [], str(error)
        self.send({"asker": content.get("asker"), "problem": problem}, rows)


def shipped_models() -> dict[str, VideoTransformer]:
    """Load the trained checkpoints of ``data_samples``, by the names of their variants: softmax first, then linear.

    Raises:
        ValueError: they are not there, as in an installation without the course's files.
    """
    folder = materials().data_samples / "checkpoints"
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise ValueError(f"there are no checkpoints in {folder}: pass models={{name: model}}")
    models = {model.config.variant: model for model in map(load_model, paths)}
    return dict(sorted(models.items(), key=lambda each: (each[0] != "softmax", len(each[0]))))
