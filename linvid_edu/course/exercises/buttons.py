"""An exercise with buttons: check, hint, solution."""

import re
import sys
from fractions import Fraction
from html import escape
from typing import Any

import ipywidgets

from .exercise import Exercise
from .shown import find, next_hint, solution_text, verdict


def exercise_widget(id: Any, answer: str = "") -> ipywidgets.VBox:
    """Show the question of an exercise, a place for the answer where it is no function, and three buttons.

    Args:
        id: the exercise, such as "02.1".
        answer: name of the function that a click on Check tries, as it is defined by then.

    Raises:
        LookupError: there is no such exercise.
    """
    exercise = find(id)
    field = _field(exercise)
    result = ipywidgets.HTML()
    buttons = {name: ipywidgets.Button(description=name) for name in ("Check", "Hint", "Solution")}

    def show(html: str) -> None:
        result.value = f'<div role="status">{html}</div>'

    def given() -> Any:
        return getattr(sys.modules["__main__"], answer, ...) if callable(exercise.answer) else _parsed(exercise, field)

    buttons["Check"].on_click(lambda _: show(verdict(exercise.id, given())._repr_html_()))
    buttons["Hint"].on_click(lambda _: show(_plain(next_hint(exercise.id))))
    buttons["Solution"].on_click(lambda _: show(_plain(solution_text(exercise.id))))
    words = re.sub(r"`(.+?)`", r"<code>\1</code>", escape(exercise.question))
    question = ipywidgets.HTML(f"<b>{exercise.id}</b> {words}")
    return ipywidgets.VBox([question, field, ipywidgets.HBox(list(buttons.values())), result])


def _field(exercise: Exercise) -> ipywidgets.Widget:
    right = exercise.answer
    if callable(right):
        return ipywidgets.HTML("A click on Check tries your function as it is now.")
    if isinstance(right, str):
        letters = sorted({right, *(mistake.answer for mistake in exercise.mistakes)})
        return ipywidgets.RadioButtons(options=letters, value=None)
    count = f"{len(right)} numbers, with commas" if isinstance(right, tuple) else "a number"
    return ipywidgets.Text(placeholder=count, description="answer")


def _parsed(exercise: Exercise, field: ipywidgets.Widget) -> Any:
    """Return what stands in the field as an answer: numbers where they can be read, or else the text."""
    if not field.value or isinstance(exercise.answer, str):
        return field.value or ...
    text = field.value.strip(" ()[]")
    try:
        if isinstance(exercise.answer, tuple):
            return tuple(Fraction(part.strip()) for part in text.split(","))
        return Fraction(text.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return field.value


def _plain(text: str) -> str:
    return f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'
