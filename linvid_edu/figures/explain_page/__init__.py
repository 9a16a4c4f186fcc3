"""One page about one token of a clip: where it attends under several mechanisms, and how concentrated that is."""

from .answers import Answer, Explanation, explain, explanation_numbers
from .mechanisms import (
    USUAL_ROWS,
    Answering,
    Checkpoint,
    answering_models,
    at_most_four,
    clip_size,
)
from .page import explanation_html, save_explanation
from .pictures import explanation_pictures
from .query import Query, QueryPlace, choose_query, index_of

__all__ = [
    "USUAL_ROWS",
    "Answer",
    "Answering",
    "Checkpoint",
    "Explanation",
    "Query",
    "QueryPlace",
    "answering_models",
    "at_most_four",
    "choose_query",
    "clip_size",
    "explain",
    "explanation_html",
    "explanation_numbers",
    "explanation_pictures",
    "index_of",
    "save_explanation",
]
