"""One word means one thing: no public name is defined in two modules, and no module is named after what it defines."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "linvid_edu"


def defined_names(path):
    """Return the public functions, classes and constants that a module defines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def modules():
    """Return the modules of the package. Exercises are left out: each lesson defines EXERCISES and its own answers."""
    return [path for path in PACKAGE.rglob("*.py") if not path.name.startswith("lesson_")]


def test_no_public_name_is_defined_in_two_modules():
    places = defaultdict(set)
    for path in modules():
        for name in defined_names(path):
            places[name].add(path.relative_to(PACKAGE).as_posix())
    sphinx_hook = {"setup"}
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in sphinx_hook} == {}


def test_no_public_name_is_defined_in_a_module_of_that_name():
    # plots are modules with one function each, and their package exports the functions
    paths = [path for path in modules() if path.parent.name not in ("plots", "cli")]
    assert [path.name for path in paths if path.stem in defined_names(path)] == []
