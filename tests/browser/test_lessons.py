"""A lesson does what its reader does first: open, run all cells, read."""

import numpy as np


def test_lesson_00_runs_from_a_fresh_copy(open_notebook):
    notebook = open_notebook(lesson="00_start_here")
    notebook.run_all()
    assert notebook.errors() == []
    assert "\nready" in notebook.text()
    strip = notebook.pixels(notebook.page.locator(".jp-Cell-outputArea img").first)
    assert len(np.unique(strip.reshape(-1, 3), axis=0)) > 1000  # the frames of a photograph
    notebook.screenshot("lesson_00")
