"""The `linvid` command line, one module for each command.

Importing it loads neither torch nor anything else that is slow: a command imports what it needs when it runs.
"""

from . import book, color, convert, course, evaluate, explain, lab, lessons, report, samples, stream, sweep, train
from .app import app

__all__ = [
    "app",
    "book",
    "color",
    "convert",
    "course",
    "evaluate",
    "explain",
    "lab",
    "lessons",
    "report",
    "samples",
    "stream",
    "sweep",
    "train",
]
