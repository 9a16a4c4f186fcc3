"""A monitor yields the records, draws seldom enough, and keeps the curves however a training ends."""

import math

import numpy as np
import pytest

from linvid_edu.training.loop import Diverged, Record
from linvid_edu.widgets import TrainingMonitor
from linvid_edu.widgets.monitor import DRAWING_SHARE, MOST_DRAWN, learning_curves


def records(count, loss=lambda step: 2 / step):
    return [Record(step, loss(step), step / (count + 1), 1e-3, 1.0) for step in range(1, count + 1)]


def ending_with(error, count=3):
    """Yield some records, then raise."""
    yield from records(count)
    raise error


def shown(monitor):
    """Return the values of a chart by its curve."""
    names = ("loss", "accuracy", "rate", "speed")
    return {name: trace["y"] for name, trace in zip(names, monitor.chart.figure["data"], strict=True)}


def test_the_records_come_through_unchanged():
    monitor = TrainingMonitor(records(5), batch=16, steps=5)
    assert list(monitor) == records(5)
    assert monitor.history == records(5)
    assert "step 5 of 5" in monitor._state.value
    assert "finished" in monitor._state.value
    assert len(shown(monitor)["loss"]) == 5


def test_curves_are_means_of_the_last_steps_and_speed_counts_clips():
    curves_of_run = learning_curves(records(40, loss=float), [0.5] * 40, batch=16)
    assert curves_of_run["loss"][0] == 1
    assert curves_of_run["loss"][-1] == np.mean(range(21, 41))
    assert curves_of_run["speed"] == pytest.approx(np.full(40, 32))
    assert curves_of_run["learning_rate"] == pytest.approx(np.full(40, 1e-3))


def test_long_runs_are_drawn_with_few_points_up_to_the_last_step():
    curves_of_run = learning_curves(records(5000), [0.1] * 5000, batch=1)
    assert len(curves_of_run["step"]) == MOST_DRAWN
    assert (curves_of_run["step"][0], curves_of_run["step"][-1]) == (1, 5000)


def test_losses_that_are_not_finite_leave_the_others_as_they_are():
    curves_of_run = learning_curves(records(4, loss=lambda step: math.nan if step == 2 else 1.0), [1.0] * 4, batch=1)
    assert curves_of_run["loss"].tolist() == [1, 1, 1, 1]
    only = learning_curves(records(2, loss=lambda step: math.inf), [1.0] * 2, batch=1)
    assert np.isnan(only["loss"]).all()


def test_a_loss_that_is_not_finite_is_reported():
    monitor = TrainingMonitor(records(3, loss=lambda step: math.nan if step == 2 else 1.0))
    assert len(list(monitor)) == 3
    assert "The loss of step 2 is not a number: try a lower learning rate." in monitor.trouble


def test_a_divergence_is_reported_and_raised():
    monitor = TrainingMonitor(ending_with(Diverged("the loss of step 4 is nan: try a lower learning rate than 3")))
    with pytest.raises(Diverged):
        list(monitor)
    assert "try a lower learning rate than 3" in monitor.trouble
    assert len(shown(monitor)["loss"]) == 3


def test_an_interrupt_ends_the_loop_and_leaves_the_curves():
    monitor = TrainingMonitor(ending_with(KeyboardInterrupt()), steps=100)
    assert list(monitor) == records(3)
    assert "step 3 of 100" in monitor._state.value
    assert "interrupted" in monitor._state.value
    assert len(shown(monitor)["loss"]) == 3
    assert "goes from 2 at 1" in monitor.snapshot().alt


def test_an_interrupt_of_the_loops_own_work_is_raised_and_leaves_the_curves():
    monitor = TrainingMonitor(records(10))

    def body():
        for record in monitor:
            if record.step == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    assert len(shown(monitor)["loss"]) == 4
    assert "stopped" in monitor._state.value


class Clock:
    """A clock that only moves when told, in place of ``time``."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.mark.parametrize(("drawing", "every"), [(0.3, 0.5), (0.001, 0.5), (0.05, 0.1)])
def test_drawing_takes_a_small_share_of_the_time(monkeypatch, drawing, every):
    clock, drawn = Clock(), []
    monkeypatch.setattr("linvid_edu.widgets.monitor.time", clock)
    monitor = TrainingMonitor(every=every)

    def draw(state):
        drawn.append((clock.now, state))
        clock.now += drawing

    def slow_records():
        for record in records(5000):
            clock.now += 0.02
            yield record

    monkeypatch.setattr(monitor, "_draw", draw)
    assert len(list(monitor.watch(slow_records()))) == 5000
    *while_running, last = drawn
    assert {state for _, state in while_running} == {"running"}
    assert last[1] == "finished"
    pauses = np.diff([begin for begin, _ in while_running])
    period = max(every, drawing / DRAWING_SHARE)
    assert len(pauses) > 5
    assert (pauses >= period - 1e-6).all()
    assert (pauses <= period + drawing + 0.04).all()  # the first record after that time


def test_watching_again_starts_anew():
    monitor = TrainingMonitor()
    list(monitor.watch(records(3)))
    list(monitor.watch(records(2)))
    assert len(monitor.history) == 2


def test_pictures_of_every_curve_without_a_browser():
    monitor = TrainingMonitor(batch=16)
    assert "no step yet" in monitor.snapshot().alt
    list(monitor.watch(records(30)))
    for what, words in (("loss", "nats"), ("accuracy", "accuracy"), ("learning_rate", "rate"), ("speed", "clips")):
        assert words in monitor.snapshot(what).alt
    with pytest.raises(ValueError, match="choose one of loss, accuracy"):
        monitor.snapshot("no such curve")
    data, metadata = monitor._repr_mimebundle_()
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= data.keys()
    assert "step 30" in metadata["image/png"]["alt"]


def test_invalid_arguments_raise():
    with pytest.raises(ValueError, match=r"choose 0\.1 s or more"):
        TrainingMonitor(every=0.0)
    with pytest.raises(ValueError, match=r"monitor\.watch"):
        list(TrainingMonitor())
