"""Right and wrong answers to the exercises of lesson 02; a wrong one stands under words of its message."""

import math
from fractions import Fraction

import numpy as np
import torch
from torch.nn import functional as F

from linvid_edu.attention.functions import linear_attention


def by_loop(q, k, v):
    if q.ndim > 2:
        return torch.stack([by_loop(*each) for each in zip(q, k, v, strict=True)])
    rows = []
    for query in q:
        scores = torch.stack([sum(a * b for a, b in zip(query, key, strict=True)) for key in k]) / math.sqrt(len(query))
        shares = (scores - scores.max()).exp()
        rows.append((shares[:, None] * v).sum(0) / shares.sum())
    return torch.stack(rows)


def in_place(v, k, q):
    """With the arguments in another order, known by their names."""
    scores = torch.einsum("...nd,...md->...nm", q.clone().mul_(q.size(-1) ** -0.5), k)
    weights = scores.double()
    weights -= weights.amax(-1, keepdim=True)
    return torch.einsum("...nm,...md->...nd", weights.exp_() / weights.sum(-1, keepdim=True), v.double())


class Attention(torch.nn.Module):
    def forward(self, queries, keys, values):
        return F.scaled_dot_product_attention(queries, keys, values)


def normalized_over(dim):
    return lambda q, k, v: torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim) @ v


def without_gradient(q, k, v):
    return F.scaled_dot_product_attention(q.detach(), k, v)


def scaled_query(q, k, v):
    q *= q.shape[-1] ** -0.5
    return torch.softmax(q @ k.mT, dim=-1) @ v


RIGHT = {
    "02.1": [by_loop, in_place, Attention(), F.scaled_dot_product_attention],
    "02.3": [81.6, 4624**2 * 4 / 1024**2],
    "02.2": [(4, 2.1), [Fraction(4), np.float32(2.105)], torch.tensor([4.0, 2.1049])],
}
WRONG = {
    "02.1": {
        "over the queries": normalized_over(-2),
        "over all pairs": lambda q, k, v: (
            (s := (q @ k.mT / q.shape[-1] ** 0.5).exp()) / s.sum(dim=(-1, -2), keepdim=True) @ v
        ),
        "not divided by √d": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=1.0),
        "not for large ones": lambda q, k, v: (s := (q @ k.mT / q.shape[-1] ** 0.5).exp()) @ v / s.sum(-1)[..., None],
        "do not sum to 1": lambda q, k, v: torch.exp(q @ k.mT * q.shape[-1] ** -0.5) @ v,
        "no gradient reaches q": without_gradient,
        "changes its input q": scaled_query,
        "shape": lambda q, k, v: F.scaled_dot_product_attention(q, k, v).mT,
        "values differ": linear_attention,
    },
    "02.3": {
        "takes 4 bytes": 20.4,
        "divided by a million": 85.5,
        "one number for each token": 0.01764,
        "the map of one frame": 0.3186,
        "none of the usual mistakes": 100,
    },
    "02.2": {
        "a little more than t": (4, 2),
        "are swapped": (2.1, 4),
        "the square of t": (2, 2.1),
        "only the part n t²": (4, 4),
        "number 1 is wrong": (5, 2.1),
        "you give 3 numbers": (4, 2.1, 1),
    },
}
