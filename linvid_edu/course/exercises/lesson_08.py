"""Exercises of lesson 08: train the compact model."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Optimizer

from linvid_edu.video.batch import Batch

from .exercise import Case, Exercise, Mistake, Trial, draw

# 08.2 one step of training


class Classifier(nn.Module):
    """The smallest possible model with the inputs of the course's models."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(weight.mean(dim=0))

    def forward(self, video: Tensor, readout: Tensor | None = None) -> Tensor:
        """Return the logits, (b classes); each pixel is a token."""
        tokens = video.flatten(2)  # b 3 n
        chosen = torch.ones_like(tokens[:, 0]) if readout is None else readout.flatten(1).to(tokens)
        return (tokens @ chosen.unsqueeze(-1)).squeeze(-1) / chosen.sum(dim=-1, keepdim=True) @ self.weight + self.bias


def step_cases(generator: Generator) -> Iterator[Case]:
    """Yield a model, its optimizer, three batches, and a limit that clips always, sometimes, or never."""
    for limit in (0.01, 0.5, 100.0):
        yield Case((*_fresh(generator), limit))


def _fresh(generator: Generator) -> tuple[Classifier, Optimizer, list[Batch]]:
    model = Classifier(draw(generator, (3, 4))[0])
    videos = [3 * draw(generator, (6, 3, 1, 1, 2))[0] for _ in range(3)]
    labels = [torch.randint(4, (6,), generator=generator) for _ in videos]
    readout = torch.zeros(6, 1, 2, dtype=torch.bool)
    readout[..., 0] = True  # one batch chooses the token that is read out
    batches = [Batch(*fields) for fields in zip(videos, labels, (None, readout, None), strict=True)]
    return model, SGD(model.parameters(), lr=0.5, momentum=0.5), batches


def three_steps(
    answer: Callable[..., Any], model: Classifier, optimizer: Optimizer, batches: list[Batch], limit: float
) -> tuple[Any, ...]:
    """Return the losses of three steps, and the weights after them."""
    losses = [answer(model, optimizer, batch, limit) for batch in batches]
    return (*losses, model.weight.detach(), model.bias.detach())


def my_train_step(model: nn.Module, optimizer: Optimizer, batch: Batch, limit: float = 1.0) -> float:
    loss = cross_entropy(model(batch.video, batch.readout), batch.label)
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return loss.item()


def _step(order: str) -> Callable[..., float]:
    """Return a step that runs one action for each letter, in order; ``actions`` lists them."""

    def step(model: nn.Module, optimizer: Optimizer, batch: Batch, limit: float = 1.0) -> float:
        loss = cross_entropy(model(batch.video, batch.readout), batch.label)
        weights: list[Any] = list(model.parameters())
        actions: dict[str, Callable[[], object]] = {
            "z": optimizer.zero_grad,
            "b": loss.backward,
            "c": lambda: clip_grad_norm_(weights, limit),
            "e": lambda: clip_grad_value_(weights, limit),  # each entry by itself
            "w": lambda: [clip_grad_norm_([weight], limit) for weight in weights],  # each weight by its own norm
            "n": lambda: sum(weight.grad.square().sum() for weight in weights),  # only the norm, as in clip_scratch
            "s": optimizer.step,
            "h": lambda: [weight.data.sub_(optimizer.param_groups[0]["lr"] * weight.grad) for weight in weights],
        }
        for letter in order:
            actions[letter]()
        return loss.item()

    return step


def loss_after(model: nn.Module, optimizer: Optimizer, batch: Batch, limit: float = 1.0) -> float:
    my_train_step(model, optimizer, batch, limit)
    return cross_entropy(model(batch.video, batch.readout), batch.label).item()


def without_readout(model: nn.Module, optimizer: Optimizer, batch: Batch, limit: float = 1.0) -> float:
    return my_train_step(model, optimizer, batch._replace(readout=None), limit)


def other_limit(model: nn.Module, optimizer: Optimizer, batch: Batch, limit: float = 1.0) -> float:
    return my_train_step(model, optimizer, batch)


EXERCISES = (
    Exercise(
        id="08.1",
        question="With 100 steps of warm-up and 900 steps in all, at which step after the warm-up is the learning rate "
        "half of its maximum?",
        answer=500,
        why="The rate is half of its maximum if the cosine is 0, in the middle of its half period: (step − 100) / "
        "(900 − 100) = 1/2, so the step is (100 + 900) / 2 = 500.",
        hints=(
            "After the warm-up, the second line of (8.3) holds. When is it one half?",
            "The cosine must be 0. cos x is 0 at x = π / 2.",
            "(step − 100) / (900 − 100) = 1/2.",
        ),
        mistakes=(
            Mistake("this is half of all steps: the rate falls only after the warm-up", 450),
            Mistake("this is during the warm-up: give the step at which the rate falls", 50),
            Mistake("this is half of the fall, counted from its start: add the warm-up before it", 400),
            Mistake("at step 100 the rate is at its maximum", 100),
            Mistake("this is a quarter of the fall: the cosine falls slowly at first", 300),
        ),
    ),
    Exercise(
        id="08.2",
        question="Repair `stuck_step`: write one training step on a batch that returns the loss before the step.",
        answer=my_train_step,
        why="zero_grad between backward and step leaves the optimizer without a gradient. Call it before backward, or "
        "after step. Without any zero_grad the loss still falls, but each step follows the sum of all gradients so "
        "far. One batch hardly shows that, but a comparison with a correct loop does.",
        hints=(
            "Print the gradient of a weight right before optimizer.step(). What is it?",
            "Every line is right, but the order is not.",
            "zero_grad clears the gradients of backward. Call it before backward, or after step.",
        ),
        mistakes=(
            Mistake(
                "your weights do not change: zero_grad clears the gradient before the step uses it, or there is no "
                "step",
                _step("bczs"),
            ),
            Mistake("zero_grad is missing: each step follows the sum of all gradients so far", _step("bcs")),
            Mistake(
                "your step follows a gradient that is not clipped: clip between backward and step (clip_scratch loops "
                "over the weights twice, so it needs a list)",
                _step("zbs"),
            ),
            Mistake("you clip each weight by its own norm: take the norm of all gradients together", _step("zbws")),
            Mistake("you call zero_grad between backward and clip: no gradient is left", _step("bzns")),
            Mistake(
                "you update the weights by hand: optimizer.step() may do more, here it has momentum", _step("zbch")
            ),
            Mistake("the readout is missing: call model(batch.video, batch.readout)", without_readout),
            Mistake("your step comes before backward, so it follows the gradient of the previous batch", _step("szbc")),
            Mistake(
                "you clip each entry by itself: clipping the norm scales all entries together and keeps the direction",
                _step("zbes"),
            ),
            Mistake("your gradient is clipped to 1, not to the limit that is passed", other_limit),
            Mistake("you return the loss after the step: return the one before", loss_after),
        ),
        trial=Trial(step_cases, use=three_steps),
    ),
    Exercise(
        id="08.3",
        question="forgetful_attention detaches its normalizer. Which gradients are wrong? a: only q, b: only k, c: q "
        "and k, d: q, k and v.",
        answer="c",
        why="The normalizer φ(q)·Σ φ(k) depends on q and k, but not on v. So the gradient of v is right, and a model "
        "with this bug still learns its values.",
        hints=(
            "Which of the three does the normalizer depend on?",
            "A detached tensor counts as a constant. That changes nothing for an input that it does not depend on.",
            "Use gradcheck with requires_grad on one input at a time.",
        ),
        mistakes=(
            Mistake("the normalizer depends on q, but not only on q", "a"),
            Mistake("the normalizer depends on k, but not only on k", "b"),
            Mistake("the normalizer does not depend on v, so for v it is a constant anyway", "d"),
        ),
    ),
)
