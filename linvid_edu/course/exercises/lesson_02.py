"""Exercises of lesson 02: softmax attention, and what it costs."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Tries, draw


def attention_cases(generator: Generator) -> Iterator[Case]:
    """Yield queries, keys and values of several shapes, with and without batch axes."""
    for batch, n, m, e, e2 in (((), 5, 7, 4, 3), ((2, 3), 6, 6, 8, 8), ((4,), 3, 9, 2, 5), ((2,), 4, 4, 4, 4)):
        yield Case(draw(generator, (*batch, n, e), (*batch, m, e), (*batch, m, e2)))
    yield Case(draw(generator, (1, 4), (1, 4), (1, 4)), "one token")
    yield Case(draw(generator, (2, 3, 1), (2, 5, 1), (2, 5, 2)), "heads of width 1")
    yield Case((torch.zeros(3, 4), *draw(generator, (5, 4), (5, 2))), "queries of zeros")
    yield Case(draw(generator, (4, 6), (5, 6), (5, 3), scale=100.0, dtype=torch.float64), "large values")
    yield Case(draw(generator, (4, 6), (5, 6), (5, 3), dtype=torch.float64), "float64")


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # … n m
    return torch.softmax(scores, dim=-1) @ v


def over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-2) @ v


def over_all_pairs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return torch.softmax(scores.flatten(-2), dim=-1).view_as(scores) @ v


def not_divided(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT, dim=-1) @ v


def divided_by_e(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1], dim=-1) @ v


def divided_by_tokens(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / k.shape[-2] ** 0.5, dim=-1) @ v


def divided_after(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT, dim=-1) / q.shape[-1] ** 0.5 @ v


def without_sum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / q.shape[-1] ** 0.5).exp() @ v


def without_exponential(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores / scores.sum(dim=-1, keepdim=True) @ v


def overflowing(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.mT / q.shape[-1] ** 0.5).exp()
    return weights / weights.sum(dim=-1, keepdim=True) @ v


EXERCISES = (
    Exercise(
        id="02.1",
        question="Repair `suspicious`: write softmax attention by (2.1) to (2.3), for (… n e), (… m e), (… m e2).",
        answer=softmax_attention,
        why="Keys are the last axis of the scores, so dim=-1 lets each row, one for each query, sum to 1. With dim=-2 "
        "every key hands out one unit among the queries, and the output is no average. A model with that bug trains, "
        "badly.",
        hints=(
            "Print weights.sum(dim=-1) and weights.sum(dim=-2). Which of them should be 1?",
            "In (2.2) the sum runs over j′, the keys. Which axis of the scores, shape (… n m), holds the keys?",
            "One argument changes: torch.softmax(…, dim=-1).",
        ),
        mistakes=(
            Mistake(
                "your weights sum to 1 over the queries, where each query's should sum to 1 over the keys: the wrong "
                "axis is normalized",
                over_queries,
            ),
            Mistake("your weights sum to 1 over all pairs together: each row needs a sum of its own", over_all_pairs),
            Mistake("your scores are not divided by √e", not_divided),
            Mistake("your scores are divided by e, and not by its root", divided_by_e),
            Mistake(
                "your scores are divided by the root of the number of keys: e is the last axis of q, a head's width",
                divided_by_tokens,
            ),
            Mistake("√e divides your weights: it belongs to the scores, before softmax", divided_after),
            Mistake("your weights are not divided by the sum of their row, so they are no shares", without_sum),
            Mistake("your scores are divided by their sum, without the exponential of (2.2)", without_exponential),
            Mistake(
                "right for small scores, but not for large ones: subtract each row's own largest score before exp, and "
                "clip nothing, or use torch.softmax",
                overflowing,
            ),
        ),
        tries=Tries(attention_cases, gradients=True),
    ),
    Exercise(
        id="02.2",
        question="16 frames become 32, of 289 tokens each: by which factors do the weights grow, joint and divided?",
        answer=(4.0, (289 * 32**2 + 32 * 289**2) / (289 * 16**2 + 16 * 289**2)),
        why="Joint: (32 / 16)² = 4. Divided: (289 · 32² + 32 · 289²) / (289 · 16² + 16 · 289²) ≈ 2.1. With few frames "
        "the spatial part t n² dominates, and that only doubles.",
        hints=(
            "Both come from (2.5): the same formula twice, with t = 16 and t = 32, and n = 289.",
            "Joint: (t n)². Doubling t does what to a square?",
            "Divided: (289 · 32² + 32 · 289²) / (289 · 16² + 16 · 289²).",
        ),
        mistakes=(
            Mistake(
                "divided attention grows a little more than t does: t n² doubles, and n t² grows fourfold", (4.0, 2.0)
            ),
            Mistake("the two are the wrong way round: joint first", (2.105, 4.0)),
            Mistake("joint attention has the square of all tokens, so it grows with the square of t", (2.0, 2.0)),
            Mistake("joint attention has the square of all tokens, so it grows with the square of t", (2.0, 2.105)),
            Mistake("in divided attention only the part n t² grows fourfold; t n² is the larger one", (4.0, 4.0)),
            Mistake("these are shares of the two costs; asked for is how much each grows from 16 to 32", (0.25, 0.475)),
        ),
        tolerance=0.01,
    ),
    Exercise(
        id="02.3",
        question="How many MiB (2²⁰ bytes) does the map of one head take for 16 frames of 289 tokens, in float32?",
        answer=(16 * 289) ** 2 * 4 / 2**20,
        why="All tokens of the clip attend to each other: (16 · 289)² weights of 4 bytes, 81.6 MiB, for one head of "
        "one layer. A fused kernel never stores it.",
        hints=(
            "How many tokens does the clip have, and how many weights has its map?",
            "N = 16 · 289 = 4,624. The map has N² weights of 4 bytes each.",
            "4,624² · 4 / 2²⁰.",
        ),
        mistakes=(
            Mistake("a weight in float32 takes 4 bytes", 4624**2 / 2**20),
            Mistake("a MiB is 2²⁰ bytes: you divide by a million", 4624**2 * 4 / 1e6),
            Mistake("a weight in float32 takes 4 bytes; 8 are for float64", 4624**2 * 8 / 2**20),
            Mistake("that is one number for each token: the map has one for each pair", 4624 * 4 / 2**20),
            Mistake(
                "that is the map of one frame: the tokens of all 16 frames attend to each other", 289**2 * 4 / 2**20
            ),
            Mistake(
                "that is a map for each frame: the tokens of all frames attend to each other", 16 * 289**2 * 4 / 2**20
            ),
            Mistake("that is in bytes", 4624**2 * 4),
        ),
        tolerance=0.01,
    ),
)
