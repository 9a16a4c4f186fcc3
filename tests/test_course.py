"""The course runs on the learner's clip, says what fails, and becomes a book all the same."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from linvid_edu.course.book import build_course
from linvid_edu.course.lessons import CourseError, find_lessons, run_lessons, without_widgets
from linvid_edu.video.opening import VideoError
from linvid_edu.widgets.frontend import stand_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),  # Sphinx's
]

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_samples" / "motion_left_photo.mp4"
OPENING = "# {} · A lesson & more\n\n- **Time:** 1 min to read, 1 s to run on 2 cores"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def lessons(tmp_path, monkeypatch):
    """A folder for lessons; the book's reference has one module, which is enough here and quick."""
    monkeypatch.setattr("linvid_edu.course.book.reference.modules", lambda: ["testing"])
    folder = tmp_path / "course" / "notebooks"
    folder.mkdir(parents=True)
    return folder


def write_lesson(folder, number, *sources):
    """Write a small lesson; the first source is its parameters cell."""
    cells = [new_markdown_cell(OPENING.format(number)), *map(new_code_cell, sources)]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / f"{number}_lesson.ipynb")


def test_lessons_run_on_the_given_clip_and_what_fails_is_named_in_the_book(lessons, tmp_path):
    write_lesson(lessons, "00", "video = 'its own'", "print('clip', video)")
    write_lesson(lessons, "01", "video = ''", "raise ValueError(video)", "print('never', 'reached')")
    write_lesson(lessons, "02", "steps = 3", "print('steps', steps)")  # takes no clip
    stopped = "lesson 01_lesson stopped in its cell 3: ValueError: "
    lines = []
    with pytest.raises(CourseError, match="1 of 3 lessons stopped with an error") as caught:
        build_course(SAMPLE, tmp_path / "out", lessons=lessons, report=lines.append)
    assert lines[0].startswith(f"{tmp_path / 'out' / 'index.html'}: open it now")
    assert len(lines) == 4
    assert sum(stopped in line for line in lines[1:]) == 1
    assert stopped in str(caught.value)
    index, *pages = ((tmp_path / "out" / name).read_text() for name in ("index.html", *map(page, ("00", "01", "02"))))
    assert stopped + SAMPLE.name in index
    assert f'each on the clip <code class="docutils literal notranslate"><span class="pre">{SAMPLE.name}' in index
    assert "00 · A lesson &amp; more" in index
    assert "clip motion_left_photo.mp4" in pages[0]
    assert "ValueError" in pages[1]
    assert "never reached" not in pages[1]
    assert "steps 3" in pages[2]
    executed = (tmp_path / "out" / "notebooks" / "00_lesson.ipynb").read_text()
    assert "clip motion_left_photo.mp4" in executed
    for text in (index, *pages, executed):
        assert str(SAMPLE.parent) not in text
        assert str(tmp_path) not in text


def run(lessons, folder):
    with run_lessons(find_lessons(lessons), folder) as finished:
        return sorted(lesson for batch in finished for lesson in batch)


def page(number):
    return f"notebooks/{number}_lesson.html"


def test_the_book_has_the_stored_outputs_before_a_lesson_runs(lessons, tmp_path):
    write_lesson(lessons, "00", "video = ''", "raise ValueError")
    path = lessons / "00_lesson.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [new_output("stream", text="stored output")]
    nbformat.write(notebook, path)
    pages = []

    def look(line):
        pages.append((tmp_path / page("00")).read_text())

    with pytest.raises(CourseError):
        build_course(None, tmp_path, lessons=lessons, report=look)
    assert "stored output" in pages[0]
    assert "stored output" not in (tmp_path / page("00")).read_text()


def test_without_a_clip_each_lesson_takes_its_own(lessons, tmp_path):
    write_lesson(lessons, "00", "video = 'its own'", "print('clip', video)")
    (lesson,) = run(lessons, tmp_path / "out")
    assert lesson.failure == ""
    assert "clip its own" in lesson.path.read_text()


def test_a_kernel_that_dies_is_reported_and_stops_no_other_lesson(lessons, tmp_path):
    write_lesson(lessons, "00", "video = ''", "import os\nos._exit(1)")
    write_lesson(lessons, "01", "video = ''")
    first, second = run(lessons, tmp_path / "out")
    assert first.failure.startswith("lesson 00_lesson stopped: ")
    assert first.path.exists()
    assert second.failure == ""


def test_a_clip_that_cannot_be_read_stops_before_anything_runs(lessons, tmp_path):
    write_lesson(lessons, "00", "video = ''")
    with pytest.raises(VideoError, match="no such file"):
        build_course(tmp_path / "none.mp4", tmp_path / "out", lessons=lessons)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_lessons_is_named(tmp_path):
    with pytest.raises(CourseError, match="no lessons in"):
        find_lessons(tmp_path)


PNG = bytes(16) + (640).to_bytes(4, "big") + (480).to_bytes(4, "big")  # as far as the size


def test_widget_views_are_left_out_and_their_pictures_and_other_outputs_stay():
    alone = new_output("display_data", {WIDGET: {"model_id": "1"}, "text/plain": "VBox"})
    pictured = new_output("display_data", {WIDGET: {"model_id": "2"}, "text/plain": "a map", "image/png": "iVBO"})
    text, sheet = new_output("stream", text="kept"), new_output("display_data", {"text/html": stand_in(PNG, "a map")})
    cell = new_code_cell("x", outputs=[alone, pictured, sheet, text])
    left = without_widgets(new_notebook(cells=[cell])).cells[0].outputs
    assert [dict(output.get("data", {})) for output in left] == [{"text/plain": "a map", "image/png": "iVBO"}, {}]
    assert left[1].text == "kept"
