"""An exercise with buttons: Check, Hint, Solution."""

import re
import sys
from fractions import Fraction
from html import escape
from typing import Any

import ipywidgets

from .check_hint_solution import find_exercise, next_hint, solution_text, verdict_on
from .exercise import Exercise


def exercise_widget(id: Any, answer: str = "") -> ipywidgets.VBox:
    """Show the question of an exercise, a field for the answer if it is not a function, and three buttons.

    Args:
        id: Id of the exercise, such as "02.1".
        answer: Name of the function that a click on Check tries; it is looked up at each click.

    Raises:
        LookupError: There is no such exercise.
    """
    exercise = find_exercise(id)
    field = _field(exercise)
    result = ipywidgets.HTML()
    buttons = {name: ipywidgets.Button(description=name) for name in ("Check", "Hint", "Solution")}

    def show(html: str) -> None:
        result.value = f'<div role="status">{html}</div>'

    def current_answer() -> Any:
        return getattr(sys.modules["__main__"], answer, ...) if callable(exercise.answer) else _parsed(exercise, field)

    buttons["Check"].on_click(lambda _: show(verdict_on(exercise.id, current_answer())._repr_html_()))
    buttons["Hint"].on_click(lambda _: show(_plain(next_hint(exercise.id))))
    buttons["Solution"].on_click(lambda _: show(_plain(solution_text(exercise.id))))
    formatted = re.sub(r"`(.+?)`", r"<code>\1</code>", escape(exercise.question))
    question = ipywidgets.HTML(f"<b>{exercise.id}</b> {formatted}")
    return ipywidgets.VBox([question, field, ipywidgets.HBox(list(buttons.values())), result])


def _field(exercise: Exercise) -> ipywidgets.Widget:
    right = exercise.answer
    if callable(right):
        return ipywidgets.HTML("Check tries your function as it is defined now.")
    if isinstance(right, str):
        letters = sorted({right, *(mistake.answer for mistake in exercise.mistakes)})
        return ipywidgets.RadioButtons(options=letters, value=None)
    count = f"{len(right)} numbers, separated by commas" if isinstance(right, tuple) else "a number"
    return ipywidgets.Text(placeholder=count, description="answer")


def _parsed(exercise: Exercise, field: ipywidgets.Widget) -> Any:
    """Return the content of the field as an answer: numbers if it holds numbers, or else the text."""
    if not field.value or isinstance(exercise.answer, str):
        return field.value or ...
    text = field.value.strip(" ()[]")
    try:
        if isinstance(exercise.answer, tuple):
            return tuple(Fraction(number.strip()) for number in text.split(","))
        return Fraction(text.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return field.value


def _plain(text: str) -> str:
    return f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'
