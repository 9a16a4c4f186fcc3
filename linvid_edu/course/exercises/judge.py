"""Judge an answer to an exercise."""

import inspect
from typing import Any

import torch

from .differences import described
from .exercise import Exercise, Verdict, not_right, not_yet
from .judge_functions import judge_function
from .judge_values import judge_value
from .outcomes import accept_any_order, parameter_names


def judge_answer(exercise: Exercise, answer: Any, *, seed: int | None = None) -> Verdict:
    """Try an answer and return a verdict.

    Args:
        exercise: The exercise that is answered.
        answer: Any object.
        seed: Seed of the random inputs; None draws new ones.
    """
    if answer is Ellipsis:
        return not_yet(exercise.id)
    if exercise.trial is None:
        return judge_value(exercise, answer)
    if problem := _why_not_a_function(answer):
        return not_right(f"{problem}. Exercise {exercise.id} needs a function: pass its name, without parentheses")
    try:
        function = accept_any_order(answer, parameter_names(exercise.answer))
    except TypeError as error:
        return not_right(str(error))
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    with torch.inference_mode(False):
        return judge_function(exercise, answer, function, list(exercise.trial.cases(generator)))


def _why_not_a_function(answer: Any) -> str:
    """Return why an answer cannot be called as a function, or "" if it can."""
    if isinstance(answer, type) or not callable(answer):
        return f"this is {described(answer)}"
    if inspect.iscoroutinefunction(answer):
        return "this is an async function, which returns only when it is awaited"
    return ""
