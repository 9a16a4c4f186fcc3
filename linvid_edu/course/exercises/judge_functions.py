"""Judge a function: compare it with the solution on every case, and name the mistake that it makes."""

import ast
import dis
import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .differences import first_difference, quoted
from .exercise import Case, Exercise, Mistake, Verdict, not_right, not_yet
from .outcomes import TIMEOUT, Outcome, gradients, input_names, outcome_of

LOOSER = 10  # the tolerance of gradients, and of the agreement with a mistake, is this many times larger
_OPCODES_OF_AN_EMPTY_FUNCTION = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


class Comparison(NamedTuple):
    """One case, with what the solution and the learner's function return for it.

    case: the inputs
    right: outcome of the solution
    given: outcome of the learner's function
    fault: how `given` differs from `right`, to complete "your function …"; "" if it does not
    """

    case: Case
    right: Outcome
    given: Outcome
    fault: str


def judge_function(exercise: Exercise, answer: Any, function: Callable[..., Any], cases: list[Case]) -> Verdict:
    """Compare a function with the solution, and return what is wrong first.

    Args:
        exercise: An exercise whose answer is a function.
        answer: The learner's function, as it was passed.
        function: The same function, taking its arguments in the order of the solution.
        cases: Inputs to try it on, at least one.

    Raises:
        RuntimeError: The solution itself fails.
    """
    rights = [_right_outcome(exercise, case) for case in cases]
    givens = _try_until_hopeless(exercise, answer, function, cases)
    if isinstance(givens, Verdict):
        return givens
    comparisons = [
        Comparison(case, right, given, _fault(given, right, exercise.tolerance))
        for case, right, given in zip(cases, rights, givens, strict=True)
    ]
    remark = _remark_on_float64(comparisons)
    again = outcome_of(function, exercise, cases[0])
    problem = (
        _random_results(comparisons[0], again, exercise.tolerance)
        or ("" if remark else _wrong_results(exercise, comparisons))
        or _changed_inputs(givens)
    )
    if problem:
        return not_right(problem)
    assert exercise.trial is not None
    if exercise.trial.gradients:
        return _judge_gradients(exercise, function, [case for case in cases if not case.name], remark)
    return Verdict(True, f"right{remark}")


def _right_outcome(exercise: Exercise, case: Case) -> Outcome:
    right = outcome_of(exercise.answer, exercise, case)
    if right.error:
        raise RuntimeError(f"the solution of {exercise.id} {right.error}")
    return right


def _try_until_hopeless(
    exercise: Exercise, answer: Any, function: Callable[..., Any], cases: list[Case]
) -> list[Outcome] | Verdict:
    """Return the outcome of every case, or a verdict if the function is still blank or takes too long."""
    outcomes: list[Outcome] = []
    for case in cases:
        outcome = outcome_of(function, exercise, case)
        if not outcomes and _is_untouched(answer, outcome):
            return not_yet(exercise.id)
        if outcome.raised == TIMEOUT:
            return not_right(f"{_inputs_in_words(exercise, case)}your function {outcome.error}")
        outcomes.append(outcome)
    return outcomes


def _is_untouched(answer: Any, first: Outcome) -> bool:
    """Return whether the result still comes from the ``...`` of the blank lesson."""
    if first.error:
        return "ellipsis" in first.error or ("NoneType" in first.error and _has_blank(answer))
    results = first.output if isinstance(first.output, tuple) else (first.output,)
    if any(result is Ellipsis for result in results):
        return True
    return any(result is None for result in results) and _has_blank(answer)


def _has_blank(answer: Any) -> bool:
    """Return whether the body of a function is empty, or a statement in it has the value ``...``."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if code is not None and {step.opname for step in dis.get_instructions(code)} <= _OPCODES_OF_AN_EMPTY_FUNCTION:
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return False
    values = (getattr(node, "value", None) for node in ast.walk(tree) if isinstance(node, ast.stmt))
    return any(isinstance(value, ast.Constant) and value.value is ... for value in values)


def _fault(given: Outcome, right: Outcome, tolerance: float) -> str:
    """Return how an outcome differs from the right one, to complete "your function …"; "" if it does not."""
    if given.error:
        return given.error
    if given.output is None and right.output is not None:
        return "returns None: is a return missing?"
    difference = first_difference(given.output, right.output, tolerance)
    return f"is off: {difference}" if difference else ""


def _random_results(first: Comparison, again: Outcome, tolerance: float) -> str:
    """Return a message if a second call with the same inputs gives something else."""
    if first.given.error or first_difference(first.given.output, first.right.output, math.inf):
        return ""  # it failed, or its result has another structure: that is reported instead
    if first.fault == _fault(again, first.right, tolerance):
        return ""
    return (
        "two calls with the same inputs return different results: something is random, kept between calls, or "
        "never filled (torch.empty)"
    )


def _changed_inputs(outcomes: list[Outcome]) -> str:
    """Return a message if a call changed one of its inputs."""
    names = [name for outcome in outcomes for name in outcome.changed]
    if not names:
        return ""
    return f"the result is right, but your function changes its input {names[0]} in place: work on a copy"


def _inputs_in_words(exercise: Exercise, case: Case) -> str:
    """Describe the inputs of a case, as the beginning of a sentence about the function."""
    inputs = [
        f"{name} {tuple(x.shape) if isinstance(x, (Tensor, np.ndarray)) else quoted(x)}"
        for name, x in zip(input_names(exercise), case.inputs, strict=True)
        if isinstance(x, (Tensor, np.ndarray, int, float, str))
    ]
    if case.name:
        inputs.insert(0, case.name)
    return f"with {', '.join(inputs)}, " if inputs else ""


def _wrong_results(exercise: Exercise, comparisons: list[Comparison]) -> str:
    """Return the message of the mistake that explains the faults, or else the first fault; "" if there is none.

    If the function fails on ordinary inputs, only those count, and a mistake explains the faults if it gives the same
    results. If the function fails only on edge cases, all cases count. If no mistake then gives the same results, the
    first one that fails on the same cases is named.
    """
    if not any(comparison.fault for comparison in comparisons):
        return ""
    ordinary = [comparison for comparison in comparisons if not comparison.case.name]
    fails_on_ordinary = any(comparison.fault for comparison in ordinary)
    compared = ordinary if fails_on_ordinary else comparisons
    rules = [_gives_same_results] if fails_on_ordinary else [_gives_same_results, _fails_on_same_cases]
    for rule in rules:
        for mistake in exercise.mistakes:
            if rule(exercise, mistake, compared):
                return mistake.message
    first = next(comparison for comparison in compared if comparison.fault)
    return f"{_inputs_in_words(exercise, first.case)}your function {first.fault}"


def _gives_same_results(exercise: Exercise, mistake: Mistake, comparisons: list[Comparison]) -> bool:
    """Return whether a mistake fails on the same cases, with the same outputs or exceptions everywhere."""
    for case, right, given, fault in comparisons:
        outcome = outcome_of(mistake.answer, exercise, case)
        if bool(_fault(outcome, right, exercise.tolerance)) != bool(fault):
            return False
        if given.raised != outcome.raised:
            return False
        if not given.raised and first_difference(given.output, outcome.output, LOOSER * exercise.tolerance):
            return False
    return True


def _fails_on_same_cases(exercise: Exercise, mistake: Mistake, comparisons: list[Comparison]) -> bool:
    """Return whether a mistake fails on the same cases, whatever it gives there."""
    for case, right, _, fault in comparisons:
        outcome = outcome_of(mistake.answer, exercise, case)
        if bool(_fault(outcome, right, exercise.tolerance)) != bool(fault):
            return False
    return True


def _remark_on_float64(comparisons: list[Comparison]) -> str:
    """Return a remark if a function fails only because it mixes float64 inputs with float32 tensors of its own."""
    faulty = [comparison for comparison in comparisons if comparison.fault]
    if not faulty:
        return ""
    for comparison in faulty:
        has_float64 = any(isinstance(x, Tensor) and x.dtype == torch.float64 for x in comparison.case.inputs)
        mixes_dtypes = "dtype" in comparison.given.error or "scalar type" in comparison.given.error
        if not (has_float64 and mixes_dtypes):
            return ""
    return ". It fails on float64 inputs: create your tensors with the dtype of the inputs"


def _judge_gradients(exercise: Exercise, function: Callable[..., Any], cases: list[Case], remark: str) -> Verdict:
    """Judge the gradients of a function whose outputs are right."""
    givens = [gradients(function, exercise, case) for case in cases]
    for given in givens:
        if given.error:
            return Verdict(True, f"right. But no model can train with it, because autograd {given.error}")
    if problem := _wrong_gradients(exercise, cases, givens):
        return not_right(problem)
    return Verdict(True, f"right{remark}")


def _wrong_gradients(exercise: Exercise, cases: Sequence[Case], givens: list[Outcome]) -> str:
    """Return the message of the mistake with the same gradients, or else what differs first; "" if nothing does."""
    faults = [
        _gradient_fault(exercise, case, given, gradients(exercise.answer, exercise, case))
        for case, given in zip(cases, givens, strict=True)
    ]
    if not any(faults):
        return ""
    for mistake in exercise.mistakes:
        same = (
            not _gradient_fault(exercise, case, given, gradients(mistake.answer, exercise, case))
            for case, given in zip(cases, givens, strict=True)
        )
        if all(same):
            return mistake.message
    case, fault = next(pair for pair in zip(cases, faults, strict=True) if pair[1])
    return f"the result is right, the gradient is not: {_inputs_in_words(exercise, case)}{fault}"


def _gradient_fault(exercise: Exercise, case: Case, given: Outcome, right: Outcome) -> str:
    """Return how two lists of gradients differ; "" if they do not."""
    if given.error or right.error:
        return given.error or right.error
    floating = (isinstance(x, Tensor) and x.is_floating_point() for x in case.inputs)
    names = [name for name, has_gradient in zip(input_names(exercise), floating, strict=True) if has_gradient]
    for name, mine, expected in zip(names, given.output, right.output, strict=True):
        if mine is None and expected is None:
            continue
        if mine is None and expected.any():
            return f"no gradient reaches {name}. Is something detached, or computed with plain numbers?"
        if expected is None and mine.any():
            return f"a gradient reaches {name}, which should get none"
        if mine is None or expected is None:
            continue
        if difference := first_difference(mine, expected, LOOSER * exercise.tolerance):
            return f"the gradient of {name} is off: {difference}"
    return ""
