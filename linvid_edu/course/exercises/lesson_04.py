"""Exercises of lesson 04: feature maps and the normalizer."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Tries, draw

# 04.1 ReLU + offset


def offset_cases(generator: Generator) -> Iterator[Case]:
    """Yield tokens of several widths, with the usual offset and with others."""
    for shape in ((5, 8), (2, 3, 6, 4), (7, 2), (3, 5, 16)):
        yield Case((*draw(generator, shape), None))
    yield Case((*draw(generator, (4, 6)), 0.3))
    yield Case((*draw(generator, (9,)), None), "one token alone")
    yield Case((*draw(generator, (5, 1)), None), "heads of width 1")
    yield Case((*draw(generator, (4, 8)), 0.0), "an offset of 0")
    yield Case((-draw(generator, (4, 8))[0].abs(), None), "negative entries only")
    yield Case((*draw(generator, (3, 5), scale=100.0, dtype=torch.float64), None), "float64, large entries")


def usual(x: Tensor, offset: float | None) -> float:
    return float(x.shape[-1] ** -0.5) if offset is None else offset


def relu_plus(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[-1] ** -0.5 if offset is None else offset)


def one_over_e(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (1 / x.shape[-1] if offset is None else offset)


def root_of_e(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[-1] ** 0.5 if offset is None else offset)


def of_the_first_axis(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[0] ** -0.5 if offset is None else offset)


def of_the_tokens(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[-2 if x.ndim > 1 else -1] ** -0.5 if offset is None else offset)


def of_eulers_number(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (torch.e**-0.5 if offset is None else offset)


# 04.2 the denominator


def feature_cases(generator: Generator) -> Iterator[Case]:
    """Yield features, not negative, of several numbers of queries and keys, some small enough for eps to weigh."""
    for batch, n, m, e, eps in (((), 5, 7, 4, 0.2), ((2, 3), 6, 6, 8, 0.5), ((4,), 3, 9, 2, 0.1), ((), 4, 4, 4, 0.0)):
        yield Case((*(x.abs() for x in draw(generator, (*batch, n, e), (*batch, m, e))), eps))
    yield Case((*(x.abs() for x in draw(generator, (5, 4), (6, 4), scale=1e-4)), 1e-6))
    yield Case((*(x.abs() for x in draw(generator, (1, 4), (1, 4))), 1e-6), "one token")
    yield Case((*(x.abs() for x in draw(generator, (2, 3, 1), (2, 5, 1))), 1e-6), "heads of width 1")
    yield Case((torch.zeros(3, 4), draw(generator, (5, 4))[0].abs(), 1e-6), "queries without any feature")
    yield Case(
        (*(x.abs() for x in draw(generator, (4, 6), (5, 6), scale=1e-4, dtype=torch.float64)), 1e-6), "tiny features"
    )


def normalizer(phi_q: Tensor, phi_k: Tensor, eps: float = 1e-6) -> Tensor:
    return phi_q @ phi_k.sum(dim=-2).unsqueeze(-1) + eps


def of_all_rows(phi_q: Tensor, phi_k: Tensor, eps: float = 1e-6) -> Tensor:
    return normalizer(phi_q, phi_k, 0.0).sum(dim=-2, keepdim=True).expand(*phi_q.shape[:-1], 1) + eps


# 04.4 the focused map


def focused_cases(generator: Generator) -> Iterator[Case]:
    """Yield tokens whose first entry is positive, and in edge cases some without any; odd and even powers."""

    def tokens(*shape: int, **options: float | torch.dtype) -> Tensor:
        (x,) = draw(generator, shape, **options)  # type: ignore[arg-type]
        return torch.cat([x[..., :1].abs() + 0.1, x[..., 1:]], dim=-1)

    for shape, power in (((5, 8), 3), ((2, 3, 6, 4), 2), ((7, 5), 4), ((3, 5, 16), 3)):
        yield Case((tokens(*shape), power))
    yield Case((tokens(4, 6), 1), "a power of 1")
    yield Case((tokens(9), 3), "one token alone")
    yield Case((-draw(generator, (4, 8))[0].abs(), 3), "negative entries only")
    yield Case((torch.cat([tokens(2, 5), torch.zeros(2, 5)]), 2), "rows of zeros")
    yield Case((tokens(3, 5, scale=100.0, dtype=torch.float64), 3), "float64, large entries")


def of_length(x: Tensor, length: Tensor) -> Tensor:
    return x * length / x.norm(dim=-1, keepdim=True).clamp(min=1e-30)


def focused(x: Tensor, power: int) -> Tensor:
    positive = torch.relu(x)
    raised = positive**power
    length = positive.norm(dim=-1, keepdim=True)
    return raised * length / raised.norm(dim=-1, keepdim=True).clamp(min=1e-30)


def power_before_relu(x: Tensor, power: int) -> Tensor:
    return of_length(torch.relu(x**power), torch.relu(x).norm(dim=-1, keepdim=True))


def all_before_relu(x: Tensor, power: int) -> Tensor:
    return torch.relu(of_length(x**power, x.norm(dim=-1, keepdim=True)))


def not_rescaled(x: Tensor, power: int) -> Tensor:
    return torch.relu(x) ** power


def of_length_one(x: Tensor, power: int) -> Tensor:
    return of_length(torch.relu(x) ** power, torch.ones_like(x[..., :1]))


def of_the_length_of_x(x: Tensor, power: int) -> Tensor:
    return of_length(torch.relu(x) ** power, x.norm(dim=-1, keepdim=True))


def length_over_everything(x: Tensor, power: int) -> Tensor:
    positive = torch.relu(x)
    return positive**power * positive.norm() / (positive**power).norm().clamp(min=1e-30)


def length_over_tokens(x: Tensor, power: int) -> Tensor:
    positive, axis = torch.relu(x), -2 if x.ndim > 1 else -1
    raised = positive**power
    return raised * positive.norm(dim=axis, keepdim=True) / raised.norm(dim=axis, keepdim=True).clamp(min=1e-30)


def same_sum(x: Tensor, power: int) -> Tensor:
    positive = torch.relu(x)
    raised = positive**power
    return raised * positive.sum(dim=-1, keepdim=True) / raised.sum(dim=-1, keepdim=True).clamp(min=1e-30)


def upside_down(x: Tensor, power: int) -> Tensor:
    positive = torch.relu(x)
    raised = positive**power
    return raised * raised.norm(dim=-1, keepdim=True) / positive.norm(dim=-1, keepdim=True).clamp(min=1e-30)


def not_a_number(x: Tensor, power: int) -> Tensor:
    positive = torch.relu(x)
    raised = positive**power
    return raised * positive.norm(dim=-1, keepdim=True) / raised.norm(dim=-1, keepdim=True)


EXERCISES = (
    Exercise(
        id="04.1",
        question="Write φ(x) = ReLU(x) + offset, entry by entry; the offset is e^(−1/2) unless it is given.",
        answer=relu_plus,
        why="ReLU first, then the constant, so that what ReLU sets to 0 is lifted, too, and no feature is below the "
        "offset. e is the head width, the size of the last axis, whatever stands in front. `offset or …` would take "
        "an offset of 0 for a missing one.",
        hints=(
            "(3.4) has two steps: what happens to x alone, and what is added to the result?",
            "The head width is x.shape[-1]. What is its power −1/2? And when is it needed: when offset is None.",
            "torch.relu(x) + (x.shape[-1] ** -0.5 if offset is None else offset)",
        ),
        mistakes=(
            Mistake(
                "you multiplied by the offset: what ReLU sets to 0 stays 0. Add it",
                lambda x, offset: torch.relu(x) * usual(x, offset),
            ),
            Mistake(
                "you added the offset before ReLU: it moves the kink and lifts nothing. ReLU first",
                lambda x, offset: torch.relu(x + usual(x, offset)),
            ),
            Mistake("your offset is 1/e: it should be one over the square root of e", one_over_e),
            Mistake("your offset is √e: the power is −1/2, one over the root", root_of_e),
            Mistake("you took e from the first axis: the head width is the last one, x.shape[-1]", of_the_first_axis),
            Mistake("you took e from the axis of the tokens: the head width is the last one", of_the_tokens),
            Mistake(
                "you raised small entries to the offset (a maximum): the offset is added to all",
                lambda x, offset: x.clamp(min=usual(x, offset)),
            ),
            Mistake(
                "ReLU is missing: entries below −offset make negative features", lambda x, offset: x + usual(x, offset)
            ),
            Mistake("the offset is missing: what ReLU sets to 0 stays 0", lambda x, offset: torch.relu(x)),
            Mistake(
                "you never use the offset that is given: e^(−1/2) is for when it is None",
                lambda x, offset: torch.relu(x) + usual(x, None),
            ),
            Mistake(
                "you take an offset of 0 for a missing one: ask `offset is None`",
                lambda x, offset: torch.relu(x) + (offset or usual(x, None)),
            ),
            Mistake(
                "you subtracted the offset: features below 0 make negative similarities",
                lambda x, offset: torch.relu(x) - usual(x, offset),
            ),
            Mistake("your e is Euler's number: here e is the head width, x.shape[-1]", of_eulers_number),
        ),
        tries=Tries(offset_cases, gradients=True),
    ),
    Exercise(
        id="04.2",
        question="Write the denominator of linear attention for given features: (… n e), (… m e) → (… n 1).",
        answer=normalizer,
        why="Row i is divided by Σ_j φ(q_i)·φ(k_j) + eps = φ(q_i)·Σ_j φ(k_j) + eps. The sum runs over keys and is "
        "taken once for all queries: O((n + m)·e). A sum over queries makes columns sum to 1, not rows.",
        hints=(
            "What is the sum of row i of φ(Q) φ(K)ᵀ? Write it with Σ over the keys j.",
            "φ(q_i) does not depend on j, so it can be pulled out: φ(q_i) · (the sum of all key features).",
            "phi_k.sum(dim=-2) has shape (… e); unsqueeze(-1) makes it a column that phi_q multiplies. Then + eps.",
        ),
        mistakes=(
            Mistake(
                "the rows of your map sum over queries: you normalized the wrong axis",
                lambda phi_q, phi_k, eps: normalizer(phi_k, phi_q, eps),
            ),
            Mistake(
                "you sum the query's own features: the keys must come in",
                lambda phi_q, phi_k, eps: phi_q.sum(dim=-1, keepdim=True) + eps,
            ),
            Mistake(
                "eps is missing: a query without features divides by 0",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, 0.0),
            ),
            Mistake(
                "you use an eps of your own: take the one that is passed",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k),
            ),
            Mistake(
                "you add eps once for each key: it is added once, to the row's sum",
                lambda phi_q, phi_k, eps: (phi_q @ phi_k.mT + eps).sum(dim=-1, keepdim=True),
            ),
            Mistake(
                "you add eps to the key features: it is added once, to the row's sum",
                lambda phi_q, phi_k, eps: phi_q @ (phi_k.sum(dim=-2) + eps).unsqueeze(-1),
            ),
            Mistake(
                "you take eps as a lower bound (a maximum): it is added",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, 0.0).clamp(min=eps),
            ),
            Mistake(
                "you take the mean over the keys: then the output grows with their number. Sum",
                lambda phi_q, phi_k, eps: phi_q @ phi_k.mean(dim=-2).unsqueeze(-1) + eps,
            ),
            Mistake(
                "you return one over it: asked for is what to divide by",
                lambda phi_q, phi_k, eps: 1 / normalizer(phi_q, phi_k, eps),
            ),
            Mistake(
                "the numbers are right, the last axis is missing: (… n 1), or dividing pairs rows wrongly",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, eps).squeeze(-1),
            ),
            Mistake(
                "the numbers are right, lying in a row (… 1 n): one for each query, below each other",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, eps).mT,
            ),
            Mistake(
                "the sum over channels is missing: φ(q)·z is a dot product, one number for a query",
                lambda phi_q, phi_k, eps: phi_q * phi_k.sum(dim=-2, keepdim=True) + eps,
            ),
            Mistake("you sum over all queries as well: each row has a sum of its own", of_all_rows),
            Mistake(
                "something is detached: the gradient must flow through the denominator, too",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k.detach(), eps),
            ),
        ),
        tries=Tries(feature_cases, gradients=True),
    ),
    Exercise(
        id="04.3",
        question="ReLU + offset, e = 4: the weight of a key that equals the query (one entry 4, the others negative) "
        "among 15 keys, the other 14 having negative entries alone.",
        answer=1 / 3,
        why="φ(q) = (4.5, .5, .5, .5), and the match has the same: 4.5² + 3 · .5² = 21. A blank has (.5, .5, .5, .5): "
        ".5 · 6 = 3. So the weight is 21 / (21 + 14 · 3) = 1/3, by (4.6) with ρ = 7.",
        hints=(
            "First the features, with δ = 1/2: of the query, of the match (the same), and of a blank.",
            "Then two similarities: the match's is 4.5² + 3 · .5², a blank's is .5 times the sum of φ(q).",
            "ρ = 21 / 3 = 7, N = 15: put them into (4.6).",
        ),
        mistakes=(
            Mistake("without the offset blanks would get nothing: add 1/2 to every entry after ReLU", 1.0),
            Mistake("14 keys are blanks, not 15: the match is one of the 15 and stands in the sum once", 21 / 66),
            Mistake("that is the similarity of the match: divide by the sum over all keys", 21.0),
            Mistake("that is ρ, how many times as similar the match is as a blank: now (4.6)", 7.0),
            Mistake("that is the weight against one blank: there are 14", 7 / 8),
            Mistake("the query has an offset, too: φ is applied to q and k", 18 / 46),
            Mistake("that is the uniform weight 1/N: the match is more similar than a blank", 1 / 15),
            Mistake("that is the weight of all blanks together: asked for is the match's", 2 / 3),
            Mistake("your offset is 1/e = 1/4: it is one over the root of e, 1/2", 18.25 / (18.25 + 14 * 1.25)),
            Mistake("the sum of the other keys is missing one: the match stands in the denominator, too", 0.5),
        ),
        tolerance=0.004,
    ),
    Exercise(
        id="04.4",
        question="Write the focused map (4.7): ReLU, a power, and the old length back; rows of zeros stay zeros.",
        answer=focused,
        why="ReLU comes first, or an even power would make negative entries positive. Lengths are taken along the last "
        "axis, one for each token. A row that ReLU empties has length 0 before and after, and 0 / 0 is not a number: "
        "clamp(min=1e-30) makes it 0.",
        hints=(
            "Three steps: r = ReLU(x), then r to the power, then a factor that gives each token the length of r.",
            "The length of each token: norm(dim=-1, keepdim=True). The factor: length of r over length of its power.",
            "A row of zeros divides 0 by 0: clamp(min=1e-30) the length that you divide by.",
        ),
        mistakes=(
            Mistake(
                "you raised to the power before ReLU: an even power makes negative entries positive", power_before_relu
            ),
            Mistake("ReLU comes last: r in (4.7) is ReLU(x) already, also where lengths are taken", all_before_relu),
            Mistake("the factor is missing: give the features the length that ReLU(x) had", not_rescaled),
            Mistake("your features have length 1: they should have the length of ReLU(x)", of_length_one),
            Mistake("you take the length of x: it should be that of ReLU(x)", of_the_length_of_x),
            Mistake("you take one length over all tokens: each token has its own, dim=-1", length_over_everything),
            Mistake("you take lengths along the tokens: the last axis holds a token's entries", length_over_tokens),
            Mistake("you keep the sum of the entries: a length is the root of the sum of squares", same_sum),
            Mistake("your factor is upside down: the length of ReLU(x) stands above the fraction bar", upside_down),
            Mistake(
                "a row that ReLU empties must stay zeros, and 0 / 0 is NaN: clamp the length that you divide by",
                not_a_number,
            ),
        ),
        tries=Tries(focused_cases, gradients=True),
    ),
)
