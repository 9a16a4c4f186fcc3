"""Exercises of lesson 04: feature maps and the normalizer."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Trial, draw

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


def one_over_d(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (1 / x.shape[-1] if offset is None else offset)


def root_of_d(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[-1] ** 0.5 if offset is None else offset)


def of_the_first_axis(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[0] ** -0.5 if offset is None else offset)


def of_the_tokens(x: Tensor, offset: float | None = None) -> Tensor:
    return torch.relu(x) + (x.shape[-2 if x.ndim > 1 else -1] ** -0.5 if offset is None else offset)


# 04.2 the denominator


def feature_cases(generator: Generator) -> Iterator[Case]:
    """Yield nonnegative features of several numbers of queries and keys; some are so small that eps matters."""
    for batch, n, m, d, eps in (((), 5, 7, 4, 0.2), ((2, 3), 6, 6, 8, 0.5), ((4,), 3, 9, 2, 0.1), ((), 4, 4, 4, 0.0)):
        yield Case((*(x.abs() for x in draw(generator, (*batch, n, d), (*batch, m, d))), eps))
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
    """Yield tokens with odd and even powers; the first entry is positive, except in some edge cases."""

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
        question="Write φ(x) = ReLU(x) + offset for each entry. The offset is 1/√d if none is given.",
        answer=relu_plus,
        why="ReLU comes first, then the constant. So entries that ReLU sets to 0 are raised, too, and no feature is "
        "below the offset. d is the head width, the size of the last axis, however many axes come before it. `offset "
        "or …` would treat an offset of 0 as missing.",
        hints=(
            "(3.4) has two steps: what happens to x, and what is added to the result?",
            "The head width d is x.shape[-1]. How do you write 1/√d as a power of it? You need it only if offset is "
            "None.",
            "torch.relu(x) + (x.shape[-1] ** -0.5 if offset is None else offset)",
        ),
        mistakes=(
            Mistake(
                "you multiplied by the offset: then entries that ReLU sets to 0 stay 0. Add it",
                lambda x, offset: torch.relu(x) * usual(x, offset),
            ),
            Mistake(
                "you added the offset before ReLU: then entries that ReLU sets to 0 stay 0. Apply ReLU first",
                lambda x, offset: torch.relu(x + usual(x, offset)),
            ),
            Mistake("your offset is 1/d: it should be 1/√d", one_over_d),
            Mistake("your offset is √d: it should be 1/√d", root_of_d),
            Mistake(
                "you took d from the first axis: the head width is the size of the last one, x.shape[-1]",
                of_the_first_axis,
            ),
            Mistake(
                "you took d from the axis of the tokens: the head width is the size of the last one, x.shape[-1]",
                of_the_tokens,
            ),
            Mistake(
                "you took the maximum of each entry and the offset: add the offset to every entry",
                lambda x, offset: x.clamp(min=usual(x, offset)),
            ),
            Mistake(
                "ReLU is missing: entries below −offset give negative features", lambda x, offset: x + usual(x, offset)
            ),
            Mistake("the offset is missing: entries that ReLU sets to 0 stay 0", lambda x, offset: torch.relu(x)),
            Mistake(
                "you ignore the offset that is given: 1/√d is only the default",
                lambda x, offset: torch.relu(x) + usual(x, None),
            ),
            Mistake(
                "you treat an offset of 0 as missing: test `offset is None`",
                lambda x, offset: torch.relu(x) + (offset or usual(x, None)),
            ),
            Mistake(
                "you subtracted the offset: features below 0 give negative similarities",
                lambda x, offset: torch.relu(x) - usual(x, offset),
            ),
        ),
        trial=Trial(offset_cases, gradients=True),
    ),
    Exercise(
        id="04.2",
        question="Write the denominator of linear attention for given features φ(q) (… n d) and φ(k) (… m d) → (… n "
        "1).",
        answer=normalizer,
        why="Row i is divided by Σ_j φ(q_i)·φ(k_j) + eps = φ(q_i)·Σ_j φ(k_j) + eps. The sum over the keys is computed "
        "once for all queries, so the cost is O((n + m)·d). With a sum over queries, columns would sum to 1 instead of "
        "rows.",
        hints=(
            "What is the sum of row i of φ(Q) φ(K)ᵀ? Write it as a sum over the keys j.",
            "φ(q_i) does not depend on j, so you can pull it out of the sum: φ(q_i) · (the sum of all key features).",
            "phi_k.sum(dim=-2) has shape (… d); unsqueeze(-1) makes it a column that phi_q multiplies. Then + eps.",
        ),
        mistakes=(
            Mistake(
                "you sum over queries: you normalized the wrong axis",
                lambda phi_q, phi_k, eps: normalizer(phi_k, phi_q, eps),
            ),
            Mistake(
                "you sum the features of the query itself: the keys are missing",
                lambda phi_q, phi_k, eps: phi_q.sum(dim=-1, keepdim=True) + eps,
            ),
            Mistake(
                "eps is missing: a query whose features are all 0 divides by 0",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, 0.0),
            ),
            Mistake(
                "you use your own eps: use the one that is passed",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k),
            ),
            Mistake(
                "you add eps once for each key: add it once, to the sum of the row",
                lambda phi_q, phi_k, eps: (phi_q @ phi_k.mT + eps).sum(dim=-1, keepdim=True),
            ),
            Mistake(
                "you add eps to the key features: add it once, to the sum of the row",
                lambda phi_q, phi_k, eps: phi_q @ (phi_k.sum(dim=-2) + eps).unsqueeze(-1),
            ),
            Mistake(
                "you use eps as a lower bound: add it instead",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, 0.0).clamp(min=eps),
            ),
            Mistake(
                "you take the mean over the keys, so the output grows with their number: take the sum",
                lambda phi_q, phi_k, eps: phi_q @ phi_k.mean(dim=-2).unsqueeze(-1) + eps,
            ),
            Mistake(
                "you return its inverse: return the denominator itself",
                lambda phi_q, phi_k, eps: 1 / normalizer(phi_q, phi_k, eps),
            ),
            Mistake(
                "the numbers are right, but the last axis is missing: without it, (… n 1), the division pairs the "
                "wrong rows",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, eps).squeeze(-1),
            ),
            Mistake(
                "the numbers are right, but they form a row (… 1 n): they should form a column (… n 1), one number per "
                "query",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k, eps).mT,
            ),
            Mistake(
                "the sum over channels is missing: φ(q)·z is a dot product, one number per query",
                lambda phi_q, phi_k, eps: phi_q * phi_k.sum(dim=-2, keepdim=True) + eps,
            ),
            Mistake("you sum over all queries as well: each row has its own sum", of_all_rows),
            Mistake(
                "something is detached: the gradient must flow through the denominator, too",
                lambda phi_q, phi_k, eps: normalizer(phi_q, phi_k.detach(), eps),
            ),
        ),
        trial=Trial(feature_cases, gradients=True),
    ),
    Exercise(
        id="04.3",
        question="ReLU + offset with d = 4. A key equals the query: one entry is 4, the others are negative. The 14 "
        "other keys have only negative entries. What is the weight of the matching key?",
        answer=1 / 3,
        why="φ(q) = (4.5, .5, .5, .5), and the match has the same features, so their similarity is 4.5² + 3 · .5² = "
        "21. A blank key has (.5, .5, .5, .5), so its similarity is .5 · 6 = 3. The weight is 21 / (21 + 14 · 3) = "
        "1/3, by (4.6) with ρ = 7.",
        hints=(
            "First write down the features with δ = 1/2: those of the query, of the match (the same), and of a blank "
            "key.",
            "Then compute two similarities: 4.5² + 3 · .5² for the match, and .5 times the sum of φ(q) for a blank "
            "key.",
            "Put ρ = 21 / 3 = 7 and N = 15 into (4.6).",
        ),
        mistakes=(
            Mistake("without the offset, blank keys would get nothing: add 1/2 to every entry after ReLU", 1.0),
            Mistake("14 keys are blank, not 15: the match is one of the 15 and appears in the sum once", 21 / 66),
            Mistake("this is the similarity of the match: divide by the sum over all keys", 21.0),
            Mistake("this is ρ, the ratio of the two similarities: now use (4.6)", 7.0),
            Mistake("this is the weight against one blank key: there are 14", 7 / 8),
            Mistake("the query has an offset, too: apply φ to both q and k", 18 / 46),
            Mistake("this is the uniform weight 1/N: the match is more similar than a blank key", 1 / 15),
            Mistake("this is the weight of all blank keys together: give the weight of the match", 2 / 3),
            Mistake("your offset is 1/d = 1/4: it should be 1/√d = 1/2", 18.25 / (18.25 + 14 * 1.25)),
            Mistake("one key is missing in your sum: the match appears in the denominator, too", 0.5),
        ),
        tolerance=0.004,
    ),
    Exercise(
        id="04.4",
        question="Write the focused map (4.7): apply ReLU, raise to a power, and restore the length. Rows of zeros "
        "stay zeros.",
        answer=focused,
        why="ReLU comes first, because an even power would make negative entries positive. Each token has its own "
        "length, along the last axis. A row that ReLU sets to 0 has length 0 before and after the power, and 0 / 0 is "
        "NaN: clamp(min=1e-30) makes the result 0.",
        hints=(
            "There are three steps: r = ReLU(x), then the power of r, then a factor that gives each token the length "
            "of r.",
            "The length of each token is norm(dim=-1, keepdim=True). The factor is the length of r divided by the "
            "length of its power.",
            "A row of zeros divides 0 by 0. Clamp the length that you divide by: clamp(min=1e-30).",
        ),
        mistakes=(
            Mistake("you took the power before ReLU: an even power makes negative entries positive", power_before_relu),
            Mistake(
                "you apply ReLU last: in (4.7) r = ReLU(x) comes first, and the lengths are those of r", all_before_relu
            ),
            Mistake("the factor is missing: give the features the length that ReLU(x) had", not_rescaled),
            Mistake("your features have length 1: give them the length of ReLU(x)", of_length_one),
            Mistake("you take the length of x: take that of ReLU(x)", of_the_length_of_x),
            Mistake(
                "you take one length over all tokens: each token has its own length, dim=-1", length_over_everything
            ),
            Mistake(
                "you take lengths along the tokens: the entries of a token are on the last axis", length_over_tokens
            ),
            Mistake("you keep the sum of the entries: the length is the square root of the sum of squares", same_sum),
            Mistake("your factor is upside down: divide the length of ReLU(x) by that of its power", upside_down),
            Mistake(
                "a row that ReLU sets to 0 must stay zeros, but 0 / 0 is NaN: clamp the length that you divide by",
                not_a_number,
            ),
        ),
        trial=Trial(focused_cases, gradients=True),
    ),
)
