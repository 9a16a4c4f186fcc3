"""The course runs on the learner's clip, says what fails, and its pages need no network."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from linvid_edu.course import CourseError, build_course, find_lessons, render
from linvid_edu.video import VideoError

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_samples" / "motion_left_photo.mp4"
OPENING = "# {} · A <lesson>\n\n- **Time:** 1 min to read, 1 s to run on 2 cores"


def write_lesson(folder, number, *sources):
    """Write a small lesson; the first source is its parameters cell."""
    cells = [new_markdown_cell(OPENING.format(number)), *map(new_code_cell, sources)]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / f"{number}_lesson.ipynb")


def test_lessons_run_on_the_given_clip_and_become_pages(tmp_path):
    write_lesson(tmp_path, "00", "video = 'its own'", "from pathlib import Path\nprint('clip', Path(video).name)")
    write_lesson(tmp_path, "01", "steps = 3", "print('steps', steps)")  # takes no clip
    index = build_course(SAMPLE, tmp_path / "out", lessons=tmp_path)
    first, second = ((tmp_path / "out" / f"0{i}_lesson.html").read_text() for i in (0, 1))
    assert "clip motion_left_photo.mp4" in first
    assert "steps 3" in second
    text = index.read_text()
    assert "motion_left_photo.mp4" in text
    assert "00 · A &lt;lesson&gt;" in text
    assert str(SAMPLE.parent) not in text
    assert (tmp_path / "out" / "notebooks" / "00_lesson.ipynb").exists()


def test_without_a_clip_each_lesson_takes_its_own(tmp_path):
    write_lesson(tmp_path, "00", "video = 'its own'", "print('clip', video)")
    build_course(None, tmp_path / "out", lessons=tmp_path)
    assert "clip its own" in (tmp_path / "out" / "00_lesson.html").read_text()


def test_a_lesson_that_fails_is_named_with_its_cell(tmp_path):
    write_lesson(tmp_path, "00", "video = ''", "1 / 0")
    with pytest.raises(CourseError, match=r"lesson 00_lesson stopped in its cell 2: ZeroDivisionError") as caught:
        build_course(None, tmp_path / "out", lessons=tmp_path)
    assert "00_lesson.ipynb" in str(caught.value)
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_clip_that_cannot_be_read_stops_before_anything_runs(tmp_path):
    write_lesson(tmp_path, "00", "video = ''")
    with pytest.raises(VideoError, match="no such file"):
        build_course(tmp_path / "none.mp4", tmp_path / "out", lessons=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_lessons_is_named(tmp_path):
    with pytest.raises(CourseError, match="no lessons in"):
        find_lessons(tmp_path)


@pytest.mark.parametrize("lesson", find_lessons(), ids=lambda lesson: lesson.name)
def test_pages_of_the_real_lessons_need_no_network_and_have_alt_text(lesson):
    body = render(nbformat.read(lesson.path, as_version=4))
    assert not re.search(r"<script|<link|@import|(?:src|href)=\"(?:https?:)?//(?!arxiv\.org)", body)
    images = re.findall(r"<img[^>]*>", body)
    assert images
    assert all(re.search(r'alt="[^"]{40}', image) for image in images)
    assert "No description has been provided" not in body
    assert not re.search(r"\$\$|\\(?:frac|sum|text|varphi)", body), "an equation was not converted"
    assert "<math" in body


def test_equations_are_numbered_and_inline_math_is_not():
    cell = new_markdown_cell("inline $x^2$\n\n$$\ny = \\frac{1}{x} \\tag{7.1}\n$$")
    body = render(new_notebook(cells=[cell]))
    assert body.count("<math") == 2
    assert 'id="eq-7.1">(7.1)' in body


def test_widget_views_are_left_out_and_figures_stay():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox"}
    view = new_output("display_data", widget)
    text = new_output("stream", text="kept")
    body = render(new_notebook(cells=[new_code_cell("x", outputs=[view, text])]))
    assert "kept" in body
    assert "VBox" not in body
