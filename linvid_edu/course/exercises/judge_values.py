"""Judge a number, a tuple of numbers, or the letter of a choice."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from .differences import UnreadableAnswer, as_array, described, quoted
from .exercise import Exercise, Mistake, Verdict, not_right, not_yet
from .outcomes import guarded

CLOSE = 0.02  # a number within this relative distance is called close


def judge_value(exercise: Exercise, answer: Any) -> Verdict:
    """Compare an answer with the right value and with the values of the mistakes.

    Args:
        exercise: An exercise whose answer is not a function.
        answer: Any object.
    """
    if isinstance(answer, (tuple, list)) and any(value is Ellipsis for value in answer):
        return not_yet(exercise.id)
    try:
        value = _read(answer, exercise.answer)
    except UnreadableAnswer as error:
        return not_right(str(error))
    if values_agree(value, exercise.answer, exercise.tolerance):
        return Verdict(True, "right")
    for mistake in exercise.mistakes:
        if _is_mistake(mistake, value, exercise.tolerance):
            return not_right(mistake.message)
    return not_right(_unknown_mistake(exercise, value))


def values_agree(value: Any, expected: Any, tolerance: float) -> bool:
    """Return whether two values agree: text and whole numbers exactly, others within tolerance · |expected|."""
    if isinstance(expected, tuple):
        if not isinstance(value, tuple) or len(value) != len(expected):
            return False
        return all(values_agree(number, right, tolerance) for number, right in zip(value, expected, strict=True))
    if isinstance(expected, float) and not isinstance(value, (str, tuple)):
        return abs(value - expected) <= tolerance * abs(expected)
    if isinstance(expected, int) and isinstance(value, float):
        return math.isclose(value, expected)  # a whole number up to rounding
    return value == expected


def _is_mistake(mistake: Mistake, value: Any, tolerance: float) -> bool:
    if callable(mistake.answer):
        return bool(guarded(lambda: mistake.answer(value)).output)
    return values_agree(value, mistake.answer, tolerance)


def _unknown_mistake(exercise: Exercise, value: Any) -> str:
    """Return what can be said about a wrong value that is none of the usual mistakes."""
    right = exercise.answer
    if isinstance(right, str):
        letters = sorted({right, *(mistake.answer for mistake in exercise.mistakes)})
        return f"{quoted(value)} is not among the choices {', '.join(letters)}"
    if isinstance(right, tuple):
        if len(value) != len(right):
            return f"you give {len(value)} numbers, but the answer has {len(right)}"
        agree = [
            values_agree(number, expected, exercise.tolerance) for number, expected in zip(value, right, strict=True)
        ]
        if any(agree):
            wrong = [str(place) for place, agrees in enumerate(agree, start=1) if not agrees]
            which = f"number {wrong[0]} is" if len(wrong) == 1 else f"numbers {' and '.join(wrong)} are"
            return f"of your {len(agree)} numbers, {which} wrong"
    if isinstance(right, float) and math.isclose(value, right, rel_tol=CLOSE):
        return f"{quoted(value)} is close: give more digits, or a formula such as 2 / 3"
    return f"{quoted(value)} is none of the usual mistakes; hint({exercise.id!r}) helps"


def _read(answer: Any, expected: Any) -> Any:
    """Return an answer as a value of the expected type.

    Raises:
        UnreadableAnswer: The answer has another type; the message describes it.
    """
    if isinstance(expected, str):
        if not isinstance(answer, str):
            raise UnreadableAnswer(f"this is {described(answer)}, but the answer is a letter in quotes")
        return answer.strip(" ().'\"").lower()
    if not isinstance(expected, tuple):
        return _number(answer)
    if isinstance(answer, (Tensor, np.ndarray)):
        answer = as_array(answer).reshape(-1).tolist()
    if not isinstance(answer, (tuple, list)):
        raise UnreadableAnswer(f"this is {described(answer)}, but the answer is {len(expected)} numbers in parentheses")
    return tuple(_number(number) for number in answer)


def _number(answer: Any) -> int | float:
    """Read a number of any type.

    Raises:
        UnreadableAnswer: It is not one finite number; the message describes it.
    """
    if isinstance(answer, (list, tuple)) and len(answer) == 1:
        answer = answer[0]
    number_types = (int, float, Fraction, Decimal, np.number, np.ndarray, Tensor)
    if isinstance(answer, bool) or not isinstance(answer, number_types):
        way_out = ": call it, and pass what it returns" if callable(answer) else ""
        raise UnreadableAnswer(f"this is {described(answer)}, but the answer is a number{way_out}")
    if isinstance(answer, (Tensor, np.ndarray, np.number)):
        array = as_array(answer)
        if array.size != 1:
            raise UnreadableAnswer(f"this is {described(answer)}, but the answer is one number")
        answer = array.item()
    try:
        value = float(answer)
    except (OverflowError, ValueError):
        value = math.inf
    if not math.isfinite(value):
        raise UnreadableAnswer(f"{quoted(answer)} is not a finite number")
    if isinstance(answer, int):
        return answer
    return int(value) if value == int(value) else value
