"""`widgets.controlled` by keyboard, twice on one page, and what is left of it without a kernel."""

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
    before, other = notebook.pixels(first), notebook.pixels(second)
    notebook.page.locator(".noUi-handle").first.press("ArrowRight")
    notebook.wait_for_change(first, before)
    assert "identity times 1.5" in first.get_attribute("alt")
    assert (notebook.pixels(second) == other).all()
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
    assert (notebook.pixels(figure) == drawn).all()
    assert [line.split("\n")[0] for line in notebook.console] == ["Error: widget model not found"]
    notebook.console.clear()
