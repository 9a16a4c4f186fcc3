"""check, hint and solution, as a lesson calls them, and the same with buttons."""

import inspect
import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .difference import quoted
from .exercise import Exercise, Verdict
from .judge import judge

_hints_given: dict[str, int] = {}


def find(name: Any) -> Exercise:
    """Return an exercise by its id.

    Raises:
        LookupError: there is none; it names those of the lesson.
    """
    asked = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", str(name).strip())
    lesson = f"lesson_{int(asked[1]):02}" if asked else ""
    if not asked or find_spec(f"{__package__}.{lesson}") is None:
        raise LookupError(f"there is no exercise {quoted(name)}: an id is lesson and number, such as '02.1'")
    exercises = {each.id: each for each in import_module(f".{lesson}", __package__).EXERCISES}
    id = f"{int(asked[1]):02}.{int(asked[2])}"
    if id not in exercises:
        raise LookupError(f"there is no exercise {quoted(name)}: the lesson has {', '.join(exercises)}")
    return exercises[id]


def verdict(id: Any, answer: Any) -> Verdict:
    """Judge an answer and print nothing; whatever the answer is, this returns."""
    try:
        return judge(find(id), answer)
    except LookupError as refusal:
        return Verdict(False, str(refusal))
    except Exception as error:
        return Verdict(False, f"not right: {quoted(answer)} cannot be tried, {type(error).__name__}: {quoted(error)}")


def check(id: Any, answer: Any = ...) -> Verdict:
    """Try an answer on fresh random inputs and edge cases, and print in words what was found.

    Args:
        id: the exercise, such as "02.1".
        answer: a function, a number, several numbers, or the letter of a choice; ``...`` means not yet.

    Returns:
        The verdict: right (True, False, or None for "not yet") and words.
    """
    found = verdict(id, answer)
    print(found.words)
    found.printed = True
    return found


def hint(id: Any) -> None:
    """Print the next of the three hints of an exercise.

    Args:
        id: the exercise, such as "02.1".
    """
    print(next_hint(id))


def solution(id: Any) -> None:
    """Print the solution of an exercise, and why it is right.

    Args:
        id: the exercise, such as "02.1".
    """
    print(solution_text(id))


def next_hint(id: Any) -> str:
    """Return the next hint, or where the solution is once there are no more."""
    try:
        exercise = find(id)
    except LookupError as refusal:
        return str(refusal)
    given = _hints_given.get(exercise.id, 0)
    if given == len(exercise.hints):
        return f"these were all hints: solution({exercise.id!r}) shows the answer"
    _hints_given[exercise.id] = given + 1
    return f"hint {given + 1} of {len(exercise.hints)}: {exercise.hints[given]}"


def solution_text(id: Any) -> str:
    """Return the source of the solution, or its value, and why it is right."""
    try:
        exercise = find(id)
    except LookupError as refusal:
        return str(refusal)
    shown = inspect.getsource(exercise.answer).rstrip() if callable(exercise.answer) else str(exercise.answer)
    return f"{shown}\n\n{exercise.why}"
