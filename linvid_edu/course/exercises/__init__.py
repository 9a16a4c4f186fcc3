"""Exercises that know the usual mistakes: check an answer, ask for a hint, see the solution.

``check("02.1", my_function)`` tries an answer and prints what is right or wrong. Each lesson has a module with its
``EXERCISES``, such as ``lesson_02``.
"""

from .buttons import exercise_widget
from .check_hint_solution import check, hint, solution
from .exercise import Case, Exercise, Mistake, Trial, Verdict, draw

__all__ = ["Case", "Exercise", "Mistake", "Trial", "Verdict", "check", "draw", "exercise_widget", "hint", "solution"]
