"""TrainingMonitor: the curves of a training while it runs, and still there when it is interrupted."""

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
from .panel import Panel, sentences

WINDOW = 20  # steps that a curve is averaged over
POINTS = 400  # of a curve at most, so that a long run is drawn as quickly as a short one
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # one for each panel; each shows on a light and a dark page
HEIGHT = 460  # pixels of the four charts
SHARE = 0.02  # of the time at most goes into drawing
PANELS = {
    "loss": "cross entropy, nats",
    "accuracy": "accuracy of the batch",
    "learning_rate": "learning rate",
    "speed": "clips a second",
}


def learning_curves(records: Sequence[Record], seconds: Sequence[int | float], batch: int) -> dict[str, np.ndarray]:
    """Turn the records of a run into curves short enough to draw.

    Loss and accuracy are means of the last 20 steps, those that are not finite left out; speed is
    batch · steps / seconds over these steps.

    Args:
        records: of each step so far.
        seconds: what each step took.
        batch: clips of a step.

    Returns:
        ``step`` and the names in ``PANELS``, (n) each with n ≤ 400; the last point is the last step.
    """
    places = np.unique(np.linspace(0, max(0, len(records) - 1), min(POINTS, len(records))).round().astype(int))
    columns = (
        np.array([(each.step, each.loss, each.accuracy, each.learning_rate) for each in records], dtype=float)
        .reshape(-1, 4)
        .T
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "step": columns[0],
            "loss": _recent(columns[1]),
            "accuracy": _recent(columns[2]),
            "learning_rate": columns[3],
            "speed": batch / _recent(np.asarray(seconds, dtype=float)),
        }
    return {name: values[places] for name, values in found.items()}


def _recent(values: np.ndarray) -> np.ndarray:
    """Return the mean of the last 20 finite values up to each place; NaN where there is none."""
    known = np.isfinite(values)
    total, count = (np.concatenate([[0.0], np.cumsum(each)]) for each in (np.where(known, values, 0.0), known))
    start = np.maximum(np.arange(len(values)) + 1 - WINDOW, 0)
    return (total[1:] - total[start]) / (count[1:] - count[start])


class TrainingMonitor(Panel):
    """Show loss, accuracy, learning rate and speed of a training while it runs, and yield its records on.

        for record in TrainingMonitor(train(…), batch=config.batch, steps=config.steps):
            …

    shows itself where the loop starts. Or show it in a cell of its own, and loop over ``monitor.watch(train(…))``.

    Interrupting the kernel ends the loop as if the records had ended: the curves stay, the cell goes on below the loop.
    Where the interrupt hits what the loop itself does, not the training, it is raised as ever, and the curves stay.

    Args:
        records: what ``train`` yields; None for ``watch`` to bring.
        every: seconds between two redraws, at least 0.1; more where drawing takes more than 2 % of the time.
        batch: clips of a step; with 1, speed counts steps.
        steps: how many the run has, to say how far it is; None says nothing.
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
            self.shown_as(name)
        try:
            yield from self.watch(self.records)
        finally:
            if get_ipython():
                self.shown_as(name, update=True)  # so that the picture, for where no widget runs, is the last one

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records on, and draw the curves a few times a second, and once more at the end.

        Raises:
            Diverged: as the training did, after the widget has said so.
        """
        self.history, self.seconds = [], []
        self.tell("")
        source, drawn, ended = iter(records), -math.inf, "stopped"
        try:
            while True:
                start = time.perf_counter()
                record = next(source, None)
                now = time.perf_counter()
                if record is None:
                    ended = "finished"
                    return
                self.history.append(record)
                self.seconds.append(now - start)
                if not math.isfinite(record.loss):
                    self.tell(f"The loss of step {record.step:,} is {number(record.loss)}: try a lower learning rate.")
                if now >= drawn:
                    self._draw("running")
                    took = time.perf_counter() - now
                    drawn = now + max(self.every, took / SHARE)
                yield record
        except KeyboardInterrupt:
            ended = "interrupted; what there is stays"
        except Diverged as error:
            self.tell(f"The training stopped: {error}.")
            raise
        finally:
            self._draw(ended)

    def snapshot(self, what: str = "loss") -> Picture:
        """Draw one curve as a static picture, without a browser.

        Args:
            what: "loss", "accuracy", "learning_rate" or "speed".

        Raises:
            ValueError: there is no such curve.
        """
        if what not in PANELS:
            raise ValueError(f"what={what!r} is no curve: choose one of {', '.join(PANELS)}")
        found = learning_curves(self.history, self.seconds, self.batch)
        x, y = (found["step"], found[what]) if self.history else (np.ones(1), np.full(1, math.nan))
        picture = curves(
            x, {PANELS[what]: y}, xlabel="step", ylabel=PANELS[what], markers=len(x) < 2, title=self._summary()
        )
        return Picture(picture.figure, sentence("Curves of a training", picture.alt))

    def _summary(self) -> str:
        """Say how far the run is, and its latest numbers."""
        if not self.history:
            return "no step yet"
        found = learning_curves(self.history, self.seconds, self.batch)
        far = f"step {self.history[-1].step:,}" + (f" of {self.steps:,}" if self.steps else "")
        speed = f"{number(found['speed'][-1])} {'clips' if self.batch > 1 else 'steps'} a second"
        loss, accuracy = (number(found[name][-1]) for name in ("loss", "accuracy"))
        return f"{far}: loss {loss} nats, accuracy {accuracy}, {speed}"

    def _draw(self, state: str) -> None:
        self._state.value = sentences([f"{self._summary()}; {state}"])
        found = learning_curves(self.history, self.seconds, self.batch)
        x, shown = rounded(found["step"], 9), self.chart.figure  # plotly would take longer to build it anew
        data = [
            {**trace, "x": x, "y": rounded(found[name], 5)} for trace, name in zip(shown["data"], PANELS, strict=True)
        ]
        self.chart.figure = {**shown, "data": data}


def _four_panels(batch: int) -> go.Figure:
    """Draw four empty panels, one for each curve."""
    titles = {**PANELS, "speed": PANELS["speed"] if batch > 1 else "steps a second"}
    figure = make_subplots(2, 2, subplot_titles=list(titles.values()), vertical_spacing=0.2, horizontal_spacing=0.12)
    for index, color in enumerate(COLORS):
        line = {"color": color, "width": 2}
        trace = go.Scatter(x=[], y=[], mode="lines", line=line, hovertemplate="step %{x}: %{y:.4~g}<extra></extra>")
        figure.add_trace(trace, row=index // 2 + 1, col=index % 2 + 1)
    figure.update_layout(showlegend=False, height=HEIGHT, margin={"l": 60, "r": 20, "t": 40, "b": 50})
    figure.update_xaxes(title={"text": "step", "standoff": 4}, zeroline=False, rangemode="tozero", nticks=6)
    figure.update_yaxes(zeroline=False, nticks=5, rangemode="tozero")
    return figure
