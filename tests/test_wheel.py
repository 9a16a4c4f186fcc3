"""The wheel alone, without a clone: it has the lessons and all that they read, and `linvid lab` copies them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

# `linvid lab`, the cells of every lesson up to the one that checks its parameters (lesson 00 looks at every sample clip
# there), and `linvid lessons`; in one process, since each would import torch
LAB_AND_FIRST_CELLS = """
import os, sys
from pathlib import Path
import nbformat
import linvid_edu
from linvid_edu.cli import app
from linvid_edu.course.lessons import LESSONS, find_lessons
from linvid_edu.training.run_provenance import commit
from linvid_edu.video.samples import load_manifest
from linvid_edu.files import materials
from linvid_edu.experiments.sweep_runs import NOTEBOOK

assert Path(linvid_edu.__file__).is_relative_to(sys.argv[1]), linvid_edu.__file__
assert NOTEBOOK.is_file() and all(folder.is_dir() for folder in materials())
assert len(load_manifest(materials().data_samples)["clips"]) == 12
assert commit() == "unknown", "the commit of a repository around the package is not the package's"
app(["lab", "mine", "--no-open"], standalone_mode=False)
os.chdir("mine/notebooks")
lessons = find_lessons(".")
assert [lesson.name for lesson in lessons] == [lesson.name for lesson in find_lessons(LESSONS)]
for lesson in lessons:
    cells = [cell for cell in nbformat.read(lesson.path, as_version=4).cells if cell.cell_type == "code"]
    at = next(index for index, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
    names = {}
    for cell in cells[: at + 2]:
        exec(cell.source, names)
    assert not isinstance(names.get("video"), str) or Path(names["video"]).is_file()
    print("began", lesson.name)
app(["lessons", "../../mine"], standalone_mode=False)
"""


def run_python(*words, cwd, **environment):
    """Run Python with some arguments, which must succeed; return what it printed."""
    command = [sys.executable, *map(str, words)]
    names = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=names, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this working tree, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    run_python("-m", "pip", "wheel", *options, ROOT, cwd=folder)
    (path,) = folder.glob("linvid_edu-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel):
    """A folder with the package from the wheel alone, inside the repository of somebody else."""
    around = wheel.parent / "around"
    around.mkdir()
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "--quiet"), (*author, "commit", "--quiet", "--allow-empty", "-m", "theirs")):
        subprocess.run(["git", *words], cwd=around, check=True, capture_output=True)
    options = ("--quiet", "--no-deps", "--no-index", "--target", around / "site")
    run_python("-m", "pip", "install", *options, wheel, cwd=around)
    return around / "site"


def test_the_wheel_has_the_course_and_nothing_of_the_repository_beside_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"linvid_edu"}
    inside = {name.removeprefix("linvid_edu/_course/") for name in names if name.startswith("linvid_edu/_course/")}
    for pattern in ("notebooks/**/*.ipynb", "data_samples/**/*", "results/**/*", "docs/*.md"):
        files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()}
        assert files, pattern
        assert {name for name in files if "/." not in name} <= inside
    assert not [name for name in inside if name.endswith(".py")]
    library = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("linvid_edu/**/*") if path.is_file()}
    assert {name for name in library if "/__pycache__/" not in name} <= set(names), "pages and scripts come along"
    assert wheel.stat().st_size < 20e6


def test_lab_copies_lessons_that_find_everything(installed, tmp_path):
    printed = run_python("-c", LAB_AND_FIRST_CELLS, installed, cwd=tmp_path, PYTHONPATH=str(installed))
    assert printed.startswith("mine: ")
    lessons = len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    assert printed.count("began") == printed.count("unchanged") == lessons
    assert "MISSING sample clips" not in printed
