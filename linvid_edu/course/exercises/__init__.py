"""Exercises that know the usual mistakes: check an answer, ask for a hint, see the solution.

``check("02.1", my_function)`` tries an answer and says in words what it found. The exercises of a lesson stand in a
module of their own, such as ``lesson_02``, as ``EXERCISES``.
"""

from .buttons import exercise_widget
from .exercise import Case, Exercise, Mistake, Tries, Verdict, draw
from .shown import check, hint, solution

__all__ = ["Case", "Exercise", "Mistake", "Tries", "Verdict", "check", "draw", "exercise_widget", "hint", "solution"]
