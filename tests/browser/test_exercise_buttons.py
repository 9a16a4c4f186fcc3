"""An exercise in JupyterLab: a verdict is said once, and the buttons work by keyboard."""

IMPORTS = "from linvid_edu.course.exercises import check, exercise_widget"
BLANK = """def mine(q, k, v):
    ...

check("02.1", mine)"""


def test_a_verdict_is_said_once_and_shown_again_when_asked_for(open_notebook):
    notebook = open_notebook(IMPORTS, BLANK, 'found = check("02.2", (4, 2))', "found.printed = False; found")
    notebook.run_all()
    said = notebook.page.locator(".jp-OutputArea-output")
    assert said.nth(0).inner_text().strip() == "not yet"
    assert said.count() == 3
    assert said.nth(2).locator("div", has_text="a little more").count() >= 1


def test_an_exercise_with_buttons_by_keyboard(open_notebook):
    notebook = open_notebook(IMPORTS, 'exercise_widget("02.2")', BLANK, 'exercise_widget("02.1", "mine")')
    notebook.run_all()
    page = notebook.page
    field = page.get_by_placeholder("2 numbers, with commas")
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
    assert notebook.too_wide(700) == []
