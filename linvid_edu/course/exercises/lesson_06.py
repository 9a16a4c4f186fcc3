"""Exercises of lesson 06: feature fixation."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from linvid_edu.attention.feature_maps import identity, relu_offset
from linvid_edu.attention.functions import linear_attention

from .exercise import Case, Exercise, Mistake, Trial, draw

Pair: TypeAlias = tuple[Tensor, Tensor]


def layer(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return x @ weight.T + bias


def ratios(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return torch.sigmoid(layer(weight, bias, x))


# 06.1 separate fixation


def separate_cases(generator: Generator) -> Iterator[Case]:
    """Yield features of several numbers of queries and keys, with and without batch axes, and two layers."""

    def case(*shapes: tuple[int, ...], name: str = "", **options: float | torch.dtype) -> Case:
        d = shapes[0][-1]
        phi_q, phi_k = (x.abs() for x in draw(generator, *shapes, **options))  # type: ignore[arg-type]
        layers = draw(generator, (d, d), (d,), (d, d), (d,), **options)  # type: ignore[arg-type]
        return Case((phi_q, phi_k, *layers), name)

    yield case((5, 4), (7, 4))
    yield case((2, 3, 6, 8), (2, 3, 6, 8))
    yield case((4, 3, 5), (4, 9, 5))
    yield case((1, 4), (1, 4), name="one token")
    yield case((2, 3, 1), (2, 5, 1), name="heads of width 1")
    yield case((4, 6), (5, 6), name="float64", dtype=torch.float64)


def separate_ratios(
    phi_q: Tensor, phi_k: Tensor, weight_q: Tensor, bias_q: Tensor, weight_k: Tensor, bias_k: Tensor
) -> Pair:
    r_q = torch.sigmoid(phi_q @ weight_q.T + bias_q)
    r_k = torch.sigmoid(phi_k @ weight_k.T + bias_k)
    return r_q, r_k


def not_transposed(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q.T, b_q, q), ratios(w_k.T, b_k, k)


def without_sigmoid(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return layer(w_q, b_q, q), layer(w_k, b_k, k)


def over_channels(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return layer(w_q, b_q, q).softmax(dim=-1), layer(w_k, b_k, k).softmax(dim=-1)


def over_tokens(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return layer(w_q, b_q, q).softmax(dim=-2), layer(w_k, b_k, k).softmax(dim=-2)


def one_layer(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q, b_q, q), ratios(w_q, b_q, k)


def layers_swapped(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_k, b_k, q), ratios(w_q, b_q, k)


def without_bias(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q, 0 * b_q, q), ratios(w_k, 0 * b_k, k)


def bias_outside(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q, 0 * b_q, q) + b_q, ratios(w_k, 0 * b_k, k) + b_k


def reweighted(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q, b_q, q) * q, ratios(w_k, b_k, k) * k


def phi_twice(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q, b_q, relu_offset(q)), ratios(w_k, b_k, relu_offset(k))


def key_first(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_k, b_k, k), ratios(w_q, b_q, q)


def detached(q: Tensor, k: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Pair:
    return ratios(w_q, b_q, q.detach()), ratios(w_k, b_k, k.detach())


# 06.2 cooperative fixation


def cooperative_cases(generator: Generator) -> Iterator[Case]:
    """Yield queries, keys and values of one or several clips and heads, and two layers that see all three."""

    def case(*shape: int, name: str = "", dtype: torch.dtype | None = None) -> Case:
        d = shape[-1]
        tensors = draw(generator, shape, shape, shape, (d, 3 * d), (d,), (d, 3 * d), (d,), dtype=dtype)
        # small weights keep ratios near 1/2, so that eps, which some answers add, is negligible beside a row's sum
        return Case((*tensors[:3], *(0.3 * weight for weight in tensors[3:])), name)

    yield case(6, 4)
    yield case(2, 3, 5, 8)
    yield case(4, 7, 3)
    yield case(1, 4, name="one token")
    yield case(2, 3, 1, name="heads of width 1")
    yield case(5, 6, name="float64", dtype=torch.float64)


def cooperative_attention(
    q: Tensor, k: Tensor, v: Tensor, weight_q: Tensor, bias_q: Tensor, weight_k: Tensor, bias_k: Tensor
) -> Tensor:
    phi_q, phi_k = relu_offset(q), relu_offset(k)
    x = torch.cat([phi_q, phi_k, v], dim=-1)
    r_q = torch.sigmoid(x @ weight_q.T + bias_q)
    r_k = torch.sigmoid(x @ weight_k.T + bias_k)
    return linear_attention(r_q * phi_q, r_k * phi_k, v, feature_map=identity)


def attend(phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Tensor:
    return linear_attention(phi_q, phi_k, v, feature_map=identity)


def with_ratios(
    use: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
    activation: Callable[[Tensor], Tensor] = torch.sigmoid,
    see: Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]] = lambda q, k, v: (relu_offset(q), relu_offset(k), v),
    layers: Callable[..., Sequence[Tensor]] = lambda *layers: layers,
) -> Callable[..., Tensor]:
    """Return cooperative fixation with another use of the ratios, another σ, another input x, or other layers."""

    def fixed(q: Tensor, k: Tensor, v: Tensor, w_q: Tensor, b_q: Tensor, w_k: Tensor, b_k: Tensor) -> Tensor:
        x = torch.cat(list(see(q, k, v)), dim=-1)
        w_q, b_q, w_k, b_k = layers(w_q, b_q, w_k, b_k)
        return use(q, k, v, activation(layer(w_q, b_q, x)), activation(layer(w_k, b_k, x)))

    return fixed


def after_phi(q: Tensor, k: Tensor, v: Tensor, r_q: Tensor, r_k: Tensor) -> Tensor:
    return attend(r_q * relu_offset(q), r_k * relu_offset(k), v)


def old_denominator(q: Tensor, k: Tensor, v: Tensor, r_q: Tensor, r_k: Tensor) -> Tensor:
    phi_q, phi_k = relu_offset(q), relu_offset(k)
    total = (r_q * phi_q) @ (r_k * phi_k).mT @ v
    return total / ((phi_q @ phi_k.mT).sum(dim=-1, keepdim=True) + 1e-6)


def no_denominator(q: Tensor, k: Tensor, v: Tensor, r_q: Tensor, r_k: Tensor) -> Tensor:
    return (r_q * relu_offset(q)) @ (r_k * relu_offset(k)).mT @ v


EXERCISES = (
    Exercise(
        id="06.1",
        question="Write separate fixation (6.6): r_q comes from φ(q) and r_k from φ(k), each with its own layer.",
        answer=separate_ratios,
        why="If tokens are rows, W φ becomes φ Wᵀ. σ works entry by entry: each ratio is independent, and the ratios "
        "of a token need not have a fixed sum. The layer has no axis for heads, so all heads share it.",
        hints=(
            "Start with one token: W_q φ(q) + b_q has d entries, and σ, torch.sigmoid, applies to each of them.",
            "For all tokens, which are rows (… n d), W φ becomes phi_q @ weight_q.T. The keys have their own layer.",
            "return torch.sigmoid(phi_q @ weight_q.T + bias_q), torch.sigmoid(phi_k @ weight_k.T + bias_k)",
        ),
        mistakes=(
            Mistake("W is not transposed: tokens are rows, so W φ becomes φ @ W.T", not_transposed),
            Mistake("the sigmoid is missing: a ratio lies between 0 and 1", without_sigmoid),
            Mistake(
                "you took softmax over the channels: then ratios sum to 1, but each ratio is independent. σ is "
                "torch.sigmoid",
                over_channels,
            ),
            Mistake("you took softmax over the tokens: each ratio is independent, so use torch.sigmoid", over_tokens),
            Mistake("you used the query's layer for the keys, too: they have their own W_k and b_k", one_layer),
            Mistake("the layers are swapped: W_q belongs to φ(q), W_k to φ(k)", layers_swapped),
            Mistake("the bias is missing", without_bias),
            Mistake("the bias is added after σ: add it to W φ, before σ", bias_outside),
            Mistake("these are the reweighted features r ∘ φ: return only the ratios", reweighted),
            Mistake("φ is applied twice: phi_q and phi_k are already features", phi_twice),
            Mistake("the ratios are in the wrong order: return r_q first, then r_k", key_first),
            Mistake("something is detached: the gradient must flow through the features, too", detached),
        ),
        trial=Trial(separate_cases, gradients=True),
    ),
    Exercise(
        id="06.2",
        question="Write cooperative fixation, from raw q, k, v to the outputs: apply φ, compute the ratios (6.7), "
        "reweight the features (6.1), attend.",
        answer=cooperative_attention,
        why="φ comes first, both for x and for the reweighted features. x = [φ(q); φ(k); v] holds the raw v, and both "
        "layers see all of x. r ∘ φ goes into linear attention without another φ, which would add back the offset that "
        "a ratio has reduced.",
        hints=(
            "There are four steps: φ of q and k; both ratios from x; ratios times features; linear attention.",
            "x = torch.cat([phi_q, phi_k, v], dim=-1), r_q = torch.sigmoid(x @ weight_q.T + bias_q), and r_k likewise.",
            "return linear_attention(r_q * phi_q, r_k * phi_k, v, feature_map=identity)",
        ),
        mistakes=(
            Mistake(
                "r is applied before φ: φ(r ∘ q) does not change the offset. Multiply the features, r ∘ φ(q)",
                with_ratios(lambda q, k, v, r_q, r_k: linear_attention(r_q * q, r_k * k, v)),
            ),
            Mistake(
                "φ is applied twice: its inputs are already features, so call linear_attention with "
                "feature_map=identity",
                with_ratios(lambda q, k, v, r_q, r_k: linear_attention(r_q * relu_offset(q), r_k * relu_offset(k), v)),
            ),
            Mistake(
                "r is applied to the output: apply it to the features, before the product",
                with_ratios(lambda q, k, v, r_q, r_k: r_q * linear_attention(q, k, v)),
            ),
            Mistake(
                "you gate the values by r_k, which is another method: multiply φ(q) and φ(k) by the ratios",
                with_ratios(lambda q, k, v, r_q, r_k: linear_attention(q, k, r_k * v)),
            ),
            Mistake("the sigmoid is missing: a ratio lies between 0 and 1", with_ratios(after_phi, identity)),
            Mistake(
                "you took softmax over the channels instead of σ: each ratio is independent",
                with_ratios(after_phi, lambda x: x.softmax(dim=-1)),
            ),
            Mistake(
                "the query's layer computes both ratios: r_k has its own W_k and b_k",
                with_ratios(after_phi, layers=lambda w_q, b_q, w_k, b_k: (w_q, b_q, w_q, b_q)),
            ),
            Mistake(
                "the layers are swapped: r_q comes from W_q, r_k from W_k",
                with_ratios(after_phi, layers=lambda w_q, b_q, w_k, b_k: (w_k, b_k, w_q, b_q)),
            ),
            Mistake(
                "the bias is missing",
                with_ratios(after_phi, layers=lambda w_q, b_q, w_k, b_k: (w_q, 0 * b_q, w_k, 0 * b_k)),
            ),
            Mistake(
                "x holds the raw q and k: in (6.7) it holds φ(q) and φ(k)",
                with_ratios(after_phi, see=lambda q, k, v: (q, k, v)),
            ),
            Mistake(
                "x holds φ(v): use the raw v",
                with_ratios(after_phi, see=lambda q, k, v: (relu_offset(q), relu_offset(k), relu_offset(v))),
            ),
            Mistake(
                "the order in x is wrong: in (6.7) it is query, key, value",
                with_ratios(after_phi, see=lambda q, k, v: (relu_offset(k), relu_offset(q), v)),
            ),
            Mistake(
                "the keys are not reweighted: multiply φ(k) by r_k",
                with_ratios(lambda q, k, v, r_q, r_k: attend(r_q * relu_offset(q), relu_offset(k), v)),
            ),
            Mistake(
                "the queries are not reweighted: multiply φ(q) by r_q",
                with_ratios(lambda q, k, v, r_q, r_k: attend(relu_offset(q), r_k * relu_offset(k), v)),
            ),
            Mistake(
                "the rows do not sum to 1: the denominator has to be reweighted, too", with_ratios(old_denominator)
            ),
            Mistake("the denominator is missing: outputs must be averages of the values", with_ratios(no_denominator)),
            Mistake(
                "fixation is missing: this is plain linear attention",
                lambda q, k, v, w_q, b_q, w_k, b_k: linear_attention(q, k, v),
            ),
            Mistake(
                "φ is missing: you have r ∘ q instead of r ∘ φ(q)",
                with_ratios(lambda q, k, v, r_q, r_k: attend(r_q * q, r_k * k, v)),
            ),
        ),
        trial=Trial(cooperative_cases, gradients=True),
    ),
    Exercise(
        id="06.3",
        question="A row of weights is (.4, .3, .2, .1). What is the weight on key 0 after all ratios of (a) the query, "
        "(b) all keys, (c) only key 0 are multiplied by 1/2?",
        answer=(0.4, 0.4, 0.25),
        why="In (a) and (b) the factor multiplies every similarity of the row and cancels in the division, (6.4). In "
        "(c) the row becomes (.2, .3, .2, .1), which sums to .8, and .2 / .8 = .25, (6.5).",
        hints=(
            "Multiply the similarities first, then divide by the new sum of the row. How does each sum change?",
            "In (a) and (b) every similarity of the row is halved, and so is the sum. In (c) only one similarity is "
            "halved.",
            "(c): the row is (.2, .3, .2, .1) before the division, and sums to .8.",
        ),
        mistakes=(
            Mistake(
                "the row has to be divided by its new sum: then the factor in (a) and (b) cancels", (0.2, 0.2, 0.2)
            ),
            Mistake("(a) and (b) are right. In (c) the row (.2, .3, .2, .1) has to sum to 1 again", (0.4, 0.4, 0.2)),
            Mistake("a factor on one key multiplies only one similarity, so it does not cancel", (0.4, 0.4, 0.4)),
            Mistake("a factor on the query multiplies every similarity of its row, so it cancels", (0.2, 0.4, 0.25)),
            Mistake("a factor on all keys multiplies every similarity of the row, so it cancels", (0.4, 0.2, 0.25)),
            Mistake("in (a) and (b) all similarities of the row share the factor, so it cancels", (0.2, 0.2, 0.25)),
            Mistake(
                "in (c) you halved the other keys: the weight of key 0 has to become smaller", (0.4, 0.4, 0.4 / 0.7)
            ),
        ),
        tolerance=0.004,
    ),
    Exercise(
        id="06.4",
        question="A matching key is 7 times as similar as each of 63 blank keys. Its ratios are 1, those of the blank "
        "keys are r. Which r gives the match half of the weight?",
        answer=1 / 9,
        why="By (6.2) r multiplies the similarity of each blank key, so together they have 63 r and the match has 7. "
        "The match has half of the weight if 63 r = 7, so r = 1/9.",
        hints=(
            "Take the similarity of a blank key without fixation as 1. What is the sum over all blank keys, with r and "
            "without?",
            "The match has 7, the blank keys have 63 r. The weight on the match is 7 / (7 + 63 r).",
            "7 / (7 + 63 r) = 1/2 means 63 r = 7.",
        ),
        mistakes=(
            Mistake(
                "the match is 7 times as similar as a blank key, so all blank keys together may have 7, not 1", 1 / 63
            ),
            Mistake("there are 63 blank keys: the match is not one of them", 7 / 64),
            Mistake("half of the weight means that all blank keys together have as much as the match: 63 r = 7", 1 / 7),
            Mistake("this is upside down: a ratio lies between 0 and 1", 9.0),
            Mistake("r multiplies each similarity once: the ratios of the query are the same for all keys", 1 / 3),
            Mistake(
                "half of the ratio is not half of the weight: with r = 1/2, 63 blank keys have 31.5 and the match has "
                "7",
                0.5,
            ),
            Mistake("this is the weight of the match without fixation, 7 / (7 + 63): give r", 0.1),
            Mistake("with r = 0 the match gets all of the weight: it should get half", 0),
        ),
        tolerance=0.004,
    ),
)
