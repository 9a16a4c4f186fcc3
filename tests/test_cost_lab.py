"""Costs are measured within budget and memory, fitted to laws, and described; made-up times show each case."""

import math
import time

import numpy as np
import pytest
import torch

from linvid_edu.attention.functions import softmax_attention, softmax_attention_oracle
from linvid_edu.figures.cost import Cost, PowerLaw, crossover, fit_power_law, measure_costs, peak_bytes
from linvid_edu.widgets import CostLab
from linvid_edu.widgets.cost_summary import findings, summarize_costs

pytestmark = pytest.mark.slow

SIZES = [16, 64, 256, 1024, 4096]


def made_up(**laws):
    """Return rows whose times follow the laws exactly, by mechanism."""
    return [Cost(name, size, float(law.at(size)), size / 1e3) for size in SIZES for name, law in laws.items()]


def test_a_law_is_found_again():
    law = PowerLaw(overhead=0.02, factor=3e-6, exponent=1.7)
    found = fit_power_law(SIZES, law.at(SIZES).tolist())
    assert found.exponent == pytest.approx(1.7, abs=1e-3)
    assert found.at(SIZES) == pytest.approx(law.at(SIZES), rel=1e-3)


def test_one_disturbed_time_bends_little_and_missing_ones_count_nothing():
    times = PowerLaw(0.0, 1e-5, 2.0).at(SIZES).tolist()
    disturbed = [*times[:2], 5 * times[2], *times[3:]]
    assert fit_power_law(SIZES, disturbed).exponent == pytest.approx(2, abs=0.2)
    assert fit_power_law([*SIZES, 9999], [*times, math.nan]).exponent == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("times", [[1.0, 2.0, math.nan, math.nan, math.nan], [1.0, 0.0, 1.0, 1.0, 1.0]])
def test_too_few_or_impossible_times_raise(times):
    with pytest.raises(ValueError, match="at least 3, each above 0"):
        fit_power_law(SIZES, times)


def test_the_crossover_is_where_the_second_law_becomes_cheaper_for_good():
    quadratic, linear = PowerLaw(0.0, 1.0, 2.0), PowerLaw(0.0, 700.0, 1.0)
    assert crossover(quadratic, linear, 16, 65536) == pytest.approx(700, rel=0.01)
    assert crossover(linear, quadratic, 16, 65536) is None
    assert crossover(quadratic, linear, 1000, 65536) is None


def test_the_explicit_map_takes_the_memory_of_two_maps_and_the_fused_kernel_none():
    q, k, v = torch.randn(3, 1, 2, 128, 8)
    one_map = 2 * 128 * 128 * 4
    assert peak_bytes(lambda: softmax_attention_oracle(q, k, v)) == 2 * one_map
    assert peak_bytes(lambda: softmax_attention(q, k, v)) < one_map / 4
    assert peak_bytes(lambda: [torch.ones(1000), torch.ones(500)]) == 4 * 1500
    assert peak_bytes(lambda: [torch.ones(1000).sum() for _ in range(5)]) < 4 * 1100


def test_every_mechanism_is_measured_at_every_size_and_threads_stay_as_they_were():
    threads = torch.get_num_threads()
    rows = list(measure_costs([64, 16], heads=1, d=4, budget=5))
    assert [(row.mechanism, row.tokens) for row in rows] == [
        (name, size) for size in (16, 64) for name in ("softmax", "softmax, explicit map", "linear")
    ]
    assert all(row.ms > 0 and row.peak_mb > 0 and not row.missing for row in rows)
    assert torch.get_num_threads() == threads


def work(power):
    """Return a mechanism that works for (N / 16)^power milliseconds."""

    def attend(q, k, v):
        end = time.thread_time() + 1e-3 * (q.shape[-2] / 16) ** power
        while time.thread_time() < end:
            pass
        return v.clone()

    return attend


def test_what_would_exceed_the_budget_is_not_run():
    begin = time.thread_time()
    rows = list(measure_costs([16, 64, 512], budget=1, mechanisms={"slow": work(2), "quick": work(0)}))
    assert time.thread_time() - begin < 3
    missing = {(row.mechanism, row.tokens): row.missing for row in rows if row.missing}
    assert "more than the budget leaves" in missing["slow", 512]
    assert not {("slow", 16), ("quick", 16)} & missing.keys()
    assert all(math.isnan(row.ms) == bool(row.missing) for row in rows)


def test_what_would_exceed_the_memory_is_not_run():
    rows = list(measure_costs([16, 64, 256, 1024], heads=1, d=4, budget=5, memory=1e6))
    missing = {(row.mechanism, row.tokens): row.missing for row in rows if row.missing}
    assert set(missing) == {("softmax, explicit map", 1024)}
    assert "the limit is 1 MB" in missing["softmax, explicit map", 1024]


@pytest.mark.parametrize("numbers", [{"heads": 0}, {"d": 0}, {"budget": 0.0}, {"sizes": [0]}])
def test_impossible_numbers_raise(numbers):
    with pytest.raises(ValueError, match="choose larger ones"):
        list(measure_costs(**{"sizes": [16], **numbers}))


def test_the_findings_say_when_linear_attention_is_slower():
    results = summarize_costs(made_up(softmax=PowerLaw(0.0, 1e-3, 2.0), linear=PowerLaw(0.0, 0.7, 1.0)))
    assert results.crossing == pytest.approx(700, rel=0.02)
    lines = findings(results, 64)
    assert lines[0] == "Below about 700 tokens softmax attention is quicker here, above it linear attention is."
    assert "With 64 tokens, measured" in lines[1]
    assert "is slower: it takes 10.9 times as long" in lines[1]
    assert "by the fitted curves" in findings(results, 65536)[1]
    assert "N^2.00 (softmax), N^1.00 (linear)" in lines[2]


def test_without_a_crossing_the_findings_say_which_is_quicker_throughout():
    results = summarize_costs(made_up(softmax=PowerLaw(0.0, 1e-3, 2.0), linear=PowerLaw(0.0, 1e-4, 1.0)))
    assert results.crossing is None
    assert "linear attention is quicker here throughout" in findings(results, 64)[0]
    assert findings(summarize_costs([]), 64) == []


@pytest.fixture(scope="module")
def lab():
    return CostLab(sizes=(16, 32, 64, 128), budget=2)


def test_the_slider_and_the_kind_change_what_is_shown(lab):
    lab.tokens.value = 16
    assert "With 16 tokens, measured" in lab._findings.value
    data = lab.chart.figure["data"]
    assert [len(trace["x"]) for trace in data[:3]] == [4, 4, 4]
    assert [trace["mode"] for trace in data[:3]] == ["markers"] * 3
    assert any(trace["mode"] == "lines" and len(trace["x"]) > 10 for trace in data[3:])
    lab.what.value = "peak_mb"
    assert np.allclose(lab.chart.figure["data"][0]["y"], [8.448e-3, 0.016896, 0.033792, 0.067584], rtol=0.05)
    lab.what.value = "ms"


def test_another_setting_waits_for_the_button(lab):
    lab.heads.value = 1
    assert "4 heads of 32 channels" in lab._state.value
    assert "Press Measure" in lab._state.value
    lab.button.click()
    assert "1 heads" not in lab._state.value
    assert "1 head of 32 channels" in lab._state.value
    assert not lab.button.disabled


def test_the_picture_stands_beside_the_widget(lab):
    assert "softmax goes from" in lab.snapshot().alt
    assert "on one core" in lab.snapshot().alt
    data, metadata = lab._repr_mimebundle_()
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= data.keys()
    assert metadata["image/png"]["alt"] == data["text/plain"]


def test_what_goes_wrong_is_reported():
    lab = CostLab(sizes=(16,), budget=1, device="no such device")
    assert 'role="alert"' in lab.trouble
    assert "Nothing more was measured" in lab.trouble
    assert "nothing was measured" in lab.snapshot().alt


def test_rivals_are_measured_beside_the_usual_ones():
    lab = CostLab(budget=30, sizes=(16, 64, 256), rivals=["performer", "shuffle_window"])
    found = {cost.mechanism for cost in lab.results.costs}
    assert {"performer", "shuffle_window", "softmax", "linear"} <= found
    assert {"performer", "shuffle_window"} <= lab.results.laws.keys()
    assert "performer" in lab.snapshot().alt
    lab.also.value = "nystrom"
    lab.measure()
    assert "nystrom" in {cost.mechanism for cost in lab.results.costs}
    assert {trace.name for trace in lab._figure().data} >= {"nystrom", "linear"}


def test_the_widget_reports_what_does_not_fit_a_rival():
    lab = CostLab(budget=0.3, sizes=(7, 14, 28), rivals=["shuffle_window"])
    assert "window=4 does not divide the 1×7 grid" in lab.trouble


def test_unknown_or_too_many_rivals_raise():
    with pytest.raises(ValueError, match="rival 'performre' is unknown: choose one of"):
        CostLab(rivals=["performre"])
    with pytest.raises(ValueError, match="cannot be told apart in one chart: choose at most 4"):
        CostLab(rivals=["performer"] * 5)
