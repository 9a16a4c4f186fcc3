"""A plugin for nbval: a lesson that takes more than twice its stated time fails at its last cell.

It measures the processor time of the lesson and of the processes that it starts, which is the same on a busy machine.
"""

import re

import psutil
import pytest

from linvid_edu.course.lessons import LESSON_NAME, find_lessons


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    """Measure the kernel before nbval stops it."""
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
    """Return the stated run time of a lesson in seconds; None for other notebooks."""
    if not LESSON_NAME.match(path.name):
        return None
    lesson = next(lesson for lesson in find_lessons(path.parent) if lesson.path == path)
    return int(re.search(r"(\d+) s to run", lesson.time)[1])


def processor_seconds(pid):
    """Return the processor time of a process and of its descendants, ended ones included."""
    process = psutil.Process(pid)
    running = [descendant.cpu_times() for descendant in (process, *process.children(recursive=True))]
    ended = process.cpu_times()
    return sum(times.user + times.system for times in running) + ended.children_user + ended.children_system
