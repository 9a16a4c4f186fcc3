"""A plugin for the run of the notebooks: a lesson that takes more than twice the time it states fails at its last cell.

Processor time is measured, the lesson's own and that of what it starts: it stays the same on a busy machine.
"""

import re

import psutil
import pytest

from linvid_edu.course.lessons import find_lessons


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    """Look at the kernel before it is stopped."""
    last = nextitem is None or nextitem.parent is not item.parent
    stated = stated_seconds(item.path) if last else None
    spent = 0 if stated is None else processor_seconds(item.parent.kernel.km.provisioner.pid)
    yield
    if stated is not None and spent > 2 * stated:
        pytest.fail(
            f"{item.path.name} took {spent:.0f} s of processor time, more than twice the {stated} s that it states: "
            "make it quicker, or state the time that it takes"
        )


def stated_seconds(path):
    """Return the seconds that a lesson states for its run; None for other notebooks."""
    if not re.match(r"\d\d_", path.name):
        return None
    lesson = next(each for each in find_lessons(path.parent) if each.path == path)
    return int(re.search(r"(\d+) s to run", lesson.time)[1])


def processor_seconds(pid):
    """Return the processor time of a process, of those it started, and of those of them that have ended."""
    process = psutil.Process(pid)
    running = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    ended = process.cpu_times()
    return sum(each.user + each.system for each in running) + ended.children_user + ended.children_system
