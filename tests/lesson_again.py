"""A plugin for nbval: a lesson that does not run a second time in its kernel fails at its last cell.

A learner who runs all cells again does this. No cell may spoil what an earlier one needs, and the outputs that nbval
compares in the first run are compared again. `make nightly` uses it.
"""

import nbformat
import pytest

from linvid_edu.course.lessons import LESSON_NAME

CELL_SECONDS = 180


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Run the lesson again before nbval stops the kernel and after lesson_times has measured it."""
    last = nextitem is None or nextitem.parent is not item.parent
    problem = find_problem(item.parent) if last and LESSON_NAME.match(item.path.name) else ""
    yield
    if problem:
        pytest.fail(f"{item.path.name}, run twice in one kernel: {problem}", pytrace=False)


def find_problem(lesson):
    """Run the code cells again up to the first that fails; return what is wrong, or ""."""
    if lesson.kernel.is_alive():
        stored = nbformat.read(lesson.path, as_version=4)  # read again, because nbval joins the outputs of its copy
        for number, cell in enumerate((cell for cell in stored.cells if cell.cell_type == "code"), start=1):
            problem = run_again(lesson.kernel.kc, cell)
            if problem:
                return f"code cell {number} {problem}"
    return ""


def run_again(client, cell):
    """Run a cell again; return what is wrong, or ""."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    try:
        reply = client.execute_interactive(cell.source, timeout=CELL_SECONDS, output_hook=keep)["content"]
    except TimeoutError:
        return f"takes more than {CELL_SECONDS} s"
    if reply["status"] != "ok":
        return f"stops with {reply['ename']}: {reply['evalue']}"
    stored = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    if "nbval-check-output" in cell.metadata.get("tags", []) and "".join(printed) != stored:
        return f"prints {''.join(printed)!r} and not {stored!r}"
    return ""
