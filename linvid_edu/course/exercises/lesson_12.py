"""Exercises of lesson 12: the family."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from .exercise import Case, Exercise, Mistake, Tries, draw

LEAST = 1e-6


def focus_cases(generator: Generator) -> Iterator[Case]:
    """Yield tokens of several shapes and powers."""
    for shape, power in (((7, 4), 3), ((2, 3, 5, 8), 2.5), ((6, 2), 3), ((4, 6), 2)):
        yield Case((*draw(generator, shape), power))
    yield Case((*draw(generator, (5, 4)), 1), "power 1")
    yield Case((-1 - draw(generator, (3, 4))[0].abs(), 3), "no positive channel")
    yield Case((*draw(generator, (5, 1)), 3), "one channel")


def focus(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + LEAST
    powered = x**p
    return powered * x.norm(dim=-1, keepdim=True) / powered.norm(dim=-1, keepdim=True)


def length_lost(x: Tensor, p: int | float) -> Tensor:
    return (torch.relu(x) + LEAST) ** p


def unit_length(x: Tensor, p: int | float) -> Tensor:
    powered = (torch.relu(x) + LEAST) ** p
    return powered / powered.norm(dim=-1, keepdim=True)


def over_tokens(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + LEAST
    powered = x**p
    return powered * x.norm(dim=-2, keepdim=True) / powered.norm(dim=-2, keepdim=True)


def over_everything(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + LEAST
    return x**p * x.norm() / (x**p).norm()


def raw_length(x: Tensor, p: int | float) -> Tensor:
    powered = (torch.relu(x) + LEAST) ** p
    return powered * x.norm(dim=-1, keepdim=True) / powered.norm(dim=-1, keepdim=True)


def without_relu(x: Tensor, p: int | float) -> Tensor:
    x = x.abs() + LEAST
    return x**p * x.norm(dim=-1, keepdim=True) / (x**p).norm(dim=-1, keepdim=True)


def power_of_length(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + LEAST
    return x**p / x.norm(dim=-1, keepdim=True) ** p * x.norm(dim=-1, keepdim=True)


def inverse(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + LEAST
    return x**p * (x**p).norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True)


EXERCISES = (
    Exercise(
        id="12.1",
        question="Write φ of (12.2): (… e) and a power p → (… e), with 1e-6 added after ReLU.",
        answer=focus,
        why="ReLU(x) + 1e-6, raised to p channel by channel, times its old length over its new one. Only the direction "
        "changes, toward the largest channel.",
        hints=(
            "Three steps: make x positive, raise it, give it its length back.",
            "The length of a token is over its e channels: x.norm(dim=-1, keepdim=True), before and after the power.",
            "x = torch.relu(x) + 1e-6; y = x**p; y * x.norm(dim=-1, keepdim=True) / y.norm(dim=-1, keepdim=True).",
        ),
        mistakes=(
            Mistake("the power changed the lengths: multiply by the old length over the new one", length_lost),
            Mistake("all your tokens have length 1: they must get their old length back", unit_length),
            Mistake("your length runs over the tokens: it belongs to one token, over its channels", over_tokens),
            Mistake("your length is that of all tokens together: each token has its own", over_everything),
            Mistake("your old length is that of x before ReLU: the negative channels are gone by then", raw_length),
            Mistake("negative channels count in yours: ReLU sets them to 0", without_relu),
            Mistake("you divide by the length to the power p: what is needed is the length of x^p", power_of_length),
            Mistake("your fraction is upside down: the old length over the new one", inverse),
            Mistake(
                "where no channel is positive, x^p is shorter than the 1e-12 that F.normalize takes for 0: divide by "
                "the length itself",
                lambda x, p: nn.functional.normalize((torch.relu(x) + LEAST) ** p, dim=-1)
                * (torch.relu(x) + LEAST).norm(dim=-1, keepdim=True),
            ),
        ),
        tries=Tries(focus_cases, gradients=True),
    ),
    Exercise(
        id="12.2",
        question="SANA-Video, two equal tokens one frame apart, 1 radian a frame: weight on itself, on the other, sum?",
        answer=(0.5, math.cos(1) / 2, (1 + math.cos(1)) / 2),
        why="The normalizer is that of features before they are turned, 1 + 1 = 2; the numerators are cos 0, cos 1.",
        hints=(
            "What does the normalizer know of the turning?",
            "a · (b₀ + b₁) = 2. The product of (1, 0) with (1, 0) turned by θ is cos θ.",
            "(1/2, cos(1)/2, (1 + cos(1))/2).",
        ),
        mistakes=(
            Mistake(
                "your row sums to 1: the turning is in the numerator alone",
                (1 / (1 + math.cos(1)), math.cos(1) / (1 + math.cos(1)), 1.0),
            ),
            Mistake(
                "the turning changes the weight on the other token: cos 1 in place of 1, with 1 in radians",
                (0.5, 0.5, 1.0),
            ),
            Mistake(
                "the numerators are right, but not divided: the normalizer is 2", (1.0, math.cos(1), 1 + math.cos(1))
            ),
            Mistake(
                "that is the sine: two equal vectors, one of them turned by θ, have the product cos θ",
                (0.5, math.sin(1) / 2, (1 + math.sin(1)) / 2),
            ),
        ),
        tolerance=0.005,
    ),
)
