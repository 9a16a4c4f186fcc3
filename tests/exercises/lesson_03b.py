"""Right and wrong answers to the exercises of lesson 03b; a wrong one stands under words of its message."""

import torch

from linvid_edu.models import color_measures
from linvid_edu.models.color_transformer import copied_colors


def by_loops(colors, weights):
    copied = weights.new_zeros(*weights.shape[:2], 2)
    for frame, rows in enumerate(weights.tolist()):
        for query, row in enumerate(rows):
            for known, shares in enumerate(row):
                for token, share in enumerate(shares):
                    copied[frame, query] = copied[frame, query] + share * colors[known, token]
    return copied


def from_library(copied, truth, known):
    mean = known.flatten(0, 1).mean(0).expand_as(truth)
    errors, mean_errors = (color_measures.color_distance(x, truth) for x in (copied, mean))
    return color_measures.relative_error(errors, mean_errors)


def to_gray(paint, lab):
    changed = lab.clone()
    changed[1:, 1:] = 0
    return bool((paint(changed) - paint(lab)).abs().max() > 0)


def shuffled(paint, lab):
    changed = torch.cat([lab[:, :1], torch.cat([lab[:1, 1:], torch.rand_like(lab[1:, 1:])])], dim=1)
    return (paint(changed) != paint(lab)).any()


def differs_after_change(channels, frames):
    def leaks(paint, lab):
        changed = lab.clone()
        changed[channels, frames] *= -1
        return not torch.allclose(paint(changed), paint(lab))

    return leaks


RIGHT = {
    "03b.1": [
        lambda weights, colors: torch.einsum("tnkm,kmc->tnc", weights, colors),
        lambda weights, colors: copied_colors(weights[None], colors[None])[0],
        lambda weights, colors: (weights[..., None] * colors).sum((2, 3)),
    ],
    "03b.2": [from_library, lambda copied, truth, known: from_library(copied, truth, known) * torch.ones(())],
    "03b.3": [to_gray, shuffled],
}
WRONG = {
    "03b.1": {
        "number of known frames": lambda weights, colors: (weights @ colors).mean(2),
        "number of known tokens": lambda weights, colors: (weights[..., None] * colors).mean((2, 3)),
        "first known frame only": lambda weights, colors: weights[:, :, 0] @ colors[0],
        "within each known frame": lambda weights, colors: torch.einsum(
            "tnkm,kmc->tnc", weights / weights.sum(-1)[..., None], colors
        ),
        "shares already": lambda weights, colors: weights.flatten(2).softmax(-1) @ colors.flatten(0, 1),
        "in another order": lambda weights, colors: weights.flatten(2) @ colors.swapaxes(0, 1).reshape(-1, 2),
        "over the queries": lambda weights, colors: torch.einsum("tnkm,knc->tmc", weights, colors),
        "should have": lambda weights, colors: weights @ colors,
    },
    "03b.2": {
        "mean of ratios": lambda copied, truth, known: (
            (copied - truth).norm(dim=-1) / (known.mean((0, 1)) - truth).norm(dim=-1)
        ).mean(),
        "you add |a − a′|": lambda copied, truth, known: (
            (copied - truth).abs().mean() / (known.mean((0, 1)) - truth).abs().mean()
        ),
        "the root is missing": lambda copied, truth, known: (
            ((copied - truth) ** 2).mean() / ((known.mean((0, 1)) - truth) ** 2).mean()
        ),
        "which nobody knows": lambda copied, truth, known: from_library(copied, truth, truth),
        "upside down": lambda copied, truth, known: 1 / from_library(copied, truth, known),
        "do not divide": lambda copied, truth, known: (copied - truth).norm(dim=-1).mean(),
        "1 minus the error": lambda copied, truth, known: 1 - from_library(copied, truth, known),
        "average a and b": lambda copied, truth, known: from_library(copied, truth, known.mean() + 0 * known),
    },
    "03b.3": {
        "the lightness, too": differs_after_change(slice(None), slice(1, None)),
        "first frame, too": differs_after_change(slice(1, None), slice(None)),
        "colors of the first frame: change": differs_after_change(slice(1, None), slice(0, 1)),
        "you change one frame only": differs_after_change(slice(1, None), 1),
        "the last frame only": differs_after_change(slice(1, None), -1),
        "a and not b": differs_after_change(1, slice(1, None)),
        "b and not a": differs_after_change(2, slice(1, None)),
        "return whether it is honest": lambda paint, lab: not to_gray(paint, lab),
        "your function": lambda paint, lab: True,
    },
}
