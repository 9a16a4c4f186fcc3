"""Blank lessons: notebooks whose solutions are replaced by ``...``."""

import ast
import copy
import re
import textwrap
from typing import Any

TAG = "exercise"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_REGION = re.compile(rf"^(?P<indent>[ \t]*){BEGIN}[ \t]*\n(?P<body>.*?)^[ \t]*{END}[ \t]*$", re.MULTILINE | re.DOTALL)


def blank_lesson(notebook: Any) -> Any:
    """Return a copy of a lesson in which the exercises are blank and have no outputs.

    In cells tagged "exercise", the lines from ``### BEGIN SOLUTION`` to ``### END SOLUTION`` become ``...``, or
    ``name = ...`` for each name that the rest of the cell uses.

    Args:
        notebook: NotebookNode of nbformat 4; it is not changed.

    Raises:
        ValueError: An exercise has no such lines, or only one of the two marks.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if TAG in cell.metadata.get("tags", []):
            cell.source = blank_source(cell.source)
            cell.outputs, cell.execution_count = [], None
        elif BEGIN in cell.source or END in cell.source:
            raise ValueError(f"a cell with a solution needs the tag {TAG!r}: {cell.source[:60]!r}")
    return notebook


def blank_source(source: str) -> str:
    """Return the source of an exercise without its solutions.

    Raises:
        ValueError: There is no solution, or only one of the two marks.
    """
    regions = list(_REGION.finditer(source))
    if not regions or len(regions) != source.count(BEGIN) or len(regions) != source.count(END):
        raise ValueError(f"an exercise needs a solution between {BEGIN!r} and {END!r}: {source[:60]!r}")
    rest = ast.parse(_REGION.sub(lambda region: f"{region['indent']}...", source))
    used_elsewhere = {node.id for node in ast.walk(rest) if isinstance(node, ast.Name)}

    def placeholder(region: re.Match[str]) -> str:
        names = [name for name in _assigned(textwrap.dedent(region["body"])) if name in used_elsewhere]
        lines = [f"{name} = ..." for name in names] or ["..."]
        return "\n".join(region["indent"] + line for line in lines)

    return _REGION.sub(placeholder, source)


def _assigned(body: str) -> list[str]:
    """Return the names that a solution assigns, in order and without repeats."""
    targets = [
        target
        for statement in ast.parse(body).body
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    names = (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    return list(dict.fromkeys(names))
