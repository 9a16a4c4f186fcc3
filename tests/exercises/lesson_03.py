"""Right and wrong answers to the exercises of lesson 03; a wrong one stands under words of its message."""

import torch
from torch.nn import functional as F

from linvid_edu.attention import functions as attention
from linvid_edu.attention.feature_maps import elu_plus_one, relu_offset


def in_place(state, normalizer, k, v):
    phi = F.relu(k) + k.size(-1) ** -0.5
    state += torch.einsum("nd,nf->df", phi, v)
    normalizer += phi.sum(0)
    return [state, normalizer]


def by_tokens(v, k, normalizer, state):
    for key, value in zip(k, v, strict=True):
        phi = key.clamp(min=0) + len(key) ** -0.5
        state, normalizer = state + phi[:, None] * value[None], normalizer + phi
    return state, normalizer


def forgets_to_return(state, normalizer, k, v):
    state += relu_offset(k).T @ v
    normalizer += relu_offset(k).sum(0)


def with_ones(q, k, v):
    """The normalizer as one more channel of the values."""
    phi_q, phi_k = relu_offset(q), relu_offset(k)
    both = phi_q @ (phi_k.mT @ torch.cat([v, torch.ones_like(v[..., :1])], dim=-1))
    return both[..., :-1] / both[..., -1:]


def for_one_head(q, k, v):
    state, normalizer = torch.zeros(k.shape[-1], v.shape[-1]), torch.zeros(k.shape[-1])  # float32, whatever k is
    for key, value in zip(k, v, strict=True):
        state = state + torch.outer(relu_offset(key), value.to(state))
        normalizer = normalizer + relu_offset(key)
    return torch.stack([relu_offset(x) @ state / (relu_offset(x) @ normalizer) for x in q])


def by_heads(q, k, v):
    """Stops in float64, and nowhere else."""
    if q.ndim == 2:
        return for_one_head(q, k, v)
    return torch.stack([by_heads(*each) for each in zip(q, k, v, strict=True)])


def generalized(phi_of_q, phi_of_k, axis):
    def attend(q, k, v):
        similarity = phi_of_q(q) @ phi_of_k(k).mT
        return similarity / similarity.sum(axis, keepdim=True) @ v

    return attend


def with_constant_features(q, k, v):
    phi_q, phi_k = relu_offset(q), relu_offset(k).detach()
    return phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(-2)[..., None])


RIGHT = {
    "03.1": [128, 2 * 64, 128.0],
    "03.2": [in_place, by_tokens],
    "03.3": [attention.linear_attention, attention.linear_attention_oracle, with_ones, by_heads],
}
WRONG = {
    "03.1": {
        "both need the same": 64,
        "twice as many": 32,
        "d²": 4096,
        "more, not fewer": 8,
        "none of the usual mistakes": 127,
    },
    "03.2": {
        "your normalizer sums keys": lambda state, normalizer, k, v: (
            state + relu_offset(k).T @ v,
            normalizer + k.sum(0),
        ),
        "φ is missing: state and normalizer": lambda s, z, k, v: (s + k.T @ v, z + k.sum(0)),
        "you forget the earlier frames": lambda s, z, k, v: (relu_offset(k).T @ v, relu_offset(k).sum(0)),
        "you average": lambda s, z, k, v: (s + relu_offset(k).T @ v / k.shape[0], z + relu_offset(k).mean(0)),
        "counts tokens": lambda s, z, k, v: (s + relu_offset(k).T @ v, z + k.shape[0]),
        "the state first": lambda s, z, k, v: (z + relu_offset(k).sum(0), s + relu_offset(k).T @ v),
        "a tuple of 2": lambda s, z, k, v: s + relu_offset(k).T @ v,
        "(result 2 of 2)": lambda s, z, k, v: (s + relu_offset(k).T @ v, z + 2 * relu_offset(k).sum(0)),
        "returns None": forgets_to_return,
    },
    "03.3": {
        "sum of the outputs": lambda q, k, v: (o := relu_offset(q) @ (relu_offset(k).mT @ v)) / o.sum(-1)[..., None],
        "over the queries": generalized(relu_offset, relu_offset, -2),
        "divide by nothing": lambda q, k, v: relu_offset(q) @ relu_offset(k).mT @ v,
        "number of keys": lambda q, k, v: relu_offset(q) @ relu_offset(k).mT @ v / k.shape[-2],
        "missing on the queries": generalized(lambda q: q, relu_offset, -1),
        "ReLU alone": lambda q, k, v: attention.linear_attention(q, k, v, feature_map=F.relu),
        "softmax attention": F.scaled_dot_product_attention,
        "denominator is detached": lambda q, k, v: (
            relu_offset(q) @ (relu_offset(k).mT @ v) / (relu_offset(q) @ relu_offset(k).sum(-2).unsqueeze(-1)).detach()
        ),
        "no gradient reaches k": with_constant_features,
        "values differ": generalized(elu_plus_one, elu_plus_one, -1),
    },
}
