"""Measures of a trained model: its accuracy, how concentrated its attention is, and its fixation ratios."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from linvid_edu.attention.measures import (
    effective_tokens,
    mask_share,
    mass_on,
    normalized_entropy,
    numerical_rank,
    top_mass,
)
from linvid_edu.models.color_measures import ClipColors, color_distance, mean_color_errors
from linvid_edu.models.color_transformer import gray_video
from linvid_edu.models.trace import LayerTrace, record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Bool, Float
from linvid_edu.video.batch import TEST, VALIDATION, Batch, ColorBatch
from linvid_edu.video.scenes import render, role_mask
from linvid_edu.video.tokens import patch_grid

from .tasks import Task

SHUT, OPEN = 0.05, 0.95  # ratios < SHUT are shut, > OPEN are open


def accuracy(
    model: nn.Module, batches: Iterable[Batch] | Iterable[ColorBatch], device: torch.device | str = "cpu"
) -> float:
    """Return the share of clips whose largest logit is that of their label; for clips in color, 1 − relative error.

    Args:
        model: Model; its mode is restored afterward.
        batches: At least one batch.
        device: Device of the model.
    """
    rest: Iterator[Any] = iter(batches)
    first = next(rest)
    if isinstance(first, ColorBatch):
        return 1 - color_error(model, chain([first], rest), device)
    right, count = count_right(model, chain([first], rest), device)
    return right / count


@torch.no_grad()
def color_error(model: nn.Module, batches: Iterable[ColorBatch], device: torch.device | str = "cpu") -> float:
    """Return the error of a token's color over that of the mean color, Σ errors / Σ errors of the mean color.

    Args:
        model: Color model, possibly wrapped by Fabric; its mode is restored afterward.
        batches: At least one batch.
        device: Device of the model.
    """
    errors = mean_errors = 0.0
    with evaluating(model):
        for batch in batches:
            lab, references = batch.share(slice(None), device)
            colors = ClipColors.of(lab, model.config.grid, references)  # type: ignore[union-attr, arg-type]
            copied = model(gray_video(lab), colors.known, references)
            errors += color_distance(copied, colors.truth).sum().item()
            mean_errors += mean_color_errors(colors).sum().item()
    return errors / mean_errors


@torch.no_grad()
def count_right(model: nn.Module, batches: Iterable[Batch], device: torch.device | str = "cpu") -> tuple[int, int]:
    """Return the number of clips whose largest logit is that of their label, and the number of all clips.

    Args:
        model: Model that takes video and readout; its mode is restored afterward.
        batches: At least one batch.
        device: Device of the model.
    """
    right = count = 0
    with evaluating(model):
        for video, label, readout in batches:
            logits = model(video.to(device), None if readout is None else readout.to(device))
            right += int((logits.argmax(dim=-1).cpu() == label).sum())
            count += len(label)
    return right, count


@torch.no_grad()
def concentration_per_layer(
    model: VideoTransformer, task: Task, test: str, *, clips: int = 128, validation: bool = False
) -> list[dict[str, Any]]:
    """Measure how concentrated the attention of each layer is, averaged over heads, clips and rows.

    Args:
        model: Model on the CPU; its mode is restored afterward.
        task: Task from which the test comes.
        test: Name of the test.
        clips: Number of clips.
        validation: Whether to use validation clips instead of test clips.

    Returns:
        One row for each layer, named by ``block`` and ``span``.

        Over all queries: ``entropy`` (normalized), ``effective_tokens`` and ``top_mass`` (of the largest 5 %). The same
        three with the prefix ``query_`` cover only the queries on the query object. For these queries,
        ``mass_on_answer`` and ``mass_on_query`` are the attention on the two objects, and ``share_answer`` and
        ``share_query`` are what uniform attention would put there; a layer of divided attention sees only its own frame
        or location. If weights may be negative, the measures use the shares |a_j| / Σ_j' |a_j'|.

        ``rank`` is the numerical rank (relative tolerance 1e-3) of the maps of 16 groups. With fixation, for r = q and
        k: ``mean_r``, and ``shut_r`` and ``open_r``, the shares of ratios below .05 and above .95. For a rival:
        ``negative``, the share of Σ |weight| that is negative, and ``row_sum``, the sum of a row.
    """
    task = task.resized(model.config.num_frames, model.config.image_size)
    scene = task.tests[test]
    scenes = render(scene, count=clips, seed=(VALIDATION if validation else TEST, 0))
    kernel, stride, padding = model.config.kernel, model.config.stride, model.config.padding
    grid = patch_grid(scene.size, kernel=kernel, stride=stride, padding=padding)
    query, answer = (role_mask(scenes, role, grid=grid) for role in (scene.query, scene.answer))
    with evaluating(model), record(model) as trace:
        model(scenes.video)
    return [
        {"block": block, "span": span, **_measure(layer, query, answer)}
        for block, layers in enumerate(trace.blocks)
        for span, layer in layers.items()
    ]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and restore the mode of each of its modules."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _measure(layer: LayerTrace, query: Bool[Tensor, "b t n"], answer: Bool[Tensor, "b t n"]) -> dict[str, float]:
    """Return the measures of one layer."""
    signed, query, answer = _groups(layer, query, answer)  # (groups heads tokens tokens), (groups tokens) twice
    maps = signed.abs()
    rows = _whole(maps.transpose(0, 1)[:, query])  # (heads queries tokens)
    of_answer = answer.unsqueeze(1).expand(-1, query.shape[-1], -1)[query]
    of_query = query.unsqueeze(1).expand(-1, query.shape[-1], -1)[query]
    measured: dict[str, float] = {}
    for prefix, weights in (("", _whole(maps)), ("query_", rows)):
        measures = {"entropy": normalized_entropy, "effective_tokens": effective_tokens, "top_mass": top_mass}
        measured |= {prefix + name: measure(weights).mean().item() for name, measure in measures.items()}
    for name, mask in (("answer", of_answer), ("query", of_query)):
        measured[f"mass_on_{name}"] = mass_on(rows, mask).mean().item()
        measured[f"share_{name}"] = mask_share(mask).mean().item()
    measured["rank"] = numerical_rank(signed[:16], tolerance=1e-3).double().mean().item()
    if layer.similarity == "product":
        measured["negative"] = ((maps - signed).sum() / (2 * maps.sum())).item()
        measured["row_sum"] = signed.sum(dim=-1).mean().item()
    if layer.ratios is not None:
        for name, ratio in zip("qk", layer.ratios, strict=True):
            measured |= {
                f"mean_{name}": ratio.mean().item(),
                f"shut_{name}": (ratio < SHUT).float().mean().item(),
                f"open_{name}": (ratio > OPEN).float().mean().item(),
            }
    return measured


def _groups(layer: LayerTrace, *masks: Tensor) -> tuple[Tensor, ...]:
    """Return the map as (groups heads tokens tokens) and masks as (groups tokens); tokens attend within their group."""
    maps = layer.map()
    if layer.span == "joint":
        return maps, *(mask.flatten(1) for mask in masks)
    maps = maps.transpose(1, 2).flatten(0, 1)
    if layer.span == "time":
        masks = tuple(mask.transpose(1, 2) for mask in masks)
    return maps, *(mask.flatten(0, 1) for mask in masks)


def _whole(weights: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch m"]:
    """Replace rows whose weights are all 0, which occur if φ has no offset, by uniform rows."""
    return torch.where(weights.sum(dim=-1, keepdim=True) > 0, weights, torch.ones_like(weights))
