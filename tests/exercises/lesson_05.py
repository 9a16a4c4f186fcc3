"""Right and wrong answers to the exercises of lesson 05; a wrong one stands under words of its message."""

import math

import numpy as np
import torch

from linvid_edu.attention.measures import effective_tokens, entropy

# 05.1


def by_library(weights):
    return effective_tokens(weights).mean()


def by_powers_of_2(weights):
    p = weights / weights.sum(-1, keepdim=True)
    bits = -torch.where(p > 0, p * torch.log2(p.clamp(min=1e-30)), 0.0).sum(-1)
    return (2**bits).mean()


def by_rows(weights):
    counts = []
    for row in weights.reshape(-1, weights.shape[-1]):
        p = row[row > 0] / row.sum()
        counts.append(torch.exp(-(p * torch.log(p)).sum()))
    return sum(counts) / len(counts)


def normalized(weights):
    return weights / weights.sum(-1, keepdim=True)


# 05.4


def in_order(N, e):
    features = torch.zeros(N, e)
    for token in range(N):
        features[token, token * e // N] = 1
    return features, features


def by_repeated(N, e):
    features = torch.eye(e).repeat(N // e, 1)
    return [3 * features, features / 7]


def by_kron(N, e):
    features = torch.kron(torch.eye(e), torch.ones(N // e, 1))
    return features, features.clone()


RIGHT = {
    "05.1": [by_library, by_powers_of_2, by_rows],
    "05.2": [16, 16.0, torch.tensor(16.0), math.sqrt(2 * 128)],
    "05.3": [(8, 32, 64), [8, 32, 64], np.array([8, 32, 64]), (8.0, 32.0, 64.0)],
    "05.4": [in_order, by_repeated, by_kron, lambda N, e: 2 * [np.tile(np.eye(e), (N // e, 1))]],
}
WRONG = {
    "05.1": {
        "you forgot to normalize": lambda weights: torch.special.entr(weights).sum(-1).exp().mean(),
        "base 2": lambda weights: torch.exp(
            -(normalized(weights) * torch.log2(normalized(weights).clamp(min=1e-30))).sum(-1)
        ).mean(),
        "the entropy of the mean row": lambda weights: entropy(
            normalized(weights).reshape(-1, weights.shape[-1]).mean(0)
        ).exp(),
        "exp of the mean entropy": lambda weights: torch.exp(entropy(weights).mean()),
        "must add 0": lambda weights: torch.exp((-normalized(weights) * normalized(weights).log()).sum(-1)).mean(),
        "your columns sum to 1": lambda weights: (
            torch.special.entr(weights / weights.sum(-2, keepdim=True)).sum(-1).exp().mean()
        ),
        "exp is missing": lambda weights: entropy(weights).mean(),
        "the mean over all rows is missing": effective_tokens,
        "another count of tokens": lambda weights: (1 / (normalized(weights) ** 2).sum(-1)).mean(),
        "is off": lambda weights: effective_tokens(weights).mean() / weights.shape[-1],
    },
    "05.2": {
        "average logarithms": 33,
        "take exp of it": math.log(16),
        "2 to the power": 4,
        "the same base": math.exp(4),
        "only a uniform row": 65,
        "another count": 3.94,
        "none of the usual mistakes": 20,
        "asked for is a number": "half",
    },
    "05.3": {
        "ranks add up": (8, 8, 8),
        "more than N": (8, 32, 96),
        "a head has a map of its own": (32, 32, 64),
        "does not divide its rank": (8, 2, 8),
        "wrong is number 3": (8, 32, 32),
        "asked for are 3": 8,
    },
    "05.4": {
        "some rows sum to 0": lambda N, e: 2 * [torch.eye(N)[:, :e]],
        "gives itself 1/N": lambda N, e: (torch.rand(N, 1).expand(N, e), torch.rand(N, e)),
        "your features have N channels": lambda N, e: (torch.eye(N), torch.eye(N)),
        "tokens come first": lambda N, e: (torch.ones(e, N), torch.ones(e, N)),
        "must not be negative": lambda N, e: (torch.randn(N, e), torch.randn(N, e)),
        "perhaps the map": lambda N, e: torch.ones(N, N) / N,
        "these are 3 arrays": lambda N, e: 3 * [torch.ones(N, e)],
        "is off": lambda N, e: 2 * [in_order(N, e)[0] + 0.1],
    },
}
