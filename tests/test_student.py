"""Student notebooks: solutions become blanks, and blank lessons run; each of their exercises prints what to do."""

import re
import symtable
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from linvid_edu.course.blank_lessons import BEGIN, END, TAG, blank_lesson, blank_source
from linvid_edu.course.lessons import find_lessons

LESSONS = [lesson for lesson in find_lessons() if lesson.number != "00"]
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)


def solved(*lines, indent=""):
    return "\n".join(indent + line for line in (BEGIN, *lines, END))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (solved("answer = 1 + 1") + '\ncheck("02.2", answer)', 'answer = ...\ncheck("02.2", answer)'),
        (solved("half = 1", "answer = 2 * half") + "\nprint(answer)", "answer = ...\nprint(answer)"),
        (solved("a, b = 1, 2") + "\nprint(a, b)", "a = ...\nb = ...\nprint(a, b)"),
        ("def f(x):\n" + solved("y = x", "return y", indent="    ") + "\n\nf(1)", "def f(x):\n    ...\n\nf(1)"),
        (
            'def f(x):\n    """Uses y."""\n' + solved("y = x", "return y", indent="    ") + "\n\nf(1)",
            'def f(x):\n    """Uses y."""\n    ...\n\nf(1)',
        ),
        ("x = 1\n" + solved("print(x)"), "x = 1\n..."),
        (solved("a = 1") + "\n" + solved("b = a") + "\nprint(a, b)", "a = ...\nb = ...\nprint(a, b)"),
    ],
)
def test_a_solution_becomes_a_blank(source, expected):
    assert blank_source(source) == expected


@pytest.mark.parametrize("source", ["answer = 1", BEGIN, f"{BEGIN}\nanswer = 1", f"{END}\n{BEGIN}", f"a = 1\n{END}"])
def test_an_exercise_without_a_whole_solution_is_an_error(source):
    with pytest.raises(ValueError, match="needs a solution"):
        blank_source(source)


def test_only_exercises_change_and_the_lesson_stays_as_it_is():
    exercise = new_code_cell(solved("a = 1") + "\nprint(a)", metadata={"tags": [TAG]}, execution_count=2)
    exercise.outputs = [nbformat.v4.new_output("stream", text="right\n")]
    lesson = new_notebook(cells=[new_markdown_cell("# 02"), new_code_cell("x = 1", execution_count=1), exercise])
    before = nbformat.from_dict(lesson)
    student = blank_lesson(lesson)
    assert lesson == before
    assert student.cells[:2] == lesson.cells[:2]
    assert (student.cells[2].source, student.cells[2].outputs) == ("a = ...\nprint(a)", [])
    untagged = new_notebook(cells=[new_code_cell(exercise.source)])
    with pytest.raises(ValueError, match="needs the tag"):
        blank_lesson(untagged)


def exercises(notebook):
    return [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", [])]


@every_lesson
def test_each_exercise_of_a_lesson_is_checked_there_once_and_solved(lesson):
    module = import_module(f"linvid_edu.course.exercises.lesson_{lesson.number}")
    assert len(module.EXERCISES) >= 2
    cells = exercises(nbformat.read(lesson.path, as_version=4))
    checked = [id for cell in cells for id in re.findall(r'check\("([\w.]+)"', cell.source)]
    assert sorted(checked) == [exercise.id for exercise in module.EXERCISES]
    for cell in cells:
        printed = "".join(output.get("text", "") for output in cell.outputs)
        assert printed.startswith("right"), f"{cell.source[:60]}: {printed}"


def test_there_are_many_exercises():
    modules = Path(import_module("linvid_edu.course.exercises").__file__).parent.glob("lesson_*.py")
    counts = [len(import_module(f"linvid_edu.course.exercises.{path.stem}").EXERCISES) for path in modules]
    assert sum(counts) >= 24


def names_of(source):
    """Return the global names that a cell assigns and those that it uses, those inside its functions included."""
    table = symtable.symtable(source, "cell", "exec")
    assigned = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    used, tables = set(), [table]
    while tables:
        table = tables.pop()
        inside = table.get_type() != "module"
        used |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_global() or (not inside and symbol.is_referenced())
        }
        tables += table.get_children()
    return assigned, used


def cells_that_blanks_affect(notebook):
    """Return the exercises, the cells whose outcome may depend on them, and the cells that these need, in order."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    names = [names_of(cell.source) for cell in cells]
    kept, changed = set(), set()
    for index, (cell, (assigned, used)) in enumerate(zip(cells, names, strict=True)):
        if TAG in cell.metadata.get("tags", []) or used & changed:
            kept.add(index)
            changed |= assigned
    needed = set()  # names, read backwards: each cell provides some and needs others
    for index, (assigned, used) in reversed(list(enumerate(names))):
        if index in kept or needed & assigned:
            kept.add(index)
            needed = (needed - assigned) | (used - assigned)
    return [cells[index] for index in sorted(kept)]


@pytest.mark.slow
@every_lesson
@torch.enable_grad()  # lesson 09 switches gradients off, and that must end with the test
def test_a_blank_lesson_runs_and_says_not_yet(lesson, monkeypatch):
    """Blanks cannot change what the other cells do, and nbval runs those."""
    monkeypatch.chdir(lesson.path.parent)
    names = {"__name__": "__main__"}
    for cell in cells_that_blanks_affect(blank_lesson(nbformat.read(lesson.path, as_version=4))):
        printed = StringIO()
        with redirect_stdout(printed):
            exec(cell.source, names)
        if TAG in cell.metadata.get("tags", []):
            ids = re.findall(r'check\("([\w.]+)"', cell.source)
            expected = [f'not yet: replace ... in the cell; hint("{id}") helps' for id in ids]
            assert printed.getvalue().splitlines() == expected, cell.source
