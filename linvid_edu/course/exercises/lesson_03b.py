"""Exercises of lesson 03b: copy a color."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Trial, draw

# 03b.1 the copy


def copy_cases(generator: Generator) -> Iterator[Case]:
    """Yield weights whose rows sum to 1 over all known tokens, and the colors of these tokens."""
    for targets, known, n in ((3, 2, 6), (2, 3, 4), (4, 2, 9)):
        yield _copy_case(generator, targets, known, n)
    yield _copy_case(generator, 1, 1, 1, name="one token")
    yield _copy_case(generator, 2, 1, 5, name="one known frame")
    yield _copy_case(generator, 2, 2, 4, name="float64", dtype=torch.float64)


def _copy_case(generator: Generator, targets: int, known: int, n: int, name: str = "", dtype: object = None) -> Case:
    scores, colors = draw(generator, (targets, n, known * n), (known, n, 2), dtype=dtype)
    return Case((scores.softmax(dim=-1).reshape(targets, n, known, n), 20 * colors), name)


def copy_colors(weights: Tensor, colors: Tensor) -> Tensor:
    return weights.flatten(-2) @ colors.flatten(0, 1)


def averages_frames(weights: Tensor, colors: Tensor) -> Tensor:
    return torch.einsum("tnkm,kmc->tnc", weights, colors) / len(colors)


def averages_tokens(weights: Tensor, colors: Tensor) -> Tensor:
    return torch.einsum("tnkm,kmc->tnc", weights, colors) / (colors.shape[0] * colors.shape[1])


def first_frame(weights: Tensor, colors: Tensor) -> Tensor:
    return weights[:, :, 0] @ colors[0]


def each_frame_normalized(weights: Tensor, colors: Tensor) -> Tensor:
    return copy_colors(weights / weights.sum(dim=-1, keepdim=True), colors)


def softmax_again(weights: Tensor, colors: Tensor) -> Tensor:
    return weights.flatten(-2).softmax(dim=-1) @ colors.flatten(0, 1)


def another_order(weights: Tensor, colors: Tensor) -> Tensor:
    return weights.flatten(-2) @ colors.transpose(0, 1).flatten(0, 1)


def over_queries(weights: Tensor, colors: Tensor) -> Tensor:
    return torch.einsum("tnkm,knc->tmc", weights, colors)


# 03b.2 the relative error


def error_cases(generator: Generator) -> Iterator[Case]:
    """Yield copied and true colors of gray frames, and the colors of known frames."""
    for targets, known, n in ((3, 2, 6), (2, 1, 4), (5, 3, 8)):
        truth, noise, colors = draw(generator, (targets, n, 2), (targets, n, 2), (known, n, 2), scale=20.0)
        yield Case((truth + 0.4 * noise, truth, colors + 10))
    truth, colors = draw(generator, (2, 5, 2), (1, 5, 2), scale=20.0)
    yield Case((truth.clone(), truth, colors), "a perfect copy")
    yield Case((colors.mean(dim=(0, 1)).expand_as(truth), truth, colors), "the mean color everywhere")


def relative_error(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    errors = (copied - truth).norm(dim=-1)
    mean_errors = (known.mean(dim=(0, 1)) - truth).norm(dim=-1)
    return errors.sum() / mean_errors.sum()


def mean_of_ratios(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return ((copied - truth).norm(dim=-1) / (known.mean(dim=(0, 1)) - truth).norm(dim=-1)).mean()


def absolute_differences(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return (copied - truth).abs().sum() / (known.mean(dim=(0, 1)) - truth).abs().sum()


def squares(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return (copied - truth).square().sum() / (known.mean(dim=(0, 1)) - truth).square().sum()


def mean_of_truth(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return relative_error(copied, truth, truth)


def upside_down(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return 1 / relative_error(copied, truth, known)


def not_relative(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return (copied - truth).norm(dim=-1).mean()


def share_avoided(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return 1 - relative_error(copied, truth, known)


def one_mean(copied: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    return relative_error(copied, truth, known.mean().expand_as(known))


# 03b.3 the leak test

Paint = Callable[[Tensor], Tensor]


def honest(lab: Tensor) -> Tensor:
    """Color gray frames from their lightness and the known colors, as a model may; (3 t h w) → (t − 1, 2)."""
    return lab[0, 1:].mean(dim=(-1, -2))[:, None] * lab[1:, 0].mean(dim=(-1, -2))


def repeats_known(lab: Tensor) -> Tensor:
    """Color gray frames without a look at them; (3 t h w) → (t − 1, 2)."""
    return lab[1:, 0].mean(dim=(-1, -2)).expand(lab.shape[1] - 1, -1)


def tints(lab: Tensor) -> Tensor:
    """Color gray frames by their lightness alone; (3 t h w) → (t − 1, 2)."""
    return lab[0, 1:].mean(dim=(-1, -2))[:, None].expand(-1, 2)


class Peeks:
    """Add true colors that should be unknown to what another function paints.

    Args:
        paint: Function that paints.
        channels, frames: Where it peeks, as indices of a clip (3 t h w).
    """

    def __init__(self, paint: Paint, channels: slice = slice(1, None), frames: slice = slice(1, None)):
        self.paint, self.channels, self.frames = paint, channels, frames

    def __call__(self, lab: Tensor) -> Tensor:
        return self.paint(lab) + lab[self.channels, self.frames].mean()


def leak_cases(generator: Generator) -> Iterator[Case]:
    """Yield functions that color a clip, honest ones and others, with a clip."""
    peeking = (
        Peeks(honest),
        Peeks(tints),
        Peeks(honest, frames=slice(1, 2)),
        Peeks(honest, frames=slice(-1, None)),
        Peeks(honest, channels=slice(1, 2)),
        Peeks(honest, channels=slice(2, 3)),
    )
    for paint in (honest, repeats_known, tints, *peeking):
        yield Case((paint, 50 + draw(generator, (3, 4, 6, 6), scale=20.0)[0]))


def leaks(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[1:, 1:] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_lightness(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[:, 1:] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_known(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[1:] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_known_alone(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[1:, 0] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_one_frame(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[1:, 1] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_last_frame(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[1:, -1] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_a(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[1, 1:] += 30
    return not torch.equal(paint(changed), paint(lab))


def changes_b(paint: Paint, lab: Tensor) -> bool:
    changed = lab.clone()
    changed[2, 1:] += 30
    return not torch.equal(paint(changed), paint(lab))


def is_honest(paint: Paint, lab: Tensor) -> bool:
    return not leaks(paint, lab)


EXERCISES = (
    Exercise(
        id="03b.1",
        question="Write copy_colors(weights, colors): the color of each gray token, for weights (targets n known m) "
        "and colors (known m 2).",
        answer=copy_colors,
        why="A query does not care which known frame a token is in: all known tokens are one list, and the weights of "
        "a row sum to 1 over the whole list.",
        hints=(
            "For one known frame it is weights @ colors, as in the loop.",
            "Make one axis of the known frames and their tokens, in the weights and in the colors.",
            "weights.flatten(-2) is (targets n known·m), and colors.flatten(0, 1) is (known·m 2).",
        ),
        mistakes=(
            Mistake(
                "you divide by the number of known frames, but the weights of a row already sum to 1 over all of them",
                averages_frames,
            ),
            Mistake(
                "you divide by the number of known tokens, but the weights of a row already sum to 1: add, and do not "
                "average again",
                averages_tokens,
            ),
            Mistake("you look at the first known frame only: sum over all of them", first_frame),
            Mistake(
                "you let the weights sum to 1 within each known frame, but they do so over all known frames together",
                each_frame_normalized,
            ),
            Mistake("you apply softmax to weights that are shares already", softmax_again),
            Mistake(
                "your colors are in another order than your weights: in both, the known frames come before the tokens",
                another_order,
            ),
            Mistake("you sum over the queries: each query sums over the known tokens", over_queries),
        ),
        trial=Trial(copy_cases, gradients=True),
    ),
    Exercise(
        id="03b.2",
        question="Write my_error(copied, truth, known), the relative error (3b.2), for colors (targets n 2) and known "
        "colors (known m 2).",
        answer=relative_error,
        why="Both sums have the unit of a distance between colors, so their ratio has none: 0 is perfect, and 1 is as "
        "good as one color for everything.",
        hints=(
            "The distance of two colors is the length of the vector between them, √((a − a′)² + (b − b′)²).",
            "The mean color is known.mean(dim=(0, 1)), two numbers. Its distances to the truth are summed, too.",
            "(copied - truth).norm(dim=-1).sum() is the numerator.",
        ),
        mistakes=(
            Mistake("you take the mean of ratios, but (3b.2) is a ratio of two sums", mean_of_ratios),
            Mistake(
                "you add |a − a′| and |b − b′|, but the distance of two colors is √((a − a′)² + (b − b′)²)",
                absolute_differences,
            ),
            Mistake("you sum squared distances: the root is missing", squares),
            Mistake(
                "you compare with the mean of the true colors, which nobody knows: take the mean of the known ones",
                mean_of_truth,
            ),
            Mistake("your ratio is upside down: the error of the mean color is the denominator", upside_down),
            Mistake("you do not divide by the error of the mean color", not_relative),
            Mistake("this is 1 minus the error, so a perfect copy gets 1", share_avoided),
            Mistake("you average a and b into one number: the mean color has two", one_mean),
        ),
        trial=Trial(error_cases),
    ),
    Exercise(
        id="03b.3",
        question="Write leaks(paint, lab): whether paint, which colors all frames of a clip but the first, uses their "
        "true colors.",
        answer=leaks,
        why="What a model may use stays as it is: all of the lightness, and the colors of the first frame. The rest is "
        "changed, and the output must not change at all.",
        hints=(
            "Color the clip twice. What may differ between the two clips, if no color leaks?",
            "Channels 1 and 2 of lab are the colors, and frame 0 is known: change lab[1:, 1:] in a copy.",
            "return not torch.equal(paint(changed), paint(lab))",
        ),
        mistakes=(
            Mistake(
                "you change the lightness, too, but a model may look at it: change channels 1 and 2 alone",
                changes_lightness,
            ),
            Mistake("you change the colors of the first frame, too, and a model may use those", changes_known),
            Mistake("you change the colors of the first frame: change those of all others", changes_known_alone),
            Mistake("you change one frame only, but the leak may be in another one", changes_one_frame),
            Mistake("you change the last frame only, but the leak may be in another one", changes_last_frame),
            Mistake("you change a and not b: a leak may be in either", changes_a),
            Mistake("you change b and not a: a leak may be in either", changes_b),
            Mistake("you return whether it is honest: return True if a color leaks", is_honest),
        ),
        trial=Trial(leak_cases),
    ),
)
