"""Exercises of lesson 13: streaming, attention in constant memory."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from linvid_edu.attention.functions import EPS

from .exercise import Case, Exercise, Mistake, Trial, draw

Stepped = tuple[Tensor, Tensor, Tensor]


def step_cases(generator: Generator) -> Iterator[Case]:
    """Yield states and blocks of several sizes, with positive features."""
    for n, d, d_v in ((5, 4, 4), (7, 3, 6), (1, 8, 2)):
        before_k, block_q, block_k = (features.abs() + 0.1 for features in draw(generator, (9, d), (n, d), (n, d)))
        before_v, v = draw(generator, (9, d_v), (n, d_v))
        yield Case((before_k.T @ before_v, before_k.sum(dim=0), block_q, block_k, v))
    block_q, block_k = (features.abs() + 0.1 for features in draw(generator, (4, 3), (4, 3)))
    before, block_v = draw(generator, (3, 2), (4, 2))
    yield Case((before, torch.ones(3), block_q * torch.arange(4).unsqueeze(-1), block_k, block_v), "a query of zeros")
    first_q, first_k = (features.abs() + 0.1 for features in draw(generator, (4, 3), (4, 3)))
    yield Case((torch.zeros(3, 2), torch.zeros(3), first_q, first_k, *draw(generator, (4, 2))), "the first block")


def step(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    S, z = S + phi_k.mT @ v, z + phi_k.sum(dim=-2)
    return phi_q @ S / ((phi_q @ z).unsqueeze(-1) + EPS), S, z


def past_alone(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    return phi_q @ S / ((phi_q @ z).unsqueeze(-1) + EPS), S + phi_k.mT @ v, z + phi_k.sum(dim=-2)


def replaced(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    return step(torch.zeros_like(S), torch.zeros_like(z), phi_q, phi_k, v)


def old_normalizer(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    _, new, total = step(S, z, phi_q, phi_k, v)
    return phi_q @ new / ((phi_q @ z).unsqueeze(-1) + EPS), new, total


def own_normalizer(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    _, new, total = step(S, z, phi_q, phi_k, v)
    return phi_q @ new / ((phi_q @ phi_k.sum(dim=-2)).unsqueeze(-1) + EPS), new, total


def kept_old(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    return step(S, z, phi_q, phi_k, v)[0], S, z


def without_eps(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    _, new, total = step(S, z, phi_q, phi_k, v)
    return phi_q @ new / (phi_q @ total).unsqueeze(-1), new, total


def not_divided(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    _, new, total = step(S, z, phi_q, phi_k, v)
    return phi_q @ new, new, total


def averaged(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    return step(S, z, phi_q, phi_k / len(phi_k), v)


def inside_the_block(S: Tensor, z: Tensor, phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Stepped:
    running = S + torch.cumsum(phi_k.unsqueeze(-1) * v.unsqueeze(-2), dim=0)
    totals = z + torch.cumsum(phi_k, dim=0)
    out = (phi_q.unsqueeze(-2) @ running).squeeze(-2) / ((phi_q * totals).sum(dim=-1, keepdim=True) + EPS)
    return out, running[-1], totals[-1]


EXERCISES = (
    Exercise(
        id="13.1",
        question="Write one step of (13.2): a state S (d d_v), z (d) and a block φ(q) (n d), φ(k) (n d), v (n d_v) → "
        "out, new S, new z.",
        answer=step,
        why="The sums take in the block first, S + φ(k)ᵀ v and z + Σ φ(k). Then the queries use the new sums. So a "
        "frame sees all of itself and everything before it, and both sums are over the same tokens.",
        hints=(
            "Which tokens may a query of this block see? All of them must be in S before you use it.",
            "Over the block, Σ_j φ(k_j) v_jᵀ is one product (d d_v), and Σ_j φ(k_j) is a sum over its tokens (d).",
            "S = S + phi_k.T @ v; z = z + phi_k.sum(dim=0); out = phi_q @ S / ((phi_q @ z).unsqueeze(-1) + EPS).",
        ),
        mistakes=(
            Mistake("your queries use the old sums: a frame must see itself, so add the block first", past_alone),
            Mistake("the past is gone: add the block to the state instead of replacing the state", replaced),
            Mistake("you divide by the old z: S and z must be over the same tokens", old_normalizer),
            Mistake("you divide by the block's own sum: z must hold all tokens so far, as S does", own_normalizer),
            Mistake(
                "the output is right, but you return the old state: then this block is missing for the next one",
                kept_old,
            ),
            Mistake("EPS is missing: a query whose features are all 0 divides 0 by 0", without_eps),
            Mistake("your output is not divided by φ(q) · z, so it is not an average", not_divided),
            Mistake("you average over the block: take sums, so that blocks of any size add up", averaged),
            Mistake(
                "your tokens see only the tokens before them in the block: here a token sees its whole block",
                inside_the_block,
            ),
        ),
        trial=Trial(step_cases, gradients=True),
    ),
    Exercise(
        id="13.2",
        question="All keys are equal. Which share of a query's weight is on its own frame, in the 1st, 4th and 100th "
        "frame?",
        answer=(1.0, 0.25, 0.01),
        why="All frames so far have the same share: 1, 1/4, 1/100. The state does not prefer recent frames.",
        hints=(
            "With equal keys, what is the weight of a token of this frame, and of the frame before?",
            "How many frames are in the sum for a query of the 4th frame, including its own?",
            "1/1, 1/4, 1/100.",
        ),
        mistakes=(
            Mistake("its own frame is in the sum, too: at the 4th frame there are four", (1.0, 1 / 3, 1 / 99)),
            Mistake("its own frame is in the sum, too: at the 4th frame there are four", (0.0, 1 / 3, 1 / 99)),
            Mistake("these are the shares of all earlier frames: give the share of its own frame", (0.0, 0.75, 0.99)),
            Mistake(
                "nothing fades here: older frames keep their weight, so the share is 1/t, not a power",
                lambda shares: shares[1] == 0.125 and shares[2] < 1e-6,
            ),
            Mistake("it sees all of itself, but not only itself: earlier frames are in the sum", (1.0, 1.0, 1.0)),
            Mistake("these count frames: give a share between 0 and 1", (1, 4, 100)),
        ),
        tolerance=0.01,
    ),
    Exercise(
        id="13.3",
        question="A model has 2 blocks of divided attention with 4 heads of width 16, and 8 × 8 tokens per frame. How "
        "many numbers do all its states hold?",
        answer=2 * 64 * 4 * (16 * 16 + 16),
        why="2 layers over time · 64 locations · 4 heads · (16² + 16). Layers over space have no state.",
        hints=(
            "Which of the two layers of a block looks at earlier frames?",
            "Over time, a token attends to its own location. How many states does such a layer have for one head?",
            "2 · 64 · 4 · (16 · 16 + 16).",
        ),
        mistakes=(
            Mistake("each location has its own state: attention over time does not mix locations", 2 * 4 * 272),
            Mistake("z is part of the state: d² + d numbers for each head, not d²", 2 * 64 * 4 * 256),
            Mistake("layers over space see one frame and have no state", 4 * 64 * 4 * 272),
            Mistake(
                "this is one block, but there are two; or it is one head, with layers over space counted",
                64 * 4 * 272,
            ),
            Mistake("each head has its own state", 2 * 64 * 272),
            Mistake("heads have width 16 each: a state is (16, 16), not (64, 64)", 2 * 64 * (64 * 64 + 64)),
        ),
    ),
)
