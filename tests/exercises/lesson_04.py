"""Right and wrong answers to the exercises of lesson 04; a wrong one stands under words of its message."""

import math
from fractions import Fraction

import torch
from torch.nn import functional as F

from linvid_edu.attention.feature_maps import elu_plus_one, relu_offset

# 04.1


def by_where(x, offset=None):
    offset = 1 / math.sqrt(x.size(-1)) if offset is None else offset
    return torch.where(x > 0, x + offset, torch.full_like(x, offset))


def by_library(x, offset=None):
    return relu_offset(x) if offset is None else F.relu(x).add(offset)


def in_place(x, offset=None):
    x.relu_()
    return x + (x.shape[-1] ** -0.5 if offset is None else offset)


# 04.2


def by_einsum(phi_q, phi_k, eps=1e-6):
    return torch.einsum("...nd,...md->...n", phi_q, phi_k)[..., None] + eps


def by_map(phi_q, phi_k, eps=1e-6):
    return (phi_q @ phi_k.transpose(-1, -2)).sum(dim=-1, keepdim=True) + eps


def by_product(phi_q, phi_k, eps=1e-6):
    return (phi_q * phi_k.sum(-2, keepdim=True)).sum(-1, True).add(eps)


# 04.4


def by_normalize(x, power):
    x = F.relu(x)
    return F.normalize(x**power, dim=-1) * torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def by_mask(x, power):
    x = x.clamp(min=0)
    raised, length = x.pow(power), x.square().sum(-1, keepdim=True).sqrt()
    safe = raised.square().sum(-1, keepdim=True).sqrt()
    return torch.where(safe > 0, raised / torch.where(safe > 0, safe, 1.0) * length, torch.zeros_like(x))


def with_powers_of(x, first, then):
    x = F.relu(x)
    return F.normalize(x**then, dim=-1) * x.norm(dim=-1, keepdim=True) ** first


RIGHT = {
    "04.1": [by_where, by_library],
    "04.2": [by_einsum, by_map, by_product],
    "04.3": [1 / 3, 0.333, Fraction(1, 3), torch.tensor(0.3333)],
    "04.4": [by_normalize, by_mask],
}
WRONG = {
    "04.1": {
        "you multiplied by the offset": lambda x, offset=None: (
            (x * x.gt(0)) * (offset if offset is not None else x.shape[-1] ** -0.5)
        ),
        "before ReLU": lambda x, offset=None: F.relu(x + (x.shape[-1] ** -0.5 if offset is None else offset)),
        "your offset is 1/d": lambda x, offset=None: F.relu(x) + (x.shape[-1] ** -1 if offset is None else offset),
        "took the maximum": lambda x, offset=None: torch.maximum(
            x, torch.tensor(x.shape[-1] ** -0.5 if offset is None else offset).to(x)
        ),
        "axis of the tokens": lambda x, offset=None: (
            F.relu(x) + ((x.shape[-2] if x.ndim > 1 else x.shape[-1]) ** -0.5 if offset is None else offset)
        ),
        "an offset of 0 as missing": lambda x, offset=None: F.relu(x) + (offset or x.shape[-1] ** -0.5),
        "ignore the offset that is given": lambda x, offset=None: relu_offset(x),
        "changes its input x": in_place,
        "no gradient reaches x": lambda x, offset=None: by_where(x.detach(), offset),
        "values differ": lambda x, offset=None: elu_plus_one(x),
    },
    "04.2": {
        "sum over queries": lambda phi_q, phi_k, eps: (phi_q @ phi_k.mT).sum(-2, keepdim=True).mT + eps,
        "eps is missing": lambda phi_q, phi_k, eps: (phi_q * phi_k.sum(-2, keepdim=True)).sum(-1, keepdim=True),
        "your own eps": lambda phi_q, phi_k, eps: by_map(phi_q, phi_k, 1e-6),
        "the mean over the keys": lambda phi_q, phi_k, eps: (phi_q @ phi_k.mT).mean(-1, keepdim=True) + eps,
        "the last axis is missing": lambda phi_q, phi_k, eps: (phi_q @ phi_k.mT).sum(-1) + eps,
        "once for each key": lambda phi_q, phi_k, eps: (phi_q @ phi_k.mT + eps).sum(-1, keepdim=True),
        "is detached": lambda phi_q, phi_k, eps: by_map(phi_q, phi_k.clone().detach(), eps),
        "the sum over channels is missing": lambda phi_q, phi_k, eps: phi_q * phi_k.sum(-2, keepdim=True) + eps,
        "returns None": lambda phi_q, phi_k, eps: print(by_map(phi_q, phi_k, eps)),
        "times the right value": lambda phi_q, phi_k, eps: 2 * by_map(phi_q, phi_k, eps),
    },
    "04.3": {
        "get nothing": 1,
        "14 keys are blank": 0.318,
        "divide by the sum": 21,
        "it should be 1/√d = 1/2": 0.5105,
        "the query has an offset": 0.3913,
        "none of the usual mistakes": 0.77,
        "the answer is a number": "a third",
    },
    "04.4": {
        "the power before ReLU": lambda x, power: (
            F.normalize(F.relu(x.pow(power)), dim=-1) * F.relu(x).norm(dim=-1, keepdim=True)
        ),
        "the factor is missing": lambda x, power: x.clamp(min=0) ** power,
        "have length 1": lambda x, power: F.normalize(F.relu(x) ** power, dim=-1),
        "the length of x": lambda x, power: F.normalize(F.relu(x) ** power, dim=-1) * x.norm(dim=-1, keepdim=True),
        "must stay zeros": lambda x, power: (
            (r := F.relu(x)) ** power / (r**power).norm(dim=-1, keepdim=True) * r.norm(dim=-1, keepdim=True)
        ),
        "along the tokens": lambda x, power: (
            F.normalize(F.relu(x) ** power, dim=-2 if x.ndim > 1 else -1)
            * F.relu(x).norm(dim=-2 if x.ndim > 1 else -1, keepdim=True)
        ),
        "values differ": lambda x, power: with_powers_of(x, 2, power),
    },
}
