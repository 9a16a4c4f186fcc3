"""Exercises of lesson 09: where does it look?"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Tries, draw

# 09.1 the lift


def map_cases(generator: Generator) -> Iterator[Case]:
    """Yield maps of several frames whose rows need not sum to 1, and an object that moves and changes its size."""

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
    """Yield a prediction that depends on every token, tokens, their attention, and shares that are whole counts."""

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
    found, order = attention.sort(descending=True)
    before = (found / found.sum()).cumsum(0)
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
        question="Write the lift of every query: maps (t n n), masks (t n) → mass on the object of the query's own "
        "frame, as a multiple of its share there.",
        answer=lift_of_queries,
        why="(A * mask.unsqueeze(1)).sum(-1) is the mass, a sum over the keys of the query's own frame; divided by the "
        "row's sum, in case it is not 1, and by the share of the frame's tokens that are the object's. 1 is uniform.",
        hints=(
            "A row is A[t, i]: its mass is a sum over j where mask[t, j]. On which axis of A must the mask stand?",
            "mask.unsqueeze(1) is (t 1 n): the same mask for every query of a frame, another for every frame.",
            "Divide by A.sum(dim=-1), and then by the share, mask.float().mean(dim=-1, keepdim=True).",
        ),
        mistakes=(
            Mistake("you take the mean weight on the object: the mass is a sum over its tokens", mean_on_mask),
            Mistake("that is the mass alone: divide it by the share, or a large object counts as attention", mass_of),
            Mistake("every frame gets the mask of the first: the object moves, use mask[t] in frame t", first_mask),
            Mistake("you joined the masks of all frames: each frame has its own, the object moves", any_frame),
            Mistake("your share is over all frames: the object has another size in each", share_of_all_frames),
            Mistake("your mask stands on the queries: the mass is over the keys, the last axis", masked_queries),
            Mistake("you sum columns, what tokens receive: a query's weights are a row", received),
            Mistake("rows that do not sum to 1 stay so: divide by each row's sum", not_normalized),
            Mistake("you divide by the sum of all maps: each row has a sum of its own", over_all),
            Mistake("you average over the queries: asked for is one lift for each, (t n)", one_per_frame),
            Mistake(
                "you subtract the share: asked for is the mass as a multiple of it",
                lambda A, mask: mass_of(A, mask) - share_of(A, mask),
            ),
            Mistake("you multiply by the share: divide by it", lambda A, mask: mass_of(A, mask) * share_of(A, mask)),
            Mistake("your lift is upside down: mass over share", lambda A, mask: share_of(A, mask) / mass_of(A, mask)),
            Mistake(
                "you look at what is not the object: the mask is inverted",
                lambda A, mask: mass_of(A, ~mask) / share_of(A, ~mask),
            ),
        ),
        tries=Tries(map_cases),
    ),
    Exercise(
        id="09.2",
        question="Write the deletion curve: for each share, what predict says of the tokens without the most attended "
        "share of them.",
        answer=deletion_curve,
        why="One order for all shares, from the original clip, the most attended first. Each share starts from a fresh "
        "copy, so that 0.2 means 0.2 of the original, whatever came before.",
        hints=(
            "attention.argsort() puts the least attended first. How do you turn it around?",
            "How many tokens are a share? round(share * len(tokens)), the first of the order. Set those to 0.",
            "In the loop over shares: left = tokens.clone(); left[order[:count]] = 0; curve.append(predict(left))",
        ),
        mistakes=(
            Mistake("you delete the least attended first: argsort(descending=True)", least_first),
            Mistake("you keep the most attended and delete the others: it is the other way round", kept),
            Mistake("you delete in the order of the tokens: sort by attention first", in_the_order_given),
            Mistake("your shares add up: each is a share of the original, not more on top of the last", adding_up),
            Mistake(
                "you take each share of what is left: it is a share of the original, so start anew", of_what_is_left
            ),
            Mistake("keep the shares in the order in which they are given: you sorted them", shares_sorted),
            Mistake("int() cuts off: .29 · 100 is 28.99… to a computer, so use round()", rounded_down),
            Mistake("ceil() goes too far: .07 · 100 is 7.0…01 to a computer, so use round()", rounded_up),
            Mistake(
                "what one share deleted stays deleted for the next: start from a fresh copy each time", never_restored
            ),
            Mistake("you delete until a share of the attention is gone: it is a share of the tokens", by_mass),
            Mistake("you delete one token too many: order[:count] has count of them", one_too_many),
            Mistake("you use ranks as places: argsort once gives the tokens in order", rank_as_order),
            Mistake("that is what was lost: asked for is what predict says of what is left", loss_of),
            Mistake(
                "you remove the rows: predict needs every token in its place, set them to 0",
                lambda predict, tokens, attention, shares: tuple(
                    predict(tokens[attention.argsort(descending=True)[round(share * len(tokens)) :].sort().values])
                    for share in shares
                ),
            ),
        ),
        tries=Tries(curve_cases),
    ),
    Exercise(
        id="09.3",
        question="Deleting the most attended tenth costs more than a random tenth. Which further result weakens "
        "most that the model bases its answer on what it attends to?",
        answer="b",
        why="Objects are attended to, and objects carry the label: contrast is a common cause. If an order that never "
        "saw the model does the same damage, the damage does not speak of this model's attention.",
        hints=(
            "For each result: would you expect it if she is right? And if she is wrong?",
            "Look for an order that cannot know what the model attends to, and does the same damage.",
            "Contrast has seen no model. What do attended tokens and contrasting tokens have in common?",
        ),
        mistakes=(
            Mistake("more clips with the same numbers make the finding firmer, not weaker", "a"),
            Mistake("what is ignored can go without harm: that is what she would predict", "c"),
            Mistake(
                "an untrained model's attention does no better than chance: so hers was learned, which supports her",
                "d",
            ),
        ),
    ),
)
