"""What the documents say is there: tests, links, commands, verdicts, and the code that a teacher would run."""

import ast
import csv
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.main import get_command

from linvid_edu.attention import rivals
from linvid_edu.cli import app
from linvid_edu.experiments import by_run, by_variant, loss_by_run, through_line

ROOT = Path(__file__).parents[1]
FINDINGS = (ROOT / "docs" / "findings.md").read_text()
TEACHING = (ROOT / "docs" / "teaching.md").read_text()
RECONCILIATION = (ROOT / "docs" / "reconciliation.md").read_text()
QUIRKS = pandas.read_csv(ROOT / "results" / "rivals" / "quirks.csv")


def test_every_test_that_is_named_exists():
    for file, name in set(re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", RECONCILIATION)):
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert not name or re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE), f"{file}::{name}"


def test_every_row_is_complete_and_says_where_it_is_tested():
    rows = [line.strip("|").split(" | ") for line in RECONCILIATION.splitlines() if line.startswith("| ")]
    for row in rows:
        assert len(row) == 5, row
        assert all(cell.strip() for cell in row), row
        assert row[-1].strip().endswith("tested in") or "golden" in row[-1] or "test_" in row[-1], row
    assert any("test_" in row[-1] for row in rows)


def test_every_difference_that_a_docstring_names_is_a_row():
    different = []
    for path in sorted((ROOT / "linvid_edu").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            documented = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node)
            if documented and "Differs from the reference implementation" in documented:
                different.append(f"{path.stem}.{node.name}")
    assert different
    for name in different:
        (row,) = [line for line in RECONCILIATION.splitlines() if f"`{name}`" in line]
        assert "**Differs**" in row


def documents():
    """Every Markdown file and notebook of the repository."""
    folders = [ROOT / name for name in ("data_samples", "docs", "notebooks", "results", "tests")]
    paths = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*"))]
    return sorted(path for path in paths if path.suffix in (".md", ".ipynb") and ".ipynb_checkpoints" not in path.parts)


def markdown(path):
    """The Markdown of a file or of a notebook, without blocks of code."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def prose(path):
    """The same without code in its lines."""
    return re.sub(r"`[^`]*`", "", markdown(path))


def anchors(path):
    """What links can point to within a file: headings as GitHub writes them, in notebooks as JupyterLab does."""
    headings = re.findall(r"^#+ +(.+?) *$", markdown(path), re.MULTILINE)
    if path.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def broken_links(path, root):
    """Links to files that are not there or not in the repository, and to headings that are not there."""
    text = prose(path)
    links = re.findall(r"\]\(\s*([^)\s]+)", text) + re.findall(r"\b(?:href|src)=\"([^\"]+)\"", text)
    broken = []
    for link in links:
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        if not re.match(r"[a-z]+:", link) and not (
            place.exists()
            and place.is_relative_to(root.resolve())
            and (not anchor or (place.suffix in (".md", ".ipynb") and anchor in anchors(place)))
        ):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    assert not broken_links(path, ROOT)


def test_broken_links_are_found(tmp_path):
    lesson = new_notebook(cells=[new_markdown_cell("## Who sees what?"), new_code_cell("x = '[a](gone.md)'")])
    nbformat.write(lesson, tmp_path / "lesson.ipynb")
    good = ["https://arxiv.org/abs/2210.08164", "lesson.ipynb", "lesson.ipynb#Who-sees-what?", "#a-b-and-c", "."]
    bad = ["gone.md", "lesson.ipynb#who-sees-what", "#A-B-and-C", "#c", ".#a", "../elsewhere.md"]
    (tmp_path.parent / "elsewhere.md").write_text("outside of the repository")
    text = "# A, `B` and C\n\n`[x](code.md)`\n" + "".join(f"[x]({link})\n" for link in good + bad)
    (tmp_path / "page.md").write_text(text + '<img src="gone.png" alt="">\n')
    assert broken_links(tmp_path / "page.md", tmp_path) == [*bad, "gone.png"]
    assert not broken_links(tmp_path / "lesson.ipynb", tmp_path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.stem)
def test_prose_keeps_the_house_style(path):
    assert "!" not in prose(path).replace("![", "["), "no exclamation marks"


def test_the_verdicts_are_those_of_the_results():
    with (ROOT / "results" / "lookup" / "statements.csv").open() as file:
        recorded = {row["statement"]: row for row in csv.DictReader(file)}
    rows = re.findall(r"^\| (\d.*?): .+? \| ([+−][\d.]+) \| ([a-z ]+) \|$", TEACHING, re.MULTILINE)
    assert len(rows) >= 6
    for statement, difference, verdict in rows:
        row = recorded[statement]
        assert verdict == (row["verdict"] or "not tested"), statement
        assert float(difference.replace("−", "-")) == pytest.approx(float(row["difference"]), abs=5e-4), statement


def tables_of(task):
    return [pandas.read_csv(ROOT / "results" / task / f"{name}.csv") for name in ("runs", "layers")]


def rows_of_findings(*patterns):
    return re.findall(r"^\| " + r" \| ".join(patterns) + r" \|$", FINDINGS, re.MULTILINE)


def signed(value):
    return float(value.replace("−", "-"))


def test_the_runs_that_come_through_are_those_of_the_results():
    variants = {task: by_variant(*tables_of(task)) for task in ("lookup", "flash")}
    rows = rows_of_findings(r"(\w+): ([\w-]+)", r"(\d of .+?)", r"([\d.]+)")
    assert len(rows) == 10
    for task, variant, line, median in rows:
        row = variants[task].loc[variant]
        assert line == through_line(row), (task, variant)
        assert median == f"{row['median']:.3f}", (task, variant)


def test_the_paired_differences_are_those_of_the_results():
    runs = {task: by_run(*tables_of(task)) for task in ("lookup", "flash")}
    accuracy = {task: table.pivot(index="seed", columns="variant", values="accuracy") for task, table in runs.items()}
    rows = rows_of_findings(r"(\w+): ([\w, -]+)", r"([+−][\d.]+)", r"([+−][\d.]+)", r"(\d) of (\d)")
    assert len(rows) == 9
    for task, variant, median, mean, above, seeds in rows:
        differences = (accuracy[task][variant] - accuracy[task]["linear"]).dropna()
        assert signed(median) == pytest.approx(differences.median(), abs=6e-4), (task, variant)
        assert signed(mean) == pytest.approx(differences.mean(), abs=6e-4), (task, variant)
        assert (int(above), int(seeds)) == ((differences > 0).sum(), len(differences)), (task, variant)


def test_what_blank_tokens_cost_is_that_of_the_results():
    losses = loss_by_run(pandas.read_csv(ROOT / "results" / "tokens" / "blanks.csv"))
    losses = losses.pivot(index="seed", columns="variant", values="loss")
    rows = rows_of_findings(r"([\w -]+)", r"(−?[\d.]+)", r"(−?[\d.]+)", r"(−?[\d.]+)")
    assert len(rows) == 7
    for variant, *numbers in rows:
        loss = losses[variant]
        assert [signed(n) for n in numbers] == pytest.approx([loss.median(), loss.min(), loss.max()], abs=6e-4), variant


def test_the_errors_of_colors_are_those_of_the_results():
    folder = ROOT / "results" / "color"
    tables = {name: pandas.read_csv(folder / name / "errors.csv", index_col=0) for name in ("photographs", "own_clip")}
    rows = rows_of_findings(r"(photographs|own_clip), ([\w-]+)", r"([\d.]+)", r"([\d.]+)", r"([\d.]+)")
    assert len(rows) == 10
    for setting, variant, *numbers in rows:
        row = tables[setting].loc[variant]
        assert list(map(float, numbers)) == pytest.approx([row["median"], row["lowest"], row["highest"]], abs=6e-4)
    assert all(table["stuck"].eq(0).all() for table in tables.values())
    for setting in tables:
        assert pandas.read_csv(folder / setting / "statements.csv")["verdict"].eq("shown").all()


def test_every_command_exists():
    commands = get_command(app).commands
    named = set(re.findall(r"(?:^|[`!/])linvid (\w+)", TEACHING, re.MULTILINE))
    assert {"lab", "lessons"} <= named <= set(commands)


def documented_commands():
    """Every line that begins with linvid in a block of shell code of README and docs."""
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))])
    blocks = "\n".join(re.findall(r"```(?:bash|sh)\n(.+?)```", text, re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    return sorted({line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?linvid ", line)})


@pytest.mark.parametrize("line", documented_commands())
def test_every_documented_command_has_the_options_that_it_is_given(line):
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"no such command: {line}"
    command.make_context(command.name, words)


@pytest.mark.slow
def test_the_grading_script_says_what_the_checkers_said(tmp_path):
    script = next(code for code in re.findall(r"```python\n(.+?)```", TEACHING, re.DOTALL) if "NotebookClient" in code)
    (tmp_path / "grade.py").write_text(script)
    answers = ["from linvid_edu.course.exercises import check\nanswer = ...\ncheck('02.2', answer)", "1 / 0"]
    notebook = new_notebook(cells=[new_code_cell(source, metadata={"tags": ["exercise"]}) for source in answers])
    (tmp_path / "handed-in").mkdir()
    nbformat.write(notebook, tmp_path / "handed-in" / "ada.ipynb")
    command = [sys.executable, "grade.py", "handed-in", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("ada | check('02.2', answer) | not yet: ")
    assert second == "ada | 1 / 0 | an error"


def test_measured_quirks_of_the_rivals_are_those_of_the_table():
    section = RECONCILIATION.split("## The rivals")[1].split("\n## ")[0]
    measured = [line.split(" | ")[4] for line in section.splitlines() if line.startswith("| ") and "`test_" in line]
    quirks = [quirk for cell in measured if not cell.startswith("none: ") for quirk in cell.split("; ")[:-1]]
    assert sorted(quirks) == sorted(f"{row.number:.2g} ({row.quirk})" for row in QUIRKS.itertuples())


def test_every_rival_with_a_measured_quirk_exists():
    assert all(callable(getattr(rivals, name)) for name in QUIRKS["rival"])


@pytest.mark.slow
def test_quirks_are_measured_anew():
    """A number that cannot be reproduced is no result."""
    measured = importlib.import_module("quirks").measure()
    assert list(measured["quirk"]) == list(QUIRKS["quirk"])
    for row, recorded in zip(measured.itertuples(), QUIRKS["number"], strict=True):
        assert row.number == pytest.approx(recorded, rel=0.02, abs=1e-5), row.quirk
