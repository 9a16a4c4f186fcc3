"""Exercise: its question, its answer, how an answer is tried, the usual mistakes, and hints."""

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
    """The result of a check.

    right: True or False; None means "not yet", the answer is still blank
    message: the verdict for the learner, with what is wrong
    printed: whether the message was printed, so that the notebook need not show it again
    """

    right: bool | None
    message: str
    printed: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {_COLORS[self.right]}; padding: 0.2em 0.8em; white-space: pre-wrap"
        return f'<div style="{style}">{html.escape(self.message)}</div>'

    def _ipython_display_(self) -> None:
        if not self.printed:
            raise NotImplementedError  # IPython then shows the HTML
        self.printed = False


def not_yet(id: str) -> Verdict:
    """Return the verdict on a blank answer."""
    return Verdict(None, f'not yet: replace ... in the cell; hint("{id}") helps')


def not_right(problem: str) -> Verdict:
    """Return the verdict on a wrong answer."""
    return Verdict(False, f"not right: {problem}")


class Mistake(NamedTuple):
    """A usual mistake.

    message: what the learner reads, to complete "not right: …"
    answer: the wrong answer: a function with the parameters of the solution, or a value. If the exercise asks for a
        value, it may also be a function that returns whether a value is this mistake.
    """

    message: str
    answer: Any


class Case(NamedTuple):
    """Inputs to try a function on.

    inputs: its arguments, in order; each call gets a copy
    name: what is special about an edge case, such as "one token"; "" for ordinary inputs
    """

    inputs: tuple[Any, ...]
    name: str = ""


def draw(
    generator: torch.Generator, *shapes: tuple[int, ...], scale: float = 1.0, dtype: Any = None
) -> tuple[Tensor, ...]:
    """Return one normal random tensor for each shape.

    Args:
        generator: Random generator, as ``cases`` receives it.
        shapes: Shape of each tensor.
        scale: Standard deviation.
        dtype: Data type; float32 by default.
    """
    return tuple(scale * torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)


def call(answer: Callable[..., Any], *inputs: Any) -> Any:
    """Call a function with the inputs of a case: the default of ``Trial.use``."""
    return answer(*inputs)


class Trial(NamedTuple):
    """How to try a function.

    cases: yields inputs, drawn from a generator with a new seed for each check
    gradients: whether to compare the gradients of all floating-point inputs, on the ordinary cases
    may_change: names of the inputs that the function may change in place
    use: called with the function and the inputs of a case; what it returns is compared
    """

    cases: Callable[[torch.Generator], Iterable[Case]]
    gradients: bool = False
    may_change: tuple[str, ...] = ()
    use: Callable[..., Any] = call


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson.

    Args:
        id: Lesson and number, such as "02.1" or "03b.1".
        question: Question, in one sentence.
        answer: Function, number, tuple of numbers, or the letter of a choice.
        why: Why the answer is right.
        hints: Three hints, each of which says more than the one before.
        mistakes: At least three usual mistakes; for a choice, the other letters.
        trial: How to try a function; None for other answers.
        tolerance: Largest relative error of a number that is not whole, or of a function's result, relative to its
            largest value. Whole numbers must be exact.

    Raises:
        ValueError: The id has another form, or hints, mistakes or the trial are missing.
    """

    id: str
    question: str
    answer: Any
    why: str
    hints: tuple[str, str, str]
    mistakes: tuple[Mistake, ...]
    trial: Trial | None = None
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d[a-z]?\.\d+", self.id):
            raise ValueError(f"id {self.id!r} must be the lesson and a number, such as '02.1'")
        if len(self.hints) != 3 or len(self.mistakes) < 3:
            counts = f"{len(self.hints)} hints and {len(self.mistakes)} mistakes"
            raise ValueError(f"exercise {self.id} has {counts}: give three hints and at least three mistakes")
        if callable(self.answer) != (self.trial is not None):
            raise ValueError(f"exercise {self.id}: a function needs a trial, and other answers have none")
