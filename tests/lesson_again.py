"""A plugin for the run of the notebooks: a lesson that does not run again in its kernel fails at its last cell.

That is what a learner does who runs all cells once more: no cell may have spoiled what an earlier one needs, and what
is compared the first time is compared again.
"""

import re

import nbformat
import pytest

SECONDS = 180  # for a cell


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Run the lesson again before nbval stops the kernel, and after lesson_times has looked at it."""
    last = nextitem is None or nextitem.parent is not item.parent
    problem = find_problem(item.parent) if last and re.match(r"\d\d_", item.path.name) else ""
    yield
    if problem:
        pytest.fail(f"{item.path.name}, run twice in one kernel: {problem}", pytrace=False)


def find_problem(lesson):
    """Run the code cells again, up to the first that stops; "" if none does."""
    if lesson.kernel.is_alive():
        stored = nbformat.read(lesson.path, as_version=4)  # anew: nbval joins outputs in its own
        for number, cell in enumerate((each for each in stored.cells if each.cell_type == "code"), start=1):
            problem = run_again(lesson.kernel.kc, cell)
            if problem:
                return f"code cell {number} {problem}"
    return ""


def run_again(client, cell):
    """Return what is wrong with a second run of a cell; "" if nothing is."""
    said = []

    def keep(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            said.append(message["content"]["text"])

    try:
        reply = client.execute_interactive(cell.source, timeout=SECONDS, output_hook=keep)["content"]
    except TimeoutError:
        return f"takes more than {SECONDS} s"
    if reply["status"] != "ok":
        return f"stops with {reply['ename']}: {reply['evalue']}"
    stored = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    if "nbval-check-output" in cell.metadata.get("tags", []) and "".join(said) != stored:
        return f"says {''.join(said)!r} and not {stored!r}"
    return ""
