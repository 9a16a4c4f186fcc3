"""The AttentionExplorer in JupyterLab: clicks and keys move the query, both themes, a lost kernel."""

import pytest

pytest.importorskip("anywidget")
pytest.importorskip("playwright.sync_api")

from harness import SCREENSHOTS
from playwright.sync_api import expect
from server import ROOT

from linvid_edu.models.variants import find_variant
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets import AttentionExplorer
from linvid_edu.widgets.explorer_page import save_explorer

SETUP = """import torch
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets import AttentionExplorer
torch.set_num_threads(1)
clip = load_clip("../data_samples/motion_left_photo.mp4", num_frames=8, size=32)
explorer = AttentionExplorer(clip)
explorer"""
VARIANTS = ["sana_video_attention", "nystrom", "cosformer-cooperative", "performer", "shuffle_window"]
LABELS = [find_variant(name).label for name in VARIANTS]
RIVALS = f"""import torch
from linvid_edu.models.checkpoint import load_model
from linvid_edu.figures.explain_page import answering_models
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets import AttentionExplorer
torch.set_num_threads(1)
clip = load_clip("../data_samples/motion_left_photo.mp4", num_frames=8, size=32)
names = {VARIANTS}
one = [("linear", load_model("../data_samples/checkpoints/linear.safetensors").eval())]
AttentionExplorer(clip, answering_models(clip, checkpoints=one, mechanisms=names))"""
COLORS = """import torch
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets import AttentionExplorer
torch.set_num_threads(1)
AttentionExplorer(load_clip("../data_samples/film/big_buck_bunny.mp4", num_frames=6, size=96))"""
IN_PYTHON = """slow = AttentionExplorer(clip, where="kernel")
slow"""


def explorer_in(notebook, which=0):
    """Wait for one of the explorers; return it, its film and the first tinted strip."""
    explorer = notebook.page.locator(".lv").nth(which)
    film = explorer.get_by_role("application", name="the clip")
    film.wait_for()
    return explorer, film, explorer.locator(".lv-of-query canvas").first


def test_clicks_and_keys_move_the_query_and_the_picture_follows(open_notebook):
    notebook = open_notebook(SETUP, width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    explorer, film, tints = explorer_in(notebook)
    film.click(position={"x": 5, "y": 5})
    explorer.get_by_text("query frame 0, row 0, column 0").wait_for()
    before = notebook.pixels(tints)
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "]"):
        notebook.page.keyboard.press(key)
    explorer.get_by_text("query frame 1, row 2, column 1").wait_for()
    notebook.wait_for_change(tints, before, share=0.01)
    expect(notebook.page.locator(".jp-Cell")).to_have_count(1)  # no key reached JupyterLab's own shortcuts
    notebook.page.keyboard.press("c")
    notebook.page.keyboard.press("ArrowRight")
    explorer.get_by_text("query frame 1, row 2, column 2 at 0.33 s, compared with frame 1, row 2, column 1").wait_for()
    explorer.get_by_label("Head").select_option(label="2")
    explorer.get_by_role("cell", name="compared").first.wait_for()
    notebook.page.set_viewport_size({"width": 1600, "height": 1300})
    notebook.screenshot("attention-explorer", explorer)
    notebook.switch_theme("dark")
    notebook.screenshot("attention-explorer", explorer)
    explorer.get_by_role("button", name="Compare").click()
    film.focus()
    notebook.page.keyboard.press(" ")
    explorer.get_by_text("query frame 5").wait_for()
    explorer.get_by_role("button", name="Stop").click()
    notebook.expect_to_fit(700)


def test_a_color_model_shows_the_frame_of_the_query_in_its_colors(open_notebook):
    notebook = open_notebook(COLORS, width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    explorer, film, _ = explorer_in(notebook)
    film.click(position={"x": 5, "y": 5})
    expect(explorer.get_by_text("frame 0: its colors are known")).to_have_count(4)
    pictures = explorer.locator(".lv-recolored img")
    known = pictures.first.get_attribute("src")
    notebook.page.keyboard.press("]")
    explorer.get_by_text("frame 1, colored by softmax: error 0.").wait_for()
    expect(pictures.first).not_to_have_attribute("src", known)
    assert len({pictures.nth(index).get_attribute("src") for index in range(4)}) == 4
    expect(explorer.get_by_role("rowheader", name="effective tokens of 144")).to_have_count(4)
    notebook.screenshot("attention-explorer-colors", explorer)
    notebook.switch_theme("dark")
    notebook.screenshot("attention-explorer-colors", explorer)


def red(pixels):
    """Count the pixels that are redder than any of viridis and than the orange outline."""
    r, g, b = (pixels[..., channel].astype(int) for channel in range(3))
    return int(((r > 110) & (g < 0.4 * r) & (b < 0.6 * r)).sum())


def test_four_rivals_stand_side_by_side_and_another_takes_the_place_of_one(open_notebook):
    notebook = open_notebook(RIVALS, width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    explorer, *_ = explorer_in(notebook)
    explorer.get_by_label("Color scale").select_option(label="separate")
    explorer.get_by_label("Block").select_option(label="0")
    explorer.get_by_label("Head").select_option(label="2")
    panels = explorer.locator(".lv-panels section")
    expect(panels.locator("h3 span")).to_have_text(LABELS[:4])
    panels.nth(1).get_by_text("negative (red)").wait_for()
    for theme in ("light", "dark"):
        notebook.switch_theme(theme)
        notebook.screenshot("attention-explorer-rivals", explorer)
    signed, positive = (panels.nth(which).locator("canvas").first for which in (1, 3))
    notebook.wait_for_pixels(signed, lambda pixels: red(pixels) > 100, "red tints where weights are negative")
    notebook.wait_for_pixels(positive, lambda pixels: red(pixels) < 100, "no red tints where weights are positive")
    fifth = explorer.get_by_role("checkbox", name=LABELS[4])
    expect(fifth).to_be_disabled()
    explorer.get_by_role("checkbox", name=LABELS[3]).focus()
    notebook.page.keyboard.press(" ")
    expect(panels).to_have_count(3)
    fifth.check()
    expect(panels.locator("h3 span")).to_have_text([*LABELS[:3], LABELS[4]])
    explorer.get_by_text("query frame 0").wait_for()
    expect(explorer.get_by_label("Head")).to_have_value("2")
    notebook.expect_to_fit(700)


def test_rows_from_python_arrive_and_a_lost_kernel_is_reported(open_notebook):
    notebook = open_notebook(SETUP, IN_PYTHON, width=1600)
    notebook.run_all()
    fast, slow = (explorer_in(notebook, which) for which in (0, 1))
    before = notebook.pixels(slow[2])
    slow[1].click(position={"x": 5, "y": 5})
    slow[0].get_by_text("query frame 0, row 0, column 0").wait_for()
    notebook.wait_for_change(slow[2], before, share=0.01)
    notebook.restart_kernel()
    slow[1].click(position={"x": 35, "y": 35})
    slow[0].get_by_role("alert").filter(has_text="run the cell again").wait_for()
    fast[1].click(position={"x": 5, "y": 5})
    fast[0].get_by_text("query frame 0, row 0, column 0").wait_for()


def test_a_clip_that_does_not_fit_is_reported(open_notebook):
    show = """explorer.show(load_clip("../data_samples/motion_up_photo.mp4", num_frames=5, size=32))"""
    notebook = open_notebook(SETUP, show, width=1000)
    notebook.run_all()
    explorer, *_ = explorer_in(notebook)
    explorer.get_by_role("alert").filter(has_text="the clip has 5 frames, softmax expects 8").wait_for()


def test_a_phone_moves_the_token_with_buttons_and_reads_where_it_is(browser, tmp_path):
    clip = load_clip(ROOT / "data_samples" / "motion_recedes_photo.mp4", num_frames=8, size=32)
    path = save_explorer(AttentionExplorer(clip), tmp_path / "page.html")
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.get_by_text("Tap a token").wait_for()
    place = page.locator(".lv-place")
    expect(place).to_contain_text("query frame 0, row 4, column 3 at 0.08 s")
    pad = page.get_by_role("group", name="Move the token")
    expect(pad).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("This token is pinned: now move on").wait_for()
    for name in ("down", "right", "next frame"):
        pad.get_by_role("button", name=name, exact=True).click()
    expect(place).to_contain_text("query frame 1, row 5, column 4 at 0.33 s, compared with frame 0, row 4, column 3 at")
    expect(page.get_by_text("This token is pinned")).to_have_count(0)
    assert place.evaluate("place => place.scrollWidth <= place.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=SCREENSHOTS / "explorer-phone.png")
    context.close()
