"""What README shows runs, and its table of lessons is true."""

import re
from pathlib import Path

from linvid_edu.course.lessons import find_lessons

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_examples_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tour,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    assert len([line for line in tour.splitlines() if line]) <= 10
    exec(tour, {})
    assert "Concentration(" in capsys.readouterr().out


def test_lessons_and_times_are_those_of_the_notebooks():
    rows = re.findall(r"^\| \[(.+?)\]\(notebooks/(.+?)\) \| .+? \| (\d+ min) \| (\d+ s) \|$", README, re.MULTILINE)
    lessons = find_lessons()
    assert [(title, name) for title, name, *_ in rows] == [(lesson.title, lesson.path.name) for lesson in lessons]
    for (*_, read, run), lesson in zip(rows, lessons, strict=True):
        assert lesson.time == f"{read} to read, {run} to run on 2 cores"


def test_links_lead_somewhere():
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data_samples" / "README.md"]
    for path in paths:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), target


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`?make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    assert named - {"and"} <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
