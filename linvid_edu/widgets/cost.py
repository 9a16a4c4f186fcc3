"""The CostLab: what softmax and linear attention cost on this machine, and where linear attention becomes faster."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from linvid_edu.attention.rivals import RIVALS, Rival, Setting
from linvid_edu.figures.cost import (
    ATTENTION_FUNCTIONS,
    AttentionFunction,
    Cost,
    PowerLaw,
    crossover,
    fit_power_law,
    measure_costs,
)
from linvid_edu.figures.plots import Picture, curves
from linvid_edu.figures.plots.charts import LOOKS, label_above
from linvid_edu.figures.plots.interactive import curve_twin, plotly_text, rounded
from linvid_edu.figures.plots.picture import SOFT_INK, Words, number
from linvid_edu.shapes import Extent

from .chart import Chart
from .panel import Panel, html_list, side_by_side

MEASURED_TOKENS = tuple(2**power for power in range(4, 15))  # 16 to 16,384
TOKEN_CHOICES = tuple(2**power for power in range(4, 17))  # 16 to 65,536: the fitted curves reach further
UNITS = {"ms": "time, ms", "peak_mb": "memory beside q, k and v, MB"}
MOST_RIVALS = len(LOOKS) - len(ATTENTION_FUNCTIONS)  # lines that can be told apart
CHART_PIXELS = 400
LEGEND_BELOW = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}  # in units of the plot's height


class CostSummary(NamedTuple):
    """Measured costs and what follows from them.

    costs: One row for each size and mechanism
    laws: Mechanism to the fitted law of its time; without those that were measured at fewer than 3 sizes
    crossing: Number of tokens above which linear attention is quicker than softmax attention; None if there is none
    """

    costs: list[Cost]
    laws: dict[str, PowerLaw]
    crossing: float | None


def summarize_costs(costs: Sequence[Cost]) -> CostSummary:
    """Fit the times of every mechanism, and find where linear attention becomes quicker than softmax attention.

    Args:
        costs: Rows as ``measure_costs`` yields them.
    """
    costs = list(costs)
    laws = {}
    for name in dict.fromkeys(cost.mechanism for cost in costs):
        measured = [cost for cost in costs if cost.mechanism == name and not cost.missing]
        if len(measured) >= 3:
            laws[name] = fit_power_law([cost.tokens for cost in measured], [cost.ms for cost in measured])
    crossing = None
    if {"softmax", "linear"} <= laws.keys():
        crossing = crossover(laws["softmax"], laws["linear"], min(cost.tokens for cost in costs), TOKEN_CHOICES[-1])
    return CostSummary(costs, laws, crossing)


def findings(summary: CostSummary, tokens: int) -> list[str]:
    """Describe what was measured: where linear attention is slower, and what a number of tokens costs.

    Args:
        summary: Result of ``summarize_costs``.
        tokens: Number of tokens N that the learner chose.

    Returns:
        Sentences, the most important one first; none if nothing was measured.
    """
    lines = [_comparison(summary), _at(summary, tokens)]
    powers = [f"N^{law.exponent:.2f} ({name})" for name, law in summary.laws.items()]
    if powers:
        lines.append(f"By the fitted curves, time grows as {', '.join(powers)}, beside a constant overhead.")
    maps = [cost for cost in summary.costs if cost.mechanism == "softmax, explicit map" and not cost.missing]
    if maps:
        fused = next(cost for cost in summary.costs if (cost.mechanism, cost.tokens) == ("softmax", maps[-1].tokens))
        lines.append(
            f"Memory: with {maps[-1].tokens:,} tokens the explicit map takes {number(maps[-1].peak_mb)} MB, the fused"
            f" softmax kernel, which never stores it, {number(fused.peak_mb)} MB."
        )
    first_missing = {cost.mechanism: cost for cost in reversed(summary.costs) if cost.missing}
    lines += [f"Not measured: {name}, {cost.tokens:,} tokens, {cost.missing}." for name, cost in first_missing.items()]
    return [line for line in lines if line]


def _comparison(summary: CostSummary) -> str:
    if not {"softmax", "linear"} <= summary.laws.keys():
        return ""
    if summary.crossing is not None:
        about = number(float(f"{summary.crossing:.2g}"))
        return f"Below about {about} tokens softmax attention is quicker here, above it linear attention is."
    smallest, linear, softmax = TOKEN_CHOICES[0], summary.laws["linear"], summary.laws["softmax"]
    quicker = "linear" if linear.at(smallest) < softmax.at(smallest) else "softmax"
    return f"Between {smallest:,} and {TOKEN_CHOICES[-1]:,} tokens {quicker} attention is quicker here throughout."


def _at(summary: CostSummary, tokens: int) -> str:
    """Compare the two at one number of tokens: as measured, or by the fitted curves if it was not measured."""
    times = {cost.mechanism: cost.ms for cost in summary.costs if cost.tokens == tokens and not cost.missing}
    measured = {"softmax", "linear"} <= times.keys()
    if not measured:
        times = {name: float(law.at(tokens)) for name, law in summary.laws.items()}
    if not {"softmax", "linear"} <= times.keys():
        return ""
    ratio = times["softmax"] / times["linear"]
    gain = f"linear attention is {number(ratio)} times as fast"
    loss = f"linear attention is slower: it takes {number(1 / ratio)} times as long"
    source = "measured" if measured else "by the fitted curves"
    both = ", ".join(f"{name} {number(times[name])} ms" for name in ("softmax", "linear"))
    return f"With {tokens:,} tokens, {source}: {both}; {gain if ratio >= 1 else loss}."


def _table(costs: Sequence[Cost], what: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return sizes (n), and each mechanism's costs (n), NaN where it was not measured."""
    sizes = sorted({cost.tokens for cost in costs})
    values = {(cost.mechanism, cost.tokens): getattr(cost, what) for cost in costs}
    return np.array(sizes, dtype=float), {
        name: np.array([values.get((name, size), np.nan) for size in sizes])
        for name in dict.fromkeys(cost.mechanism for cost in costs)
        if any(np.isfinite(values.get((name, size), np.nan)) for size in sizes)
    }


def cost_chart(summary: CostSummary, what: str, tokens: int) -> go.Figure:
    """Draw the measured points; for time also the fitted curves and where they cross.

    Args:
        summary: Result of ``summarize_costs``.
        what: "ms" or "peak_mb".
        tokens: Number of tokens N that the learner chose, marked by a line.
    """
    sizes, measured = _table(summary.costs, what)
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
        height=CHART_PIXELS,
    )
    if what == "ms":
        figure.update_traces(mode="markers")
        places, colors = np.geomspace(sizes[0], TOKEN_CHOICES[-1], 60), _colors(measured)
        for name, law in ((name, law) for name, law in summary.laws.items() if name in colors):
            y, line = rounded(law.at(places)), {"color": colors[name], "width": 1.5}
            figure.add_scatter(x=rounded(places), y=y, mode="lines", line=line, showlegend=False, hoverinfo="skip")
        if summary.crossing is not None:
            figure.add_scatter(
                x=[summary.crossing],
                y=[float(summary.laws["linear"].at(summary.crossing))],
                name=plotly_text(f"equally quick: about {number(float(f'{summary.crossing:.2g}'))} tokens"),
                mode="markers",
                marker={"symbol": "star-open", "size": 17, "color": "#cc79a7", "line": {"width": 3}},
            )
    figure.add_shape(
        type="line", x0=tokens, x1=tokens, y0=0, y1=1, yref="paper", line={"color": SOFT_INK, "dash": "dot"}
    )
    ticks = [16, 256, 4096, 65536]
    figure.update_xaxes(tickvals=ticks, ticktext=[number(tick) for tick in ticks])
    figure.update_layout(legend=LEGEND_BELOW)  # above the plot, the tool bar would cover it
    return figure


def _colors(measured: Mapping[str, Any]) -> dict[str, str]:
    return {name: color for name, (color, *_) in zip(measured, LOOKS, strict=False)}


def rival_attention(name: str) -> AttentionFunction:
    """Return a rival as a function of q, k and v that treats the tokens as one frame, as nearly square as possible.

    Args:
        name: Name in ``RIVALS``.

    Raises:
        ValueError: There is no such rival. The function raises it if the number of tokens or the head width does not
            fit the rival.
    """
    if name not in RIVALS:
        raise ValueError(f"rival {name!r} is unknown: choose one of {', '.join(RIVALS)}")
    layers: dict[tuple[int, ...], Rival] = {}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, heads, tokens, d = q.shape
        h = next(side for side in range(math.isqrt(tokens), 0, -1) if tokens % side == 0)
        extent = Extent(1, h, tokens // h)
        if (heads, tokens, d) not in layers:
            layers[heads, tokens, d] = RIVALS[name](Setting(heads, d, "space", extent)).to(q.device)
        return layers[heads, tokens, d](q, k, v, extent)

    return attend


class CostLab(Panel):
    """Measure what attention costs on this machine, and compare it for a number of tokens that the learner chooses.

    It measures at construction, and again when the learner presses Measure, with other heads or another head width.

    Args:
        budget: Approximate seconds that a measurement takes; sizes that would take longer are left out.
        device: "cpu", of which one core is used, or "cuda".
        sizes: Numbers of tokens to measure, at least 1 each.
        rivals: Names in ``RIVALS`` to measure beside softmax and linear attention.
    """

    def __init__(
        self,
        *,
        budget: int | float = 5.0,
        device: str = "cpu",
        sizes: Sequence[int] = MEASURED_TOKENS,
        rivals: Sequence[str] = (),
    ) -> None:
        if len(rivals) > MOST_RIVALS:
            raise ValueError(f"{len(rivals)} rivals cannot be told apart in one chart: choose at most {MOST_RIVALS}")
        self.rivals = {name: rival_attention(name) for name in rivals}
        self.budget, self.device, self.sizes = budget, device, tuple(sizes)
        wide = {"style": {"description_width": "9em"}, "layout": ipywidgets.Layout(width="26em")}
        self.tokens = ipywidgets.SelectionSlider(
            options=[(f"{size:,}", size) for size in TOKEN_CHOICES], value=1024, description="tokens N", **wide
        )
        self.heads = ipywidgets.Dropdown(options=[1, 2, 4, 8], value=4, description="heads", **wide)
        self.width = ipywidgets.Dropdown(options=[16, 32, 64, 128], value=32, description="head width d", **wide)
        self.also = ipywidgets.Dropdown(options=["nothing", *RIVALS], description="measure also", **wide)
        self.what = ipywidgets.ToggleButtons(
            options=[("time", "ms"), ("memory", "peak_mb")], tooltips=list(UNITS.values())
        )
        self.button = ipywidgets.Button(description="Measure", tooltip="measure again with these heads and channels")
        self._state, self._findings = ipywidgets.HTML(), ipywidgets.HTML()
        self.results, trouble = self._measure()
        self.chart = Chart(self._figure(), label="measured costs by number of tokens")
        super().__init__(
            [
                side_by_side(self.tokens),
                side_by_side(self.heads, self.width, self.also, self.button),
                self._state,
                self._findings,
                self.what,
                self.chart,
            ]
        )
        self.report(trouble)
        self._show_findings()
        self.button.on_click(lambda _: self.measure())
        for control in (self.heads, self.width, self.also):
            control.observe(
                lambda _: self._show_state(f"{self.measured} Press Measure for the new setting."), names="value"
            )
        for control in (self.tokens, self.what):
            control.observe(lambda _: self._draw(), names="value")

    def measure(self) -> None:
        """Measure with the chosen heads and head width, and show the result."""
        self.button.disabled = True
        self.results, trouble = self._measure()
        self.button.disabled = False
        self.report(trouble)
        self._draw()

    def _measure(self) -> tuple[CostSummary, str]:
        """Return the costs, and a message about what could not be measured, "" if nothing went wrong."""
        where = f"on {'one core' if self.device == 'cpu' else 'the GPU'}"
        heads = f"{self.heads.value} {'head' if self.heads.value == 1 else 'heads'}"
        self.measured = f"{heads} of {self.width.value} channels, float32, forward, {where}."
        setting = {"heads": self.heads.value, "d": self.width.value, "device": self.device}
        costs: list[Cost] = []
        trouble = ""
        try:
            for cost in measure_costs(self.sizes, budget=self.budget, mechanisms=self._mechanisms(), **setting):
                costs.append(cost)
                self._show_state(f"Measuring for about {self.budget:g} s: {cost.mechanism}, {cost.tokens:,} tokens.")
        except (ValueError, RuntimeError) as error:
            trouble = f"Nothing more was measured: {error}"
        self._show_state(self.measured)
        return summarize_costs(costs), trouble

    def _mechanisms(self) -> dict[str, AttentionFunction]:
        """Return the mechanisms to measure: the usual ones, the rivals, and the one that the learner added."""
        also = {} if self.also.value == "nothing" else {self.also.value: rival_attention(self.also.value)}
        return {**ATTENTION_FUNCTIONS, **dict(list({**self.rivals, **also}.items())[-MOST_RIVALS:])}

    def snapshot(self) -> Picture:
        """Draw the measured times, with the crossover, or the measured memory as a static picture."""
        what, lines = self.what.value, findings(self.results, self.tokens.value)
        sizes, measured = _table(self.results.costs, what)
        if not sizes.size:
            sizes, measured = np.ones(1), {"nothing was measured": np.full(1, np.nan)}
        title = lines[0] if lines else None
        picture = curves(sizes, measured, xlabel="tokens N", ylabel=UNITS[what], log_x=True, log_y=True, title=title)
        (axes,) = picture.figure.axes
        colors = _colors(measured)
        for name, law in self.results.laws.items() if what == "ms" else ():
            axes.plot(sizes, law.at(sizes), color=colors[name], linewidth=1)
        if what == "ms" and self.results.crossing is not None:
            axes.axvline(self.results.crossing, color=SOFT_INK, linewidth=1, linestyle=":")
            label_above(axes, "equally quick", self.results.crossing)
        return Picture(picture.figure, " ".join([picture.alt, self.measured, *lines[1:]]))

    def _show_state(self, state: str) -> None:
        self._state.value = html_list([state])

    def _show_findings(self) -> None:
        self._findings.value = html_list(findings(self.results, self.tokens.value))

    def _figure(self) -> go.Figure:
        return cost_chart(self.results, self.what.value, self.tokens.value)

    def _draw(self) -> None:
        self._show_findings()
        self.chart.draw(self._figure())
