"""What holds for every widget: two on one page, both themes, narrow and wide, after a reload, in a copy without kernel.

A new widget is one line of WIDGETS; what only it does is tested in a file of its own.
"""

import re

import pytest

NAME = "<img src=x onerror=alert(1)>"  # of a model or a file: data, shown as text
CLIP = 'load_clip("../data_samples/motion_left_photo.mp4", num_frames=8, size=32)'
WIDGETS = {
    "AttentionExplorer": f"AttentionExplorer({CLIP}, {{{NAME!r}: shipped_models()['linear']}})",
    "AssociationExplorer": "AssociationExplorer()",
    "FixationExplorer": f"FixationExplorer({CLIP})",
    "ClipPicker": "ClipPicker(num_frames=4, size=64)",
    "CostLab": "CostLab(budget=0.5, sizes=(16, 64, 256))",
    "TrainingMonitor": "for _ in TrainingMonitor(Record(step, 1.4 / step, 0.25, 1e-3, 2.0) for step in (1, 2)): pass",
}
IMPORTS = """from linvid_edu.video.reading import load_clip
from linvid_edu.training.loop import Record
from linvid_edu.widgets import *
"""


def reload_until_back(notebook, shown):
    """Reload, at most three times: a kernel has 4 s to answer ipywidgets, which a busy machine misses for good."""
    lost = notebook.page.get_by_text("Error displaying widget")
    for _ in range(3):
        notebook.reload()
        shown.or_(lost).nth(1).wait_for()
        if lost.count() == 0:
            return
        notebook.console.clear()
    pytest.fail("after three reloads JupyterLab still has not found the widgets")


def check_pictures(notebook, widget):
    """A saved notebook without the kernel of its widgets shows their pictures, not what JupyterLab says of them."""
    pictures = notebook.page.locator(".jp-OutputArea").get_by_role("img", name=re.compile(".{20,}"))
    pictures.nth(1).wait_for()
    lost = notebook.page.get_by_text("Error displaying widget: model not found")
    lost.nth(1).wait_for(state="attached")
    assert (pictures.count(), lost.count()) == (2, 2)
    for theme in ("dark", "light"):
        notebook.switch_theme(theme)
        assert not any(lost.nth(which).is_visible() for which in range(2))
        notebook.screenshot(f"{widget}-saved", notebook.page.locator(".jp-Notebook"))
    box = pictures.nth(0).bounding_box()
    assert min(box["width"], box["height"]) > 100
    assert len({tuple(color) for color in notebook.pixels(pictures.nth(0))[::5, ::5].reshape(-1, 3)}) > 20
    notebook.console.clear()  # JupyterLab tells that it has not found the models


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_widget_behaves(open_notebook, widget):
    notebook = open_notebook(IMPORTS, WIDGETS[widget], WIDGETS[widget], width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    shown = notebook.page.locator(".jp-OutputArea-output:has(.jupyter-widgets, canvas)")
    shown.nth(1).wait_for()
    words = shown.nth(0).inner_text()
    if NAME in WIDGETS[widget]:
        assert NAME in words
    for width in (1600, 700):
        assert notebook.too_wide(width) == []
    for theme in ("light", "dark"):
        notebook.switch_theme(theme)
        notebook.screenshot(f"{widget}-700", shown.nth(0))
    notebook.save()
    reload_until_back(notebook, shown)
    assert shown.nth(0).inner_text() == words
    notebook.lab.shut_kernels()
    notebook.reload()
    check_pictures(notebook, widget)
    copy = open_notebook(copy_of=notebook)
    picture = copy.page.locator(".jp-RenderedImage img").first
    picture.wait_for()
    assert picture.evaluate("(image) => image.naturalWidth") > 300
