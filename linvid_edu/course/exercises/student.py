"""The notebooks of students: those of the lessons, with the solutions taken out."""

import ast
import copy
import re
import textwrap
from typing import Any

TAG = "exercise"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_REGION = re.compile(rf"^(?P<indent>[ \t]*){BEGIN}[ \t]*\n(?P<body>.*?)^[ \t]*{END}[ \t]*$", re.MULTILINE | re.DOTALL)


def student_notebook(notebook: Any) -> Any:
    """Return a copy of a lesson whose exercises are blank and not yet executed.

    In cells tagged "exercise", the lines from ``### BEGIN SOLUTION`` to ``### END SOLUTION`` become ``...``, or
    ``name = ...`` for the names that the rest of the cell uses.

    Args:
        notebook: of nbformat 4, a NotebookNode; it is not changed.

    Raises:
        ValueError: an exercise has no such lines, or one of the two marks.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if TAG in cell.metadata.get("tags", []):
            cell.source = blank(cell.source)
            cell.outputs, cell.execution_count = [], None
        elif BEGIN in cell.source or END in cell.source:
            raise ValueError(f"a cell with a solution is not tagged {TAG!r}: {cell.source[:60]!r}")
    return notebook


def blank(source: str) -> str:
    """Return the source of an exercise with its solutions replaced.

    Raises:
        ValueError: there is no solution, or one of the two marks.
    """
    regions = list(_REGION.finditer(source))
    if not regions or len(regions) != source.count(BEGIN) or len(regions) != source.count(END):
        raise ValueError(f"an exercise needs a solution from {BEGIN!r} to {END!r}: {source[:60]!r}")
    rest = ast.parse(_REGION.sub(lambda region: f"{region['indent']}...", source))
    used_elsewhere = {node.id for node in ast.walk(rest) if isinstance(node, ast.Name)}

    def replaced(region: re.Match[str]) -> str:
        used = [name for name in _assigned(textwrap.dedent(region["body"])) if name in used_elsewhere]
        return "\n".join(f"{region['indent']}{f'{name} = ' if name else ''}..." for name in used or [""])

    return _REGION.sub(replaced, source)


def _assigned(body: str) -> list[str]:
    """Return the names that a solution assigns, in order, each once."""
    targets = [
        target
        for statement in ast.parse(body).body
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    names = (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    return list(dict.fromkeys(names))
