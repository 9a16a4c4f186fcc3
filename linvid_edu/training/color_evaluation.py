"""What a color model reaches on the test of its task, beside baselines that need no training."""

from typing import Any

import torch

from linvid_edu.models.color_measures import (
    ClipColors,
    baseline_errors,
    mean_color_errors,
    measure_colors,
    relative_error,
)
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Float

from .color_task import ColorTask, reference_frames
from .evaluation import evaluating


def colors_of_test(model: VideoTransformer, task: ColorTask, *, clips: int = 48) -> dict[str, Any]:
    """Measure a color model on the test clips of its task.

    Args:
        model: Color model on the CPU; its mode is restored afterward.
        task: Task in the size of the model.
        clips: Largest number of clips.

    Returns:
        ``colors_of_clips`` with the references of the task, and ``clips``, the number of clips.
    """
    lab = task.test_clips(clips)
    references = reference_frames(task.references, lab.shape[2], torch.Generator().manual_seed(0))
    return {**colors_of_clips(model, lab, references), "clips": len(lab)}


def copy_head_row(color: dict[str, Any]) -> dict[str, Any]:
    """Return the concentration of a copy head under the names of ``concentration_per_layer``.

    Every token that gets a color counts as a query token. The known tokens of its true color are its answer.

    Args:
        color: Result of ``colors_of_test``.
    """
    names = {"entropy": "entropy", "effective_tokens": "effective_tokens", "query_entropy": "entropy"}
    row = {name: color[measure] for name, measure in (names | {"mass_on_answer": "selectivity"}).items()}
    return {"block": 0, "span": "joint", **row}


def colors_of_clips(
    model: VideoTransformer, lab: Float[torch.Tensor, "b 3 t h w"], references: tuple[int, ...]
) -> dict[str, Any]:
    """Measure a color model on clips.

    Args:
        model: Color model on the CPU; its mode is restored afterward.
        lab: Clips in Lab.
        references: Indices of the known frames.

    Returns:
        The fields of ``ColorMeasures``; ``moving``, the share of tokens that moved; and ``baselines``, with
        ``relative_error`` and ``relative_error_moving`` of each.
    """
    with evaluating(model):
        measures, _ = measure_colors(model, lab, references)
    colors = ClipColors.of(lab, model.config.grid, references)
    mean_errors = mean_color_errors(colors)
    baselines = {
        name: {
            "relative_error": relative_error(errors, mean_errors),
            "relative_error_moving": relative_error(errors, mean_errors, colors.moving),
        }
        for name, errors in baseline_errors(lab, model.config.grid, references).items()
    }
    return {**measures._asdict(), "moving": colors.moving.float().mean().item(), "baselines": baselines}
