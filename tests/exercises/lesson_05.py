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


def in_order(N, d):
    features = torch.zeros(N, d)
    for token in range(N):
        features[token, token * d // N] = 1
    return features, features


def by_repeated(N, d):
    features = torch.eye(d).repeat(N // d, 1)
    return [3 * features, features / 7]


def by_kron(N, d):
    features = torch.kron(torch.eye(d), torch.ones(N // d, 1))
    return features, features.clone()


RIGHT = {
    "05.1": [by_library, by_powers_of_2, by_rows],
    "05.2": [16, 16.0, torch.tensor(16.0), math.sqrt(2 * 128)],
    "05.3": [(8, 29, 64), [8, 29, 64], np.array([8, 29, 64]), (8.0, 29.0, 64.0)],
    "05.4": [in_order, by_repeated, by_kron, lambda N, d: 2 * [np.tile(np.eye(d), (N // d, 1))]],
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
        "the answer is a number": "half",
    },
    "05.3": {
        "ranks add up": (8, 8, 8),
        "has a rank above 64": (8, 29, 85),
        "all heads share": (8, 32, 64),
        "a head has its own map": (32, 29, 64),
        "does not divide its rank": (8, 2, 8),
        "number 3 is wrong": (8, 29, 32),
        "the answer is 3": 8,
    },
    "05.4": {
        "some rows sum to 0": lambda N, d: 2 * [torch.eye(N)[:, :d]],
        "gives itself 1/N": lambda N, d: (torch.rand(N, 1).expand(N, d), torch.rand(N, d)),
        "your features have N channels": lambda N, d: (torch.eye(N), torch.eye(N)),
        "tokens come first": lambda N, d: (torch.ones(d, N), torch.ones(d, N)),
        "must not be negative": lambda N, d: (torch.randn(N, d), torch.randn(N, d)),
        "perhaps the map": lambda N, d: torch.ones(N, N) / N,
        "these are 3 arrays": lambda N, d: 3 * [torch.ones(N, d)],
        "is off": lambda N, d: 2 * [in_order(N, d)[0] + 0.1],
    },
}
