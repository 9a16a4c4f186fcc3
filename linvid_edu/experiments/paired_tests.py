"""Decide what a handful of seeds can decide: paired differences, exact tests, intervals, and a verdict in words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, bootstrap, permutation_test, rankdata

ALPHA = 0.05
EXACT = 12  # pairs up to which every one of the 2^n exchanges is tried


class Comparison(NamedTuple):
    """Two variants on the same seeds.

    difference: mean over seeds of first − second
    low, high: of its 95 % bootstrap interval over seeds
    p: two-sided, of the paired permutation test; at least 2 / 2^n with n seeds
    wins: seeds on which the first is above the second
    seeds: n
    """

    difference: float
    low: float
    high: float
    p: float
    wins: int
    seeds: int


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compare two variants seed by seed.

    The test exchanges the two values of a seed, in all 2^n ways, and counts how often the mean difference is as far
    from 0 as the one seen. It assumes nothing about the distribution, which is bimodal where a run is either stuck or
    through.

    Args:
        first, second: one value for each seed, in the same order, (n), n at least 2.

    Raises:
        ValueError: lengths differ, or there are fewer than 2 seeds.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"{a.shape} and {b.shape} values cannot be paired: give the same seeds, at least 2")
    difference = a - b
    low = high = difference.mean()
    if np.ptp(difference) > 0:
        interval = bootstrap((difference,), np.mean, method="percentile", rng=0).confidence_interval
        low, high = interval.low, interval.high
    test = permutation_test(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if len(a) <= EXACT else 2**EXACT,
        rng=0,
    )
    wins = int((difference > 0).sum())
    return Comparison(float(difference.mean()), float(low), float(high), float(test.pvalue), wins, len(a))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number: p_(i) ← max over j ≤ i of min(1, (m − j + 1) · p_(j)).

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * np.asarray(p, dtype=float)[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def verdict(difference: float, p: float, *, alpha: float = ALPHA) -> str:
    """Say "shown" (above 0), "reversed" (below 0) or, where p is not below alpha, "not shown"."""
    if not p < alpha:
        return "not shown"
    return "shown" if difference > 0 else "reversed"


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Clopper–Pearson interval of a share."""
    interval = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="exact")
    return float(interval.low), float(interval.high)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over seeds, NaN for fewer than 2; few seeds make it too narrow."""
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return float("nan"), float("nan")
    if np.ptp(found) == 0:
        return float(found[0]), float(found[0])
    interval = bootstrap((found,), np.mean, method="percentile", rng=0).confidence_interval
    return float(interval.low), float(interval.high)


class Correlation(NamedTuple):
    """How far two measures of the same runs rise together.

    rho: Spearman's rank correlation, −1 to 1
    low, high: of its 95 % bootstrap interval over runs
    runs: how many
    """

    rho: float
    low: float
    high: float
    runs: int


def rank_correlation(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Correlate the ranks of two measures.

    ρ = the correlation of rank(x) and rank(y)

    Args:
        x, y: one value for each run, in the same order, (n), n at least 3, not all the same.

    Raises:
        ValueError: lengths differ, or there are fewer than 3 runs.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"{a.shape} and {b.shape} values cannot be correlated: give both for each of at least 3 runs")

    def rho(a: np.ndarray, b: np.ndarray, axis: int = -1) -> Any:
        ranks = [rankdata(values, axis=axis) for values in (a, b)]
        a, b = (each - each.mean(axis=axis, keepdims=True) for each in ranks)
        spread = np.sqrt((a * a).sum(axis=axis) * (b * b).sum(axis=axis))
        return (a * b).sum(axis=axis) / np.where(spread > 0, spread, 1)  # 0 where a resample is all the same

    interval = bootstrap((a, b), rho, paired=True, vectorized=True, method="percentile", rng=0).confidence_interval
    return Correlation(float(rho(a, b)), float(interval.low), float(interval.high), len(a))
