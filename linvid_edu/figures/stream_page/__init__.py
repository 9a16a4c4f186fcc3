"""Watch a video file of any length in constant memory, and tell about it on one page."""

from .page import save
from .watch import Moment, Watched, watch

__all__ = ["Moment", "Watched", "save", "watch"]
