"""`widgets.controlled` by keyboard, twice on one page, and what is left of it without a kernel."""

import re

import pytest

pytest.importorskip("playwright.sync_api")

from harness import difference
from playwright.sync_api import expect

FIGURE = """
import ipywidgets
import numpy as np
from linvid_edu.figures.plots import heatmap
from linvid_edu.widgets import controlled

def scaled(scale):
    return heatmap(scale * np.eye(3), title=f"identity times {scale}")
"""
CONTROLLED = "controlled(scaled, scale=ipywidgets.FloatSlider(value=1, max=3, step=0.5))"


def test_the_slider_redraws_by_keyboard_and_only_its_own_figure(open_notebook):
    notebook = open_notebook(FIGURE, CONTROLLED, CONTROLLED)
    notebook.run_all()
    first, second = (notebook.page.locator(".widget-html img").nth(index) for index in (0, 1))
    before = notebook.pixels(first)
    notebook.page.locator(".noUi-handle").first.press("ArrowRight")
    expect(first).to_have_attribute("alt", re.compile(r"identity times 1\.5"))
    notebook.wait_for_change(first, before)
    expect(second).to_have_attribute("alt", re.compile(r"identity times 1\.0"))
    notebook.screenshot("controlled")
    notebook.switch_theme("dark")
    notebook.screenshot("controlled")


def test_a_saved_notebook_reopened_without_its_kernel_shows_the_figure(open_notebook):
    notebook = open_notebook(FIGURE, CONTROLLED, "scaled(2)")
    notebook.run_all()
    figure = notebook.page.locator(".jp-RenderedImage img")
    drawn = notebook.pixels(figure)
    notebook.save()
    notebook.lab.shut_kernels()
    notebook.reload()
    notebook.page.get_by_text("Error displaying widget: model not found").wait_for()
    notebook.wait_for_pixels(figure, lambda pixels: difference(drawn, pixels) == 0, "the figure as it was drawn")
    lost = ["Error: widget model not found"]
    notebook.wait_until(lambda: [line.split("\n")[0] for line in notebook.console] == lost, f"{lost} in the console")
    notebook.console.clear()
