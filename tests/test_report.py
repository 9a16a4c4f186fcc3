"""The ablation's figures on a small table made by hand: what is drawn is what is there."""

import pandas
import pytest

from linvid_edu.experiments.report import (
    accuracy_dots,
    blank_curves,
    clutter_curves,
    concentration_scatter,
    intervention_curves,
    lost_to_tokens,
    mean_learning_curves,
)
from linvid_edu.models.variants import GROUP_COLORS

LEVELS = {"softmax": (0.99, 1.0), "linear": (0.8, 0.9), "gate": (0.85,)}
TESTS = {"clutter 24": 0.0, "clutter 0": 0.0, "clutter 48": -0.1, "clutter 61": -0.2, "grid 12, clutter 24": -0.3}


@pytest.fixture(scope="module")
def tables():
    named = [
        {"task": "lookup", "variant": variant, "preset": "probe", "seed": seed, "run": f"{variant}-{seed}"}
        | {"steps": 2500, "ceiling": 1.0, "level": level}
        for variant, levels in LEVELS.items()
        for seed, level in enumerate(levels)
    ]
    same = {"steps_to_threshold": 500.0, "area": 0.5, "clips_per_second": 9.0, "parameters": 8, "peak_memory_mb": 1.0}
    runs = [
        each | same | {"test": test, "first_test": test == "clutter 24", "accuracy": each["level"] + change}
        for each in named
        for test, change in TESTS.items()
    ]
    layers = [each | {"block": 0, "query_entropy": 0.5, "mass_on_answer": each["level"] / 2} for each in named]
    return pandas.DataFrame(runs), pandas.DataFrame(layers)


def test_every_variant_has_a_row_and_every_seed_a_dot(tables):
    figure, alt, _ = accuracy_dots(*tables)
    assert "softmax: mean 0.995 of 2, from 0.99 to 1, interval 0.99 to 1" in alt
    assert "gate on value and output: mean 0.850 of 1, from 0.85 to 0.85." in alt
    assert "ignoring the cue" in [text.get_text() for text in figure.axes[0].texts]


def test_more_tokens_are_compared_at_the_same_clutter(tables):
    picture = lost_to_tokens(*tables, 24)
    assert "accuracy, grid 12, clutter 24, minus accuracy, clutter 24" in picture.alt
    assert "linear: mean −0.3 of 2" in picture.alt
    with pytest.raises(ValueError, match="clutter=8 was not tested on two grids: choose one of 24"):
        lost_to_tokens(*tables, 8)


def test_clutter_is_on_the_axis_in_its_order(tables):
    picture = clutter_curves(*tables, ["softmax", "linear", "separate"])
    assert "2 lines: accuracy, lookup over clutter cells; in training 0, 8, 24, 48" in picture.alt
    assert "shaded from 48: more than in training" in picture.alt
    assert "linear goes from 0.85 at 0 to 0.65 at 61" in picture.alt


def test_learning_curves_are_means_over_seeds(tables):
    runs, layers = tables
    points = [
        {
            "variant": variant,
            "seed": seed,
            "run": f"{variant}-{seed}",
            "step": step,
            "accuracy": (seed + 1) * step / 1000,
        }
        for variant in ("linear", "softmax")
        for seed in (0, 1)
        for step in (125, 250)
    ]
    picture = mean_learning_curves(runs, layers, pandas.DataFrame(points), ["linear", "separate"])
    assert "1 line: " in picture.alt
    assert "linear goes from 0.188 at 125 to 0.375 at 250" in picture.alt


def test_interventions_are_on_the_axis():
    rows = [
        {"variant": variant, "run": f"{variant}-{seed}", "kind": "power", "value": power}
        | {"accuracy": power / 10 + seed / 100, "query_entropy": 1 / power}
        for variant in ("linear", "softmax")
        for seed in (0, 1)
        for power in (4.0, 0.5, 1.0)
    ]
    picture = intervention_curves(pandas.DataFrame(rows), "power", "accuracy", ["softmax", "gate"])
    assert "softmax goes from 0.055 at 0.5 to 0.405 at 4" in picture.alt
    assert "linear" not in picture.alt


def test_every_run_is_a_dot_of_its_group(tables):
    alt = concentration_scatter(*tables).alt
    assert "softmax: 2, mass on the target, first layer 0.495 to 0.5" in alt
    assert "gate or constant ratios: 1," in alt


def test_groups_have_their_own_colors_and_softmax_with_association_is_not_softmax(tables):
    runs, layers = (table.replace({"variant": {"gate": "softmax-association"}}) for table in tables)
    colors = {trace.name: trace.marker.color for trace in concentration_scatter(runs, layers).interactive.data}
    assert {"softmax", "association"} <= set(colors)
    assert colors == {name: GROUP_COLORS[name] for name in colors}
    assert len(set(GROUP_COLORS.values())) == len(GROUP_COLORS)


def test_blank_tokens_are_drawn_with_and_without_their_weight():
    rows = [
        {"variant": variant, "seed": seed, "tokens": tokens, "attended": attended, "accuracy": level}
        for variant, attended, levels in (
            ("linear", "all", (0.9, 0.5, 0.3)),
            ("linear", "filled", (0.9, 0.9, 0.9)),
            ("cooperative", "all", (0.9, 0.85, 0.8)),
            ("cooperative", "filled", (0.1, 0.1, 0.1)),
        )
        for seed in range(3)
        for tokens, level in zip((64, 144, 256), levels, strict=True)
    ]
    picture = blank_curves(pandas.DataFrame(rows))
    assert "linear, no blank tokens" in picture.alt
    assert "cooperative, no blank tokens" not in picture.alt
    assert "0.3" in picture.alt
