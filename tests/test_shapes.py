"""Shape annotations: every axis is in the table of linvid_edu/shapes.py or is a whole word, and no size is called e."""

import ast
import re
from pathlib import Path

import pytest

from linvid_edu import shapes
from linvid_edu.shapes import Extent, Grid

PACKAGE = Path(shapes.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROWS = shapes.__doc__.split("======== ")[2].split("\n", 1)[1]
TABLE = {axis for row in ROWS.splitlines() for axis in row[:9].replace(",", " ").split()}


def shape_strings(path):
    """Return the shape of every annotation such as ``Float[Tensor, "b t n width"]`` in a file, with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in ("Bool", "Float", "Int", "UInt8"):
            found += [
                (node.lineno, item.value) for item in getattr(node.slice, "elts", []) if isinstance(item, ast.Constant)
            ]
    return found


def axes(shape):
    """Return the names in a shape: b and d in "*b 2*d 3"."""
    return re.findall(r"[A-Za-z]\w*", shape)


def test_the_table_is_read():
    assert {"b", "t", "h", "w", "n", "m", "width", "heads", "d", "d_v", "f"} <= TABLE
    assert "e" not in TABLE
    assert len(TABLE) < 15
    assert axes("*batch n 2*f+d 3") == ["batch", "n", "f", "d"]


@pytest.mark.parametrize("path", [path for path in FILES if shape_strings(path)], ids=lambda path: path.stem)
def test_axes_are_those_of_the_table_or_whole_words(path):
    for line, shape in shape_strings(path):
        for axis in axes(shape):
            known = axis in TABLE or re.fullmatch(r"[a-z]{3,}(_[a-z]+)*", axis)
            assert known, f"{path.name}:{line}: {axis!r} of {shape!r} is neither in the table of shapes.py nor a word"


def test_positions_and_tokens_of_a_grid_are_inverse():
    grid = Grid(2, 3)
    assert [grid.token(*grid.position(token)) for token in range(grid.tokens)] == list(range(6))
    assert grid.position(4) == (1, 1)
    with pytest.raises(IndexError, match="token 6 is outside a 2×3 grid: use 0 to 5"):
        grid.position(6)
    with pytest.raises(IndexError, match=r"\(row 2, column 0\) is outside a 2×3 grid"):
        grid.token(2, 0)


def test_an_extent_names_the_tokens_that_attend_to_each_other():
    assert [Extent.over(span, 4, Grid(2, 3)).tokens for span in ("time", "space", "joint")] == [4, 6, 24]
    with pytest.raises(ValueError, match="t=4, h=2, w=3 make 24 tokens, q has 6"):
        Extent.over("joint", 4, Grid(2, 3)).expect(6)
