"""Statistics for a handful of seeds: paired differences, exact tests, intervals, and verdicts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, bootstrap, permutation_test, rankdata

ALPHA = 0.05
MOST_EXACT_PAIRS = 16  # up to here all 2^n exchanges are tried


class PairedComparison(NamedTuple):
    """Two variants on the same seeds.

    difference: mean over seeds of first − second
    low, high: 95 % bootstrap interval of the difference over seeds
    p: two-sided p-value of the paired permutation test, at least 2 / 2^n for n seeds
    wins: number of seeds for which first > second
    seeds: number of seeds n
    """

    difference: float
    low: float
    high: float
    p: float
    wins: int
    seeds: int


def compare_pairs(first: ArrayLike, second: ArrayLike) -> PairedComparison:
    """Compare two variants seed by seed.

    The permutation test exchanges the two values of a seed in all 2^n ways. Its p-value is the share of exchanges whose
    mean difference is at least as far from 0 as the observed one. The test assumes no distribution: accuracies are
    bimodal if some runs get stuck.

    Args:
        first, second: One value per seed, in the same order, (n), n ≥ 2.

    Raises:
        ValueError: The lengths differ, or there are fewer than 2 seeds.
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
        n_resamples=np.inf if len(a) <= MOST_EXACT_PAIRS else 2**MOST_EXACT_PAIRS,
        rng=0,
    )
    wins = int((difference > 0).sum())
    return PairedComparison(float(difference.mean()), float(low), float(high), float(test.pvalue), wins, len(a))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number m by Holm's method.

    p_(i) ← max over j ≤ i of min(1, (m − j + 1) · p_(j)), where p_(1) ≤ … ≤ p_(m)

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * np.asarray(p, dtype=float)[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def verdict_of(difference: float, p: float) -> str:
    """Return "not shown" unless p < ``ALPHA``, else "shown" if the difference is above 0 and "reversed" if below."""
    if not p < ALPHA:
        return "not shown"
    return "shown" if difference > 0 else "reversed"


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Clopper–Pearson interval of the share successes / trials."""
    interval = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="exact")
    return float(interval.low), float(interval.high)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over seeds, NaN for fewer than 2; it is too narrow for few seeds."""
    sample = np.asarray(values, dtype=float)
    if len(sample) < 2:
        return float("nan"), float("nan")
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    interval = bootstrap((sample,), np.mean, method="percentile", rng=0).confidence_interval
    return float(interval.low), float(interval.high)


class Correlation(NamedTuple):
    """The rank correlation of two measures of the same runs.

    rho: Spearman's ρ, −1 to 1
    low, high: 95 % bootstrap interval of ρ over runs
    runs: number of runs
    """

    rho: float
    low: float
    high: float
    runs: int


def rank_correlation(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Correlate the ranks of two measures.

    ρ = the correlation of rank(x) and rank(y)

    Args:
        x, y: One value per run, in the same order, (n), n ≥ 3, not all equal.

    Raises:
        ValueError: The lengths differ, or there are fewer than 3 runs.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"{a.shape} and {b.shape} values cannot be correlated: give both for each of at least 3 runs")

    def rho(a: np.ndarray, b: np.ndarray, axis: int = -1) -> Any:
        ranks = [rankdata(values, axis=axis) for values in (a, b)]
        a, b = (rank - rank.mean(axis=axis, keepdims=True) for rank in ranks)
        spread = np.sqrt((a * a).sum(axis=axis) * (b * b).sum(axis=axis))
        return (a * b).sum(axis=axis) / np.where(spread > 0, spread, 1)  # 0 if all values of a resample are equal

    interval = bootstrap((a, b), rho, paired=True, vectorized=True, method="percentile", rng=0).confidence_interval
    return Correlation(float(rho(a, b)), float(interval.low), float(interval.high), len(a))
