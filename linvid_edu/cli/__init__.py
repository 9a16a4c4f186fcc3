"""The command line, one module for each group of commands."""

from . import course, evaluate, lessons, stream, sweep, train
from .shared import app

__all__ = ["app", "course", "evaluate", "lessons", "stream", "sweep", "train"]
