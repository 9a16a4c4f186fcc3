"""`make lessons` changes no byte of an unchanged lesson, and keeps measured times only while they are comparable."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from refresh import keep_timings, refresh

from linvid_edu.course.lessons import Lesson


def notebook(*cells):
    """A notebook of cells (source, text of the output), where a "timing" in the source becomes the tag."""
    return new_notebook(
        cells=[
            new_code_cell(
                source,
                metadata={"tags": ["timing"] if "timing" in source else []},
                outputs=[new_output("stream", text=text)],
            )
            for source, text in cells
        ]
    )


@pytest.mark.parametrize(
    ("stored", "executed", "kept"),
    [
        ([("a", "1"), ("timing", "3 s")], [("a", "1"), ("timing", "4 s")], ["1", "3 s"]),
        ([("a", "1"), ("timing", "3 s")], [("a", "2"), ("timing", "4 s")], ["2", "4 s"]),
        ([("a", "1"), ("timing", "3 s")], [("b", "1"), ("timing", "4 s")], ["1", "4 s"]),
        ([("timing", "3 s")], [("timing again", "4 s")], ["4 s"]),
        ([("timing", "3 s"), ("a", "1")], [("timing", "4 s"), ("a", "2")], ["3 s", "2"]),
        ([("timing", "3 s")], [("timing", "4 s"), ("timing more", "5 s")], ["3 s", "5 s"]),
        ([("timing a", "3 s"), ("timing b", "6 s")], [("timing a", "4 s"), ("timing b", "7 s")], ["3 s", "6 s"]),
    ],
)
def test_a_timing_is_kept_while_nothing_before_it_has_changed(stored, executed, kept):
    new = notebook(*executed)
    keep_timings(new, notebook(*stored))
    assert [cell.outputs[0].text for cell in new.cells] == kept


@pytest.mark.slow
def test_an_unchanged_lesson_keeps_every_byte(tmp_path):
    cells = [
        new_markdown_cell("# 99 · A lesson\n\n- **Time:** 1 min to read, 5 s to run on 2 cores"),
        new_code_cell("import time\n\nfrom linvid_edu.figures.plots import curves"),
        new_code_cell("curves([1, 2], {'a': [3, 4]}, xlabel='x', ylabel='y', title='two points')"),
        new_code_cell("print('a', flush=True)\ntime.sleep(1)\nprint('b')"),
        new_code_cell("time.perf_counter()", metadata={"tags": ["timing"]}),
    ]
    path = tmp_path / "99_a_lesson.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    lesson = Lesson(path, "99 · A lesson", "")
    refresh(lesson)
    first = path.read_bytes()
    assert b'"a\\n",' in first
    assert b"image/png" in first
    refresh(lesson)
    assert path.read_bytes() == first
