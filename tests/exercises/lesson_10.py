"""Right and wrong answers to the exercises of lesson 10; a wrong one stands under words of its message."""

from fractions import Fraction

import numpy as np


def by_loop(a, b):
    seeds = [seed for seed in a.index if seed in b.index]
    return [a[seed] for seed in seeds], [b[seed] for seed in seeds]


def by_join(b, a):
    first, second = a.align(b, join="inner")
    return np.array([first, second])


def by_position(a, b):
    n = min(len(a), len(b))
    return a.to_numpy()[:n], b.to_numpy()[:n]


def outer(a, b):
    return a.align(b)


def dropped(a, b):
    a.drop(a.index.difference(b.index), inplace=True)
    return a, b.reindex(a.index)


RIGHT = {
    "10.1": [0.015625, Fraction(1, 64), 0.0156, [2 / 2**7]],
    "10.2": [by_loop, by_join],
    "10.3": [max, lambda accuracies: sorted(accuracies)[-1], lambda values: np.quantile(values, 1.0)],
}
WRONG = {
    "10.1": {
        "the mirror image": 1 / 128,
        "for 6 seeds": 1 / 32,
        "not in 7²": 2 / 49,
        "never 0": 0,
        "cannot be below": 0.001,
        "a share": 1.6,
        "none of the usual mistakes": 0.5,
    },
    "10.2": {
        "you pair by position: if": by_position,
        "you sort the values": lambda a, b: by_position(a.sort_values(), b.sort_values()),
        "as NaN": outer,
        "as 0": lambda a, b: tuple(each.fillna(0) for each in outer(a, b)),
        "are swapped": lambda a, b: by_loop(b, a),
        "KeyError": lambda a, b: (a[a.index], b[a.index]),
        "in different orders": lambda a, b: (a[[s in b.index for s in a.index]], b[[s in a.index for s in b.index]]),
        "no longer paired": lambda a, b: map(sorted, by_loop(a, b)),
        "changes its input a": dropped,
        "the largest difference": lambda a, b: by_loop(a + 0.01, b),
    },
    "10.3": {
        "this is the mean": np.mean,
        "the median": np.median,
        "the worst": min,
        "the index of the best run": np.argmax,
        "has shape (8,)": lambda accuracies: np.sort(accuracies),
        "changes its input accuracies": lambda accuracies: (accuracies.sort(), accuracies[-1])[1],
        "the largest difference": lambda accuracies: accuracies.max() - accuracies.std(),
    },
}
