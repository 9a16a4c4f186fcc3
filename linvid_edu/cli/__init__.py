"""The command line, one module for each group of commands."""

from . import course, evaluate, sweep, train
from .shared import app

__all__ = ["app", "course", "evaluate", "sweep", "train"]
