"""Watch a video file of any length in constant memory, and show the record on one page."""

from .page import save_watched, watched_html
from .pictures import watched_pictures
from .watched import Moment, Watched, watch

__all__ = ["Moment", "Watched", "save_watched", "watch", "watched_html", "watched_pictures"]
