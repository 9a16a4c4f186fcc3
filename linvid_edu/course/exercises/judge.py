"""Is a function right, and if not, which mistake is it?"""

import ast
import dis
import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .attempt import Outcome, attempt, by_any_order, gradients, input_names, names_of
from .difference import difference, kind, quoted
from .exercise import Case, Exercise, Mistake, Verdict, not_right, not_yet
from .values import judge_value

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
        return not_yet()
    if exercise.tries is None:
        return judge_value(exercise, answer)
    if refusal := _no_function(answer):
        return not_right(f"{refusal}. {exercise.id} asks for a function: pass its name, without parentheses")
    try:
        function = by_any_order(answer, names_of(exercise.answer))
    except TypeError as refused:
        return not_right(str(refused))
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    with torch.inference_mode(False):
        return _judge_function(exercise, answer, function, list(exercise.tries.cases(generator)))


def _no_function(answer: Any) -> str:
    """Say why something is no function to try; "" if it is one."""
    if isinstance(answer, type) or not callable(answer):
        return f"that is {kind(answer)}"
    if inspect.iscoroutinefunction(answer):
        return "that is a function with async, which returns only when awaited"
    return ""


def _judge_function(exercise: Exercise, answer: Any, function: Callable[..., Any], cases: list[Case]) -> Verdict:
    rights = [attempt(exercise.answer, exercise, case) for case in cases]
    if fault := next((right.error for right in rights if right.error), ""):
        raise RuntimeError(f"the solution of {exercise.id} {fault}")
    mine: list[Outcome] = []
    for case in cases:
        mine.append(attempt(function, exercise, case))
        if len(mine) == 1 and _untouched(answer, mine[0]):
            return not_yet()
        if mine[-1].error.startswith("does not come back"):
            return not_right(f"{_with(exercise, case)}your function {mine[-1].error}")
    again = attempt(function, exercise, cases[0])
    if _vary(mine[0], again, rights[0], exercise.tolerance):
        return not_right(
            "two calls with the same inputs return different results: something is random, kept between calls, or "
            "never filled (torch.empty)"
        )
    words = [_differs(one, right, exercise.tolerance) for one, right in zip(mine, rights, strict=True)]
    remark = _only_float64_stops(cases, mine, words)
    if any(words) and not remark:
        return not_right(_explained(exercise, cases, mine, rights, words))
    if changed := next((one.changed for one in mine if one.changed), ()):
        return not_right(
            f"the result is right, but your function changes its input {changed[0]} in place: work on a copy"
        )
    assert exercise.tries is not None
    if exercise.tries.gradients:
        ordinary = [case for case in cases if not case.name]
        found = [gradients(function, exercise, case) for case in ordinary]
        if stops := next((one.error for one in found if one.error), ""):
            return Verdict(True, f"right. Its gradient cannot be had, so no model trains with it: autograd {stops}")
        if wrong := _gradient_mistake(exercise, ordinary, found):
            return not_right(wrong)
    return Verdict(True, f"right{remark}")


def _vary(first: Outcome, again: Outcome, right: Outcome, tolerance: float) -> bool:
    """Whether two calls with the same inputs differ, if the first returned something of the right structure."""
    if first.error or difference(first.output, right.output, math.inf):
        return False
    return _differs(first, right, tolerance) != _differs(again, right, tolerance)


def _untouched(answer: Any, first: Outcome) -> bool:
    """Whether a function still has the "…" of the student's notebook, or nothing, where its result should come from."""
    if first.error:
        return "ellipsis" in first.error or ("NoneType" in first.error and _has_blank(answer))
    parts = first.output if isinstance(first.output, tuple) else (first.output,)
    return any(part is Ellipsis for part in parts) or (any(part is None for part in parts) and _has_blank(answer))


def _has_blank(answer: Any) -> bool:
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if code is not None and {step.opname for step in dis.get_instructions(code)} <= _EMPTY:
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return False
    values = (getattr(node, "value", None) for node in ast.walk(tree) if isinstance(node, ast.stmt))
    return any(isinstance(value, ast.Constant) and value.value is ... for value in values)


def _differs(one: Outcome, right: Outcome, tolerance: float) -> str:
    """Say how an outcome differs from the right one, as what follows "your function …"; "" where it does not."""
    if one.error:
        return one.error
    if one.output is None and right.output is not None:
        return "returns None: is a return missing?"
    words = difference(one.output, right.output, tolerance)
    return f"is off: {words}" if words else ""


def _with(exercise: Exercise, case: Case) -> str:
    """Name the inputs of a case, as the beginning of a sentence about the function."""
    inputs = [
        f"{name} {tuple(x.shape) if isinstance(x, (Tensor, np.ndarray)) else quoted(x)}"
        for name, x in zip(input_names(exercise), case.inputs, strict=True)
        if isinstance(x, (Tensor, np.ndarray, int, float, str))
    ]
    shown = ", ".join([case.name] * bool(case.name) + inputs)
    return f"with {shown}, " if shown else ""


def _explained(
    exercise: Exercise, cases: list[Case], mine: list[Outcome], rights: list[Outcome], words: list[str]
) -> str:
    """Name the mistake that the outcomes agree with, or say what differs first."""
    ordinary = [index for index, case in enumerate(cases) if not case.name]
    edges_only = not any(words[index] for index in ordinary)
    which = range(len(cases)) if edges_only else ordinary

    def agrees(mistake: Mistake, exactly: bool) -> bool:
        for index in which:
            other = attempt(mistake.answer, exercise, cases[index])
            if bool(_differs(other, rights[index], exercise.tolerance)) != bool(words[index]):
                return False
            if exactly and _unlike(mine[index], other, exercise.tolerance):
                return False
        return True

    for exactly in (True, False) if edges_only else (True,):  # at the edges it is enough to fail where a mistake does
        for mistake in exercise.mistakes:
            if agrees(mistake, exactly):
                return mistake.words
    first = next(index for index in which if words[index])
    return f"{_with(exercise, cases[first])}your function {words[first]}"


def _unlike(one: Outcome, other: Outcome, tolerance: float) -> bool:
    if one.raised or other.raised:
        return one.raised != other.raised
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
        theirs = (gradients(mistake.answer, exercise, case) for case in cases)
        if not any(_gradient_words(exercise, *each) for each in zip(cases, mine, theirs, strict=True)):
            return mistake.words
    first = next(index for index, word in enumerate(words) if word)
    return f"the result is right, the gradient is not: {_with(exercise, cases[first])}{words[first]}"


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
