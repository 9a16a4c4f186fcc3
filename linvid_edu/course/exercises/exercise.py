"""What an exercise is: its answer, the inputs that a function is tried on, the usual mistakes, and hints."""

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

_COLORS = {True: "#1a7f37", False: "#b35900", None: "#6e7781"}


@dataclass
class Verdict:
    """What a check found.

    right: True or False; None means "not yet", the answer is untouched
    words: the same in words, with what is wrong
    printed: whether a notebook, which shows the result of a cell, would say it twice
    """

    right: bool | None
    words: str
    printed: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {_COLORS[self.right]}; padding: 0.2em 0.8em; white-space: pre-wrap"
        return f'<div style="{style}">{html.escape(self.words)}</div>'

    def _ipython_display_(self) -> None:
        if not self.printed:
            raise NotImplementedError  # IPython then shows the HTML
        self.printed = False


def not_yet() -> Verdict:
    """Return the verdict on an untouched answer."""
    return Verdict(None, "not yet")


def not_right(words: str) -> Verdict:
    """Return the verdict on a wrong answer."""
    return Verdict(False, f"not right: {words}")


class Mistake(NamedTuple):
    """A usual mistake.

    words: what is said to who makes it; it completes "not right: …"
    answer: what they pass: a function with the reference's parameters, a value, or, where the exercise asks for a
        value, a function that says of a value whether it is this mistake
    """

    words: str
    answer: Any


class Case(NamedTuple):
    """Inputs that a function is tried on.

    inputs: its arguments, in order; each call gets a copy
    name: what is special about an edge case, such as "one token"; empty for ordinary inputs
    """

    inputs: tuple[Any, ...]
    name: str = ""


def draw(
    generator: torch.Generator, *shapes: tuple[int, ...], scale: float = 1.0, dtype: Any = None
) -> tuple[Tensor, ...]:
    """Return one normal random tensor for each shape.

    Args:
        generator: as ``cases`` receives it.
        shapes: one a tensor.
        scale: standard deviation.
        dtype: float32 by default.
    """
    return tuple(scale * torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)


def call(answer: Callable[..., Any], *inputs: Any) -> Any:
    """Return what a function returns: how answers are used unless an exercise says otherwise."""
    return answer(*inputs)


class Tries(NamedTuple):
    """How a function is tried.

    cases: yields inputs, drawn from a generator that is seeded anew for each check
    gradients: compare the gradients of all floating-point inputs, too, on the ordinary cases
    may_change: names of the inputs that the function may change in place
    use: what is done with the function and the inputs of a case; what it returns is compared
    """

    cases: Callable[[torch.Generator], Iterable[Case]]
    gradients: bool = False
    may_change: tuple[str, ...] = ()
    use: Callable[..., Any] = call


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson.

    Args:
        id: the lesson and a number, "02.1".
        question: what is asked, in a sentence.
        answer: a function, a number, a tuple of numbers, or, as text, the letter of a choice.
        why: why the answer is right.
        hints: three, each saying more than the one before.
        mistakes: at least three; of a choice, the other letters.
        tries: how a function is tried; None for other answers.
        tolerance: of a number with a fraction, relative to it; of a function's result, relative to its largest value.
            Whole numbers are exact.

    Raises:
        ValueError: something of this is missing.
    """

    id: str
    question: str
    answer: Any
    why: str
    hints: tuple[str, str, str]
    mistakes: tuple[Mistake, ...]
    tries: Tries | None = None
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d\.\d+", self.id):
            raise ValueError(f"id {self.id!r} must be the lesson and a number, such as '02.1'")
        if len(self.hints) != 3 or len(self.mistakes) < 3:
            counts = f"{len(self.hints)} hints and {len(self.mistakes)} mistakes"
            raise ValueError(f"exercise {self.id} has {counts}: give three hints and at least three mistakes")
        if callable(self.answer) != (self.tries is not None):
            raise ValueError(f"exercise {self.id}: a function needs tries, and nothing else has them")
