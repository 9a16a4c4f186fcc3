"""The runs of the task color: their errors, what goes with the error, and what sharpening a trained map changes.

`linvid report colors` writes the tables.
"""

from collections.abc import Collection
from pathlib import Path

import pandas

from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.clip_trace import KNOWN_FRAME
from linvid_edu.models.color_measures import measure_colors
from linvid_edu.models.color_transformer import CopyHead
from linvid_edu.models.interventions import sharpened
from linvid_edu.training.color_task import ColorTask
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.run_checkpoints import newest_model
from linvid_edu.training.tasks import COLOR

from .paired_tests import rank_correlation
from .per_variant import STUCK_ERROR
from .tables import complete_runs

EXPLANATIONS = ("selectivity", "entropy", "effective_tokens")
COPY_MAP_POWERS = (0.25, 0.5, 1.0, 2.0, 4.0)
SHARPENED_SEEDS = (0, 1)
SHARPENED_CLIPS = 48


def colors_by_run(folder: str | Path) -> pandas.DataFrame:
    """Return one row per complete run of the task color in a folder, at any depth.

    Returns:
        ``variant``, ``seed`` and ``run``; the fields of ``ColorMeasures`` on the test; and, for each baseline, its
        ``relative_error`` on the same clips under the baseline's name.

    Raises:
        ValueError: There is no such run.
    """
    rows = []
    for path, metrics in complete_runs(folder):
        config, color = metrics["config"], metrics.get("color")
        if config["task"] != COLOR or color is None:
            continue
        measures = {name: value for name, value in color.items() if name not in ("baselines", "clips", "moving")}
        baselines = {name: errors["relative_error"] for name, errors in color["baselines"].items()}
        rows.append({"variant": config["variant"], "seed": config["seed"], "run": path.name, **measures, **baselines})
    if not rows:
        raise ValueError(f"{folder} holds no complete run of the task color: start one with `linvid sweep`")
    return pandas.DataFrame(rows).sort_values(["variant", "seed", "run"])


def errors_by_variant(colors: pandas.DataFrame) -> pandas.DataFrame:
    """Return the errors of each variant, without the runs that are stuck, lowest median first.

    A run is stuck if its relative error is above ``STUCK_ERROR``.

    Args:
        colors: Table of ``colors_by_run``.

    Returns:
        One row per variant: number of ``seeds``, number of ``stuck`` runs, and of the others the ``median``, ``lowest``
        and ``highest`` relative error, and the medians of the other measures.
    """
    rows = {}
    for name, runs in colors.groupby("variant"):
        learned = runs[runs["relative_error"] <= STUCK_ERROR]
        errors = learned["relative_error"]
        rows[name] = {
            "seeds": len(runs),
            "stuck": len(runs) - len(learned),
            "median": errors.median(),
            "lowest": errors.min(),
            "highest": errors.max(),
        } | learned[["relative_error_moving", *EXPLANATIONS]].median().to_dict()
    table = pandas.DataFrame(rows.values(), index=pandas.Index(rows, name="variant"))
    return table.sort_values("median").reset_index()


def correlations_with_error(colors: pandas.DataFrame) -> pandas.DataFrame:
    """Correlate the ranks of each measure of the maps with those of the relative error, over variants and seeds.

    Args:
        colors: Table of ``colors_by_run``.

    Returns:
        One row for each measure, over ``all`` runs and over those of ``linear`` variants, which leave out softmax:
        Spearman's ``rho``, its bootstrap interval ``low`` to ``high`` over runs, and the number of ``runs``.
    """
    rows = []
    for over, runs in (("all", colors), ("linear", colors[colors["variant"] != "softmax"])):
        for measure in EXPLANATIONS:
            correlation = rank_correlation(runs[measure], runs["relative_error"])
            rows.append({"over": over, "measure": measure, **correlation._asdict()})
    return pandas.DataFrame(rows)


def errors_of_sharpened_maps(
    folder: str | Path, *, seeds: Collection[int] = SHARPENED_SEEDS, clips: int = SHARPENED_CLIPS
) -> pandas.DataFrame:
    """Raise the copy maps of trained models to powers, and measure the colors again; the first frame is known.

    Args:
        folder: Folder of a sweep, with its checkpoints.
        seeds: Seeds of the runs.
        clips: Number of test clips.

    Returns:
        One row per run and power: ``variant``, ``seed``, ``power``, ``relative_error``, ``selectivity`` and
        ``effective_tokens``.

    Raises:
        ValueError: A map has negative weights, which have no powers.
    """
    rows = []
    for path, metrics in complete_runs(folder):
        config = TrainConfig.from_dict(metrics["config"])
        task = config.data
        if not isinstance(task, ColorTask) or config.seed not in seeds:
            continue
        model, lab = load_model(newest_model(path)), task.test_clips(clips)
        assert isinstance(model.head, CopyHead)
        for power in COPY_MAP_POWERS:
            with sharpened(model.head, power):
                measures, _ = measure_colors(model, lab, (KNOWN_FRAME,))
            names = ("relative_error", "selectivity", "effective_tokens")
            values = {name: getattr(measures, name) for name in names}
            rows.append({"variant": config.variant, "seed": config.seed, "power": power, **values})
    return pandas.DataFrame(rows).sort_values(["variant", "seed", "power"])
