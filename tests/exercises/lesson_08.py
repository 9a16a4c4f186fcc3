"""Right and wrong answers to the exercises of lesson 08; a wrong one stands under words of its message."""

import torch
from torch.nn import functional as F


def by_hand(model, optimizer, batch, limit):
    """zero_grad at the end as well, clipping and cross entropy by hand."""
    for weight in model.parameters():
        weight.grad = None
    logits = model(batch.video, batch.readout)
    loss = (logits.logsumexp(-1) - logits.gather(-1, batch.label[:, None])[:, 0]).mean()
    loss.backward()
    norm = torch.cat([weight.grad.flatten() for weight in model.parameters()]).norm()
    for weight in model.parameters():
        weight.grad *= min(1.0, limit / (norm + 1e-6))
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def with_autograd(batch, model, optimizer, limit=1.0):
    weights = list(model.parameters())
    loss = F.cross_entropy(model(batch.video, batch.readout), batch.label)
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = gradient
    torch.nn.utils.clip_grad_norm_(weights, limit)
    optimizer.step()
    return float(loss)


def step(*does):
    def train_step(model, optimizer, batch, limit=1.0):
        loss = F.cross_entropy(model(batch.video, batch.readout), batch.label)
        for each in does:
            each(model, optimizer, loss, limit)
        return loss.item()

    return train_step


def zero(model, optimizer, loss, limit):
    optimizer.zero_grad()


def back(model, optimizer, loss, limit):
    loss.backward()


def clip(model, optimizer, loss, limit):
    torch.nn.utils.clip_grad_norm_(model.parameters(), limit)


def update(model, optimizer, loss, limit):
    optimizer.step()


def each_clipped(model, optimizer, loss, limit):
    for weight in model.parameters():
        torch.nn.utils.clip_grad_norm_([weight], limit)


def by_subtraction(model, optimizer, loss, limit):
    for weight in model.parameters():
        weight.data -= 0.5 * weight.grad


def summed(model, optimizer, batch, limit=1.0):
    loss = F.cross_entropy(model(batch.video, batch.readout), batch.label, reduction="sum")
    for each in (zero, back, clip, update):
        each(model, optimizer, loss, limit)
    return loss.item()


RIGHT = {
    "08.1": [500, (100 + 900) / 2],
    "08.2": [by_hand, with_autograd, step(back, clip, update, zero)],
    "08.3": ["c", " C ", "(c)"],
}
WRONG = {
    "08.1": {
        "half of all steps": 450,
        "during the warm-up": 50,
        "counted from its start": 400,
        "none of the usual mistakes": 501.5,
    },
    "08.2": {
        "your weights do not change": step(back, clip, zero, update),
        "zero_grad is missing": step(back, clip, update),
        "is not clipped": step(zero, back, update, clip),
        "comes before backward": step(update, zero, back, clip),
        "not to the limit": lambda model, optimizer, batch, limit: step(zero, back, clip, update)(
            model, optimizer, batch
        ),
        "the largest difference": summed,
        "by its own norm": step(zero, back, each_clipped, update),
        "may do more": step(zero, back, clip, by_subtraction),
        "the readout is missing": lambda model, optimizer, batch, limit: by_hand(
            model, optimizer, batch._replace(readout=None), limit
        ),
        "between backward and clip": step(
            back, zero, lambda model, *_: sum(w.grad.square().sum() for w in model.parameters()), update
        ),
        "should be": lambda model, optimizer, batch, limit: "0.5",
        "AttributeError": lambda model, optimizer, batch, limit: model(batch.clip),
    },
    "08.3": {
        "depends on q": "a",
        "depends on k": "b",
        "not depend on v": "d",
        "not among the choices a, b, c, d": "e",
        "a letter in quotes": 3,
    },
}
