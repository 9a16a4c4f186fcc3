"""A lesson as a reader opens it: open, run all cells, read."""

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect


def test_lesson_00_runs_from_a_fresh_copy(open_notebook):
    notebook = open_notebook(lesson="00_start_here")
    notebook.run_all()
    assert notebook.errors() == []
    expect(notebook.page.locator(".jp-Cell-outputArea").get_by_text("ready")).not_to_have_count(0)
    strip = notebook.page.locator(".jp-Cell-outputArea img").first
    notebook.wait_for_pixels(strip, lambda pixels: len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100, "photographs")
    notebook.screenshot("lesson_00")
