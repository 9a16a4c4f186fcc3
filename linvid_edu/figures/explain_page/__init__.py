"""One page about one token of a clip: where it looks under four mechanisms, and how concentrated that is."""

from .answers import Answer, Explanation, explain
from .mechanisms import (
    USUAL_ROWS,
    Answering,
    Checkpoint,
    answering_models,
    at_most_four,
    clip_size,
)
from .page import page, pictures, save
from .query import Query, choose_query, index_of

__all__ = [
    "USUAL_ROWS",
    "Answer",
    "Answering",
    "Checkpoint",
    "Explanation",
    "Query",
    "answering_models",
    "at_most_four",
    "choose_query",
    "clip_size",
    "explain",
    "index_of",
    "page",
    "pictures",
    "save",
]
