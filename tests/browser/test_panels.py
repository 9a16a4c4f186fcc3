"""CostLab, ClipPicker and TrainingMonitor in a real JupyterLab: keyboard, both themes, uploads, an interrupted run."""

import struct

import pytest
from server import ROOT

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

SAMPLE = ROOT / "data_samples" / "motion_right_plain.mp4"
EVIL = "<img src=x onerror=alert(1)>.mp4"
CHART = "[role=img][aria-busy=false]"
TRAINING = """import time
from linvid_edu.training.loop import Record
from linvid_edu.widgets import TrainingMonitor

def records(count, pause):
    for step in range(1, count + 1):
        time.sleep(pause)
        yield Record(step, 2.1 * 0.99**step, 0.125 + step / 10000, 3e-3, 1.0)
"""


INK = """(panel) => {
    const text = document.createElement("span");
    text.style.color = "var(--ink)";
    const color = getComputedStyle(panel.appendChild(text)).color;
    text.remove();
    return color;
}"""


def in_both_themes(notebook, name):
    """Write a screenshot in each theme; the text of charts has the theme's color."""
    panel = notebook.page.locator(".linvid-panel").first
    for theme in ("light", "dark"):
        notebook.switch_theme(theme)
        for text in panel.locator(".linvid-chart .main-svg > :not(.hoverlayer) text").all():
            expect(text).to_have_css("fill", panel.evaluate(INK))
        notebook.screenshot(name, panel)


def test_cost_lab_by_keyboard_and_without_a_kernel(open_notebook):
    notebook = open_notebook("from linvid_edu.widgets import CostLab\nCostLab(budget=2, sizes=(16, 64, 256, 1024))")
    notebook.run_all()
    page, panel = notebook.page, notebook.page.locator(".linvid-panel")
    expect(panel.locator(f"{CHART} .trace")).not_to_have_count(0)
    expect(panel).to_contain_text("By the fitted curves, time grows as")
    page.locator(".noUi-handle").focus()
    page.keyboard.press("End")
    panel.get_by_text("With 65,536 tokens, by the fitted curves").wait_for()
    chart = panel.locator("[role=img]")
    before = notebook.pixels(chart)
    panel.get_by_role("button", name="memory").press("Enter")
    notebook.wait_for_change(chart, before)
    notebook.expect_to_fit(700, 1600)
    in_both_themes(notebook, "CostLab")
    notebook.restart_kernel()
    message = "(panel) => getComputedStyle(panel, '::before').content"
    notebook.wait_until(lambda: "run the cell again" in panel.evaluate(message), "the message of a lost kernel")


def test_clip_picker_takes_uploads_and_reports_what_is_wrong(open_notebook, tmp_path):
    notebook = open_notebook("from linvid_edu.widgets import ClipPicker\nClipPicker(num_frames=4, size=64)")
    notebook.run_all()
    panel = notebook.page.locator(".linvid-panel")
    panel.locator("img[alt^='4 frames of 64 × 64']").wait_for()
    in_both_themes(notebook, "ClipPicker")
    panel.get_by_role("button", name="upload").press("Enter")
    chooser = panel.locator("input[type=file]")
    padded = tmp_path / "twelve_megabytes.mp4"  # more than JupyterLab takes in one message; players skip a box "free"
    padded.write_bytes(SAMPLE.read_bytes() + struct.pack(">I4s", 12_000_000, b"free") + bytes(11_999_992))
    chooser.set_input_files(padded)
    panel.get_by_text("twelve_megabytes.mp4").wait_for()
    expect(panel.get_by_role("alert")).to_have_count(0)
    (tmp_path / EVIL).write_bytes(SAMPLE.read_bytes()[:5000])
    chooser.set_input_files(tmp_path / EVIL)
    expect(panel.get_by_role("alert")).to_contain_text(EVIL)
    expect(panel.locator("img[src=x]")).to_have_count(0)
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(50_000_001)
    chooser.set_input_files(tmp_path / "huge.mp4")
    panel.get_by_text("the limit of an upload is 50 MB").wait_for()
    in_both_themes(notebook, "ClipPicker-refused")
    notebook.expect_to_fit(700, 1600)


def test_an_interrupted_training_leaves_its_curves(open_notebook):
    loop = "for record in TrainingMonitor(records(100000, 0.02), batch=16, steps=100000): pass"
    notebook = open_notebook(
        TRAINING, "for record in TrainingMonitor(records(60, 0.005), batch=16, steps=60): pass", loop
    )
    page = notebook.page
    notebook.menu("Run", "Run All Cells")
    panel = page.locator(".linvid-panel").nth(1)
    panel.get_by_text("of 100,000").wait_for()
    expect(page.locator(".linvid-panel .main-svg .trace")).to_have_count(8)
    notebook.wait_for_change(panel, notebook.pixels(panel))
    notebook.menu("Kernel", "Interrupt Kernel")
    panel.get_by_text("interrupted; the curves stay").wait_for()
    notebook.wait_until_idle()
    assert notebook.errors() == []
    expect(page.locator(".linvid-panel").first).to_contain_text("step 60 of 60")
    in_both_themes(notebook, "TrainingMonitor")
