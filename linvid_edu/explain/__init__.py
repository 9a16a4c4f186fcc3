"""One page about one token of a clip: where it looks under four mechanisms, and how concentrated that is."""

from .mechanisms import MECHANISMS, Answer, Checkpoint, Explanation, Mechanism, clip_size, explain
from .page import page, pictures, save
from .query import Query, choose_query

__all__ = [
    "MECHANISMS",
    "Answer",
    "Checkpoint",
    "Explanation",
    "Mechanism",
    "Query",
    "choose_query",
    "clip_size",
    "explain",
    "page",
    "pictures",
    "save",
]
