"""The harness sees what it is there to see: errors of the console, requests to other machines, overflow."""

from harness import difference

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
    assert "ZeroDivisionError" in notebook.errors()[0]
    assert set(notebook.outside) == {"http://linvid.invalid/x.png"}
    assert any("ERR_NAME_NOT_RESOLVED" in line for line in notebook.console)
    assert len(notebook.too_wide(1000)) == 1
    page = notebook.page.locator(".jp-Notebook")
    light = notebook.pixels(page)
    notebook.switch_theme("dark")
    assert difference(light, notebook.pixels(page)) > 0.9
    notebook.console.clear()
    notebook.outside.clear()
