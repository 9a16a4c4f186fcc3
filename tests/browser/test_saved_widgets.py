"""Where a widget's picture is seen: where its notebook has no kernel, and not beside a widget that lives."""

import subprocess
import sys

import nbformat

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
    page.wait_for_timeout(2500)  # more than they wait for a widget to draw itself
    assert [each.is_visible() for each in stand_ins.all()] == [False] * 3
    assert page.locator(PANEL).nth(1).is_visible()
    notebook.save()
    name = without_kernel(notebook.lab, notebook.name)
    page.goto(page.url.split("?")[0].replace(notebook.name, name) + "?reset")
    page.locator(".jp-Dialog button").filter(has_text="No Kernel").click()
    pictures = page.locator(".jp-OutputArea").get_by_role("img")
    pictures.nth(1).wait_for()
    assert "cue_white_appears_plain.mp4" in pictures.first.get_attribute("aria-label")
    assert pictures.count() == 2
    assert [each.is_visible() for each in page.get_by_text("Loading widget").all()] == [False, False, True]
