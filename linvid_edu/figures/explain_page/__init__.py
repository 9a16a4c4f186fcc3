"""One page about one token of a clip: where it looks under four mechanisms, and how concentrated that is."""

from .answers import Answer, Explanation, explain
from .mechanisms import (
    MECHANISMS,
    Answering,
    Checkpoint,
    Mechanism,
    answering_models,
    at_most_four,
    clip_size,
    mechanism_name,
    parse_mechanism,
)
from .page import page, pictures, save
from .query import Query, choose_query, index_of

__all__ = [
    "MECHANISMS",
    "Answer",
    "Answering",
    "Checkpoint",
    "Explanation",
    "Mechanism",
    "Query",
    "answering_models",
    "at_most_four",
    "choose_query",
    "clip_size",
    "explain",
    "index_of",
    "mechanism_name",
    "page",
    "parse_mechanism",
    "pictures",
    "save",
]
