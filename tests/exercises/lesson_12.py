"""Right and wrong answers to the exercises of lesson 12; a wrong one stands under words of its message."""

import math

import torch
from torch.nn import functional as F


def by_direction(x, p):
    x = F.relu(x) + 1e-6
    return F.normalize(x**p, dim=-1, eps=0) * x.square().sum(-1, keepdim=True).sqrt()


def by_logarithm(x, p):
    x = x.clamp(min=0) + 1e-6
    powered = torch.exp(p * x.log())
    return powered * (x.pow(2).sum(-1) / powered.pow(2).sum(-1)).sqrt().unsqueeze(-1)


def by_largest(x, p):
    x = x.clamp(min=0) + 1e-6
    powered = (x / x.amax(-1, keepdim=True)) ** p
    return (
        powered
        / torch.linalg.vector_norm(powered, dim=-1, keepdim=True)
        * torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    )


RIGHT = {
    "12.1": [by_direction, by_logarithm, by_largest],
    "12.2": [(0.5, 0.27, 0.77), [0.5, math.cos(1) / 2, 0.5 + math.cos(1) / 2]],
}
WRONG = {
    "12.1": {
        "changed the lengths": lambda x, p: (F.relu(x) + 1e-6) ** p,
        "have length 1": lambda x, p: F.normalize((F.relu(x) + 1e-6) ** p, dim=-1, eps=0),
        "over the tokens": lambda x, p: (
            (y := F.relu(x) + 1e-6) ** p * y.norm(dim=-2, keepdim=True) / (y**p).norm(dim=-2, keepdim=True)
        ),
        "before ReLU": lambda x, p: F.normalize((F.relu(x) + 1e-6) ** p, dim=-1, eps=0) * x.norm(dim=-1, keepdim=True),
        "F.normalize takes for 0": lambda x, p: (
            F.normalize((x := F.relu(x) + 1e-6) ** p, dim=-1) * x.norm(dim=-1, keepdim=True)
        ),
        "upside down": lambda x, p: (
            (y := F.relu(x) + 1e-6) ** p * (y**p).norm(dim=-1, keepdim=True) / y.norm(dim=-1, keepdim=True)
        ),
    },
    "12.2": {
        "in the numerator alone": (0.649, 0.351, 1),
        "with 1 in radians": (0.5, math.cos(math.radians(1)) / 2, 0.5 + math.cos(math.radians(1)) / 2),
        "not divided": (1, math.cos(1), 1 + math.cos(1)),
        "the sine": (0.5, 0.42, 0.92),
    },
}
