"""Is an answer right, and if not, which mistake is it?"""

import ast
import dis
import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .attempt import Outcome, attempt, by_any_order, gradients, guarded, input_names, names_of
from .difference import Unreadable, difference, kind, numbers, quoted
from .exercise import Case, Exercise, Mistake, Verdict

LOOSER = 10  # times the tolerance, for gradients and for the agreement with a mistake
_EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def judge(exercise: Exercise, answer: Any, *, seed: int | None = None) -> Verdict:
    """Try an answer and say what was found.

    Args:
        exercise: what was asked.
        answer: anything at all.
        seed: of the random inputs; None draws new ones.
    """
    if answer is Ellipsis:
        return _not_yet()
    if exercise.tries is None:
        return _judge_value(exercise, answer)
    if refusal := _no_function(answer):
        return _wrong(f"{refusal}. {exercise.id} asks for a function: pass its name, without parentheses")
    try:
        function = by_any_order(answer, names_of(exercise.answer))
    except TypeError as refused:
        return _wrong(str(refused))
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    return _judge_function(exercise, answer, function, list(exercise.tries.cases(generator)))


def _not_yet() -> Verdict:
    return Verdict(None, "not yet")


def _wrong(words: str) -> Verdict:
    return Verdict(False, f"not right: {words}")


# functions


def _no_function(answer: Any) -> str:
    """Say why something is no function to try; "" if it is one."""
    if isinstance(answer, type) or not callable(answer):
        return f"that is {kind(answer)}"
    if inspect.iscoroutinefunction(answer):
        return "that is a function with async, which returns only when awaited"
    return ""


def _judge_function(exercise: Exercise, answer: Any, function: Callable[..., Any], cases: list[Case]) -> Verdict:
    rights = [attempt(exercise.answer, exercise, case) for case in cases]
    mine: list[Outcome] = []
    for case in cases:
        mine.append(attempt(function, exercise, case))
        if len(mine) == 1 and _untouched(answer, mine[0]):
            return _not_yet()
        if mine[-1].error.startswith("does not come back"):
            return _wrong(f"{_with(exercise, case)}, your function {mine[-1].error}")
    again = attempt(function, exercise, cases[0])
    if _vary(mine[0], again, exercise.tolerance):
        return _wrong(
            "two calls with the same inputs return different results: something random, or kept between calls"
        )
    words = [_differs(one, right, exercise.tolerance) for one, right in zip(mine, rights, strict=True)]
    remark = _only_float64_stops(cases, mine, words)
    if any(words) and not remark:
        return _wrong(_explained(exercise, cases, mine, rights, words))
    if changed := next((one.changed for one in mine if one.changed), ()):
        return _wrong(f"the result is right, but your function changes its input {changed[0]} in place: work on a copy")
    assert exercise.tries is not None
    if exercise.tries.gradients and not remark:
        ordinary = [case for case in cases if not case.name]
        found = [gradients(function, exercise, case) for case in ordinary]
        if stops := next((one.error for one in found if one.error), ""):
            return Verdict(True, f"right. Its gradient cannot be had, so no model trains with it: autograd {stops}")
        if wrong := _gradient_mistake(exercise, ordinary, found):
            return _wrong(wrong)
    return Verdict(True, f"right{remark}")


def _vary(first: Outcome, again: Outcome, tolerance: float) -> bool:
    comparable = difference(first.output, first.output, tolerance) is None
    return comparable and not first.error and bool(_differs(again, first, tolerance))


def _untouched(answer: Any, first: Outcome) -> bool:
    """Whether a function still has the "…" of the student's notebook, or nothing, where its result should come from."""
    if first.error:
        return "ellipsis" in first.error or ("NoneType" in first.error and _has_blank(answer))
    parts = first.output if isinstance(first.output, tuple) else (first.output,)
    return any(part is Ellipsis for part in parts) or (first.output is None and _has_blank(answer))


def _has_blank(answer: Any) -> bool:
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if code is not None and {step.opname for step in dis.get_instructions(code)} <= _EMPTY:
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return False
    return any(isinstance(node, ast.Expr) and getattr(node.value, "value", None) is ... for node in ast.walk(tree))


def _differs(one: Outcome, right: Outcome, tolerance: float) -> str:
    """Say how an outcome differs from the right one, as what follows "your function …"; "" where it does not."""
    if one.error or right.error:
        return one.error if bool(one.error) != bool(right.error) else ""
    if one.output is None and right.output is not None:
        return "returns None: is a return missing?"
    words = difference(one.output, right.output, tolerance)
    return f"is off: {words}" if words else ""


def _with(exercise: Exercise, case: Case) -> str:
    inputs = ", ".join(
        f"{name} {tuple(x.shape) if isinstance(x, Tensor) else quoted(x)}"
        for name, x in zip(input_names(exercise), case.inputs, strict=True)
        if isinstance(x, (Tensor, int, float, str))
    )
    return f"with {case.name}{', ' * bool(case.name and inputs)}{inputs}"


def _explained(
    exercise: Exercise, cases: list[Case], mine: list[Outcome], rights: list[Outcome], words: list[str]
) -> str:
    """Name the mistake that the outcomes agree with, or say what differs first."""
    ordinary = [index for index, case in enumerate(cases) if not case.name]
    which = ordinary if any(words[index] for index in ordinary) else range(len(cases))
    first = next(index for index in which if words[index])
    for mistake in exercise.mistakes:
        theirs = [attempt(mistake.answer, exercise, cases[index]) for index in which]
        agree = (
            bool(_differs(other, rights[index], exercise.tolerance)) == bool(words[index])
            and (bool(cases[index].name) or not _unlike(mine[index], other, exercise.tolerance))
            for index, other in zip(which, theirs, strict=True)
        )
        if all(agree):
            return mistake.words
    return f"{_with(exercise, cases[first])}, your function {words[first]}"


def _unlike(one: Outcome, other: Outcome, tolerance: float) -> bool:
    if one.error or other.error:
        return bool(one.error) != bool(other.error)
    return difference(one.output, other.output, LOOSER * tolerance) is not None


def _only_float64_stops(cases: list[Case], mine: list[Outcome], words: list[str]) -> str:
    """Remark on a function whose only fault is that float64 inputs meet float32 ones of its own."""
    for case, one, word in zip(cases, mine, words, strict=True):
        double = any(isinstance(x, Tensor) and x.dtype == torch.float64 for x in case.inputs)
        if word and not (double and ("dtype" in one.error or "scalar type" in one.error)):
            return ""
    if not any(words):
        return ""
    return ". In float64 it stops: give the tensors that you make the dtype of the inputs"


def _gradient_mistake(exercise: Exercise, cases: Sequence[Case], mine: list[Outcome]) -> str:
    """Say how the gradients of a function with right outputs differ; "" where they do not."""
    rights = [gradients(exercise.answer, exercise, case) for case in cases]
    words = [_gradient_words(exercise, *each) for each in zip(cases, mine, rights, strict=True)]
    if not any(words):
        return ""
    for mistake in exercise.mistakes:
        theirs = [gradients(mistake.answer, exercise, case) for case in cases]
        if not any(_gradient_words(exercise, *each) for each in zip(cases, mine, theirs, strict=True)):
            return mistake.words
    first = next(index for index, word in enumerate(words) if word)
    return f"the result is right, the gradient is not: {_with(exercise, cases[first])}, {words[first]}"


def _gradient_words(exercise: Exercise, case: Case, mine: Outcome, right: Outcome) -> str:
    if mine.error or right.error:
        return mine.error or right.error
    floating = (isinstance(x, Tensor) and x.is_floating_point() for x in case.inputs)
    names = [name for name, has in zip(input_names(exercise), floating, strict=True) if has]
    for name, one, other in zip(names, mine.output, right.output, strict=True):
        if (one is None) != (other is None) and (one if other is None else other).any():
            arrives = "none" if one is None else "one"
            return f"{arrives} arrives at {name}. Is something detached, or made of plain numbers?"
        words = None if one is None or other is None else difference(one, other, LOOSER * exercise.tolerance)
        if words:
            return f"that of {name} is off: {words}"
    return ""


# values


def _judge_value(exercise: Exercise, answer: Any) -> Verdict:
    try:
        value, untouched = _read(answer, exercise.answer)
    except Unreadable as refusal:
        return _wrong(str(refusal))
    if untouched:
        return _not_yet()
    words = difference(value, exercise.answer, exercise.tolerance)
    if not words:
        return Verdict(True, "right")
    for mistake in exercise.mistakes:
        if _is(mistake, value, exercise.tolerance):
            return _wrong(mistake.words)
    return _wrong(_no_mistake(exercise, value))


def _is(mistake: Mistake, value: Any, tolerance: float) -> bool:
    if callable(mistake.answer):
        found, _ = guarded(lambda: bool(mistake.answer(value)))
        return bool(found)
    return difference(value, mistake.answer, tolerance) is None


def _no_mistake(exercise: Exercise, value: Any) -> str:
    if isinstance(exercise.answer, str):
        letters = sorted({exercise.answer, *(mistake.answer for mistake in exercise.mistakes)})
        return f"{quoted(value)} is not among the choices {', '.join(letters)}"
    if isinstance(exercise.answer, tuple):
        if len(value) != len(exercise.answer):
            return f"you give {len(value)} numbers, asked for are {len(exercise.answer)}"
        near = [
            difference(one, other, exercise.tolerance) is None
            for one, other in zip(value, exercise.answer, strict=True)
        ]
        if any(near):
            return f"{near.count(False)} of the {len(near)} numbers, number {near.index(False) + 1} first"
    return f"{quoted(value)} is none of the usual mistakes. hint({exercise.id!r}) helps"


def _read(answer: Any, expected: Any) -> tuple[Any, bool]:
    """Return an answer as a value of the expected kind, and whether it is untouched."""
    if isinstance(expected, str):
        if not isinstance(answer, str):
            raise Unreadable(f"that is {kind(answer)}, asked for is a letter in quotes")
        return answer.strip(" ().'\"").lower(), False
    if not isinstance(expected, tuple):
        return _number(answer), False
    if isinstance(answer, (Tensor, np.ndarray)):
        answer = numbers(answer).tolist()
    if not isinstance(answer, (tuple, list)):
        raise Unreadable(f"that is {kind(answer)}, asked for are {len(expected)} numbers in parentheses")
    if any(part is Ellipsis for part in answer):
        return answer, True
    return tuple(_number(part) for part in answer), False


def _number(answer: Any) -> int | float:
    """Read a number of any kind.

    Raises:
        Unreadable: it is none; it says what it is.
    """
    if isinstance(answer, (bool, np.bool_)) or not isinstance(
        answer, (int, float, Fraction, Decimal, np.number, np.ndarray, Tensor)
    ):
        more = ": call it, and pass what it returns" if callable(answer) else ""
        raise Unreadable(f"that is {kind(answer)}, asked for is a number{more}")
    if isinstance(answer, (Tensor, np.ndarray, np.number)):
        array = numbers(answer)
        if array.size != 1:
            raise Unreadable(f"that is {kind(answer)}, asked for is one number")
        answer = array.item()
    try:
        value = answer if isinstance(answer, int) else float(answer)
        if math.isfinite(value):
            return int(value) if value == int(value) else value
    except (OverflowError, ValueError):
        pass
    raise Unreadable(f"{quoted(answer)} is no finite number")
