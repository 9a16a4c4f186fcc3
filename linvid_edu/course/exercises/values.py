"""Is a number, a tuple of numbers or the letter of a choice right, and if not, which mistake is it?"""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from .attempt import guarded
from .difference import Unreadable, kind, numbers, quoted
from .exercise import Exercise, Mistake, Verdict, not_right, not_yet

CLOSE = 0.02  # relative, within which a number is called close


def judge_value(exercise: Exercise, answer: Any) -> Verdict:
    """Compare an answer with the right value and with those of the mistakes.

    Args:
        exercise: one whose answer is no function.
        answer: anything at all.
    """
    if isinstance(answer, (tuple, list)) and any(part is Ellipsis for part in answer):
        return not_yet()
    try:
        value = _read(answer, exercise.answer)
    except Unreadable as refusal:
        return not_right(str(refusal))
    if same(value, exercise.answer, exercise.tolerance):
        return Verdict(True, "right")
    for mistake in exercise.mistakes:
        if _is(mistake, value, exercise.tolerance):
            return not_right(mistake.words)
    return not_right(_no_mistake(exercise, value))


def same(value: Any, expected: Any, tolerance: float) -> bool:
    """Say whether two values agree: text and whole numbers exactly, others within tolerance · |expected|."""
    if isinstance(expected, tuple):
        if not isinstance(value, tuple) or len(value) != len(expected):
            return False
        return all(same(one, other, tolerance) for one, other in zip(value, expected, strict=True))
    if isinstance(expected, float) and not isinstance(value, (str, tuple)):
        return abs(value - expected) <= tolerance * abs(expected)
    if isinstance(expected, int) and isinstance(value, float):
        return math.isclose(value, expected)  # whole but for rounding
    return value == expected


def _is(mistake: Mistake, value: Any, tolerance: float) -> bool:
    if callable(mistake.answer):
        return bool(guarded(lambda: mistake.answer(value)).output)
    return same(value, mistake.answer, tolerance)


def _no_mistake(exercise: Exercise, value: Any) -> str:
    right = exercise.answer
    if isinstance(right, str):
        letters = sorted({right, *(mistake.answer for mistake in exercise.mistakes)})
        return f"{quoted(value)} is not among the choices {', '.join(letters)}"
    if isinstance(right, tuple):
        if len(value) != len(right):
            return f"you give {len(value)} numbers, asked for are {len(right)}"
        agree = [same(one, other, exercise.tolerance) for one, other in zip(value, right, strict=True)]
        if any(agree):
            off = " and ".join(str(place) for place, right in enumerate(agree, start=1) if not right)
            return f"of the {len(agree)} numbers, wrong is number {off}"
    if isinstance(right, float) and math.isclose(value, right, rel_tol=CLOSE):
        return f"{quoted(value)} is close: give more digits, or a formula such as 2 / 3"
    return f"{quoted(value)} is none of the usual mistakes; hint({exercise.id!r}) helps"


def _read(answer: Any, expected: Any) -> Any:
    """Return an answer as a value of the expected kind.

    Raises:
        Unreadable: it is none; it says what it is.
    """
    if isinstance(expected, str):
        if not isinstance(answer, str):
            raise Unreadable(f"that is {kind(answer)}, asked for is a letter in quotes")
        return answer.strip(" ().'\"").lower()
    if not isinstance(expected, tuple):
        return _number(answer)
    if isinstance(answer, (Tensor, np.ndarray)):
        answer = numbers(answer).reshape(-1).tolist()
    if not isinstance(answer, (tuple, list)):
        raise Unreadable(f"that is {kind(answer)}, asked for are {len(expected)} numbers in parentheses")
    return tuple(_number(part) for part in answer)


def _number(answer: Any) -> int | float:
    """Read a number of any kind.

    Raises:
        Unreadable: it is none; it says what it is.
    """
    if isinstance(answer, (list, tuple)) and len(answer) == 1:
        answer = answer[0]
    known = (int, float, Fraction, Decimal, np.number, np.ndarray, Tensor)
    if isinstance(answer, bool) or not isinstance(answer, known):
        way_out = ": call it, and pass what it returns" if callable(answer) else ""
        raise Unreadable(f"that is {kind(answer)}, asked for is a number{way_out}")
    if isinstance(answer, (Tensor, np.ndarray, np.number)):
        array = numbers(answer)
        if array.size != 1:
            raise Unreadable(f"that is {kind(answer)}, asked for is one number")
        answer = array.item()
    try:
        value = float(answer)
    except (OverflowError, ValueError):
        value = math.inf
    if not math.isfinite(value):
        raise Unreadable(f"{quoted(answer)} is no finite number")
    if isinstance(answer, int):
        return answer
    return int(value) if value == int(value) else value
