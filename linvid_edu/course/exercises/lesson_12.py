"""Exercises of lesson 12: the rivals."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from .exercise import Case, Exercise, Mistake, Trial, draw

FLOOR = 1e-6


def focus_cases(generator: Generator) -> Iterator[Case]:
    """Yield tokens of several shapes and powers."""
    for shape, power in (((7, 4), 3), ((2, 3, 5, 8), 2.5), ((6, 2), 3), ((4, 6), 2)):
        yield Case((*draw(generator, shape), power))
    yield Case((*draw(generator, (5, 4)), 1), "power 1")
    yield Case((-1 - draw(generator, (3, 4))[0].abs(), 3), "no positive channel")
    yield Case((*draw(generator, (5, 1)), 3), "one channel")


def focus(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + FLOOR
    powered = x**p
    return powered * x.norm(dim=-1, keepdim=True) / powered.norm(dim=-1, keepdim=True)


def length_lost(x: Tensor, p: int | float) -> Tensor:
    return (torch.relu(x) + FLOOR) ** p


def unit_length(x: Tensor, p: int | float) -> Tensor:
    powered = (torch.relu(x) + FLOOR) ** p
    return powered / powered.norm(dim=-1, keepdim=True)


def over_tokens(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + FLOOR
    powered = x**p
    return powered * x.norm(dim=-2, keepdim=True) / powered.norm(dim=-2, keepdim=True)


def over_everything(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + FLOOR
    return x**p * x.norm() / (x**p).norm()


def raw_length(x: Tensor, p: int | float) -> Tensor:
    powered = (torch.relu(x) + FLOOR) ** p
    return powered * x.norm(dim=-1, keepdim=True) / powered.norm(dim=-1, keepdim=True)


def without_relu(x: Tensor, p: int | float) -> Tensor:
    x = x.abs() + FLOOR
    return x**p * x.norm(dim=-1, keepdim=True) / (x**p).norm(dim=-1, keepdim=True)


def power_of_length(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + FLOOR
    return x**p / x.norm(dim=-1, keepdim=True) ** p * x.norm(dim=-1, keepdim=True)


def inverse(x: Tensor, p: int | float) -> Tensor:
    x = torch.relu(x) + FLOOR
    return x**p * (x**p).norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True)


EXERCISES = (
    Exercise(
        id="12.1",
        question="Write φ of (12.2): (… d) and a power p → (… d). Add 1e-6 after ReLU.",
        answer=focus,
        why="Each channel of ReLU(x) + 1e-6 is raised to p, then the token is rescaled to its old length. Only the "
        "direction changes, toward the largest channel.",
        hints=(
            "There are three steps: make x positive, raise it to p, restore its length.",
            "The length of a token is the norm over its d channels: x.norm(dim=-1, keepdim=True), before and after the "
            "power.",
            "x = torch.relu(x) + 1e-6; y = x**p; y * x.norm(dim=-1, keepdim=True) / y.norm(dim=-1, keepdim=True).",
        ),
        mistakes=(
            Mistake("the power changed the lengths: multiply by the old length divided by the new one", length_lost),
            Mistake("all your tokens have length 1: restore their old length", unit_length),
            Mistake("your length is taken over the tokens: take it over the channels of each token", over_tokens),
            Mistake("your length is that of all tokens together: each token has its own length", over_everything),
            Mistake(
                "your old length is that of x before ReLU: take it after ReLU, without the negative channels",
                raw_length,
            ),
            Mistake("you keep negative channels: ReLU sets them to 0", without_relu),
            Mistake("you divide by the length to the power p: divide by the length of x^p", power_of_length),
            Mistake("your fraction is upside down: divide the old length by the new one", inverse),
            Mistake(
                "if no channel is positive, x^p is shorter than 1e-12, which F.normalize takes for 0: divide by the "
                "length itself",
                lambda x, p: (
                    nn.functional.normalize((torch.relu(x) + FLOOR) ** p, dim=-1)
                    * (torch.relu(x) + FLOOR).norm(dim=-1, keepdim=True)
                ),
            ),
        ),
        trial=Trial(focus_cases, gradients=True),
    ),
    Exercise(
        id="12.2",
        question="In SANA-Video, two equal tokens are one frame apart, with 1 radian per frame. What are the weight on "
        "itself, the weight on the other token, and their sum?",
        answer=(0.5, math.cos(1) / 2, (1 + math.cos(1)) / 2),
        why="The normalizer uses the features before the rotation, 1 + 1 = 2. The numerators are cos 0 and cos 1.",
        hints=(
            "Does the normalizer depend on the rotation?",
            "a · (b₀ + b₁) = 2. The product of (1, 0) with (1, 0) rotated by θ is cos θ.",
            "(1/2, cos(1)/2, (1 + cos(1))/2).",
        ),
        mistakes=(
            Mistake(
                "your row sums to 1: the rotation is in the numerator alone",
                (1 / (1 + math.cos(1)), math.cos(1) / (1 + math.cos(1)), 1.0),
            ),
            Mistake(
                "the rotation changes the weight on the other token: cos 1 instead of 1, with 1 in radians",
                (0.5, 0.5, 1.0),
            ),
            Mistake(
                "the numerators are right, but not divided: the normalizer is 2", (1.0, math.cos(1), 1 + math.cos(1))
            ),
            Mistake(
                "this is the sine: the product of two equal vectors, one of them rotated by θ, is cos θ",
                (0.5, math.sin(1) / 2, (1 + math.sin(1)) / 2),
            ),
        ),
        tolerance=0.005,
    ),
)
