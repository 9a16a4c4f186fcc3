"""Exercises of lesson 02: softmax attention, and what it costs."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Trial, draw


def attention_cases(generator: Generator) -> Iterator[Case]:
    """Yield queries, keys and values of several shapes, with and without batch axes."""
    for batch, n, m, d, d_v in (((), 5, 7, 4, 3), ((2, 3), 6, 6, 8, 8), ((4,), 3, 9, 2, 5), ((2,), 4, 4, 4, 4)):
        yield Case(draw(generator, (*batch, n, d), (*batch, m, d), (*batch, m, d_v)))
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


def divided_by_d(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
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
        question="Repair `suspicious`: write softmax attention, (2.1) to (2.3), for q (… n d), k (… m d) and v (… m "
        "d_v).",
        answer=softmax_attention,
        why="Keys are the last axis of the scores, so with dim=-1 each row, one per query, sums to 1. With dim=-2 each "
        "key distributes one unit over the queries, and the output is not an average of values. A model with that bug "
        "trains, but badly.",
        hints=(
            "Print weights.sum(dim=-1) and weights.sum(dim=-2). Which of the two should be 1?",
            "In (2.2) the sum runs over j′, the keys. Which axis of the scores (… n m) holds the keys?",
            "One argument changes: torch.softmax(…, dim=-1).",
        ),
        mistakes=(
            Mistake(
                "your weights sum to 1 over the queries, but those of each query should sum to 1 over the keys: you "
                "normalized the wrong axis",
                over_queries,
            ),
            Mistake("your weights sum to 1 over all pairs together: normalize each row by itself", over_all_pairs),
            Mistake("your scores are not divided by √d", not_divided),
            Mistake("your scores are divided by d, not by its square root", divided_by_d),
            Mistake(
                "your scores are divided by the square root of the number of keys: d is the size of the last axis of q",
                divided_by_tokens,
            ),
            Mistake("you divide the weights by √d: divide the scores, before softmax", divided_after),
            Mistake("your weights are not divided by the sum of their row, so they do not sum to 1", without_sum),
            Mistake("your scores are divided by their sum, without the exponential of (2.2)", without_exponential),
            Mistake(
                "right for small scores, but not for large ones: before exp, subtract from each row its largest score, "
                "or use torch.softmax; do not clip",
                overflowing,
            ),
        ),
        trial=Trial(attention_cases, gradients=True),
    ),
    Exercise(
        id="02.2",
        question="A clip grows from 16 to 32 frames of 289 tokens. By which factor does the number of weights grow in "
        "joint and in divided attention?",
        answer=(4.0, (289 * 32**2 + 32 * 289**2) / (289 * 16**2 + 16 * 289**2)),
        why="Joint: (32 / 16)² = 4. Divided: (289 · 32² + 32 · 289²) / (289 · 16² + 16 · 289²) ≈ 2.1. With few frames "
        "the spatial part t n² dominates, and it only doubles.",
        hints=(
            "Both come from (2.5): the same formula twice, with t = 16 and t = 32, and n = 289.",
            "Joint: (t n)². What happens to the square if t doubles?",
            "Divided: (289 · 32² + 32 · 289²) / (289 · 16² + 16 · 289²).",
        ),
        mistakes=(
            Mistake(
                "divided attention grows a little more than t: t n² doubles, but n t² grows by a factor of 4",
                (4.0, 2.0),
            ),
            Mistake("the two are swapped: joint first", (2.105, 4.0)),
            Mistake("joint attention has (t n)² weights, so it grows with the square of t", (2.0, 2.0)),
            Mistake("joint attention has (t n)² weights, so it grows with the square of t", (2.0, 2.105)),
            Mistake(
                "in divided attention only the part n t² grows by a factor of 4; the larger part, t n², doubles",
                (4.0, 4.0),
            ),
            Mistake(
                "these are the old costs as shares of the new ones: give the factor from 16 to 32 frames", (0.25, 0.475)
            ),
        ),
        tolerance=0.01,
    ),
    Exercise(
        id="02.3",
        question="How many MiB (2²⁰ bytes) does the attention map of one head take for 16 frames of 289 tokens in "
        "float32?",
        answer=(16 * 289) ** 2 * 4 / 2**20,
        why="All tokens of the clip attend to each other: (16 · 289)² weights of 4 bytes are 81.6 MiB, for one head of "
        "one layer. A fused kernel never stores this map.",
        hints=(
            "How many tokens does the clip have, and how many weights has its map?",
            "N = 16 · 289 = 4,624. The map has N² weights of 4 bytes each.",
            "4,624² · 4 / 2²⁰.",
        ),
        mistakes=(
            Mistake("a weight in float32 takes 4 bytes", 4624**2 / 2**20),
            Mistake("a MiB is 2²⁰ bytes: you divided by a million", 4624**2 * 4 / 1e6),
            Mistake("a weight in float32 takes 4 bytes; 8 are for float64", 4624**2 * 8 / 2**20),
            Mistake("this is one number for each token: the map has one for each pair of tokens", 4624 * 4 / 2**20),
            Mistake(
                "this is the map of one frame: the tokens of all 16 frames attend to each other", 289**2 * 4 / 2**20
            ),
            Mistake(
                "this is one map for each frame: the tokens of all frames attend to each other", 16 * 289**2 * 4 / 2**20
            ),
            Mistake("this is in bytes", 4624**2 * 4),
        ),
        tolerance=0.01,
    ),
)
