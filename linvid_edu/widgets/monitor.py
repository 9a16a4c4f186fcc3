"""The TrainingMonitor: live curves of a training run, which stay visible if the run is interrupted."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from uuid import uuid4

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from IPython import get_ipython
from plotly.subplots import make_subplots

from linvid_edu.figures.plots import Picture, curves
from linvid_edu.figures.plots.interactive import rounded
from linvid_edu.figures.plots.picture import number, sentence
from linvid_edu.training.loop import Diverged, Record

from .chart import Chart
from .panel import Panel, html_list

WINDOW_STEPS = 20  # averaged for one point of a curve
MOST_DRAWN = 400  # of a curve, so that drawing a long run takes no longer than drawing a short one
PANEL_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # of the panels, visible on a light and on a dark page
PANELS_PIXELS = 460
DRAWING_SHARE = 0.02  # the largest share of the time that goes into drawing
PANELS = {
    "loss": "cross entropy, nats",
    "accuracy": "accuracy of the batch",
    "learning_rate": "learning rate",
    "speed": "clips a second",
}


def learning_curves(records: Sequence[Record], seconds: Sequence[int | float], batch: int) -> dict[str, np.ndarray]:
    """Turn the records of a run into curves short enough to draw.

    Loss and accuracy are means of the finite values of the last 20 steps; speed is batch · steps / seconds over these
    steps.

    Args:
        records: Records of all steps so far.
        seconds: Duration of each step.
        batch: Number of clips in a step.

    Returns:
        ``step`` and the names in ``PANELS``, (n) each with n ≤ 400; the last point is the last step.
    """
    places = np.unique(np.linspace(0, max(0, len(records) - 1), min(MOST_DRAWN, len(records))).round().astype(int))
    rows = [(record.step, record.loss, record.accuracy, record.learning_rate) for record in records]
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    with np.errstate(invalid="ignore", divide="ignore"):
        smoothed = {
            "step": columns[0],
            "loss": _recent(columns[1]),
            "accuracy": _recent(columns[2]),
            "learning_rate": columns[3],
            "speed": batch / _recent(np.asarray(seconds, dtype=float)),
        }
    return {name: values[places] for name, values in smoothed.items()}


def _recent(values: np.ndarray) -> np.ndarray:
    """Return the mean of the finite values among the last 20 up to each place; NaN if there is none."""
    finite = np.isfinite(values)
    total, count = (np.concatenate([[0.0], np.cumsum(terms)]) for terms in (np.where(finite, values, 0.0), finite))
    start = np.maximum(np.arange(len(values)) + 1 - WINDOW_STEPS, 0)
    return (total[1:] - total[start]) / (count[1:] - count[start])


class TrainingMonitor(Panel):
    """Show loss, accuracy, learning rate and speed of a training while it runs, and yield its records.

        for record in TrainingMonitor(train(…), batch=config.batch, steps=config.steps):
            …

    This monitor appears when the loop starts. You can also show one in a cell of its own, and loop over
    ``monitor.watch(train(…))``.

    Interrupting the kernel ends the loop as if the records had ended: the curves stay, and the cell continues after the
    loop. An interrupt in the body of the loop is raised as usual; the curves stay then, too.

    Args:
        records: Records as ``train`` yields them; None if ``watch`` will get them.
        every: Seconds between two redraws, at least 0.1; it becomes longer if drawing takes over 2 % of the time.
        batch: Number of clips in a step; with 1, speed counts steps.
        steps: Number of steps of the whole run, for the progress; None leaves it out.
    """

    def __init__(
        self,
        records: Iterable[Record] | None = None,
        *,
        every: int | float = 0.5,
        batch: int = 1,
        steps: int | None = None,
    ) -> None:
        if not every >= 0.1:
            raise ValueError(f"every={every} s redraws too often: choose 0.1 s or more")
        self.records, self.every, self.batch, self.steps = records, every, batch, steps
        self.history: list[Record] = []
        self.seconds: list[float] = []
        self._state, self.chart = ipywidgets.HTML(), Chart(_four_panels(batch), label="curves of the training")
        super().__init__([self._state, self.chart])
        self._draw("waiting for the first step")

    def __iter__(self) -> Iterator[Record]:
        """Show the monitor and watch its records."""
        if self.records is None:
            raise ValueError("this monitor has no records of its own: loop over monitor.watch(train(…))")
        name = f"training-{uuid4().hex}"
        if get_ipython():
            self.show_in_cell(name)
        try:
            yield from self.watch(self.records)
        finally:
            if get_ipython():
                self.show_in_cell(name, update=True)  # refresh the static picture

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, and draw the curves a few times a second and once more at the end.

        Raises:
            Diverged: The training diverged; the widget shows the reason as well.
        """
        self.history, self.seconds = [], []
        self.report("")
        source, next_drawing, end = iter(records), -math.inf, "stopped"
        try:
            while True:
                start = time.perf_counter()
                record = next(source, None)
                now = time.perf_counter()
                if record is None:
                    end = "finished"
                    return
                self.history.append(record)
                self.seconds.append(now - start)
                if not math.isfinite(record.loss):
                    self.report(
                        f"The loss of step {record.step:,} is {number(record.loss)}: try a lower learning rate."
                    )
                if now >= next_drawing:
                    self._draw("running")
                    took = time.perf_counter() - now
                    next_drawing = now + max(self.every, took / DRAWING_SHARE)
                yield record
        except KeyboardInterrupt:
            end = "interrupted; the curves stay"
        except Diverged as error:
            self.report(f"The training stopped: {error}.")
            raise
        finally:
            self._draw(end)

    def snapshot(self, what: str = "loss") -> Picture:
        """Draw one curve as a static picture, without a browser.

        Args:
            what: "loss", "accuracy", "learning_rate" or "speed".

        Raises:
            ValueError: There is no such curve.
        """
        if what not in PANELS:
            raise ValueError(f"what={what!r} is unknown: choose one of {', '.join(PANELS)}")
        drawn = learning_curves(self.history, self.seconds, self.batch)
        x, y = (drawn["step"], drawn[what]) if self.history else (np.ones(1), np.full(1, math.nan))
        picture = curves(
            x, {PANELS[what]: y}, xlabel="step", ylabel=PANELS[what], markers=len(x) < 2, title=self._summary()
        )
        return Picture(picture.figure, sentence("Curves of a training", picture.alt))

    def _summary(self) -> str:
        """Describe how far the run is, and its latest numbers."""
        if not self.history:
            return "no step yet"
        latest = {name: y[-1] for name, y in learning_curves(self.history, self.seconds, self.batch).items()}
        progress = f"step {self.history[-1].step:,}" + (f" of {self.steps:,}" if self.steps else "")
        speed = f"{number(latest['speed'])} {'clips' if self.batch > 1 else 'steps'} a second"
        loss, accuracy = (number(latest[name]) for name in ("loss", "accuracy"))
        return f"{progress}: loss {loss} nats, accuracy {accuracy}, {speed}"

    def _draw(self, state: str) -> None:
        self._state.value = html_list([f"{self._summary()}; {state}"])
        drawn = learning_curves(self.history, self.seconds, self.batch)
        x, figure = rounded(drawn["step"], 9), self.chart.figure  # plotly would take longer to build a new one
        data = [
            {**trace, "x": x, "y": rounded(drawn[name], 5)} for trace, name in zip(figure["data"], PANELS, strict=True)
        ]
        self.chart.figure = {**figure, "data": data}


def _four_panels(batch: int) -> go.Figure:
    """Draw four empty panels, one for each curve."""
    titles = {**PANELS, "speed": PANELS["speed"] if batch > 1 else "steps a second"}
    figure = make_subplots(2, 2, subplot_titles=list(titles.values()), vertical_spacing=0.2, horizontal_spacing=0.12)
    for index, color in enumerate(PANEL_COLORS):
        line = {"color": color, "width": 2}
        trace = go.Scatter(x=[], y=[], mode="lines", line=line, hovertemplate="step %{x}: %{y:.4~g}<extra></extra>")
        figure.add_trace(trace, row=index // 2 + 1, col=index % 2 + 1)
    figure.update_layout(showlegend=False, height=PANELS_PIXELS, margin={"l": 60, "r": 20, "t": 40, "b": 50})
    figure.update_xaxes(title={"text": "step", "standoff": 4}, zeroline=False, rangemode="tozero", nticks=6)
    figure.update_yaxes(zeroline=False, nticks=5, rangemode="tozero")
    return figure
