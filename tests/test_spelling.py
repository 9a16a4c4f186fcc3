"""The prose is spelled right: lessons, documents, docstrings and comments."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def misspelled(*arguments, text=None):
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words-list", "te", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout


def test_a_wrong_word_is_found():
    assert "the" in misspelled("-", text="teh question")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lessons(path):
    prose = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)  # not the pictures' letters
    assert misspelled("-", text=prose) == ""


def test_documents_and_code():
    files = [path for place in ("*", "docs/*", "results/*", "data_samples/**/*") for path in ROOT.glob(f"{place}.md")]
    code = [*ROOT.glob("linvid_edu/**/*.py"), *ROOT.glob("linvid_edu/**/*.js"), *ROOT.glob("benchmarks/*.py")]
    assert misspelled(*files, *code) == ""
