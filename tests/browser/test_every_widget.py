"""What holds for every widget: two on one page, both themes, narrow and wide, after a reload, in a copy without kernel.

A new widget is one line of WIDGETS; what is special about it is tested in a file of its own.
"""

import re
from typing import NamedTuple

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

NAME = "<img src=x onerror=alert(1)>"  # of a model or a file: data, shown as text
CLIP = 'load_clip("../data_samples/motion_left_photo.mp4", num_frames=8, size=32)'


class Widget(NamedTuple):
    """A widget, and how to recognize that all of it is drawn.

    code: Expression that shows it
    drawn: Selector of the element that is drawn last
    """

    code: str
    drawn: str


WIDGETS = {
    "AttentionExplorer": Widget(
        f"AttentionExplorer({CLIP}, {{{NAME!r}: shipped_models()['linear']}})", "tr:has-text('top 5 % mass')"
    ),
    "AssociationExplorer": Widget("AssociationExplorer()", ".lv-place:has-text('Lit: frame')"),
    "FixationExplorer": Widget(f"FixationExplorer({CLIP})", "figcaption:has-text('block 1, space')"),
    "ClipPicker": Widget("ClipPicker(num_frames=4, size=64)", "img[alt^='4 frames of 64 × 64']"),
    "CostLab": Widget("CostLab(budget=0.5, sizes=(16, 64, 256))", "[role=img][aria-busy=false] .legend"),
    "TrainingMonitor": Widget(
        "for _ in TrainingMonitor(Record(step, 1.4 / step, 0.25, 1e-3, 2.0) for step in (1, 2)): pass",
        "[role=img][aria-busy=false] .main-svg .trace >> nth=3",
    ),
}
IMPORTS = """from linvid_edu.models.shipped import shipped_models
from linvid_edu.video.reading import load_clip
from linvid_edu.training.loop import Record
from linvid_edu.widgets import *
"""


def reload_until_back(notebook, outputs):
    """Reload, at most three times: ipywidgets gives up on a kernel that takes 4 s to answer, as on a busy machine."""
    lost = notebook.page.get_by_text("Error displaying widget")
    for _ in range(3):
        notebook.reload()
        outputs.or_(lost).nth(1).wait_for(state="attached")  # the picture of a lost widget hides the message
        if lost.count() == 0:
            return
        notebook.console.clear()
    pytest.fail("after three reloads JupyterLab still has not found the widgets")


def check_pictures(notebook, widget):
    """Check that a saved notebook without a kernel shows the pictures of its widgets, not JupyterLab's message."""
    pictures = notebook.page.locator(".jp-OutputArea").get_by_role("img", name=re.compile(".{20,}"))
    lost = notebook.page.get_by_text("Error displaying widget: model not found")
    expect(lost).to_have_count(2)
    for theme in ("dark", "light"):
        notebook.switch_theme(theme)
        for which in range(2):
            expect(lost.nth(which)).to_be_hidden()
        expect(pictures).to_have_count(2)
        notebook.screenshot(f"{widget}-saved", notebook.page.locator(".jp-Notebook"))
    notebook.wait_for_pixels(pictures.nth(0), is_colorful, "more than 100 pixels a side and 20 colors")
    notebook.console.clear()  # JupyterLab reports that it has not found the models


def is_colorful(pixels):
    return min(pixels.shape[:2]) > 100 and len({tuple(color) for color in pixels[::5, ::5].reshape(-1, 3)}) > 20


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_widget_behaves(open_notebook, widget):
    code, drawn = WIDGETS[widget]
    notebook = open_notebook(IMPORTS, code, code, width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    outputs = notebook.page.locator(".jp-OutputArea-output:has(.jupyter-widgets, canvas)")

    def expect_drawn():
        for which in range(2):
            expect(outputs.nth(which).locator(drawn)).not_to_have_count(0)

    expect_drawn()
    if NAME in code:
        expect(outputs.nth(0)).to_contain_text(NAME)
    notebook.expect_to_fit(1600, 700)
    for theme in ("light", "dark"):
        notebook.switch_theme(theme)
        expect_drawn()
        notebook.screenshot(f"{widget}-700", outputs.nth(0))
    before = outputs.nth(0).inner_text()
    notebook.save()
    reload_until_back(notebook, outputs)
    expect_drawn()
    notebook.wait_until(lambda: outputs.nth(0).inner_text() == before, "the text as before the reload")
    notebook.screenshot(f"{widget}-reloaded", outputs.nth(0))
    notebook.lab.shut_kernels()
    notebook.reload()
    check_pictures(notebook, widget)
    copy = open_notebook(copy_of=notebook)
    picture = copy.page.locator(".jp-RenderedImage img").first
    copy.wait_until(lambda: picture.evaluate("(image) => image.naturalWidth") > 300, "a picture")
