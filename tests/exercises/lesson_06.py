"""Right and wrong answers to the exercises of lesson 06; a wrong one stands under words of its message."""

from fractions import Fraction

import torch
from torch.nn import functional as F

from linvid_edu.attention.feature_maps import identity, relu_offset
from linvid_edu.attention.fixation import Fixation, cooperative_fixation, separate_fixation
from linvid_edu.attention.functions import attention_map, linear_attention

# 06.1


def by_library(phi_q, phi_k, weight_q, bias_q, weight_k, bias_k):
    return separate_fixation(phi_q, phi_k, weight_q, bias_q, weight_k, bias_k)


def by_definition(phi_q, phi_k, weight_q, bias_q, weight_k, bias_k):
    def ratios(phi, weight, bias):
        return 1 / (1 + torch.exp(-torch.einsum("...ni,oi->...no", phi, weight) - bias))

    return [ratios(phi_q, weight_q, bias_q), ratios(phi_k, weight_k, bias_k)]


def with_layers(change, activation=torch.sigmoid):
    """Return separate fixation with other layers, written with F.linear."""

    def fixed(phi_q, phi_k, *layers):
        w_q, b_q, w_k, b_k = change(*layers)
        return activation(F.linear(phi_q, w_q, b_q)), activation(F.linear(phi_k, w_k, b_k))

    return fixed


def averaged_over_tokens(phi_q, phi_k, *layers):
    r_q, r_k = separate_fixation(phi_q, phi_k, *layers)
    return r_q.mean(-2, keepdim=True).expand_as(r_q), r_k.mean(-2, keepdim=True).expand_as(r_k)


# 06.2


def by_module(q, k, v, weight_q, bias_q, weight_k, bias_k):
    fixation = Fixation(q.shape[-1], kind="cooperative")
    given = {"query.weight": weight_q, "query.bias": bias_q, "key.weight": weight_k, "key.bias": bias_k}
    phi_q, phi_k = relu_offset(q), relu_offset(k)
    ratios = torch.func.functional_call(fixation, given, (phi_q, phi_k, v))
    return linear_attention(ratios.q * phi_q, ratios.k * phi_k, v, feature_map=identity)


def by_explicit_map(q, k, v, weight_q, bias_q, weight_k, bias_k):
    phi_q, phi_k = F.relu(q) + q.shape[-1] ** -0.5, F.relu(k) + k.shape[-1] ** -0.5
    parts = zip((phi_q, phi_k, v), weight_q.chunk(3, dim=1), weight_k.chunk(3, dim=1), strict=True)
    sums_q, sums_k = zip(*((x @ a.T, x @ b.T) for x, a, b in parts), strict=True)
    phi_q = phi_q / (1 + (-sum(sums_q) - bias_q).exp())
    phi_k = phi_k / (1 + (-sum(sums_k) - bias_k).exp())
    similarity = phi_q @ phi_k.transpose(-1, -2)
    return similarity / similarity.sum(-1, True) @ v


def wrong_in(use, see=lambda phi_q, phi_k, v: (phi_q, phi_k, v)):
    """Return the library's cooperative fixation with another use of the ratios, or another input x."""

    def fixed(q, k, v, *layers):
        phi_q, phi_k = relu_offset(q), relu_offset(k)
        return use(q, k, v, phi_q, phi_k, cooperative_fixation(*see(phi_q, phi_k, v), *layers))

    return fixed


def attended(q, k, v, phi_q, phi_k, r):
    return linear_attention(r.q * phi_q, r.k * phi_k, v, feature_map=identity)


def softmax_ratios(q, k, v, weight_q, bias_q, weight_k, bias_k):
    phi_q, phi_k = relu_offset(q), relu_offset(k)
    x = torch.cat([phi_q, phi_k, v], dim=-1)
    r_q, r_k = (torch.softmax(F.linear(x, *each), dim=-1) for each in ((weight_q, bias_q), (weight_k, bias_k)))
    return linear_attention(r_q * phi_q, r_k * phi_k, v, feature_map=identity)


def raw_input(q, k, v, *layers):
    r = cooperative_fixation(q, k, v, *layers)
    return linear_attention(r.q * relu_offset(q), r.k * relu_offset(k), v, feature_map=identity)


def no_sigmoid(q, k, v, weight_q, bias_q, weight_k, bias_k):
    phi_q, phi_k = relu_offset(q), relu_offset(k)
    x = torch.cat([phi_q, phi_k, v], dim=-1)
    r_q, r_k = F.linear(x, weight_q, bias_q), F.linear(x, weight_k, bias_k)
    return linear_attention(r_q * phi_q, r_k * phi_k, v, feature_map=identity)


RIGHT = {
    "06.1": [by_library, by_definition],
    "06.2": [by_module, by_explicit_map],
    "06.3": [(0.4, 0.4, 0.25), [0.4, 0.4, 1 / 4], torch.tensor([0.4, 0.4, 0.25])],
    "06.4": [1 / 9, 0.111, Fraction(7, 63)],
}
WRONG = {
    "06.1": {
        "W is not transposed": lambda phi_q, phi_k, weight_q, bias_q, weight_k, bias_k: (
            torch.sigmoid(phi_q @ weight_q + bias_q),
            torch.sigmoid(phi_k @ weight_k + bias_k),
        ),
        "the sigmoid is missing": with_layers(lambda *layers: layers, identity),
        "softmax over the channels": with_layers(lambda *layers: layers, lambda x: F.softmax(x, -1)),
        "softmax over the tokens": with_layers(lambda *layers: layers, lambda x: F.softmax(x, -2)),
        "query's layer for the keys": with_layers(lambda w_q, b_q, w_k, b_k: (w_q, b_q, w_q, b_q)),
        "the layers are swapped": with_layers(lambda w_q, b_q, w_k, b_k: (w_k, b_k, w_q, b_q)),
        "the bias is missing": with_layers(lambda w_q, b_q, w_k, b_k: (w_q, None, w_k, None)),
        "return only the ratios": lambda phi_q, phi_k, *layers: tuple(
            phi * r for phi, r in zip((phi_q, phi_k), separate_fixation(phi_q, phi_k, *layers), strict=True)
        ),
        "in the wrong order": lambda phi_q, phi_k, *layers: separate_fixation(phi_q, phi_k, *layers)[::-1],
        "is detached": lambda phi_q, phi_k, *layers: separate_fixation(phi_q.detach(), phi_k.detach(), *layers),
        "a tuple of 2": lambda phi_q, phi_k, *layers: separate_fixation(phi_q, phi_k, *layers).q,
        "values differ": averaged_over_tokens,
    },
    "06.2": {
        "r is applied before φ": wrong_in(lambda q, k, v, phi_q, phi_k, r: linear_attention(r.q * q, r.k * k, v)),
        "φ is applied twice": wrong_in(lambda q, k, v, phi_q, phi_k, r: linear_attention(r.q * phi_q, r.k * phi_k, v)),
        "to the output": wrong_in(lambda q, k, v, phi_q, phi_k, r: linear_attention(q, k, v) * r.q),
        "you gate the values": wrong_in(lambda q, k, v, phi_q, phi_k, r: linear_attention(q, k, v * r.k)),
        "the sigmoid is missing": no_sigmoid,
        "softmax over the channels": softmax_ratios,
        "the query's layer computes both": wrong_in(
            lambda q, k, v, phi_q, phi_k, r: attended(q, k, v, phi_q, phi_k, r._replace(k=r.q))
        ),
        "x holds the raw q and k": raw_input,
        "x holds φ(v)": wrong_in(attended, lambda phi_q, phi_k, v: (phi_q, phi_k, relu_offset(v))),
        "the keys are not reweighted": wrong_in(
            lambda q, k, v, phi_q, phi_k, r: linear_attention(r.q * phi_q, phi_k, v, feature_map=identity)
        ),
        "has to be reweighted, too": wrong_in(
            lambda q, k, v, phi_q, phi_k, r: (
                (r.q * phi_q) @ (r.k * phi_k).mT / (phi_q @ phi_k.mT).sum(-1, keepdim=True) @ v
            )
        ),
        "fixation is missing": lambda q, k, v, *layers: attention_map(q, k, feature_map=relu_offset) @ v,
        "no gradient reaches bias_q": lambda q, k, v, weight_q, bias_q, weight_k, bias_k: by_module(
            q, k, v, weight_q, bias_q.detach(), weight_k, bias_k
        ),
        "values differ": wrong_in(
            lambda q, k, v, phi_q, phi_k, r: linear_attention((1 - r.q) * phi_q, r.k * phi_k, v, feature_map=identity)
        ),
    },
    "06.3": {
        "divided by its new sum": (0.2, 0.2, 0.2),
        "has to sum to 1 again": (0.4, 0.4, 0.2),
        "does not cancel": (0.4, 0.4, 0.4),
        "factor on the query": [0.2, 0.4, 0.25],
        "halved the other keys": (0.4, 0.4, 0.571),
        "number 3 is wrong": (0.4, 0.4, 0.3),
        "the answer is 3 numbers": 0.4,
    },
    "06.4": {
        "not 1": 0.0159,
        "is not one of them": 7 / 64,
        "upside down": 9,
        "once": 0.333,
        "half of the ratio": 0.5,
        "without fixation": 0.1,
        "none of the usual mistakes": 0.77,
    },
}
