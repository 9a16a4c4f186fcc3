"""Exercises of lesson 13: streaming, attention in constant memory."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from linvid_edu.attention.functions import EPS

from .exercise import Case, Exercise, Mistake, Tries, draw

Stepped = tuple[Tensor, Tensor, Tensor]


def step_cases(generator: Generator) -> Iterator[Case]:
    """Yield states and blocks of several sizes, features being positive."""
    for n, e, e2 in ((5, 4, 4), (7, 3, 6), (1, 8, 2)):
        before_k, block_q, block_k = (part.abs() + 0.1 for part in draw(generator, (9, e), (n, e), (n, e)))
        before_v, v = draw(generator, (9, e2), (n, e2))
        yield Case((before_k.T @ before_v, before_k.sum(dim=0), block_q, block_k, v))
    block_q, block_k = (part.abs() + 0.1 for part in draw(generator, (4, 3), (4, 3)))
    before, block_v = draw(generator, (3, 2), (4, 2))
    yield Case((before, torch.ones(3), block_q * torch.arange(4).unsqueeze(-1), block_k, block_v), "a query of zeros")
    first_q, first_k = (part.abs() + 0.1 for part in draw(generator, (4, 3), (4, 3)))
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
        question="Write one step of (13.2): state (e e2), (e) and a block (n e), (n e), (n e2) → out, new S, new z.",
        answer=step,
        why="The sums take the block in first, S + φ(k)ᵀ v and z + Σ φ(k), and the queries then ask the new sums. So "
        "a frame sees itself in full and everything before it, and both sums are over the same tokens.",
        hints=(
            "Which tokens may a query of this block see? All of them must be in S before you ask it.",
            "Σ_j φ(k_j) v_jᵀ over the block is one product, (e e2); Σ_j φ(k_j) is a sum over its tokens, (e).",
            "S = S + phi_k.T @ v; z = z + phi_k.sum(dim=0); out = phi_q @ S / ((phi_q @ z).unsqueeze(-1) + EPS).",
        ),
        mistakes=(
            Mistake(
                "your queries ask the old sums: a frame must see itself, so add the block before you ask", past_alone
            ),
            Mistake("the past is gone: add the block to the state, do not put it in its place", replaced),
            Mistake("you divide by the old z: S and z must be over the same tokens", old_normalizer),
            Mistake("you divide by the block's own sum: z must hold all that has passed, as S does", own_normalizer),
            Mistake("the output is right, but you return the old state: the next block will miss this one", kept_old),
            Mistake("without EPS a query whose features are all 0 divides 0 by 0", without_eps),
            Mistake("your output is not divided by φ(q) · z, so it is no average", not_divided),
            Mistake("you average over the block: these are sums, so that blocks of any size add up", averaged),
            Mistake(
                "your tokens see only those before them within the block: here a block sees itself in full",
                inside_the_block,
            ),
        ),
        tries=Tries(step_cases, gradients=True),
    ),
    Exercise(
        id="13.2",
        question="All keys are alike. Which share of a query's weight lies on its own frame: the 1st, 4th, 100th?",
        answer=(1.0, 0.25, 0.01),
        why="Each frame that has passed has the same share, and there are as many as frames so far: 1, 1/4, 1/100. The "
        "state has no idea of recent.",
        hints=(
            "With equal keys, which weight does a frame's tokens get, and which those of the frame before?",
            "How many frames are in the sum when the 4th asks, its own among them?",
            "1/1, 1/4, 1/100.",
        ),
        mistakes=(
            Mistake("its own frame is in the sum as well: the 4th frame finds four", (1.0, 1 / 3, 1 / 99)),
            Mistake("its own frame is in the sum as well: the 4th frame finds four", (0.0, 1 / 3, 1 / 99)),
            Mistake("these are the shares of all that came before: asked for is the own frame", (0.0, 0.75, 0.99)),
            Mistake(
                "nothing fades here: older frames keep their weight, so it is 1/m and no power",
                lambda shares: shares[1] == 0.125 and shares[2] < 1e-6,
            ),
            Mistake("it sees itself in full, but not alone: frames that passed are in the sum", (1.0, 1.0, 1.0)),
            Mistake("these count frames; asked for is a share, from 0 to 1", (1, 4, 100)),
        ),
        tolerance=0.01,
    ),
    Exercise(
        id="13.3",
        question="2 blocks of divided attention, 4 heads of width 16, 8 × 8 tokens a frame: how many numbers in all "
        "states?",
        answer=2 * 64 * 4 * (16 * 16 + 16),
        why="2 layers over time · 64 locations · 4 heads · (16² + 16). Layers over space keep nothing.",
        hints=(
            "Which of the two layers of a block looks at frames that have passed?",
            "Over time a token attends to its own location: how many states does such a layer have for one head?",
            "2 · 64 · 4 · (16 · 16 + 16).",
        ),
        mistakes=(
            Mistake("each location has a state of its own: attention over time does not mix locations", 2 * 4 * 272),
            Mistake("z is part of the state: e² + e numbers for each head, not e²", 2 * 64 * 4 * 256),
            Mistake("layers over space see one frame and keep nothing", 4 * 64 * 4 * 272),
            Mistake(
                "that is one block, and there are two; or one head, with layers over space counted",
                64 * 4 * 272,
            ),
            Mistake("each head has a state", 2 * 64 * 272),
            Mistake("heads have width 16 each: a state is (16, 16), not (64, 64)", 2 * 64 * (64 * 64 + 64)),
        ),
    ),
)
