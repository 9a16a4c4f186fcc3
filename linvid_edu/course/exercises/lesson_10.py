"""Exercises of lesson 10: ablate with papermill."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
import torch
from pandas import Series
from torch import Generator

from .exercise import Case, Exercise, Mistake, Trial, draw

# 10.2 seeds in pairs

Pairs = tuple[Series, Series]


def seed_cases(generator: Generator) -> Iterator[Case]:
    """Yield the accuracies of two variants by seed; some seeds are missing, and the order may differ."""
    for lost, shuffled in (({1}, False), ({0, 5}, False), ({3}, True), (set(), True)):
        level, noise = draw(generator, (8,), (8,))
        b = 0.7 + 0.1 * level
        a, b = Series((b + 0.02 + 0.05 * noise).numpy()), Series(b.numpy())
        if shuffled:
            a, b = (series.iloc[torch.randperm(8, generator=generator).tolist()] for series in (a, b))
        yield Case((a.drop(2), b.drop(list(lost))))
    yield Case((Series([0.5, 0.6, 0.7]), Series([0.4, 0.8, 0.9], index=[0, 7, 8])), "one seed that both have")


def in_order(answer: Callable[..., Any], a: Series, b: Series) -> np.ndarray:
    """Return the pairs, (pairs 2), sorted by their first values: their order does not matter."""
    first, second = (np.asarray(values, dtype=float) for values in answer(a, b))
    pairs = np.stack([first, second], axis=-1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def my_pairs(a: Series, b: Series) -> Pairs:
    both = pandas.DataFrame({"a": a, "b": b}).dropna()
    return both["a"], both["b"]


def _first(count: int, *values: Any) -> tuple[Any, ...]:
    return tuple(accuracies[:count] for accuracies in values)


def by_position(a: Series, b: Series) -> tuple[Any, ...]:
    return _first(min(len(a), len(b)), a.to_numpy(), b.to_numpy())


def by_rank(a: Series, b: Series) -> tuple[Any, ...]:
    return _first(min(len(a), len(b)), np.sort(a), np.sort(b))


def by_order_of_seeds(a: Series, b: Series) -> tuple[Any, ...]:
    return by_position(a.sort_index(), b.sort_index())


def unordered(a: Series, b: Series) -> Pairs:
    return a[a.index.isin(b.index)], b[b.index.isin(a.index)]


def sorted_after(a: Series, b: Series) -> tuple[Any, ...]:
    return tuple(np.sort(accuracies) for accuracies in my_pairs(a, b))


def filled_with_zero(a: Series, b: Series) -> Pairs:
    both = pandas.DataFrame({"a": a, "b": b}).fillna(0.0)
    return both["a"], both["b"]


def filled_with_mean(a: Series, b: Series) -> Pairs:
    both = pandas.DataFrame({"a": a, "b": b})
    return both["a"].fillna(a.mean()), both["b"].fillna(b.mean())


def with_missing(a: Series, b: Series) -> Pairs:
    both = pandas.DataFrame({"a": a, "b": b})
    return both["a"], both["b"]


def swapped(a: Series, b: Series) -> Pairs:
    return my_pairs(a, b)[::-1]


# 10.3 the best of several


def run_cases(generator: Generator) -> Iterator[Case]:
    """Yield the accuracies of the runs of a variant."""
    for runs in (8, 5, 4, 2):
        yield Case((draw(generator, (runs,))[0].sigmoid().double().numpy(),))
    yield Case((np.array([0.8]),), "one run")
    yield Case((np.array([0.7, 0.7, 0.7]),), "equal runs")


def reported(accuracies: np.ndarray) -> float:
    return float(accuracies.max())


EXERCISES = (
    Exercise(
        id="10.1",
        question="A method wins by a lot on all 7 seeds. What is p by (10.2)?",
        answer=2 / 2**7,
        tolerance=0.03,
        why="2 / 2⁷ = .016: two of the 2⁷ outcomes are as extreme, the observed one and its mirror image. The size of "
        "the differences does not matter: seven narrow wins have the same p.",
        hints=(
            "How many ways are there to swap the labels of 7 seeds?",
            "How many of these 128 means are as far from 0 as the observed one, which is the most extreme?",
            "Two: the observed one, and the one with all labels swapped.",
        ),
        mistakes=(
            Mistake("the mirror image is just as far from 0, and (10.2) counts both sides", 1 / 2**7),
            Mistake("this is for 6 seeds: with n seeds there are 2ⁿ ways to swap the labels", 2 / 2**6),
            Mistake("the labels of 7 seeds can be swapped in 2⁷ ways, not in 7²", 2 / 7**2),
            Mistake("the labels of 7 seeds can be swapped in 2⁷ ways, not in 2 · 7", 2 / (2 * 7)),
            Mistake("the observed labels are one of the 2⁷ ways, so p is never 0", 0.0),
            Mistake(
                "with 7 seeds p cannot be below 2 / 2⁷, however large the differences are", lambda p: 0 < p < 0.0155
            ),
            Mistake("p is a share between 0 and 1, not a count or a percentage", lambda p: p > 1),
        ),
    ),
    Exercise(
        id="10.2",
        question="Write my_pairs(a, b), which returns the values of both variants, seed by seed, for the seeds that "
        "both have.",
        answer=my_pairs,
        why="A table with seeds as its index pairs by seed, not by position. If a seed is missing, positions are not "
        "seeds: an easy seed of one variant is paired with a hard seed of the other, and the differences are those of "
        "the seeds. Sorting both lists, or comparing means over different seeds, is the same mistake.",
        hints=(
            "If seed 1 has crashed, which seed is at position 1 of b?",
            "The index of a Series holds its seeds: a.index. Which seeds are in both?",
            'pandas.DataFrame({"a": a, "b": b}) aligns the two by index; dropna() drops the seeds that one of them '
            "lacks.",
        ),
        mistakes=(
            Mistake("you pair by position: if a seed is missing, positions are not seeds", by_position),
            Mistake("these are the right seeds, but the two series have them in different orders", unordered),
            Mistake("you sort each of the two by itself, so the values of one seed are no longer paired", sorted_after),
            Mistake(
                "you sort the values: the best run of one variant is paired with the best of the other, whatever their "
                "seeds",
                by_rank,
            ),
            Mistake(
                "you pair by position after sorting by seed: seeds after a missing one are shifted", by_order_of_seeds
            ),
            Mistake("you count a missing run as 0, but it has no accuracy at all", filled_with_zero),
            Mistake("you replace missing runs by the mean of the others: leave those seeds out", filled_with_mean),
            Mistake("seeds that one variant lacks are still there, as NaN", with_missing),
            Mistake("a and b are swapped", swapped),
        ),
        trial=Trial(seed_cases, use=in_order),
    ),
    Exercise(
        id="10.3",
        question="Complete reported(accuracies), which returns one number for the runs of a variant: "
        '"the best of our seeds".',
        answer=reported,
        why="The maximum grows with the number of runs: with 8 seeds against 2, the variant with 8 is ahead in about "
        "80 % of the experiments, although the two do not differ. With the mean it is ahead in about half. Choosing a "
        "checkpoint, a learning rate or a metric by its result on the test clips is the same mistake.",
        hints=(
            "Take the sentence literally.",
            "Which of the runs would such a paper report?",
            "The largest: accuracies.max().",
        ),
        mistakes=(
            Mistake(
                "this is the mean, which would be fair: the sentence says the best",
                lambda accuracies: accuracies.mean(),
            ),
            Mistake(
                "this is the median, but the sentence says the best", lambda accuracies: float(np.median(accuracies))
            ),
            Mistake("this is the worst run, but the sentence says the best", lambda accuracies: accuracies.min()),
            Mistake(
                "this is the index of the best run: return its accuracy", lambda accuracies: int(accuracies.argmax())
            ),
            Mistake("this is the last run, but the sentence says the best", lambda accuracies: accuracies[-1]),
            Mistake("this is the first run, but the sentence says the best", lambda accuracies: accuracies[0]),
        ),
        trial=Trial(run_cases),
    ),
)
