"""The AssociationExplorer in JupyterLab: a picked token shows its sources, by mouse and by keyboard."""

import pytest

pytest.importorskip("anywidget")
pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

CELL = """from linvid_edu.widgets import AssociationExplorer
explorer = AssociationExplorer()
explorer"""


def test_sources_follow_the_lit_token(open_notebook):
    notebook = open_notebook(CELL, "print(explorer.query, explorer.span)", width=1600)
    notebook.run_all()
    assert notebook.errors() == []
    explorer = notebook.page.locator(".lv")
    film = explorer.get_by_role("application")
    film.wait_for()

    place = explorer.locator("p.lv-place")

    explorer.get_by_text("channels 0 to 15: from frame 3, row 4, column 4 (next frame)").wait_for()
    before = notebook.pixels(film)
    film.click(position={"x": 4, "y": 4})
    expect(place).to_contain_text("Lit: frame 0, row 0, column 0")
    expect(place).to_contain_text("16 are zero because the neighbor lies outside")
    notebook.wait_for_change(film, before, share=0.001)
    explorer.get_by_label("Attention over").select_option(label="time: borrows from places")
    expect(place).to_contain_text("12 are its own because the neighbor lies outside, and 8 are zero")
    notebook.page.keyboard.press("Tab")
    film.focus()
    for key in ("ArrowRight", "ArrowDown", "]"):
        notebook.page.keyboard.press(key)
    expect(place).to_contain_text("Lit: frame 1, row 1, column 1")
    expect(place).to_contain_text(" 0 are its own because the neighbor lies outside, and 0 are zero")
    notebook.screenshot("association-explorer", explorer)
    notebook.switch_theme("dark")
    notebook.screenshot("association-explorer", explorer)
    explorer.get_by_label("Direction").select_option(label="which tokens get its channels")
    explorer.get_by_text("to frame 1, row 0, column 1").first.wait_for()
    notebook.expect_to_fit(700)
