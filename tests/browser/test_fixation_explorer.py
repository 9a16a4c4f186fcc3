"""The FixationExplorer in JupyterLab: the slider forces ratios, and maps, numbers and answer follow."""

import pytest

pytest.importorskip("anywidget")

CELL = """import torch
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets import FixationExplorer
torch.set_num_threads(1)
explorer = FixationExplorer(load_clip("../data_samples/motion_left_photo.mp4", num_frames=8, size=32))
explorer"""
PLAIN = """from linvid_edu import ModelConfig, VideoTransformer
FixationExplorer(explorer._clip, VideoTransformer(ModelConfig.compact()).eval())"""


def test_ratios_are_forced_by_the_slider(open_notebook):
    notebook = open_notebook(CELL, PLAIN, width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    page, explorer = notebook.page, notebook.page.locator(".lv").first
    ratio, rows = explorer.get_by_role("application").first, explorer.get_by_role("application").nth(1)
    ratio.wait_for()
    page.get_by_text("has no fixation ratios: take one with fixation").wait_for()
    place = explorer.get_by_role("paragraph").filter(has_text="motion_left_photo.mp4")
    place.filter(has_text="ratios are as learned").wait_for()
    before = [notebook.pixels(strip) for strip in (ratio, rows)]
    slider = explorer.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    place.filter(has_text="ratios are all 1, as without fixation").wait_for()
    for strip, pixels in zip((ratio, rows), before, strict=True):
        notebook.wait_for_change(strip, pixels, share=0.01)
    for _ in range(20):
        page.keyboard.press("ArrowLeft")  # one by one to the learned ratios; the slider keeps the focus
    place.filter(has_text="ratios are as learned").wait_for()
    page.keyboard.press("ArrowLeft")
    place.filter(has_text="ratios are 5 % of the way to 0").wait_for()
    page.keyboard.press("Home")
    place.filter(has_text="ratios are all 0, shut").wait_for()
    explorer.get_by_role("cell", name="no weight").first.wait_for()
    explorer.get_by_role("button", name="Back to learned").click()
    place.filter(has_text="ratios are as learned").wait_for()
    explorer.get_by_label("head 1, channel 3").first.click()
    explorer.get_by_text("Fixation ratio of the query, head 1, channel 3").wait_for()
    ratio.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("]")
    notebook.screenshot("fixation-explorer", explorer)
    notebook.switch_theme("dark")
    notebook.screenshot("fixation-explorer", explorer)
    notebook.expect_to_fit(700)
