"""Comparisons are checked against counting by hand, and against data in which nothing is to be found."""

from itertools import product

import numpy as np
import pytest

from linvid_edu.experiments.paired_tests import compare, holm, share_interval, verdict


def exact_p(a, b):
    difference = np.subtract(a, b)
    means = [np.mean(difference * signs) for signs in product((1, -1), repeat=len(a))]
    return np.mean(np.abs(means) >= abs(difference.mean()) - 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_all_exchanges(seed):
    a, b = np.random.default_rng(seed).random((2, 7))
    assert compare(a, b).p == pytest.approx(exact_p(a, b))
    assert compare(b, a).p == pytest.approx(compare(a, b).p)
    assert compare(b, a).difference == pytest.approx(-compare(a, b).difference)


def test_eight_clear_seeds_give_the_smallest_p():
    a = np.linspace(0.9, 0.99, 8)
    found = compare(a, a - 0.2)
    assert (found.wins, found.seeds) == (8, 8)
    assert found.p == pytest.approx(2 / 2**8)
    assert found.difference == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2)


def test_the_interval_contains_the_mean_and_shrinks_with_the_spread():
    noise = np.random.default_rng(0).normal(size=8)
    narrow, wide = compare(0.01 * noise, np.zeros(8)), compare(noise, np.zeros(8))
    for found in (narrow, wide):
        assert found.low < found.difference < found.high
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)


def test_false_alarms_are_as_rare_as_promised():
    draws = np.random.default_rng(1).random((200, 2, 8))
    alarms = sum(compare(a, b).p < 0.05 for a, b in draws)
    assert alarms <= 20  # 10 are expected; 20 have a chance of 0.2 %


def test_holm_is_that_of_a_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_verdicts():
    assert [verdict(0.1, 0.01), verdict(-0.1, 0.01), verdict(0.1, 0.05)] == ["shown", "reversed", "not shown"]


def test_shares_have_the_intervals_of_the_tables():
    assert share_interval(0, 8) == pytest.approx((0.0, 0.3694), abs=1e-4)
    assert share_interval(8, 8) == pytest.approx((0.6306, 1.0), abs=1e-4)


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ValueError, match="same seeds"):
        compare([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="at least 2"):
        compare([1.0], [2.0])
