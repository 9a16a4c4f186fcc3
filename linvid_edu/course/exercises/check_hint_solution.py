"""``check``, ``hint`` and ``solution``, as lessons call them."""

import inspect
import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .differences import quoted
from .exercise import Exercise, Verdict
from .judge import judge_answer

_hints_given: dict[str, int] = {}


def find_exercise(name: Any) -> Exercise:
    """Return an exercise by its id.

    Raises:
        LookupError: There is no such exercise; the message lists those of the lesson.
    """
    match = re.fullmatch(r"(\d{1,2})([a-z]?)\.(\d{1,2})", str(name).strip())
    lesson = f"{int(match[1]):02}{match[2]}" if match else ""
    if not match or find_spec(f"{__package__}.lesson_{lesson}") is None:
        raise LookupError(f"there is no exercise {quoted(name)}: an id is lesson and number, such as '02.1'")
    exercises = {exercise.id: exercise for exercise in import_module(f".lesson_{lesson}", __package__).EXERCISES}
    id = f"{lesson}.{int(match[3])}"
    if id not in exercises:
        raise LookupError(f"there is no exercise {quoted(name)}: the lesson has {', '.join(exercises)}")
    return exercises[id]


def verdict_on(id: Any, answer: Any) -> Verdict:
    """Judge an answer without printing; this returns whatever the answer is."""
    try:
        return judge_answer(find_exercise(id), answer)
    except LookupError as error:
        return Verdict(False, str(error))
    except Exception as error:
        return Verdict(False, f"not right: {quoted(answer)} cannot be tried, {type(error).__name__}: {quoted(error)}")


def check(id: Any, answer: Any = ...) -> Verdict:
    """Try an answer on fresh random inputs and edge cases, and print what is right or wrong.

    Args:
        id: Id of the exercise, such as "02.1".
        answer: A function, a number, several numbers, or the letter of a choice; ``...`` if there is no answer yet.

    Returns:
        The verdict. Its field ``right`` is True, False, or None for "not yet".
    """
    verdict = verdict_on(id, answer)
    print(verdict.message)
    verdict.printed = True
    return verdict


def hint(id: Any) -> None:
    """Print the next of the three hints of an exercise.

    Args:
        id: Id of the exercise, such as "02.1".
    """
    print(next_hint(id))


def solution(id: Any) -> None:
    """Print the solution of an exercise, and why it is right.

    Args:
        id: Id of the exercise, such as "02.1".
    """
    print(solution_text(id))


def next_hint(id: Any) -> str:
    """Return the next hint, or how to see the solution if there are no more hints."""
    try:
        exercise = find_exercise(id)
    except LookupError as error:
        return str(error)
    given = _hints_given.get(exercise.id, 0)
    if given == len(exercise.hints):
        return f"there are no more hints: solution({exercise.id!r}) shows the answer"
    _hints_given[exercise.id] = given + 1
    return f"hint {given + 1} of {len(exercise.hints)}: {exercise.hints[given]}"


def solution_text(id: Any) -> str:
    """Return the source or the value of the solution, and why it is right."""
    try:
        exercise = find_exercise(id)
    except LookupError as error:
        return str(error)
    answer = inspect.getsource(exercise.answer).rstrip() if callable(exercise.answer) else str(exercise.answer)
    return f"{answer}\n\n{exercise.why}"
