"""Exercises of lesson 03: linear attention, the same thing, reordered."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from linvid_edu.attention.feature_maps import relu_offset as feature_map

from .exercise import Case, Exercise, Mistake, Tries, draw
from .lesson_02 import attention_cases

# 03.2 frame by frame

State = tuple[Tensor, Tensor]


def frame_cases(generator: Generator) -> Iterator[Case]:
    """Yield a state and a normalizer, as of frames before, with keys and values of one frame more."""
    for n, e, e2 in ((9, 16, 16), (5, 4, 7), (3, 8, 2)):
        yield Case(draw(generator, (e, e2), (e,), (n, e), (n, e2)))
    yield Case((torch.zeros(4, 4), torch.zeros(4), *draw(generator, (6, 4), (6, 4))), "the first frame")
    yield Case(draw(generator, (4, 3), (4,), (1, 4), (1, 3)), "a frame of one token")
    yield Case(draw(generator, (5, 3), (5,), (6, 5), (6, 3), dtype=torch.float64), "float64")


def add_frame(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v, normalizer + feature_map(k).sum(dim=0)


def sums_keys(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v, normalizer + k.sum(dim=0)


def without_features(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + k.T @ v, normalizer + k.sum(dim=0)


def state_of_keys(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + k.T @ v, normalizer + feature_map(k).sum(dim=0)


def forgets(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return feature_map(k).T @ v, feature_map(k).sum(dim=0)


def only_this_frame_counts(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v, feature_map(k).sum(dim=0)


def averages(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v / len(k), normalizer + feature_map(k).mean(dim=0)


def mean_normalizer(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v, normalizer + feature_map(k).mean(dim=0)


def counts_tokens(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v, normalizer + len(k)


def sums_state(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ v, normalizer + (feature_map(k).T @ v).sum(dim=1)


def turned(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + (v.T @ feature_map(k)).reshape(state.shape), normalizer + feature_map(k).sum(dim=0)


def features_of_values(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    return state + feature_map(k).T @ feature_map(v), normalizer + feature_map(k).sum(dim=0)


def normalizer_first(state: Tensor, normalizer: Tensor, k: Tensor, v: Tensor) -> State:
    new_state, new_normalizer = add_frame(state, normalizer, k, v)
    return new_normalizer, new_state


# 03.3 the whole of it


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_q, phi_k = feature_map(q), feature_map(k)
    state = phi_k.transpose(-1, -2) @ v  # … e e2
    normalizer = phi_k.sum(dim=-2)  # … e
    return phi_q @ state / (phi_q @ normalizer.unsqueeze(-1))


def outputs_sum_to_one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed = feature_map(q) @ (feature_map(k).mT @ v)
    return mixed / mixed.sum(dim=-1, keepdim=True)


def over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    similarity = feature_map(q) @ feature_map(k).mT
    return similarity / similarity.sum(dim=-2, keepdim=True) @ v


def not_normalized(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return feature_map(q) @ (feature_map(k).mT @ v)


def divided_by_count(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return not_normalized(q, k, v) / k.shape[-2]


def divided_by_keys(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_q, phi_k = feature_map(q), feature_map(k)
    return phi_q @ (phi_k.mT @ v) / phi_k.sum(dim=(-1, -2), keepdim=True)


def state_normalized(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_k = feature_map(k)
    return feature_map(q) @ ((phi_k / phi_k.sum(dim=-2, keepdim=True)).mT @ v)


def raw_query(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_k = feature_map(k)
    return q @ (phi_k.mT @ v) / (q @ phi_k.sum(dim=-2).unsqueeze(-1))


def raw_normalizer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_q = feature_map(q)
    return phi_q @ (feature_map(k).mT @ v) / (phi_q @ k.sum(dim=-2).unsqueeze(-1))


def relu_alone(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_q, phi_k = torch.relu(q), torch.relu(k)
    return phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(dim=-2).unsqueeze(-1) + 1e-6)


def of_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1) @ v


def constant_normalizer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    phi_q, phi_k = feature_map(q), feature_map(k)
    return phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(dim=-2).unsqueeze(-1)).detach()


EXERCISES = (
    Exercise(
        id="03.1",
        question="For e = 64, at how many tokens does the right order take half as many multiplications as the left "
        "one?",
        answer=128,
        why="2 N e² = ½ · 2 N² e gives N = 2e = 128.",
        hints=(
            "Write both costs: the left one is 2 N² e, the right one 2 N e².",
            "Set 2 N e² equal to half of 2 N² e, and divide both sides by N and by e.",
            "What remains is e = N / 2.",
        ),
        mistakes=(
            Mistake("there both take the same: half as many needs more tokens", 64),
            Mistake("there the right order takes twice as many: the lead grows with N", 32),
            Mistake("that is e²: one factor e cancels on both sides", 64 * 64),
            Mistake("there the right order takes a quarter", 256),
            Mistake("with fewer tokens than e = 64 the right order takes more, not fewer", lambda n: n < 64),
        ),
    ),
    Exercise(
        id="03.2",
        question="Write add_frame(state, normalizer, k, v): state S and normalizer z after one more frame, k and v (n "
        "e).",
        answer=add_frame,
        why="Both are sums over keys, so a frame adds its own part. The memory of a stream is e² + e numbers a head, "
        "however long it runs; softmax attention would have to keep every key and value it has seen.",
        hints=(
            "The loop of this lesson does it for one token. A frame has n of them.",
            "S grows by Σ_j φ(k_j) v_jᵀ, a product of the features, transposed, and the values.",
            "state + feature_map(k).T @ v, and for the normalizer the sum of feature_map(k) over the tokens.",
        ),
        mistakes=(
            Mistake("your normalizer sums keys, where it should sum features φ(k)", sums_keys),
            Mistake("φ is missing: state and normalizer are sums of features of keys", without_features),
            Mistake("φ is missing in your state: it sums products of features and values", state_of_keys),
            Mistake("you forget the frames before: both must be added to what was passed", forgets),
            Mistake("your normalizer forgets the frames before", only_this_frame_counts),
            Mistake("you average over the tokens of a frame: (3.3) has sums", averages),
            Mistake("your normalizer averages over the tokens of a frame: (3.3) has a sum", mean_normalizer),
            Mistake("your normalizer counts tokens: it sums their features, and is a vector of e", counts_tokens),
            Mistake("your normalizer sums the state: the values have no place in it", sums_state),
            Mistake("your state is turned: features along its rows, values along its columns", turned),
            Mistake("φ belongs to queries and keys: the values stay as they are", features_of_values),
            Mistake("the two results are exchanged: the state first", normalizer_first),
        ),
        tries=Tries(frame_cases, gradients=True, may_change=("state", "normalizer")),
    ),
    Exercise(
        id="03.3",
        question="Repair `hasty`: write linear attention (3.3) with φ of (3.4), for (… n e), (… m e), (… m e2).",
        answer=linear_attention,
        why="A row of weights must sum to 1, not a row of outputs. Its sum is Σ_j φ(q_i)·φ(k_j) = φ(q_i)·z, and z is "
        "known once all keys have been read.",
        hints=(
            "Give `hasty` values that are all 1. An average of ones is 1: what does it return?",
            "It divides by the sum of the outputs. By which sum should it divide, in (3.2)?",
            "The denominator is phi_q @ phi_k.sum(dim=-2).unsqueeze(-1), of shape (… n 1).",
        ),
        mistakes=(
            Mistake(
                "you divide by the sum of the outputs: it is the weights of a row that sum to 1", outputs_sum_to_one
            ),
            Mistake(
                "your weights sum to 1 over the queries, where each query's should sum to 1 over the keys", over_queries
            ),
            Mistake("nothing is divided: the weights of a row must sum to 1", not_normalized),
            Mistake("you divide by the number of keys: the sum of a row depends on its query", divided_by_count),
            Mistake("you divide by the sum of all features: the sum of a row depends on its query", divided_by_keys),
            Mistake(
                "you divide each feature by its sum over the keys, before the query comes in: the sums do not match",
                state_normalized,
            ),
            Mistake("φ is missing on the queries", raw_query),
            Mistake("your denominator sums keys, where it should sum features φ(k)", raw_normalizer),
            Mistake("your φ is ReLU alone: the offset e^(−1/2) of (3.4) is missing", relu_alone),
            Mistake("that is softmax attention, and this asks for (3.3)", of_softmax),
            Mistake(
                "the outputs are right, but your denominator is detached: it has a gradient, too", constant_normalizer
            ),
        ),
        tries=Tries(attention_cases, gradients=True),
    ),
)
