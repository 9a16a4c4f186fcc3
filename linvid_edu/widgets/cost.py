"""CostLab: what softmax and linear attention cost on this machine, where the curves cross, and where linear loses."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from linvid_edu.attention.rivals import RIVALS, Rival, Setting
from linvid_edu.figures.cost import MECHANISMS, Attention, Cost, Law, crossover, fit, measure
from linvid_edu.figures.plots import Picture, curves
from linvid_edu.figures.plots.charts import LOOKS, label_above
from linvid_edu.figures.plots.interactive import curve_twin, escape, rounded
from linvid_edu.figures.plots.picture import SOFT_INK, Words, number
from linvid_edu.shapes import Extent

from .chart import Chart
from .panel import Panel, row, sentences

SIZES = tuple(2**power for power in range(4, 15))  # 16 to 16,384
CHOICES = tuple(2**power for power in range(4, 17))  # to 65,536, by the fitted curves
UNITS = {"ms": "time, ms", "peak_mb": "memory beside q, k and v, MB"}
MOST_RIVALS = len(LOOKS) - len(MECHANISMS)  # lines that can be told apart
HEIGHT = 380  # pixels of a chart


class Results(NamedTuple):
    """Measured costs and what follows from them.

    costs: one row for each size and mechanism
    laws: mechanism to the fitted law of its time; without those that were measured at fewer than 3 sizes
    crossing: number of tokens above which linear attention is quicker than softmax attention; None where there is none
    """

    costs: list[Cost]
    laws: dict[str, Law]
    crossing: float | None


def evaluate(costs: Sequence[Cost]) -> Results:
    """Fit the times of every mechanism, and find where linear attention becomes quicker than softmax attention.

    Args:
        costs: what ``measure`` yields, or made-up rows of the same kind.
    """
    costs = list(costs)
    laws = {}
    for name in dict.fromkeys(cost.mechanism for cost in costs):
        known = [cost for cost in costs if cost.mechanism == name and not cost.missing]
        if len(known) >= 3:
            laws[name] = fit([cost.tokens for cost in known], [cost.ms for cost in known])
    crossing = None
    if {"softmax", "linear"} <= laws.keys():
        crossing = crossover(laws["softmax"], laws["linear"], min(cost.tokens for cost in costs), CHOICES[-1])
    return Results(costs, laws, crossing)


def findings(results: Results, tokens: int) -> list[str]:
    """Say in words what was measured: where linear attention loses, and what so many tokens cost.

    Args:
        results: of ``evaluate``.
        tokens: N that the learner chose.

    Returns:
        Sentences, the most important one first; none where nothing was measured.
    """
    lines = [_verdict(results), _at(results, tokens)]
    powers = [f"N^{law.exponent:.2f} ({name})" for name, law in results.laws.items()]
    if powers:
        lines.append(f"Fitted, beside a constant time for the start, time grows as {', '.join(powers)}.")
    maps = [cost for cost in results.costs if cost.mechanism == "softmax, explicit map" and not cost.missing]
    if maps:
        fused = next(cost for cost in results.costs if (cost.mechanism, cost.tokens) == ("softmax", maps[-1].tokens))
        lines.append(
            f"Memory: with {maps[-1].tokens:,} tokens the explicit map takes {number(maps[-1].peak_mb)} MB, the fused"
            f" softmax kernel, which never writes it down, {number(fused.peak_mb)} MB."
        )
    first_missing = {cost.mechanism: cost for cost in reversed(results.costs) if cost.missing}
    lines += [f"Not measured: {name}, {cost.tokens:,} tokens, {cost.missing}." for name, cost in first_missing.items()]
    return [line for line in lines if line]


def _verdict(results: Results) -> str:
    if not {"softmax", "linear"} <= results.laws.keys():
        return ""
    if results.crossing is not None:
        about = number(float(f"{results.crossing:.2g}"))
        return f"Below about {about} tokens softmax attention is quicker here, above it linear attention is."
    smallest, linear, softmax = CHOICES[0], results.laws["linear"], results.laws["softmax"]
    quicker = "linear" if linear.at(smallest) < softmax.at(smallest) else "softmax"
    return f"Between {smallest:,} and {CHOICES[-1]:,} tokens {quicker} attention is quicker here throughout."


def _at(results: Results, tokens: int) -> str:
    """Compare the two at one number of tokens: as measured there, else by the fitted curves."""
    here = {cost.mechanism: cost.ms for cost in results.costs if cost.tokens == tokens and not cost.missing}
    measured = {"softmax", "linear"} <= here.keys()
    if not measured:
        here = {name: float(law.at(tokens)) for name, law in results.laws.items()}
    if not {"softmax", "linear"} <= here.keys():
        return ""
    ratio = here["softmax"] / here["linear"]
    gain = f"linear attention is {number(ratio)} times as fast"
    loss = f"linear attention loses: it takes {number(1 / ratio)} times as long"
    source = "measured" if measured else "by the fitted curves"
    times = ", ".join(f"{name} {number(here[name])} ms" for name in ("softmax", "linear"))
    return f"With {tokens:,} tokens, {source}: {times}; {gain if ratio >= 1 else loss}."


def _table(costs: Sequence[Cost], what: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return sizes (n), and each mechanism's costs (n), NaN where it was not measured."""
    sizes = sorted({cost.tokens for cost in costs})
    found = {(cost.mechanism, cost.tokens): getattr(cost, what) for cost in costs}
    return np.array(sizes, dtype=float), {
        name: np.array([found.get((name, size), np.nan) for size in sizes])
        for name in dict.fromkeys(cost.mechanism for cost in costs)
        if any(np.isfinite(found.get((name, size), np.nan)) for size in sizes)
    }


def cost_chart(results: Results, what: str, tokens: int) -> go.Figure:
    """Draw the measured points, for time also the fitted curves and where they cross.

    Args:
        results: of ``evaluate``.
        what: "ms" or "peak_mb".
        tokens: N that the learner chose, marked by a line.
    """
    sizes, measured = _table(results.costs, what)
    if not sizes.size or not measured:
        return go.Figure()
    figure = curve_twin(
        sizes,
        measured,
        LOOKS,
        Words(None, "tokens N", UNITS[what]),
        bands={},
        log_x=True,
        log_y=True,
        markers=True,
        spans={},
        height=HEIGHT,
    )
    if what == "ms":
        figure.update_traces(mode="markers")
        places, colors = np.geomspace(sizes[0], CHOICES[-1], 60), _colors(measured)
        for name, law in ((name, law) for name, law in results.laws.items() if name in colors):
            y, line = rounded(law.at(places)), {"color": colors[name], "width": 1.5}
            figure.add_scatter(x=rounded(places), y=y, mode="lines", line=line, showlegend=False, hoverinfo="skip")
        if results.crossing is not None:
            figure.add_scatter(
                x=[results.crossing],
                y=[float(results.laws["linear"].at(results.crossing))],
                name=escape(f"as quick: about {number(float(f'{results.crossing:.2g}'))} tokens"),
                mode="markers",
                marker={"symbol": "star-open", "size": 17, "color": "#cc79a7", "line": {"width": 3}},
            )
    figure.add_shape(
        type="line", x0=tokens, x1=tokens, y0=0, y1=1, yref="paper", line={"color": SOFT_INK, "dash": "dot"}
    )
    ticks = [16, 256, 4096, 65536]
    figure.update_xaxes(tickvals=ticks, ticktext=[number(tick) for tick in ticks])
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return figure


def _colors(measured: Mapping[str, Any]) -> dict[str, str]:
    return {name: color for name, (color, *_) in zip(measured, LOOKS, strict=False)}


def rival(name: str) -> Attention:
    """Return a rival as a function of q, k, v: one frame of tokens, as square as their number allows.

    Args:
        name: one of ``RIVALS``.

    Raises:
        ValueError: there is no such rival; and, when called, a number of tokens or a width that does not fit it.
    """
    if name not in RIVALS:
        raise ValueError(f"rival {name!r} is unknown: choose one of {', '.join(RIVALS)}")
    layers: dict[tuple[int, ...], Rival] = {}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, heads, tokens, e = q.shape
        h = next(side for side in range(math.isqrt(tokens), 0, -1) if tokens % side == 0)
        extent = Extent(1, h, tokens // h)
        if (heads, tokens, e) not in layers:
            layers[heads, tokens, e] = RIVALS[name](Setting(heads, e, "space", extent)).to(q.device)
        return layers[heads, tokens, e](q, k, v, extent)

    return attend


class CostLab(Panel):
    """Measure what attention costs on this machine, and compare it for a number of tokens that the learner moves.

    It measures once when it is made, and again when the learner asks, with other heads or another width.

    Args:
        budget: seconds for a measurement, about; larger sizes are left out where it does not suffice.
        device: "cpu" or "cuda"; a CPU works on one core.
        sizes: numbers of tokens to measure, at least 1 each.
        rivals: names in ``RIVALS`` to measure beside softmax and linear attention.
    """

    def __init__(
        self,
        *,
        budget: int | float = 5.0,
        device: str = "cpu",
        sizes: Sequence[int] = SIZES,
        rivals: Sequence[str] = (),
    ) -> None:
        if len(rivals) > MOST_RIVALS:
            raise ValueError(f"{len(rivals)} rivals cannot be told apart in one chart: choose at most {MOST_RIVALS}")
        self.rivals = {name: rival(name) for name in rivals}
        self.budget, self.device, self.sizes = budget, device, tuple(sizes)
        wide = {"style": {"description_width": "9em"}, "layout": ipywidgets.Layout(width="26em")}
        self.tokens = ipywidgets.SelectionSlider(
            options=[(f"{size:,}", size) for size in CHOICES], value=1024, description="tokens N", **wide
        )
        self.heads = ipywidgets.Dropdown(options=[1, 2, 4, 8], value=4, description="heads", **wide)
        self.width = ipywidgets.Dropdown(options=[16, 32, 64, 128], value=32, description="head width e", **wide)
        self.also = ipywidgets.Dropdown(options=["nothing", *RIVALS], description="measure also", **wide)
        self.what = ipywidgets.ToggleButtons(
            options=[("time", "ms"), ("memory", "peak_mb")], tooltips=list(UNITS.values())
        )
        self.button = ipywidgets.Button(description="Measure", tooltip="measure again with these heads and channels")
        self._state, self._words = ipywidgets.HTML(), ipywidgets.HTML()
        self.results, trouble = self._measure()
        self.chart = Chart(self._figure(), label="measured costs by number of tokens")
        super().__init__(
            [
                row(self.tokens),
                row(self.heads, self.width, self.also, self.button),
                self._state,
                self._words,
                self.what,
                self.chart,
            ]
        )
        self.tell(trouble)
        self._say_findings()
        self.button.on_click(lambda _: self.measure())
        for control in (self.heads, self.width, self.also):
            control.observe(lambda _: self._say(f"{self.measured} Press Measure for the new setting."), names="value")
        for control in (self.tokens, self.what):
            control.observe(lambda _: self._draw(), names="value")

    def measure(self) -> None:
        """Measure with the heads and the width that are set, and show what was found."""
        self.button.disabled = True
        self.results, trouble = self._measure()
        self.button.disabled = False
        self.tell(trouble)
        self._draw()

    def _measure(self) -> tuple[Results, str]:
        """Return what was found and, where nothing could be measured, why."""
        where = f"on {'one core' if self.device == 'cpu' else 'the GPU'}"
        heads = f"{self.heads.value} {'head' if self.heads.value == 1 else 'heads'}"
        self.measured = f"{heads} of {self.width.value} channels, float32, forward, {where}."
        setting = {"heads": self.heads.value, "e": self.width.value, "device": self.device}
        costs: list[Cost] = []
        trouble = ""
        try:
            for cost in measure(self.sizes, budget=self.budget, mechanisms=self._mechanisms(), **setting):
                costs.append(cost)
                self._say(f"Measuring for about {self.budget:g} s: {cost.mechanism}, {cost.tokens:,} tokens.")
        except (ValueError, RuntimeError) as error:
            trouble = f"Nothing more was measured: {error}"
        self._say(self.measured)
        return evaluate(costs), trouble

    def _mechanisms(self) -> dict[str, Attention]:
        """Return what is measured: the usual ones, the rivals, and the one that the learner added."""
        also = {} if self.also.value == "nothing" else {self.also.value: rival(self.also.value)}
        return {**MECHANISMS, **dict(list({**self.rivals, **also}.items())[-MOST_RIVALS:])}

    def snapshot(self) -> Picture:
        """Draw the measured times, or memory, as a static picture, the crossover marked."""
        what, words = self.what.value, findings(self.results, self.tokens.value)
        sizes, measured = _table(self.results.costs, what)
        if not sizes.size:
            sizes, measured = np.ones(1), {"nothing was measured": np.full(1, np.nan)}
        title = words[0] if words else None
        picture = curves(sizes, measured, xlabel="tokens N", ylabel=UNITS[what], log_x=True, log_y=True, title=title)
        (axes,) = picture.figure.axes
        colors = _colors(measured)
        for name, law in self.results.laws.items() if what == "ms" else ():
            axes.plot(sizes, law.at(sizes), color=colors[name], linewidth=1)
        if what == "ms" and self.results.crossing is not None:
            axes.axvline(self.results.crossing, color=SOFT_INK, linewidth=1, linestyle=":")
            label_above(axes, "as quick", self.results.crossing)
        return Picture(picture.figure, " ".join([picture.alt, self.measured, *words[1:]]))

    def _say(self, words: str) -> None:
        self._state.value = sentences([words])

    def _say_findings(self) -> None:
        self._words.value = sentences(findings(self.results, self.tokens.value))

    def _figure(self) -> go.Figure:
        return cost_chart(self.results, self.what.value, self.tokens.value)

    def _draw(self) -> None:
        self._say_findings()
        self.chart.draw(self._figure())
