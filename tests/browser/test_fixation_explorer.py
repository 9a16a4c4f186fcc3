"""The FixationExplorer in JupyterLab: the slider forces ratios, and maps, numbers and answer follow."""

import re

import pytest

pytest.importorskip("anywidget")
pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

CELL = """import torch
from linvid_edu.widgets import FixationExplorer
torch.set_num_threads(1)
explorer = FixationExplorer()
explorer"""
PLAIN = """from linvid_edu import ModelConfig, VideoTransformer
FixationExplorer(explorer._clip, VideoTransformer(ModelConfig.compact()).eval())"""


def test_ratios_are_forced_by_the_slider(open_notebook):
    notebook = open_notebook(CELL, PLAIN, width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    page, explorer = notebook.page, notebook.page.locator(".lv").first
    film, ratio, rows = (explorer.get_by_role("application").nth(index) for index in range(3))
    ratio.wait_for()
    page.get_by_text("has no fixation ratios: take one with fixation").wait_for()
    place = explorer.get_by_role("paragraph").filter(has_text="motion_recedes_photo.mp4")
    place.filter(has_text="ratios are as learned").wait_for()
    red, _, blue = notebook.pixels(film)[..., :3].reshape(-1, 3).astype(int).T
    assert (abs(red - blue) > 30).mean() > 0.05  # the clip is shown in color
    answer = explorer.get_by_text(re.compile("^answer: recedes 9. % ✓ "))
    expect(answer).to_be_visible()
    before = [notebook.pixels(strip) for strip in (ratio, rows)]
    slider = explorer.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    place.filter(has_text="ratios are all 1, as without fixation").wait_for()
    explorer.get_by_text(re.compile(r"^answer: .* ✗ \(truth: recedes\)$")).wait_for()
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
    explorer.get_by_role("heading", name="no weight on any token").wait_for()
    expect(explorer.get_by_text("× uniform")).to_be_hidden()
    explorer.get_by_role("heading", name="some are outside of the color scale").wait_for()
    notebook.screenshot("fixation-explorer-shut", explorer)
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


def test_slider_frames_and_answer_are_on_one_screen(open_notebook):
    notebook = open_notebook(CELL)
    notebook.page.set_viewport_size({"width": 1280, "height": 800})
    notebook.run_all()
    explorer = notebook.page.locator(".lv").first
    attention = explorer.get_by_role("application").nth(2)
    attention.wait_for()
    attention.scroll_into_view_if_needed()
    for control in (explorer.get_by_role("slider"), explorer.get_by_text("answer: recedes")):
        expect(control).to_be_in_viewport(ratio=1)
    expect(attention).to_be_in_viewport(ratio=1)
    notebook.screenshot("fixation-explorer-1280")
