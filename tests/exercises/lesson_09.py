"""Right and wrong answers to the exercises of lesson 09; a wrong one stands under words of its message."""

import torch

# 09.1


def by_einsum(A, mask):
    mass = torch.einsum("tij,tj->ti", A, mask.to(A)) / torch.einsum("tij->ti", A)
    return mass * mask.shape[1] / mask.sum(1, keepdim=True)


def by_loop(A, mask):
    rows = []
    for frame, here in zip(A, mask, strict=True):
        p = frame / frame.sum(dim=1, keepdim=True)
        rows.append(p[:, here].sum(dim=1) / (here.sum() / len(here)))
    return torch.stack(rows)


def by_means(A, mask):
    return torch.stack([a[:, m].mean(-1) / a.mean(-1) for a, m in zip(A, mask, strict=True)])


# 09.2


def by_topk(predict, tokens, attention, shares):
    curve = []
    for share in shares:
        keep = torch.ones(len(tokens), 1)
        keep[attention.topk(round(share * len(tokens))).indices] = 0
        curve.append(predict(tokens * keep))
    return curve


def by_rank(predict, tokens, attention, shares):
    rank = (attention[None] > attention[:, None]).sum(1)  # how many get more
    return [predict(tokens * (rank >= round(s * len(tokens)))[:, None]) for s in shares]


def from_the_last(predict, tokens, attention, shares):
    left, curve = tokens.clone(), []
    for share in shares:
        left[attention.argsort(descending=True)[: round(share * len(tokens))]] = 0
        curve.append(predict(left))
    return curve


def deeper_and_deeper(predict, tokens, attention, shares):
    left, order, curve = tokens.clone(), attention.argsort(descending=True).tolist(), []
    for share in shares:
        for _ in range(round(share * len(tokens))):
            if order:
                left[order.pop(0)] = 0
        curve.append(predict(left))
    return curve


RIGHT = {
    "09.1": [by_einsum, by_loop, by_means],
    "09.2": [by_topk, by_rank],
    "09.3": ["b", " B "],
}
WRONG = {
    "09.1": {
        "the mean weight": lambda A, mask: torch.stack(
            [(a / a.sum(-1, keepdim=True))[:, m].mean(-1) for a, m in zip(A, mask, strict=True)]
        ),
        "the mass alone": lambda A, mask: ((A / A.sum(-1, keepdim=True)) * mask[:, None]).sum(-1),
        "the mask of the first": lambda A, mask: by_einsum(A, mask[0].repeat(len(A), 1)),
        "over all frames": lambda A, mask: (
            by_einsum(A, mask) * mask.double().mean(1, keepdim=True) / mask.double().mean()
        ),
        "selects queries": lambda A, mask: (A * mask[..., None]).sum(-1) / A.sum(-1) / mask.double().mean(1)[:, None],
        "you sum columns": lambda A, mask: by_einsum(A.transpose(1, 2), mask),
        "do not sum to 1": lambda A, mask: (A * mask[:, None]).sum(-1) / mask.double().mean(1)[:, None],
        "upside down": lambda A, mask: 1 / by_loop(A, mask),
        "is inverted": lambda A, mask: by_loop(A, mask.logical_not()),
    },
    "09.2": {
        "the least attended first": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, -attention, shares
        ),
        "keep the most attended": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, -attention, [1 - share for share in shares]
        ),
        "sort by attention first": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, -torch.arange(len(tokens)), shares
        ),
        "your shares add up": deeper_and_deeper,
        "stay deleted": from_the_last,
        "one token too many": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, attention, [min(1, share + 1 / len(tokens)) for share in shares]
        ),
        "you sorted the shares": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, attention, sorted(shares)
        ),
        "int() rounds down": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, attention, [int(share * len(tokens)) / len(tokens) for share in shares]
        ),
        "ceil() rounds up": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, attention, [-(-share * len(tokens) // 1) / len(tokens) for share in shares]
        ),
        "changes its input shares": lambda predict, tokens, attention, shares: by_topk(
            predict, tokens, attention, [shares.pop(0) for _ in range(len(shares))]
        ),
        "remove the rows": lambda predict, tokens, attention, shares: [
            predict(tokens[attention.argsort()[: len(tokens) - round(share * len(tokens))].sort().values])
            for share in shares
        ],
        "NameError": lambda predict, tokens, attention, shares: undefined,
        "this is the loss": lambda predict, tokens, attention, shares: [
            predict(tokens) - value for value in by_topk(predict, tokens, attention, shares)
        ],
    },
    "09.3": {
        "firmer": "a",
        "what she would predict": "c",
        "which supports her": "d",
        "is not among the choices": "e",
    },
}
