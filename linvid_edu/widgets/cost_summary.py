"""What measured costs of attention say: fitted laws, where linear attention becomes faster, sentences and a chart."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from linvid_edu.figures.cost import Cost, PowerLaw, crossover, fit_power_law
from linvid_edu.figures.plots.charts import LOOKS
from linvid_edu.figures.plots.interactive import curve_twin, plotly_text, rounded
from linvid_edu.figures.plots.picture import SOFT_INK, Words, number

TOKEN_CHOICES = tuple(
    2**power for power in range(4, 17)
)  # 16 to 65,536: the fitted curves reach further than the measurement
UNITS = {"ms": "time, ms", "peak_mb": "memory beside q, k and v, MB"}
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


def cost_table(costs: Sequence[Cost], what: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
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
    sizes, measured = cost_table(summary.costs, what)
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
        places, colors = np.geomspace(sizes[0], TOKEN_CHOICES[-1], 60), mechanism_colors(measured)
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


def mechanism_colors(measured: Mapping[str, Any]) -> dict[str, str]:
    """Return the color of each mechanism in the chart."""
    return {name: color for name, (color, *_) in zip(measured, LOOKS, strict=False)}
