"""An exercise in JupyterLab: a verdict appears once, and the buttons work by keyboard."""

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

IMPORTS = "from linvid_edu.course.exercises import check, exercise_widget"
BLANK = """def mine(q, k, v):
    ...

check("02.1", mine)"""


def test_a_verdict_appears_once_and_again_on_request(open_notebook):
    notebook = open_notebook(IMPORTS, BLANK, 'found = check("02.2", (4, 2))', "found.printed = False; found")
    notebook.run_all()
    outputs = notebook.page.locator(".jp-OutputArea-output")
    expect(outputs).to_have_count(3)
    expect(outputs.nth(0)).to_contain_text("not yet: replace ... in the cell")
    expect(outputs.nth(2).locator("div", has_text="a little more")).not_to_have_count(0)


def test_an_exercise_with_buttons_by_keyboard(open_notebook):
    notebook = open_notebook(IMPORTS, 'exercise_widget("02.2")', BLANK, 'exercise_widget("02.1", "mine")')
    notebook.run_all()
    page = notebook.page
    field = page.get_by_placeholder("2 numbers, separated by commas")
    status = page.get_by_role("status")
    field.click()
    for answer, words in (("4, 2", "a little more"), ("4, 21/10", "right")):
        field.fill(answer)
        field.press("Tab")
        page.keyboard.press("Enter")
        page.locator(".jp-OutputArea [role=status]").first.get_by_text(words).wait_for()
    page.get_by_role("button", name="Check").nth(1).press("Enter")
    page.get_by_text("not yet").nth(1).wait_for()
    page.get_by_role("button", name="Hint").first.press("Space")
    status.get_by_text("hint 1 of 3").first.wait_for()
    for theme in ("light", "dark"):
        notebook.switch_theme(theme)
        notebook.screenshot("exercise")
    notebook.expect_to_fit(700)
