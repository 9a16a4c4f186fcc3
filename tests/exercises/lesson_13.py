"""Right and wrong answers to the exercises of lesson 13; a wrong one stands under words of its message."""

import torch

from linvid_edu.attention.causal import CausalAttention
from linvid_edu.attention.causal_sums import State
from linvid_edu.attention.functions import EPS


def by_loop(S, z, phi_q, phi_k, v):
    S, z = S.clone(), z.clone()
    for key, value in zip(phi_k, v, strict=True):
        S = S + torch.outer(key, value)
        z = z + key
    return torch.stack([query @ S / (query @ z + EPS) for query in phi_q]), S, z


def by_library(S, z, phi_q, phi_k, v):
    stream = CausalAttention(lambda x: x)
    stream.state = State(S.double(), z.double()[None])
    out = stream.update(phi_q, phi_k, v)
    return out, stream.state.weighted.to(v), stream.state.total[0].to(v)


def by_einsum(S, z, phi_q, phi_k, v):
    S = torch.einsum("nd,nf->df", phi_k, v) + S
    z = torch.einsum("nd->d", phi_k) + z
    return torch.einsum("nd,df->nf", phi_q, S) / (torch.einsum("nd,d->n", phi_q, z)[:, None] + EPS), S, z


RIGHT = {
    "13.1": [by_loop, by_library, by_einsum],
    "13.2": [(1, 1 / 4, 1 / 100), torch.tensor([1.0, 0.25, 0.01])],
    "13.3": [139_264, 2 * 4 * 64 * 16 * 17],
}
WRONG = {
    "13.1": {
        "use the old sums": lambda S, z, q, k, v: (q @ S / ((q @ z)[:, None] + EPS), S + k.T @ v, z + k.sum(0)),
        "the past is gone": lambda S, z, q, k, v: (q @ (k.T @ v) / ((q @ k.sum(0))[:, None] + EPS), k.T @ v, k.sum(0)),
        "divide by the old z": lambda S, z, q, k, v: (
            q @ (S + k.T @ v) / ((q @ z)[:, None] + EPS),
            S + k.T @ v,
            z + k.sum(0),
        ),
        "the block's own sum": lambda S, z, q, k, v: (
            q @ (S + k.T @ v) / ((q @ k.sum(0))[:, None] + EPS),
            S + k.T @ v,
            z + k.sum(0),
        ),
        "return the old state": lambda S, z, q, k, v: (by_loop(S, z, q, k, v)[0], S, z),
        "divides 0 by 0": lambda S, z, q, k, v: (
            q @ (S + k.T @ v) / (q @ (z + k.sum(0)))[:, None],
            S + k.T @ v,
            z + k.sum(0),
        ),
        "not an average": lambda S, z, q, k, v: (q @ (S + k.T @ v), S + k.T @ v, z + k.sum(0)),
    },
    "13.2": {
        "four": (1, 1 / 3, 1 / 99),
        "give the share of its own frame": (0, 3 / 4, 99 / 100),
        "not only itself": (1, 1, 1),
        "not a power": (1, 1 / 8, 0.5**99),
        "a share": (1, 4, 100),
    },
    "13.3": {
        "its own state: attention over time": 2176,
        "z is part": 131_072,
        "have no state": 278_528,
        "but there are two": 69_632,
        "none of the usual mistakes": 17,
    },
}
