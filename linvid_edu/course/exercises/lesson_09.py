"""Exercises of lesson 09: where does it look?"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Trial, draw

# 09.1 the lift


def map_cases(generator: Generator) -> Iterator[Case]:
    """Yield maps of several frames whose rows need not sum to 1, and masks of an object that moves and changes size."""

    def case(t: int, n: int, *, name: str = "", dtype: torch.dtype | None = None) -> Case:
        maps, places = draw(generator, (t, n, n), (t, n), dtype=dtype)
        largest = places.topk(1 + n // 3, dim=-1).indices
        mask = torch.zeros(t, n, dtype=torch.bool).scatter(1, largest, True)
        mask[0].scatter_(0, largest[0, 1:], False)  # one token in the first frame
        return Case((maps.exp() * (0.5 + places.exp()).unsqueeze(-1), mask), name)

    yield from (case(t, n) for t, n in ((3, 8), (4, 12), (2, 9), (5, 6)))
    yield case(1, 7, name="one frame")
    yield case(3, 1, name="one token in a frame")
    yield case(6, 6, name="as many frames as tokens")
    yield Case((draw(generator, (2, 5, 5))[0].abs(), torch.ones(2, 5, dtype=torch.bool)), "the object is everywhere")
    yield case(3, 8, name="float64", dtype=torch.float64)


def share_of(A: Tensor, mask: Tensor) -> Tensor:
    return mask.to(A.dtype).mean(dim=-1, keepdim=True)


def mass_of(A: Tensor, mask: Tensor) -> Tensor:
    return (A * mask.unsqueeze(1)).sum(dim=-1) / A.sum(dim=-1)


def lift_of_queries(A: Tensor, mask: Tensor) -> Tensor:
    return mass_of(A, mask) / share_of(A, mask)


def mean_on_mask(A: Tensor, mask: Tensor) -> Tensor:
    return mass_of(A, mask) / mask.sum(dim=-1, keepdim=True)


def first_mask(A: Tensor, mask: Tensor) -> Tensor:
    return lift_of_queries(A, mask[:1].expand_as(mask))


def any_frame(A: Tensor, mask: Tensor) -> Tensor:
    return lift_of_queries(A, mask.any(dim=0, keepdim=True).expand_as(mask))


def share_of_all_frames(A: Tensor, mask: Tensor) -> Tensor:
    return mass_of(A, mask) / mask.to(A.dtype).mean()


def masked_queries(A: Tensor, mask: Tensor) -> Tensor:
    return (A * mask.unsqueeze(2)).sum(dim=-1) / A.sum(dim=-1) / share_of(A, mask)


def received(A: Tensor, mask: Tensor) -> Tensor:
    return lift_of_queries(A.mT, mask)


def not_normalized(A: Tensor, mask: Tensor) -> Tensor:
    return (A * mask.unsqueeze(1)).sum(dim=-1) / share_of(A, mask)


def over_all(A: Tensor, mask: Tensor) -> Tensor:
    return (A * mask.unsqueeze(1)).sum(dim=-1) / A.sum() / share_of(A, mask)


def one_per_frame(A: Tensor, mask: Tensor) -> Tensor:
    return lift_of_queries(A, mask).mean(dim=-1)


# 09.2 the deletion curve

Predict = Callable[[Tensor], float]


def curve_cases(generator: Generator) -> Iterator[Case]:
    """Yield a ``predict`` that depends on every token, tokens, attention, and shares that are whole tokens."""

    def case(m: int, counts: Sequence[int], name: str = "") -> Case:
        tokens, weight, attention = draw(generator, (m, 3), (m, 3), (m,))

        def predict(left: Tensor) -> float:
            return float(torch.tanh((torch.as_tensor(left) * weight).sum(dim=-1)).sum() + 2.0)

        return Case((predict, tokens, attention.softmax(dim=0), [count / m for count in counts]), name)

    yield from (case(m, counts) for m, counts in ((20, (0, 2, 5, 10)), (16, (0, 1, 4, 8, 12)), (100, (7, 29, 50))))
    yield case(8, (0,), "nothing is deleted")
    yield case(8, (0, 8), "everything is deleted")
    yield case(12, (9, 3, 6, 3), "shares in no order")
    yield case(1, (0, 1), "one token")


def deletion_curve(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return by_order(predict, tokens, attention.argsort(descending=True), shares)


def by_order(predict: Predict, tokens: Tensor, order: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    curve = []
    for share in shares:
        left = tokens.clone()
        left[order[: round(share * len(tokens))]] = 0
        curve.append(predict(left))
    return tuple(curve)


def least_first(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return by_order(predict, tokens, attention.argsort(), shares)


def kept(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return least_first(predict, tokens, attention, [1 - share for share in shares])


def in_the_order_given(
    predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]
) -> tuple[float, ...]:
    return by_order(predict, tokens, torch.arange(len(tokens)), shares)


def adding_up(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    sums = torch.tensor(list(shares), dtype=torch.float64).cumsum(0).clamp(max=1.0)
    return deletion_curve(predict, tokens, attention, sums.tolist())


def of_what_is_left(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    order, gone = attention.argsort(descending=True), 0
    curve: list[float] = []
    for share in shares:
        gone += round(share * (len(tokens) - gone))
        curve.extend(by_order(predict, tokens, order, [gone / len(tokens)]))
    return tuple(curve)


def never_restored(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return deletion_curve(predict, tokens, attention, [max(shares[: i + 1]) for i in range(len(shares))])


def by_mass(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    weights, order = attention.sort(descending=True)
    before = (weights / weights.sum()).cumsum(0)
    return tuple(
        value
        for share in shares
        for value in by_order(predict, tokens, order, [int((before <= share + 1e-6).sum()) / len(tokens)])
    )


def one_too_many(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return deletion_curve(predict, tokens, attention, [min(share + 1 / len(tokens), 1.0) for share in shares])


def rounded_down(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    whole = [int(share * len(tokens)) / len(tokens) for share in shares]
    return deletion_curve(predict, tokens, attention, whole)


def rounded_up(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    whole = [math.ceil(share * len(tokens)) / len(tokens) for share in shares]
    return deletion_curve(predict, tokens, attention, whole)


def shares_sorted(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return deletion_curve(predict, tokens, attention, sorted(shares))


def rank_as_order(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    return by_order(predict, tokens, attention.argsort(descending=True).argsort(), shares)


def loss_of(predict: Predict, tokens: Tensor, attention: Tensor, shares: Sequence[float]) -> tuple[float, ...]:
    whole = predict(tokens)
    return tuple(whole - value for value in deletion_curve(predict, tokens, attention, shares))


EXERCISES = (
    Exercise(
        id="09.1",
        question="Write the lift of every query from maps (t n n) and masks (t n): the weight on the object in the "
        "query's own frame, divided by the object's share of the tokens there.",
        answer=lift_of_queries,
        why="(A * mask.unsqueeze(1)).sum(-1) is the mass, a sum over the keys of the query's own frame. It is divided "
        "by the sum of the row, which may not be 1, and by the object's share of the frame's tokens. Uniform attention "
        "has a lift of 1.",
        hints=(
            "A row is A[t, i]. Its mass is the sum over all j with mask[t, j]. Which axis of A does the mask belong "
            "to?",
            "mask.unsqueeze(1) is (t 1 n): one mask for each frame, the same for all its queries.",
            "Divide by A.sum(dim=-1), then by the share, mask.float().mean(dim=-1, keepdim=True).",
        ),
        mistakes=(
            Mistake("you take the mean weight on the object: the mass is a sum over its tokens", mean_on_mask),
            Mistake(
                "this is the mass alone: divide it by the share, so that a large object does not look like attention",
                mass_of,
            ),
            Mistake("every frame gets the mask of the first: the object moves, so use mask[t] in frame t", first_mask),
            Mistake("you joined the masks of all frames: the object moves, so each frame has its own mask", any_frame),
            Mistake(
                "your share is over all frames: the object has a different size in each frame", share_of_all_frames
            ),
            Mistake("your mask selects queries: select keys, the last axis", masked_queries),
            Mistake("you sum columns, which is what tokens receive: the weights of a query are a row", received),
            Mistake("some rows do not sum to 1: divide by the sum of each row", not_normalized),
            Mistake("you divide by the sum of all maps: each row has its own sum", over_all),
            Mistake("you average over the queries: return one lift for each query, (t n)", one_per_frame),
            Mistake(
                "you subtract the share: divide by it",
                lambda A, mask: mass_of(A, mask) - share_of(A, mask),
            ),
            Mistake("you multiply by the share: divide by it", lambda A, mask: mass_of(A, mask) * share_of(A, mask)),
            Mistake(
                "your lift is upside down: divide the mass by the share",
                lambda A, mask: share_of(A, mask) / mass_of(A, mask),
            ),
            Mistake(
                "your mask is inverted: it selects everything but the object",
                lambda A, mask: mass_of(A, ~mask) / share_of(A, ~mask),
            ),
        ),
        trial=Trial(map_cases),
    ),
    Exercise(
        id="09.2",
        question="Write the deletion curve: for each share, what predict returns for the tokens if the most attended "
        "share of them is set to 0.",
        answer=deletion_curve,
        why="All shares use one order, that of the original clip, with the most attended token first. Each share "
        "starts from a fresh copy, so 0.2 always means 0.2 of the original tokens.",
        hints=(
            "attention.argsort() puts the least attended first. How do you reverse the order?",
            "A share is round(share * len(tokens)) tokens. Set this many tokens at the start of the order to 0.",
            "In the loop over shares: left = tokens.clone(); left[order[:count]] = 0; curve.append(predict(left))",
        ),
        mistakes=(
            Mistake("you delete the least attended first: argsort(descending=True)", least_first),
            Mistake("you keep the most attended and delete the others: delete the most attended", kept),
            Mistake("you delete in the order of the tokens: sort by attention first", in_the_order_given),
            Mistake(
                "your shares add up: each is a share of the original, not an addition to the one before", adding_up
            ),
            Mistake(
                "you take each share of the tokens that are left: it is a share of the original, so start with a fresh "
                "copy",
                of_what_is_left,
            ),
            Mistake("you sorted the shares: keep them in the given order", shares_sorted),
            Mistake("int() rounds down, and .29 · 100 is 28.99… in floating point: use round()", rounded_down),
            Mistake("ceil() rounds up, and .07 · 100 is 7.0…01 in floating point: use round()", rounded_up),
            Mistake(
                "tokens that one share deleted stay deleted for the next: start from a fresh copy each time",
                never_restored,
            ),
            Mistake("you delete a share of the attention: delete a share of the tokens", by_mass),
            Mistake("you delete one token too many: order[:count] has count tokens", one_too_many),
            Mistake("you use ranks as positions: one argsort gives the tokens in order", rank_as_order),
            Mistake("this is the loss: return what predict returns for the remaining tokens", loss_of),
            Mistake(
                "you remove the rows: predict needs every token in its place, so set them to 0",
                lambda predict, tokens, attention, shares: tuple(
                    predict(tokens[attention.argsort(descending=True)[round(share * len(tokens)) :].sort().values])
                    for share in shares
                ),
            ),
        ),
        trial=Trial(curve_cases),
    ),
    Exercise(
        id="09.3",
        question="Deleting the most attended tenth of the tokens lowers the prediction more than a random tenth. Which "
        "further result is the strongest argument against the claim that the model bases its answer on what it attends "
        "to?",
        answer="b",
        why="Models attend to objects, and objects carry the label. Contrast is a common cause of both. If an order "
        "that does not depend on the model does the same damage, the damage says nothing about this model's attention.",
        hints=(
            "For each result, ask: would you expect it if she is right? And if she is wrong?",
            "Look for an order that does not depend on the attention, but does the same damage.",
            "Contrast does not depend on any model. What do attended tokens and tokens of high contrast have in "
            "common?",
        ),
        mistakes=(
            Mistake("more clips with the same numbers make the result firmer, not weaker", "a"),
            Mistake("tokens without attention can be deleted without harm: this is what she would predict", "c"),
            Mistake(
                "the attention of an untrained model is no better than chance: so hers was learned, which supports her",
                "d",
            ),
        ),
    ),
)
