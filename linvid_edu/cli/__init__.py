"""The command line, one module for each group of commands."""

from . import course
from .shared import app

__all__ = ["app", "course"]
