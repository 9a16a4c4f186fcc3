"""A widget's picture is visible if its notebook has no kernel, and not beside a living widget."""

import re
import subprocess
import sys

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

IMPORTS = "import ipywidgets\nfrom IPython.display import display\nfrom linvid_edu.widgets import *"
TWO = """picker = ClipPicker(num_frames=4, size=64)
display(picker)
AssociationExplorer()"""
INSIDE = """inner = ipywidgets.Output()
with inner:
    display(picker)
inner"""
PANEL = ".linvid-panel"


def without_kernel(lab, name):
    """Copy a notebook so that this Jupyter trusts it and has no kernel for it; return its name."""
    path = lab.folder / "notebooks" / f"no_kernel_for_{name}"
    notebook = nbformat.read(path.with_name(name), as_version=4)
    notebook.metadata.kernelspec = {"name": "none", "display_name": "None", "language": "none"}
    notebook.metadata.language_info = {"name": "none"}
    nbformat.write(notebook, path)
    subprocess.run([sys.executable, "-m", "jupyter", "trust", path], env=lab.environment(), check=True)
    return path.name


def test_pictures_are_seen_without_a_kernel_and_not_beside_living_widgets(open_notebook):
    notebook = open_notebook(IMPORTS, TWO, INSIDE, width=1000)
    notebook.run_all()
    page = notebook.page
    page.locator(PANEL).nth(1).wait_for()
    page.locator(".lv").wait_for()
    stand_ins = page.locator(".linvid-stand-in")
    page.wait_for_timeout(2500)  # a stand-in would appear 2 s after the page is there
    expect(stand_ins).to_have_count(3)
    for which in range(3):
        expect(stand_ins.nth(which)).to_be_hidden()
    expect(page.locator(PANEL).nth(1)).to_be_visible()
    notebook.save()
    name = without_kernel(notebook.lab, notebook.name)
    page.goto(page.url.split("?")[0].replace(notebook.name, name) + "?reset")
    page.locator(".jp-Dialog button").filter(has_text="No Kernel").click()
    pictures = page.locator(".jp-OutputArea").get_by_role("img")
    expect(pictures).to_have_count(2)
    expect(pictures.first).to_have_attribute("aria-label", re.compile(re.escape("cue_white_appears_plain.mp4")))
    loading = page.get_by_text("Loading widget")
    expect(loading).to_have_count(3)
    for which, visible in enumerate((False, False, True)):
        expect(loading.nth(which)).to_be_visible(visible=visible)
