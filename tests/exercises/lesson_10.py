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


RIGHT = {
    "10.1": [0.125, Fraction(1, 8), 2 / 2**4],
    "10.2": [by_loop, by_join],
    "10.3": [max, lambda accuracies: sorted(accuracies)[-1], lambda values: np.quantile(values, 1.0)],
}
WRONG = {
    "10.1": {
        "the mirror image": 0.0625,
        "for 3 seeds": 0.25,
        "never 0": 0,
        "cannot be below .05": 0.01,
        "a share": 12.5,
        "none of the usual mistakes": 0.5,
    },
    "10.2": {
        "you pair by position: once": by_position,
        "you sort the values": lambda a, b: by_position(a.sort_values(), b.sort_values()),
        "as NaN": outer,
        "as 0": lambda a, b: tuple(each.fillna(0) for each in outer(a, b)),
        "are exchanged": lambda a, b: by_loop(b, a),
        "KeyError": lambda a, b: (a[a.index], b[a.index]),
        "(result 1 of 3)": lambda a, b: by_loop(a + 0.01, b),
    },
    "10.3": {
        "that is the mean": np.mean,
        "the median": np.median,
        "the worst": min,
        "which run": np.argmax,
        "has shape (8,)": lambda accuracies: np.sort(accuracies),
        "changes its input accuracies": lambda accuracies: (accuracies.sort(), accuracies[-1])[1],
        "the largest difference": lambda accuracies: accuracies.max() - accuracies.std(),
    },
}
