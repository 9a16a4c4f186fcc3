"""The course in a learner's folder: everything is there, updates arrive, and nothing that they changed is lost."""

import ast
import json
import os
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from linvid_edu.cli import app
from linvid_edu.course import learner_copy as lab
from linvid_edu.files import Materials, materials

LESSON = "notebooks/00_first.ipynb"
ABOUT = "# 00 · First\n\n- **Time:** 1 min to read, 1 s to run on 2 cores"


def write_lesson(course, *sources, output="1\n", name=LESSON):
    cells = [new_code_cell(source, outputs=[new_output("stream", text=output)]) for source in sources]
    notebook = new_notebook(cells=[new_markdown_cell(ABOUT), *cells])
    for index, cell in enumerate(notebook.cells):
        cell.id = f"00-{index}"
    nbformat.write(notebook, course.root / name)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson, one clip and one table, in place of the real one."""
    course = Materials(*(tmp_path / "course" / name for name in Materials._fields))
    for folder in course:
        (folder / ".hidden").mkdir(parents=True)
        (folder / ".hidden" / "file").write_text("the authors' own")
    (course.notebooks / "refresh.py").write_text("the authors' own")
    (course.docs / "teaching.md").write_text("the teacher's own, with what students are to guess")
    (course.data_samples / "clip.mp4").write_bytes(b"\0clip")
    (course.results / "runs.csv").write_text("seed\n0\n")
    write_lesson(course, "a = 1", "print(a)")
    monkeypatch.setattr(lab, "materials", lambda: course)
    return course


@pytest.fixture
def folder(course, tmp_path):
    """A learner's folder, just copied."""
    lab.copy_course(tmp_path / "mine")
    return tmp_path / "mine"


def states(folder):
    return {item.name: item.state for item in lab.compare_copy(folder)}


def edit(path, before="a = 1", after="a = 2"):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return path.read_bytes()


def linvid(*words):
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="linvid")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_copy_has_what_the_course_has_and_no_more(course, folder):
    assert states(folder) == dict.fromkeys([LESSON, "data_samples/clip.mp4", "results/runs.csv"], "unchanged")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*states(folder), lab.RECORD}
    assert lab.copy_course(folder) == {}
    assert (folder / "data_samples" / "clip.mp4").read_bytes() == b"\0clip"


def test_nothing_is_written_by_a_comparison(course, tmp_path):
    assert set(states(tmp_path / "none").values()) == {"new"}
    assert not (tmp_path / "none").exists()


def test_an_update_replaces_what_is_unchanged(course, folder):
    write_lesson(course, "a = 1", "print(a + 1)")
    assert lab.copy_course(folder) == {LESSON: folder / LESSON}
    assert "a + 1" in (folder / LESSON).read_text()


def test_a_changed_file_stays_and_the_new_one_is_put_beside_it(course, folder):
    mine = edit(folder / LESSON)
    assert states(folder)[LESSON] == "changed by you"
    assert lab.copy_course(folder) == {}  # no update, so nothing to put beside it
    write_lesson(course, "a = 1", "print(a + 1)")
    beside = folder / "notebooks" / "00_first.new.ipynb"
    assert lab.copy_course(folder) == {LESSON: beside}
    assert (folder / LESSON).read_bytes() == mine
    assert "a + 1" in beside.read_text()
    assert lab.copy_course(folder) == {}


def test_what_was_put_beside_is_replaced_by_the_next_update_unless_it_was_changed_too(course, folder):
    mine = edit(folder / LESSON)
    write_lesson(course, "a = 1", "print(a + 1)")
    (first,) = lab.copy_course(folder).values()
    write_lesson(course, "a = 1", "print(a + 2)")
    assert lab.copy_course(folder) == {LESSON: first}
    assert "a + 2" in first.read_text()
    also_mine = edit(first)
    write_lesson(course, "a = 1", "print(a + 3)")
    assert lab.copy_course(folder) == {LESSON: folder / "notebooks" / "00_first.new2.ipynb"}
    assert (folder / LESSON).read_bytes() == mine
    assert first.read_bytes() == also_mine


def test_a_lesson_that_was_run_is_the_learners(course, folder):
    mine = edit(folder / LESSON, before='"1\\n"', after='"my output\\n"')
    write_lesson(course, "a = 1", "print(a + 1)")
    lab.copy_course(folder)
    assert (folder / LESSON).read_bytes() == mine


def test_a_deleted_file_comes_back_and_taking_over_the_new_one_counts_as_unchanged(course, folder):
    (folder / LESSON).unlink()
    assert lab.copy_course(folder) == {LESSON: folder / LESSON}
    edit(folder / LESSON)
    write_lesson(course, "a = 1", "print(a + 1)")
    (beside,) = lab.copy_course(folder).values()
    beside.replace(folder / LESSON)
    assert states(folder)[LESSON] == "unchanged"


@pytest.mark.parametrize("record", [None, "{", "[]", '"text"'])
def test_without_its_record_every_file_that_differs_is_the_learners(course, folder, record):
    mine = edit(folder / LESSON)
    (folder / lab.RECORD).unlink()
    if record is not None:
        (folder / lab.RECORD).write_text(record)
    assert states(folder) == {
        LESSON: "changed by you",
        "data_samples/clip.mp4": "unchanged",
        "results/runs.csv": "unchanged",
    }
    lab.copy_course(folder)
    assert (folder / LESSON).read_bytes() == mine


def test_a_folder_that_was_there_before_loses_nothing(course, tmp_path):
    own = tmp_path / "mine" / LESSON
    own.parent.mkdir(parents=True)
    own.write_text("my own file of that name")
    written = lab.copy_course(tmp_path / "mine")
    assert own.read_text() == "my own file of that name"
    assert written[LESSON].name == "00_first.new.ipynb"


def test_a_file_and_the_course_itself_are_refused(course, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file"):
        lab.copy_course(tmp_path / "file")
    with pytest.raises(ValueError, match="folder of the course itself"):
        lab.copy_course(course.root)


def test_a_difference_is_in_the_source_of_cells(course, folder):
    write_lesson(course, "a = 3", "print(a)", output="9\n")
    (item,) = [item for item in lab.compare_copy(folder) if item.name == LESSON]
    lines = lab.notebook_diff(item).splitlines()
    assert [line for line in lines if line[0] in "+-"][2:] == ["-a = 1", "+a = 3"]
    assert lab.notebook_diff(item._replace(current=b"{}")).count("(not a notebook)") == 1


def test_exercises_are_blank_unless_asked_for_and_the_folder_remembers(course, tmp_path):
    cell = new_code_cell(
        "### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION\nprint(answer)", metadata={"tags": ["exercise"]}
    )
    cell.id = "00-0"
    nbformat.write(new_notebook(cells=[cell]), course.root / LESSON)
    blank, solved = tmp_path / "blank", tmp_path / "solved"
    lab.copy_course(blank)
    lab.copy_course(solved, solved=True)
    assert "answer = ..." in (blank / LESSON).read_text()
    assert (solved / LESSON).read_bytes() == (course.root / LESSON).read_bytes()
    assert lab.copy_course(blank) == lab.copy_course(solved) == {}
    mine = edit(blank / LESSON, "answer = ...", "answer = 41")
    (beside,) = lab.copy_course(blank, solved=True).values()
    assert "answer = 42" in beside.read_text()
    assert (blank / LESSON).read_bytes() == mine
    lab.copy_course(solved, solved=False)
    assert "42" not in (solved / LESSON).read_text()


def test_the_commands_say_what_they_do(course, tmp_path):
    folder = tmp_path / "mine"
    assert "00 · First" in linvid("lessons", folder)
    assert linvid("lessons", folder).rstrip().endswith("new")
    assert "3 files copied" in linvid("lab", folder, "--no-open")
    assert linvid("lessons", folder).rstrip().endswith("unchanged")
    assert "up to date" in linvid("lessons", "--diff", folder)
    assert "up to date" in linvid("lab", folder, "--no-open")
    write_lesson(course, "a = 1", "print(a + 1)")
    assert "+print(a + 1)" in linvid("lessons", "--diff", folder)
    assert "would replace yours" in linvid("lessons", "--diff", folder)
    mine = edit(folder / LESSON)
    assert "changed by you, and there is a newer one" in linvid("lessons", folder)
    assert "beside yours, which you changed" in linvid("lessons", "--diff", folder)
    told = linvid("lab", folder, "--no-open")
    assert f"you changed it: {LESSON}; the new one is notebooks/00_first.new.ipynb" in told.replace("\\", "/")
    assert (folder / LESSON).read_bytes() == mine
    write_lesson(course, "a = 1", "print(a + 1)", name="notebooks/01_second.ipynb")
    assert "new: notebooks/01_second.ipynb" in linvid("lessons", "--diff", folder)


def test_jupyter_lab_opens_the_first_lesson_and_answers_an_interrupt_itself(course, tmp_path, monkeypatch):
    asked, configured, waits = [], [], iter([KeyboardInterrupt(), 7])
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))

    class Lab:
        def __init__(self, command, env):
            asked.extend(command)
            configured.append(env["JUPYTER_CONFIG_PATH"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self):
            answer = next(waits)
            if isinstance(answer, BaseException):
                raise answer
            return answer

    monkeypatch.setattr(subprocess, "Popen", Lab)
    result = CliRunner().invoke(app, ["lab", str(tmp_path / "mine"), "--", "--no-browser"], prog_name="linvid")
    assert result.exit_code == 7
    assert asked[1:3] == ["-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path / 'mine'}" in asked
    assert asked[-2:] == [f"--LabApp.default_url=/lab/tree/{LESSON}", "--no-browser"]
    ours, theirs = configured[0].split(os.pathsep)
    assert theirs == str(tmp_path)
    page = json.loads(Path(ours, "labconfig", "page_config.json").read_text())
    assert page["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"]


def test_a_folder_that_looks_like_an_option_is_refused():
    result = CliRunner().invoke(app, ["lab", "--", "--no-browser"], prog_name="linvid")
    assert result.exit_code == 1
    assert "name the folder before --" in result.stderr


def relative_paths(notebook):
    """Every string in the code of a notebook that begins with ../ or names a folder beside it."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = (line for line in cell.source.splitlines() if not line.startswith(("%", "!")))
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("../"):
                    yield node.value


@pytest.mark.slow
def test_the_real_lessons_find_their_files_in_a_copy(tmp_path):
    lab.copy_course(tmp_path / "mine")
    assert not {item.state for item in lab.compare_copy(tmp_path / "mine")} - {"unchanged"}
    notebooks = sorted((tmp_path / "mine").rglob("*.ipynb"))
    assert len(notebooks) == len(list(materials().notebooks.rglob("[a-z0-9]*.ipynb")))
    found = {(path.parent, name) for path in notebooks for name in relative_paths(nbformat.read(path, as_version=4))}
    assert len(found) >= 5
    missing = [name for parent, name in found if not (parent / name).exists()]
    assert not [name for name in missing if name != "../runs"], "only a sweep's own folder may be missing"


def test_the_record_has_no_path_of_the_machine(folder):
    record = json.loads((folder / lab.RECORD).read_text())
    assert set(record) == {"solved", "files"}
    assert not [name for name in record["files"] if Path(name).is_absolute()]
