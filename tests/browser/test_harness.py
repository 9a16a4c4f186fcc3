"""The harness detects what it must: errors of the console, requests to other machines, overflow."""

CELL = """
from IPython.display import HTML, display
display(HTML('<img src="http://linvid.invalid/x.png" alt="elsewhere">'))
display(HTML('<div style="width: 3000px">wide</div>'))
1 / 0
"""


def test_what_goes_wrong_is_seen(open_notebook):
    notebook = open_notebook(CELL)
    assert not notebook.outside
    notebook.run_all()
    notebook.wait_until(lambda: "ZeroDivisionError" in "".join(notebook.errors()), "the traceback of 1 / 0")
    notebook.wait_until(lambda: set(notebook.outside) == {"http://linvid.invalid/x.png"}, "requests to another machine")
    unresolved = "ERR_NAME_NOT_RESOLVED"
    notebook.wait_until(lambda: unresolved in "".join(notebook.console), f"{unresolved} in the console")
    notebook.resize(1000)
    notebook.wait_until(lambda: len(notebook.too_wide()) == 1, "one output that is too wide")
    page = notebook.page.locator(".jp-Notebook")
    light = notebook.pixels(page)
    notebook.switch_theme("dark")
    notebook.wait_for_change(page, light, share=0.9)
    notebook.console.clear()
    notebook.outside.clear()
