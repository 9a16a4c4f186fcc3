"""Exercises of lesson 08: train the compact model."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Optimizer

from linvid_edu.video.batch import Batch

from .exercise import Case, Exercise, Mistake, Tries, draw

# 08.2 one step of training


class Classifier(nn.Module):
    """A model as small as can be, which takes what the course's models take."""

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
    """Yield a model, its optimizer, three batches, and a limit that clips always, at times, or never."""
    for limit in (0.01, 0.5, 100.0):
        yield Case((*_fresh(generator), limit))


def _fresh(generator: Generator) -> tuple[Classifier, Optimizer, list[Batch]]:
    model = Classifier(draw(generator, (3, 4))[0])
    videos = [3 * draw(generator, (6, 3, 1, 1, 2))[0] for _ in range(3)]
    labels = [torch.randint(4, (6,), generator=generator) for _ in videos]
    readout = torch.zeros(6, 1, 2, dtype=torch.bool)
    readout[..., 0] = True  # one batch says which token is read out
    batches = [Batch(*each) for each in zip(videos, labels, (None, readout, None), strict=True)]
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
    """Return a step that does what the letters say, in their order: see ``does``."""

    def step(model: nn.Module, optimizer: Optimizer, batch: Batch, limit: float = 1.0) -> float:
        loss = cross_entropy(model(batch.video, batch.readout), batch.label)
        weights: list[Any] = list(model.parameters())
        does: dict[str, Callable[[], object]] = {
            "z": optimizer.zero_grad,
            "b": loss.backward,
            "c": lambda: clip_grad_norm_(weights, limit),
            "e": lambda: clip_grad_value_(weights, limit),  # each entry
            "w": lambda: [clip_grad_norm_([weight], limit) for weight in weights],  # each weight
            "n": lambda: sum(weight.grad.square().sum() for weight in weights),  # the norm alone, as in clip_scratch
            "s": optimizer.step,
            "h": lambda: [weight.data.sub_(optimizer.param_groups[0]["lr"] * weight.grad) for weight in weights],
        }
        for letter in order:
            does[letter]()
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
        question="With w = 100 steps of warm-up and S = 900 in all, at which step on the way down is the learning rate "
        "half of its maximum?",
        answer=500,
        why="The cosine is 0 in the middle of its half period, (s − w) / (S − w) = 1/2, so s = (w + S) / 2.",
        hints=(
            "On the way down the second line of (8.3) holds. When is it one half?",
            "The cosine must be 0, and cos x is 0 at x = π / 2.",
            "(s − 100) / (900 − 100) = 1/2.",
        ),
        mistakes=(
            Mistake("that is half of all steps: the way down begins only after the warm-up", 450),
            Mistake("that is on the way up", 50),
            Mistake("that is half of the way down, counted from its start: the warm-up comes before it", 400),
            Mistake("there the rate is at its maximum", 100),
            Mistake("that is a quarter of the way down: the cosine falls slowly at first", 300),
        ),
    ),
    Exercise(
        id="08.2",
        question="Repair `stuck_step`: one step of training on a batch, which returns the loss before the step.",
        answer=my_train_step,
        why="zero_grad between backward and step leaves the optimizer without a gradient. It belongs before backward, "
        "or after step. Without any zero_grad the loss falls, but each step follows the sum of all gradients so far: "
        "one batch hardly shows that, a comparison with a loop that is known to be right does.",
        hints=(
            "Print the gradient of some weight right before optimizer.step(). What is it?",
            "Every line is right. The order is not.",
            "zero_grad clears what backward has made. It must come before backward, or after step.",
        ),
        mistakes=(
            Mistake(
                "your weights stay as they were: zero_grad clears the gradient before the step uses it, or there is no "
                "step",
                _step("bczs"),
            ),
            Mistake("zero_grad is missing: each step follows the sum of all gradients so far", _step("bcs")),
            Mistake(
                "your step follows a gradient that is not clipped: clip between backward and step (clip_scratch goes "
                "over the weights twice, so it needs a list)",
                _step("zbs"),
            ),
            Mistake("you clip each weight by its own norm: the norm is that of all together", _step("zbws")),
            Mistake("zero_grad stands between backward and clip: no gradient is left", _step("bzns")),
            Mistake("you step by hand: optimizer.step() may do more, here it has a momentum", _step("zbch")),
            Mistake("the readout is left out: model(batch.video, batch.readout)", without_readout),
            Mistake("your step comes before backward, so it follows the gradient of the batch before", _step("szbc")),
            Mistake(
                "you clip each entry by itself: clipping the norm scales all entries together and keeps the direction",
                _step("zbes"),
            ),
            Mistake("your gradient is clipped to 1, and not to the limit that is passed", other_limit),
            Mistake("you return the loss after the step: asked for is the one before", loss_after),
        ),
        tries=Tries(step_cases, use=three_steps),
    ),
    Exercise(
        id="08.3",
        question="forgetful_attention detaches its normalizer. Which gradients are wrong? a: of q alone, b: of k "
        "alone, c: of q and k, d: of q, k and v.",
        answer="c",
        why="The normalizer is φ(q)·Σ φ(k): q and k are in it, v is not. So v's gradient is right, and a model with "
        "this bug still learns its values.",
        hints=(
            "Which of the three does the normalizer depend on?",
            "What is detached is treated as a constant. For an input that is not in it, that changes nothing.",
            "Take gradcheck with requires_grad on one input at a time.",
        ),
        mistakes=(
            Mistake("q is in the normalizer, but it is not alone there", "a"),
            Mistake("k is in the normalizer, but it is not alone there", "b"),
            Mistake("v is not in the normalizer, so for v it is a constant anyway", "d"),
        ),
    ),
)
