"""Exercises of lesson 05: concentration, and what a map of limited rank can be."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from linvid_edu.attention.feature_maps import identity
from linvid_edu.attention.functions import attention_map

from .exercise import Case, Exercise, Mistake, Tries, draw

# 05.1 effective tokens, averaged over the rows of maps


def weight_cases(generator: Generator) -> Iterator[Case]:
    """Yield weights whose rows do not sum to 1, and in edge cases some that are 0."""

    def weights(*shape: int, **options: Any) -> Tensor:
        return draw(generator, shape, **options)[0].exp()

    for shape in ((5, 7), (2, 3, 6, 4), (4, 9, 9), (3, 12)):
        yield Case((weights(*shape),))
    yield Case((weights(2, 4, 4) * torch.eye(4),), "rows with all weight on one token")
    yield Case((weights(3, 5) * torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]),), "some weights of 0")
    yield Case((weights(4, 1),), "one token")
    yield Case((torch.ones(3, 8),), "uniform attention")
    yield Case((weights(3, 5, scale=3.0, dtype=torch.float64),), "float64")


def entropies(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(dim=-1)


def shares(weights: Tensor, dim: Any = -1) -> Tensor:
    return weights / weights.sum(dim=dim, keepdim=True)


def mean_effective_tokens(weights: Tensor) -> Tensor:
    p = weights / weights.sum(dim=-1, keepdim=True)
    return torch.special.entr(p).sum(dim=-1).exp().mean()


def of_the_mean_row(weights: Tensor) -> Tensor:
    rows = shares(weights).flatten(end_dim=-2)
    return entropies(rows.mean(dim=0)).exp()


def of_the_mean_row_of_each_map(weights: Tensor) -> Tensor:
    return entropies(shares(weights).mean(dim=-2)).exp().mean()


def in_bits(weights: Tensor) -> Tensor:
    return (entropies(shares(weights)) / torch.tensor(2.0).log()).exp().mean()


def not_a_number(weights: Tensor) -> Tensor:
    p = shares(weights)
    return (-(p * p.log()).sum(dim=-1)).exp().mean()


# 05.4 features whose map is as near to the identity as its rank allows


def size_cases(generator: Generator) -> Iterator[Case]:
    """Yield tokens N and width e, N a multiple of e."""
    for factor, e in ((4, 2), (2, 8), (5, 3), (8, 4)):
        yield Case((factor * e, e))
    yield Case((6, 6), "as many channels as tokens")
    yield Case((7, 1), "one channel")


def map_of(features: Callable[[int, int], Any], N: int, e: int) -> Any:
    """Return the mean of the diagonal and the smallest row sum of the map of two feature matrices."""
    found = [torch.as_tensor(each).detach().double() for each in features(N, e)]
    shapes = [tuple(each.shape) for each in found]
    if shapes == N * [(e,)] or shapes == N * [(N,)]:
        raise ValueError(f"that is one matrix; asked for are two, features of queries and of keys, ({N}, {e})")
    if shapes != 2 * [(N, e)]:
        words = " and ".join(map(str, shapes[:3]))
        raise ValueError(f"asked for are two matrices ({N}, {e}), these are {len(shapes)} arrays: {words}")
    phi_q, phi_k = found
    if min(phi_q.min(), phi_k.min()) < 0:
        raise ValueError("a feature is negative")
    A = attention_map(phi_q, phi_k, feature_map=identity, eps=1e-30)
    return torch.stack([A.diagonal().mean(), A.sum(dim=-1).min()])


def grouped(N: int, e: int) -> tuple[Tensor, Tensor]:
    group = torch.arange(N) % e
    features = torch.nn.functional.one_hot(group, e).double()
    return features, features


def on_a_circle(N: int, e: int) -> tuple[Tensor, Tensor]:
    angle = torch.linspace(0, torch.pi / 2, N).unsqueeze(-1)
    features = torch.cat([angle.cos(), angle.sin(), torch.zeros(N, e)], dim=-1)[:, :e].abs() + 1e-9
    return features, features


def signed(N: int, e: int) -> tuple[Tensor, Tensor]:
    return -torch.ones(N, e), -torch.ones(N, e)


EXERCISES = (
    Exercise(
        id="05.1",
        question="Write the mean effective tokens of all rows of maps: (… n m), rows of any sum, → one number.",
        answer=mean_effective_tokens,
        why="Each row becomes shares that sum to 1, gets its own entropy and its own exp, and only then comes the "
        "mean. torch.special.entr(p) is −p ln p, and 0 where p is 0.",
        hints=(
            "Four steps: make each row sum to 1, its entropy, exp of that, the mean over all rows.",
            "The rows lie along the last axis: sum(dim=-1, keepdim=True). A weight of 0 must add 0, not NaN.",
            "p = weights / weights.sum(dim=-1, keepdim=True), then torch.special.entr(p).sum(dim=-1).exp().mean().",
        ),
        mistakes=(
            Mistake(
                "you forgot to normalize: divide each row by its sum first, or p are no shares",
                lambda weights: entropies(weights).exp().mean(),
            ),
            Mistake("your logarithm has base 2 and your exp base e: take ln, or 2 to the power of the bits", in_bits),
            Mistake(
                "that is the entropy of the mean row: rows that are sharp in different places average to a flat one. "
                "Measure each row, then average",
                of_the_mean_row,
            ),
            Mistake(
                "you averaged the rows of each map before measuring: measure each row first",
                of_the_mean_row_of_each_map,
            ),
            Mistake(
                "you took exp of the mean entropy: exp of each row's entropy first, then the mean",
                lambda weights: entropies(shares(weights)).mean().exp(),
            ),
            Mistake("a weight of 0 must add 0: 0 · ln 0 counts as 0, as in torch.special.entr", not_a_number),
            Mistake(
                "your columns sum to 1: a row holds the weights of one query, on the last axis",
                lambda weights: entropies(shares(weights, -2)).exp().mean(),
            ),
            Mistake(
                "you divide by the sum of a whole map: each row has a sum of its own",
                lambda weights: entropies(shares(weights, (-2, -1))).exp().mean(),
            ),
            Mistake(
                "exp is missing: that is the mean entropy, in nats", lambda weights: entropies(shares(weights)).mean()
            ),
            Mistake("the minus of the entropy is missing", lambda weights: (-entropies(shares(weights))).exp().mean()),
            Mistake(
                "that is 1 / Σ p², another count of tokens: asked for is exp of the entropy",
                lambda weights: (1 / shares(weights).square().sum(dim=-1)).mean(),
            ),
            Mistake(
                "you put softmax over weights: they are weights already, divide by their sum",
                lambda weights: entropies(weights.softmax(dim=-1)).exp().mean(),
            ),
            Mistake(
                "the numbers are right, one for each row: the mean over all rows is missing",
                lambda weights: entropies(shares(weights)).exp(),
            ),
            Mistake(
                "that is the sum over all rows: asked for is their mean",
                lambda weights: entropies(shares(weights)).exp().sum(),
            ),
        ),
        tries=Tries(weight_cases, gradients=True),
    ),
    Exercise(
        id="05.2",
        question="The effective tokens of a row over 65 tokens: half on one, the rest spread evenly over the other 64.",
        answer=16.0,
        why="H = ½ ln 2 + 64 · (1/128) ln 128 = ½ (ln 2 + ln 128) = ½ ln 256, so exp(H) = √256 = 16. Half of the mass "
        "on one token still leaves sixteen.",
        hints=(
            "What are the weights? One of 1/2, and 64 of 1/128. Do they sum to 1?",
            "H = ½ ln 2 + ½ ln 128: each half of the mass brings half of a logarithm.",
            "½ ln 2 + ½ ln 128 = ½ ln 256. And exp(½ ln 256)?",
        ),
        mistakes=(
            Mistake("33 is the mean of 1 and 65: average logarithms, not numbers of tokens", 33.0),
            Mistake("32.5 is the mean of 1 and 64: average logarithms, not numbers of tokens", 32.5),
            Mistake("exp(½ ln 64): the choice between the one token and the others is missing, ½ ln 2 + ½ ln 2", 8.0),
            Mistake("that is 1 / Σ p², another count of tokens: asked for is exp of the entropy", 1 / (0.25 + 1 / 256)),
            Mistake("that is the entropy: take exp of it", 2.772589),
            Mistake("that is the entropy in bits: 2 to the power of it, or exp of the entropy in nats", 4.0),
            Mistake("that is exp of an entropy in bits: logarithm and exp need the same base", 54.59815),
            Mistake("only a uniform row has as many as there are tokens", 65.0),
            Mistake("2 would be two tokens with half each: here the other half is spread over 64", 2.0),
            Mistake("the other 64 share one half: each gets 1/128, not 1/64", 2.0**0.5 * 64),
        ),
        tolerance=0.004,
    ),
    Exercise(
        id="05.3",
        question="N = 64 tokens, head width e = 8: the largest possible rank of the map of one head, of the mean of "
        "the maps of 4 heads, and of the mean of those of 12 heads.",
        answer=(8, 32, 64),
        why="Each map is a product through e channels, so its rank is at most 8. A sum of maps has at most the sum of "
        "their ranks, 4 · 8 = 32: the heads' rows are different mixtures. 12 · 8 = 96 is more than a 64 × 64 map "
        "can have.",
        hints=(
            "The sum of two matrices has at most the sum of their ranks. And dividing by 4 changes no rank.",
            "Put the heads' features beside each other: the mean of 4 maps is a product through 4 · 8 channels.",
            "No matrix of 64 × 64 has a rank above 64.",
        ),
        mistakes=(
            Mistake(
                "the mean over heads need not have rank e: each head brings e rows of its own, and ranks add up",
                lambda value: value[:2] == (8, 8),
            ),
            Mistake("12 · 8 = 96 is more than N: no 64 × 64 map has it", (8, 32, 96)),
            Mistake(
                "you counted all heads in each map: a head has a map of its own, of rank e at most",
                lambda value: value[0] == 32,
            ),
            Mistake("the width e = 8 limits the rank of a head's map, long before N", lambda value: value[0] == 64),
            Mistake("dividing the sum by the number of heads does not divide its rank", lambda value: value[1] == 2),
            Mistake("rows that sum to 1 cost no rank: e channels give rank e", lambda value: value[0] == 7),
        ),
    ),
    Exercise(
        id="05.4",
        question="Return two nonnegative feature matrices (N e) whose map puts e/N on its diagonal on average, for N a "
        "multiple of e.",
        answer=grouped,
        why="Put the tokens into e groups, one channel for each. A token then spreads its attention over the N/e "
        "tokens of its group, itself among them: e/N each. No map of rank e does better, (5.6).",
        hints=(
            "With e channels there are e different things to ask for. Let each channel stand for a group of tokens.",
            "If a token attends evenly to its group alone, and a group has N/e tokens, what does it give itself?",
            "Queries and keys: torch.nn.functional.one_hot(torch.arange(N) % e, e).double()",
        ),
        mistakes=(
            Mistake(
                "some rows sum to 0: every token needs a feature; torch.eye(N, e) serves the first e alone",
                lambda N, e: (torch.eye(N, e), torch.eye(N, e)),
            ),
            Mistake(
                "a token gives itself 1/N on average in yours: rows are all equal, or query and key of a token are not "
                "in one group",
                lambda N, e: (torch.ones(N, e), torch.ones(N, e)),
            ),
            Mistake("your features have N channels: the head width is e", lambda N, e: (torch.eye(N), torch.eye(N))),
            Mistake("your features lie (e N): tokens come first, (N e)", lambda N, e: [x.T for x in grouped(N, e)]),
            Mistake("features must not be negative, or weights can be", signed),
            Mistake(
                "on a circle each token is its own favorite, and hardly more: let features be 0 where a group ends",
                on_a_circle,
            ),
            Mistake(
                "you return one matrix, perhaps the map: asked for are two, the features of queries and those of keys",
                lambda N, e: torch.eye(N),
            ),
        ),
        tries=Tries(size_cases, use=map_of),
    ),
)
