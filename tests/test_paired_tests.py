"""Paired tests and intervals, against counts by hand and against data without a difference."""

from itertools import product
from pathlib import Path

import nbformat
import numpy as np
import pandas
import pytest
from scipy.stats import spearmanr

from linvid_edu.experiments.paired_tests import (
    compare_pairs,
    holm,
    mean_interval,
    rank_correlation,
    share_interval,
    verdict_of,
)


def exact_p(a, b):
    difference = np.subtract(a, b)
    means = [np.mean(difference * signs) for signs in product((1, -1), repeat=len(a))]
    return np.mean(np.abs(means) >= abs(difference.mean()) - 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_all_exchanges(seed):
    a, b = np.random.default_rng(seed).random((2, 7))
    assert compare_pairs(a, b).p == pytest.approx(exact_p(a, b))
    assert compare_pairs(b, a).p == pytest.approx(compare_pairs(a, b).p)
    assert compare_pairs(b, a).difference == pytest.approx(-compare_pairs(a, b).difference)


def test_eight_clear_seeds_give_the_smallest_p():
    a = np.linspace(0.9, 0.99, 8)
    comparison = compare_pairs(a, a - 0.2)
    assert (comparison.wins, comparison.seeds) == (8, 8)
    assert comparison.p == pytest.approx(2 / 2**8)
    assert comparison.difference == pytest.approx(0.2)
    assert comparison.low == pytest.approx(0.2)


def test_the_interval_contains_the_mean_and_shrinks_with_the_spread():
    noise = np.random.default_rng(0).normal(size=8)
    narrow, wide = compare_pairs(0.01 * noise, np.zeros(8)), compare_pairs(noise, np.zeros(8))
    for comparison in (narrow, wide):
        assert comparison.low < comparison.difference < comparison.high
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)


def test_false_alarms_are_as_rare_as_promised():
    draws = np.random.default_rng(1).random((200, 2, 8))
    alarms = sum(compare_pairs(a, b).p < 0.05 for a, b in draws)
    assert alarms <= 20  # 10 are expected; 20 have a chance of 0.2 %


def test_holm_is_that_of_a_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_verdicts():
    assert [verdict_of(0.1, 0.01), verdict_of(-0.1, 0.01), verdict_of(0.1, 0.05)] == ["shown", "reversed", "not shown"]


def test_shares_have_the_intervals_of_the_tables():
    assert share_interval(0, 8) == pytest.approx((0.0, 0.3694), abs=1e-4)
    assert share_interval(8, 8) == pytest.approx((0.6306, 1.0), abs=1e-4)


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ValueError, match="same seeds"):
        compare_pairs([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="at least 2"):
        compare_pairs([1.0], [2.0])


def test_intervals_of_means_and_ranks():
    assert mean_interval([0.5]) == pytest.approx((np.nan, np.nan), nan_ok=True)
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
    low, high = mean_interval([0.2, 0.8, 0.2, 0.8])
    assert 0.2 <= low < 0.5 < high <= 0.8
    x = np.arange(20.0)
    assert rank_correlation(x, x**3)[:3] == pytest.approx((1, 1, 1))
    correlation = rank_correlation(x, np.random.default_rng(0).random(20))
    assert correlation.low < 0 < correlation.high
    assert correlation.runs == 20
    ties = [1, 2, 2, 3, 3, 3, 0, 1], [5, 1, 2, 2, 4, 4, 0, 1]
    assert rank_correlation(*ties).rho == pytest.approx(spearmanr(*ties).statistic)
    with pytest.raises(ValueError, match="at least 3 runs"):
        rank_correlation([1, 2], [1, 2])


LESSON = Path(__file__).parents[1] / "notebooks" / "10_ablate_with_papermill.ipynb"


@pytest.mark.parametrize("count", [2, 5, 8])
def test_scratch_permutation_test_of_lesson_10(count):
    names = {}
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if "scratch" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    first, second = np.random.default_rng(count).random((2, count))
    assert names["permutation_p"](first, second) == pytest.approx(compare_pairs(first, second).p)


def test_numbers_in_the_solutions_of_lesson_10():
    assert compare_pairs([0.9, 0.8, 0.9, 0.8], [0.5, 0.5, 0.4, 0.5]).p == 0.125
    level = np.array([0.60, 0.95, 0.62, 0.93, 0.61, 0.94, 0.63, 0.96])
    pair = pandas.DataFrame({"a": pandas.Series(level + 0.02), "b": pandas.Series(level).drop(1)}).dropna()
    comparison = compare_pairs(pair["a"], pair["b"])
    assert (round(comparison.difference, 3), comparison.wins, comparison.seeds, comparison.p) == (0.02, 7, 7, 2 / 2**7)
    generator = np.random.default_rng(0)
    draws = np.where(generator.random((1000, 10)) < 0.3, 0.95, 0.75) + 0.01 * generator.standard_normal((1000, 10))
    assert np.mean(draws[:, :8].max(axis=1) > draws[:, 8:].max(axis=1)) == pytest.approx(0.8, abs=0.03)
    assert np.mean(draws[:, :8].mean(axis=1) > draws[:, 8:].mean(axis=1)) == pytest.approx(0.5, abs=0.05)
