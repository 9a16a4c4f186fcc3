"""The CostLab: what softmax and linear attention cost on this machine, and where linear attention becomes faster."""

import math
from collections.abc import Sequence

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from linvid_edu.attention.rivals import RIVALS, Rival, Setting
from linvid_edu.figures.cost import ATTENTION_FUNCTIONS, AttentionFunction, Cost, measure_costs
from linvid_edu.figures.plots import Picture, curves
from linvid_edu.figures.plots.charts import LOOKS, label_above
from linvid_edu.figures.plots.picture import SOFT_INK
from linvid_edu.shapes import Extent

from .chart import Chart
from .cost_summary import (
    TOKEN_CHOICES,
    UNITS,
    CostSummary,
    cost_chart,
    cost_table,
    findings,
    mechanism_colors,
    summarize_costs,
)
from .panel import Panel, html_list, side_by_side

MEASURED_TOKENS = tuple(2**power for power in range(4, 15))  # 16 to 16,384
MOST_RIVALS = len(LOOKS) - len(ATTENTION_FUNCTIONS)  # lines that can be told apart


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
        self.head_width = ipywidgets.Dropdown(options=[16, 32, 64, 128], value=32, description="head width d", **wide)
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
                side_by_side(self.heads, self.head_width, self.also, self.button),
                self._state,
                self._findings,
                self.what,
                self.chart,
            ]
        )
        self.report(trouble)
        self._show_findings()
        self.button.on_click(lambda _: self.measure())
        for control in (self.heads, self.head_width, self.also):
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
        self.measured = f"{heads} of {self.head_width.value} channels, float32, forward, {where}."
        setting = {"heads": self.heads.value, "d": self.head_width.value, "device": self.device}
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
        sizes, measured = cost_table(self.results.costs, what)
        if not sizes.size:
            sizes, measured = np.ones(1), {"nothing was measured": np.full(1, np.nan)}
        title = lines[0] if lines else None
        picture = curves(sizes, measured, xlabel="tokens N", ylabel=UNITS[what], log_x=True, log_y=True, title=title)
        (axes,) = picture.figure.axes
        colors = mechanism_colors(measured)
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
