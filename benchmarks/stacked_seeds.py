"""Train several seeds of one run at once: their models side by side, in one forward pass.

Each seed gets the numbers that ``train`` gives it alone, to float tolerance, where there is no dropout. Whether that is
faster depends on how small a model is for its device: measure both.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Bool, Float
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.loop import Record, learning_rate, make_optimizer
from linvid_edu.video.batch import Batch


class StackedModels(nn.Module):
    """Models of one configuration side by side, one for each seed.

    logits_s = model_s(video_s); each weight is one tensor with the seeds on its first axis, (s …)

    Args:
        models: of the same configuration, one for each seed; they keep their own weights, see ``copy_to``.

    Raises:
        ValueError: the configurations differ.
    """

    def __init__(self, models: Sequence[VideoTransformer]):
        super().__init__()
        if any(model.config != models[0].config for model in models):
            raise ValueError("the models have different configurations: stack seeds of one variant")
        stacked, _ = stack_module_state(list(models))
        self.names = list(stacked)
        self.stacked = nn.ParameterList(stacked.values())
        # a model without values, in a list so that its weights are not this module's
        self._template = [deepcopy(models[0]).to("meta")]

    @property
    def template(self) -> VideoTransformer:
        """One model, for its structure: its weights have shapes but no values."""
        return self._template[0]

    def forward(
        self, video: Float[Tensor, "s b 3 t h w"], readout: Bool[Tensor, "s b t n"] | None = None
    ) -> Float[Tensor, "s b classes"]:
        """Return the logits of each seed's clips; the arguments are those of a model, with the seeds in front."""
        model = self.template.train(self.training)

        def one(weights: dict[str, Tensor], video: Tensor, readout: Tensor | None) -> Tensor:
            return functional_call(model, weights, (video, readout))

        weights = dict(zip(self.names, self.stacked, strict=True))
        axes = (0, 0, None if readout is None else 0)
        return vmap(one, in_dims=axes, randomness="different")(weights, video, readout)

    @torch.no_grad()
    def copy_to(self, index: int, model: VideoTransformer) -> None:
        """Copy the weights of one seed, counted from 0, into a model."""
        mine = dict(zip(self.names, self.stacked, strict=True))
        for name, weight in model.named_parameters():
            weight.copy_(mine[name][index])


def stacked_optimizer(stack: StackedModels, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer that ``make_optimizer`` gives one model, for all: AdamW takes each value on its own."""
    optimizer = make_optimizer(stack.template, config)
    mine = dict(zip(stack.names, stack.stacked, strict=True))
    of_template = {id(weight): mine[name] for name, weight in stack.template.named_parameters()}
    for group in optimizer.param_groups:
        group["params"] = [of_template[id(weight)] for weight in group["params"]]
    return optimizer


def train_seeds(
    stack: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Sequence[Batch]],
    config: TrainConfig,
    fabric: Any,
) -> Iterator[list[Record]]:
    """Take one step of every seed for each item of `batches`, and yield their records.

    Args:
        stack, optimizer: ``StackedModels`` and ``stacked_optimizer``, as ``fabric.setup`` returned them.
        batches: for each step one batch for each seed.
        config: the run; its seed does not count.
        fabric: one process.

    A seed whose loss or gradient is not finite goes on as NaN, and leaves the others as they are.
    """
    stack.train()
    for step, each in enumerate(batches, start=1):
        rate = learning_rate(config, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        readouts = [batch.readout for batch in each if batch.readout is not None]
        video, label = (torch.stack(parts).to(fabric.device) for parts in list(zip(*each, strict=True))[:2])
        logits = stack(video, torch.stack(readouts).to(fabric.device) if readouts else None)
        loss = F.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none").unflatten(0, label.shape)
        right = (logits.argmax(dim=-1) == label).float()
        optimizer.zero_grad()
        fabric.backward(loss.mean(dim=1).sum())
        norm = clip_each(stack, config.clip_norm)
        optimizer.step()
        numbers = torch.stack([loss.detach().mean(dim=1).float(), right.mean(dim=1), norm])
        yield [Record(step, mean, accuracy, rate, length) for mean, accuracy, length in numbers.T.tolist()]


def clip_each(stack: nn.Module, max_norm: float) -> Float[Tensor, "s"]:
    """Scale each seed's gradient down to a norm of `max_norm`, and return the norms before.

    ∇_s ← ∇_s · min(1, max_norm / (|∇_s| + 1e-6)), the norm over all weights of the seed
    """
    gradients = [weight.grad for weight in stack.parameters() if weight.grad is not None]
    lengths = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack(lengths), dim=0)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))
    return norm
