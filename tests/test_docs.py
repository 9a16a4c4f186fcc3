"""What the documents say is there: tests, links, commands, verdicts, and the code that a teacher would run."""

import ast
import csv
import importlib
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.main import get_command

from linvid_edu.cli import app

ROOT = Path(__file__).parents[1]
TEACHING = (ROOT / "docs" / "teaching.md").read_text()
RECONCILIATION = (ROOT / "docs" / "reconciliation.md").read_text()


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", RECONCILIATION))
    assert len(named) >= 30
    for file, name in named:
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert not name or re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE), f"{file}::{name}"


def test_every_row_is_complete_and_says_where_it_is_tested():
    rows = [line.strip("|").split(" | ") for line in RECONCILIATION.splitlines() if line.startswith("| ")]
    for row in rows:
        assert len(row) == 5, row
        assert all(cell.strip() for cell in row), row
        assert row[-1].strip().endswith("tested in") or "golden" in row[-1] or "test_" in row[-1], row


def test_every_difference_that_a_docstring_names_is_a_row():
    found = []
    for path in sorted((ROOT / "linvid_edu").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node) or ""
                found += [f"{path.stem}.{node.name}"] * ("Differs from the reference implementation" in text)
    assert len(found) >= 2
    for name in found:
        (row,) = [line for line in RECONCILIATION.splitlines() if f"`{name}`" in line]
        assert "**Differs**" in row


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.stem)
def test_links_lead_somewhere_and_prose_keeps_the_house_style(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(#[^)]+)?\)", text):
        place = path.parent / target if target else path
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert "!" not in re.sub(r"`[^`]*`", "", text), "no exclamation marks"


def test_the_verdicts_are_those_of_the_results():
    with (ROOT / "results" / "lookup" / "statements.csv").open() as file:
        recorded = {row["statement"]: row for row in csv.DictReader(file)}
    rows = re.findall(r"^\| (\d.*?): .+? \| ([+−][\d.]+) \| ([a-z ]+) \|$", TEACHING, re.MULTILINE)
    assert len(rows) >= 6
    for statement, difference, verdict in rows:
        row = recorded[statement]
        assert verdict == (row["verdict"] or "not tested"), statement
        assert float(difference.replace("−", "-")) == pytest.approx(float(row["difference"]), abs=5e-4), statement


def test_every_command_exists():
    commands = get_command(app).commands
    named = set(re.findall(r"(?:^|[`!/])linvid (\w+)", TEACHING, re.MULTILINE))
    assert {"lab", "lessons"} <= named <= set(commands)


def test_the_grading_script_says_what_the_checkers_said(tmp_path):
    script = next(code for code in re.findall(r"```python\n(.+?)```", TEACHING, re.DOTALL) if "NotebookClient" in code)
    (tmp_path / "grade.py").write_text(script)
    answers = ["from linvid_edu.exercises import check\nanswer = ...\ncheck('02.2', answer)", "1 / 0"]
    notebook = new_notebook(cells=[new_code_cell(source, metadata={"tags": ["exercise"]}) for source in answers])
    (tmp_path / "handed-in").mkdir()
    nbformat.write(notebook, tmp_path / "handed-in" / "ada.ipynb")
    command = [sys.executable, "grade.py", "handed-in", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["ada | check('02.2', answer) | not yet", "ada | 1 / 0 | an error"]


def test_measured_quirks_of_the_family_are_those_of_the_table():
    table = pandas.read_csv(ROOT / "results" / "family" / "quirks.csv")
    family = RECONCILIATION.split("## The family")[1].split("\n## ")[0]
    for row in table.itertuples():
        assert f"{row.number:.2g} ({row.quirk})" in family, row.quirk


def test_quirks_are_measured_anew():
    """The cheap ones: a number that no longer comes out is no result."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        quirks = importlib.import_module("quirks")
    finally:
        sys.path.pop(0)
    found = pandas.DataFrame(quirks.kernels(*quirks.tokens()), columns=["rival", "quirk", "number", "what"])
    table = pandas.read_csv(ROOT / "results" / "family" / "quirks.csv").set_index(["rival", "quirk"])["number"]
    for row in found.itertuples():
        assert row.number == pytest.approx(table[row.rival, row.quirk], rel=0.02, abs=1e-5), row.quirk
