"""Exercises of lesson 05: concentration, and what a map of limited rank can be."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from linvid_edu.attention.feature_maps import identity
from linvid_edu.attention.functions import attention_map

from .exercise import Case, Exercise, Mistake, Trial, draw

# 05.1 effective tokens, averaged over the rows of maps


def weight_cases(generator: Generator) -> Iterator[Case]:
    """Yield weights whose rows do not sum to 1; edge cases contain zeros."""

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
    """Yield tokens N and width d, N a multiple of d."""
    for factor, d in ((4, 2), (2, 8), (5, 3), (8, 4)):
        yield Case((factor * d, d))
    yield Case((6, 6), "as many channels as tokens")
    yield Case((7, 1), "one channel")


def map_of(features: Callable[[int, int], Any], N: int, d: int) -> Any:
    """Return the mean of the diagonal and the smallest row sum of the map of two feature matrices."""
    matrices = [torch.as_tensor(matrix).detach().double() for matrix in features(N, d)]
    shapes = [tuple(matrix.shape) for matrix in matrices]
    if shapes == N * [(d,)] or shapes == N * [(N,)]:
        raise ValueError(f"this is one matrix, but the answer is two: features of queries and of keys, ({N}, {d})")
    if shapes != 2 * [(N, d)]:
        given = " and ".join(map(str, shapes[:3]))
        raise ValueError(f"the answer is two matrices ({N}, {d}), but these are {len(shapes)} arrays: {given}")
    phi_q, phi_k = matrices
    if min(phi_q.min(), phi_k.min()) < 0:
        raise ValueError("a feature is negative")
    A = attention_map(phi_q, phi_k, feature_map=identity, eps=1e-30)
    return torch.stack([A.diagonal().mean(), A.sum(dim=-1).min()])


def grouped(N: int, d: int) -> tuple[Tensor, Tensor]:
    group = torch.arange(N) % d
    features = torch.nn.functional.one_hot(group, d).double()
    return features, features


def on_a_circle(N: int, d: int) -> tuple[Tensor, Tensor]:
    angle = torch.linspace(0, torch.pi / 2, N).unsqueeze(-1)
    features = torch.cat([angle.cos(), angle.sin(), torch.zeros(N, d)], dim=-1)[:, :d].abs() + 1e-9
    return features, features


def signed(N: int, d: int) -> tuple[Tensor, Tensor]:
    return -torch.ones(N, d), -torch.ones(N, d)


EXERCISES = (
    Exercise(
        id="05.1",
        question="Write the mean number of effective tokens over all rows of attention maps: (… n m), rows with any "
        "sum, → one number.",
        answer=mean_effective_tokens,
        why="Each row is divided by its sum, then has its own entropy and its own exp. The mean comes last. "
        "torch.special.entr(p) is −p ln p, and 0 if p is 0.",
        hints=(
            "There are four steps: make each row sum to 1, take its entropy, take exp, take the mean over all rows.",
            "A row is the last axis: sum(dim=-1, keepdim=True). A weight of 0 must add 0 to the entropy, not NaN.",
            "p = weights / weights.sum(dim=-1, keepdim=True), then torch.special.entr(p).sum(dim=-1).exp().mean().",
        ),
        mistakes=(
            Mistake(
                "you forgot to normalize: divide each row by its sum first, so that it sums to 1",
                lambda weights: entropies(weights).exp().mean(),
            ),
            Mistake(
                "your logarithm has base 2, but your exp has base e: use ln, or raise 2 to the entropy in bits", in_bits
            ),
            Mistake(
                "this is the entropy of the mean row: rows that are sharp in different places have a flat mean. "
                "Measure each row, then average",
                of_the_mean_row,
            ),
            Mistake(
                "you averaged the rows of each map before measuring: measure each row first",
                of_the_mean_row_of_each_map,
            ),
            Mistake(
                "you took exp of the mean entropy: take exp of the entropy of each row first, then the mean",
                lambda weights: entropies(shares(weights)).mean().exp(),
            ),
            Mistake("a weight of 0 must add 0: 0 · ln 0 counts as 0, as in torch.special.entr", not_a_number),
            Mistake(
                "your columns sum to 1: the weights of one query are a row, the last axis",
                lambda weights: entropies(shares(weights, -2)).exp().mean(),
            ),
            Mistake(
                "you divide by the sum of a whole map: each row has its own sum",
                lambda weights: entropies(shares(weights, (-2, -1))).exp().mean(),
            ),
            Mistake(
                "exp is missing: this is the mean entropy, in nats", lambda weights: entropies(shares(weights)).mean()
            ),
            Mistake("the minus of the entropy is missing", lambda weights: (-entropies(shares(weights))).exp().mean()),
            Mistake(
                "this is 1 / Σ p², another count of tokens: the exercise asks for exp of the entropy",
                lambda weights: (1 / shares(weights).square().sum(dim=-1)).mean(),
            ),
            Mistake(
                "you apply softmax to weights: they are weights already, so divide by their sum",
                lambda weights: entropies(weights.softmax(dim=-1)).exp().mean(),
            ),
            Mistake(
                "the numbers of the rows are right: the mean over all rows is missing",
                lambda weights: entropies(shares(weights)).exp(),
            ),
            Mistake(
                "this is the sum over all rows: take their mean",
                lambda weights: entropies(shares(weights)).exp().sum(),
            ),
        ),
        trial=Trial(weight_cases, gradients=True),
    ),
    Exercise(
        id="05.2",
        question="A row over 65 tokens has half of its weight on one token, and the rest spread evenly over the other "
        "64. How many effective tokens does it have?",
        answer=16.0,
        why="H = ½ ln 2 + 64 · (1/128) ln 128 = ½ (ln 2 + ln 128) = ½ ln 256, so exp(H) = √256 = 16. So half of the "
        "weight on one token still means sixteen effective tokens.",
        hints=(
            "What are the weights? One is 1/2, and 64 are 1/128. Do they sum to 1?",
            "H = ½ ln 2 + ½ ln 128: each half of the weight contributes half of a logarithm.",
            "½ ln 2 + ½ ln 128 = ½ ln 256. What is exp(½ ln 256)?",
        ),
        mistakes=(
            Mistake("33 is the mean of 1 and 65: average logarithms, not numbers of tokens", 33.0),
            Mistake("32.5 is the mean of 1 and 64: average logarithms, not numbers of tokens", 32.5),
            Mistake(
                "this is exp(½ ln 64): the choice between the one token and the others is missing, ½ ln 2 + ½ ln 2", 8.0
            ),
            Mistake(
                "this is 1 / Σ p², another count of tokens: the exercise asks for exp of the entropy",
                1 / (0.25 + 1 / 256),
            ),
            Mistake("this is the entropy: take exp of it", 2.772589),
            Mistake("this is the entropy in bits: raise 2 to the power of it, or take exp of the entropy in nats", 4.0),
            Mistake("this is exp of an entropy in bits: logarithm and exp need the same base", 54.59815),
            Mistake("only a uniform row has as many effective tokens as tokens", 65.0),
            Mistake("2 is the answer for two tokens with half each: here the other half is spread over 64", 2.0),
            Mistake("the other 64 tokens share one half: each gets 1/128, not 1/64", 2.0**0.5 * 64),
        ),
        tolerance=0.004,
    ),
    Exercise(
        id="05.3",
        question="With N = 64 tokens, head width d = 8 and rows that sum to 1, what is the largest possible rank of "
        "the map of one head, of the mean map of 4 heads, and of the mean map of 12 heads?",
        answer=(8, 29, 64),
        why="Each map is a product through d channels, so its rank is at most 8. Every row sums to 1, so A·1 = 1: all "
        "heads share the direction of ones in their column spaces, and differ in 7 others. The mean of 4 maps has "
        "rank 1 + 4 · 7 = 29 at most. 1 + 12 · 7 = 85 is more than a 64 × 64 map can have.",
        hints=(
            "The rank of a sum of two matrices is at most the sum of their ranks. Dividing by 4 does not change the "
            "rank.",
            "Multiply a map by the vector of ones. Which direction do the column spaces of all heads have in common?",
            "One shared direction, and 7 more for each head. No 64 × 64 matrix has a rank above 64.",
        ),
        mistakes=(
            Mistake(
                "the mean over heads can have more than rank d: each head has its own map of rank d, and ranks add up",
                lambda value: value[:2] == (8, 8),
            ),
            Mistake(
                "32 is the sum of the ranks, a little too much: rows that sum to 1 give A·1 = 1, a direction that all "
                "heads share",
                lambda value: value[1] == 32,
            ),
            Mistake("no 64 × 64 map has a rank above 64", lambda value: value[2] > 64),
            Mistake(
                "you counted all heads in each map: a head has its own map, of rank d at most",
                lambda value: value[0] == 32,
            ),
            Mistake("the head width d = 8 limits the rank of a head's map, far below N", lambda value: value[0] == 64),
            Mistake("dividing the sum by the number of heads does not divide its rank", lambda value: value[1] == 2),
            Mistake(
                "rows that sum to 1 do not lower the rank of one map: d channels give rank d",
                lambda value: value[0] == 7,
            ),
        ),
    ),
    Exercise(
        id="05.4",
        question="Return two nonnegative feature matrices (N d) whose attention map has d/N on its diagonal on "
        "average. N is a multiple of d.",
        answer=grouped,
        why="Put the tokens into d groups, one channel per group. A token then spreads its attention over the N/d "
        "tokens of its group, including itself: d/N each. By (5.6) no map of rank d does better.",
        hints=(
            "With d channels a query can ask for d different things. Let each channel stand for a group of tokens.",
            "If a token attends evenly to its group and to nothing else, and a group has N/d tokens, what weight does "
            "it give itself?",
            "For queries and keys: torch.nn.functional.one_hot(torch.arange(N) % d, d).double()",
        ),
        mistakes=(
            Mistake(
                "some rows sum to 0: every token needs a feature, but torch.eye(N, d) has features for the first d "
                "tokens only",
                lambda N, d: (torch.eye(N, d), torch.eye(N, d)),
            ),
            Mistake(
                "in your map a token gives itself 1/N on average: its rows are all equal, or query and key of a token "
                "are in different groups",
                lambda N, d: (torch.ones(N, d), torch.ones(N, d)),
            ),
            Mistake("your features have N channels: the head width is d", lambda N, d: (torch.eye(N), torch.eye(N))),
            Mistake("your features are (d N): tokens come first, (N d)", lambda N, d: [x.T for x in grouped(N, d)]),
            Mistake("features must not be negative, because weights could be negative, too", signed),
            Mistake(
                "on a circle the largest weight is on the token itself, but hardly larger than the others: set "
                "features to 0 outside a group",
                on_a_circle,
            ),
            Mistake(
                "you return one matrix, perhaps the map: return two, the features of queries and those of keys",
                lambda N, d: torch.eye(N),
            ),
        ),
        trial=Trial(size_cases, use=map_of),
    ),
)
