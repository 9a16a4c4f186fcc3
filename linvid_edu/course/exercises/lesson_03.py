"""Exercises of lesson 03: linear attention, the same thing, reordered."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from linvid_edu.attention.feature_maps import relu_offset as feature_map

from .exercise import Case, Exercise, Mistake, Trial, draw
from .lesson_02 import attention_cases

# 03.2 frame by frame

State = tuple[Tensor, Tensor]


def frame_cases(generator: Generator) -> Iterator[Case]:
    """Yield the state and normalizer of earlier frames, with the keys and values of the next frame."""
    for n, d, d_v in ((9, 16, 16), (5, 4, 7), (3, 8, 2)):
        yield Case(draw(generator, (d, d_v), (d,), (n, d), (n, d_v)))
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
    state = phi_k.transpose(-1, -2) @ v  # … d d_v
    normalizer = phi_k.sum(dim=-2)  # … d
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
        question="With d = 64, at how many tokens does the right order need half as many multiplications as the left "
        "one?",
        answer=128,
        why="2 N d² = ½ · 2 N² d gives N = 2d = 128.",
        hints=(
            "Write both costs: the left one is 2 N² d, the right one 2 N d².",
            "Set 2 N d² equal to half of 2 N² d, and divide both sides by N and by d.",
            "What remains is d = N / 2.",
        ),
        mistakes=(
            Mistake("at 64 tokens both need the same number: half as many takes more tokens", 64),
            Mistake("at 32 tokens the right order needs twice as many: its advantage grows with N", 32),
            Mistake("this is d²: one factor d cancels on both sides", 64 * 64),
            Mistake("at 256 tokens the right order needs a quarter", 256),
            Mistake("with fewer tokens than d = 64 the right order needs more, not fewer", lambda n: n < 64),
        ),
    ),
    Exercise(
        id="03.2",
        question="Write add_frame(state, normalizer, k, v), which returns the state S and the normalizer z after one "
        "more frame with k and v (n d).",
        answer=add_frame,
        why="Both are sums over keys, so each frame adds its part. A stream needs d² + d numbers per head, no matter "
        "how long it is. Softmax attention has to keep every key and value that it has seen.",
        hints=(
            "The loop in this lesson does it for one token. A frame has n tokens.",
            "S grows by Σ_j φ(k_j) v_jᵀ, the product of the transposed features and the values.",
            "state + feature_map(k).T @ v, and for the normalizer the sum of feature_map(k) over the tokens.",
        ),
        mistakes=(
            Mistake("your normalizer sums keys, but it should sum features φ(k)", sums_keys),
            Mistake("φ is missing: state and normalizer are sums of features of keys", without_features),
            Mistake("φ is missing in your state: it is the sum of products of features and values", state_of_keys),
            Mistake(
                "you forget the earlier frames: add both sums to the state and normalizer that were passed", forgets
            ),
            Mistake("your normalizer forgets the earlier frames", only_this_frame_counts),
            Mistake("you average over the tokens of a frame, but (3.3) has sums", averages),
            Mistake("your normalizer averages over the tokens of a frame, but (3.3) has a sum", mean_normalizer),
            Mistake(
                "your normalizer counts tokens: it should sum their features, and is a vector of length d",
                counts_tokens,
            ),
            Mistake("your normalizer sums the state: it does not contain the values", sums_state),
            Mistake("your state is transposed: its rows are features, its columns are values", turned),
            Mistake("you apply φ to the values: only queries and keys have features", features_of_values),
            Mistake("the two results are swapped: return the state first", normalizer_first),
        ),
        trial=Trial(frame_cases, gradients=True, may_change=("state", "normalizer")),
    ),
    Exercise(
        id="03.3",
        question="Repair `hasty`: write linear attention (3.3) with φ of (3.4), for q (… n d), k (… m d) and v (… m "
        "d_v).",
        answer=linear_attention,
        why="The weights of a row must sum to 1, not its outputs. Their sum before the division is Σ_j φ(q_i)·φ(k_j) = "
        "φ(q_i)·z, and z needs only the keys.",
        hints=(
            "Call `hasty` with values that are all 1. An average of ones is 1. What does it return?",
            "It divides by the sum of the outputs. Which sum does (3.2) divide by?",
            "The denominator is phi_q @ phi_k.sum(dim=-2).unsqueeze(-1), of shape (… n 1).",
        ),
        mistakes=(
            Mistake(
                "you divide by the sum of the outputs: the weights of a row must sum to 1, not its outputs",
                outputs_sum_to_one,
            ),
            Mistake(
                "your weights sum to 1 over the queries, but those of each query should sum to 1 over the keys",
                over_queries,
            ),
            Mistake("you divide by nothing: the weights of a row must sum to 1", not_normalized),
            Mistake("you divide by the number of keys: the sum of a row depends on its query", divided_by_count),
            Mistake("you divide by the sum of all features: the sum of a row depends on its query", divided_by_keys),
            Mistake(
                "you divide each feature by its sum over the keys, without the query: the sum of a row depends on its "
                "query",
                state_normalized,
            ),
            Mistake("φ is missing on the queries", raw_query),
            Mistake("your denominator sums keys, but it should sum features φ(k)", raw_normalizer),
            Mistake("your φ is ReLU alone: the offset 1/√d of (3.4) is missing", relu_alone),
            Mistake("this is softmax attention, but the exercise asks for (3.3)", of_softmax),
            Mistake(
                "the outputs are right, but your denominator is detached: the gradient must flow through it, too",
                constant_normalizer,
            ),
        ),
        trial=Trial(attention_cases, gradients=True),
    ),
)
