"""Train every variant on as many seeds as fit in the time left, several seeds at once where that is faster."""

import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from gpu_clips import Clips
from gpu_report import Report
from stacked_seeds import StackedModels, stacked_optimizer, train_seeds

from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.evaluation import accuracy
from linvid_edu.training.loop import Diverged, Record, initialize, make_optimizer, train
from linvid_edu.training.run_provenance import peak_memory_mb

WARMUP, TIMED = 3, 4  # steps of a measurement
SHORTEST = 4  # where not even one seed fits, runs get shorter, down to this fraction of their steps
WINDOW = 20  # steps over which training accuracy is averaged to find the step that reached .9


def records_of(
    models: Sequence[VideoTransformer], configs: Sequence[TrainConfig], clips: Clips, fabric: Any
) -> Iterator[list[Record]]:
    """Train one seed with ``train``, several with ``train_seeds``; yield each step's records, one for each seed.

    At the end the models, which lie on the fabric's device, hold the trained weights.
    """
    config = configs[0]
    if len(models) == 1:
        model, optimizer = fabric.setup(models[0], make_optimizer(models[0], config))
        for record in train(model, optimizer, clips.batches(config), config, fabric):
            yield [record]
        return
    stack = StackedModels(models)
    wrapped, optimizer = fabric.setup(stack, stacked_optimizer(stack, config))
    batches = zip(*(clips.batches(each) for each in configs), strict=True)
    yield from train_seeds(wrapped, optimizer, batches, config, fabric)
    for index, model in enumerate(models):
        stack.copy_to(index, model.to(fabric.device))


def build(configs: Sequence[TrainConfig]) -> list[VideoTransformer]:
    """Return the models of some runs at their start."""
    return [initialize(VideoTransformer(each.model_config), seed=each.seed, gain=each.gain) for each in configs]


def step_seconds(configs: Sequence[TrainConfig], clips: Clips, fabric: Any, report: Report) -> float:
    """Return the time of one step of one seed when these seeds are trained at once: the median of 4 after 3 others."""
    times = []
    records = records_of(build(configs), configs, clips, fabric)
    for _ in range(min(WARMUP + TIMED, configs[0].steps)):
        before = report.clock()
        next(records)
        times.append(report.clock() - before)
        report.check()
    return statistics.median(times[-TIMED:]) / len(configs)


def time_steps(
    config: TrainConfig, variants: Sequence[str], sizes: Sequence[int], clips: Clips, fabric: Any, report: Report
) -> dict[str, dict[int, float]]:
    """Time a step of every variant with so many seeds at once; what does not run is missing.

    Returns:
        Seconds of one step of one seed, by variant and number of seeds at once.
    """
    found: dict[str, dict[int, float]] = {}
    expected = dict.fromkeys(sizes, 10.0)
    for variant in variants:
        for size in sizes:
            runs = [replace(config, variant=variant, seed=config.seed + index) for index in range(size)]
            row: dict = {"task": config.task, "variant": variant, "seeds_at_once": size}

            def work(runs: list[TrainConfig] = runs, row: dict = row) -> list[dict]:
                seconds = step_seconds(runs, clips, fabric, report)
                alone = found.setdefault(row["variant"], {}).get(1)
                found[row["variant"]][len(runs)] = seconds
                return [row | {"ms_per_seed": 1e3 * seconds, "alone_over_this": alone and alone / seconds}]

            before = report.clock()
            report.do("steps", f"{config.task}, {variant}, {size} at once", expected[size], work)
            expected[size] = 2 * (report.clock() - before)
    return found


def plan(costs: Mapping[str, float], *, seconds: float, steps: int, extra: float, most: int) -> tuple[int, int]:
    """Decide how many seeds, and how many steps, of every variant fit.

    seeds = ⌊seconds / ((steps + extra) · Σ cost)⌋, at most `most`; where that is 0, one seed with as many steps as
    fit, at least a quarter of them

    Args:
        costs: seconds of one step of one seed, by variant, above 0.
        seconds: what is left.
        steps: of a run.
        extra: what a run's test takes, in steps.
        most: seeds at most.

    Returns:
        Seeds and steps.
    """
    every = sum(costs.values())
    seeds = min(most, int(max(seconds, 0) / ((steps + extra) * every)))
    if seeds:
        return seeds, steps
    return 1, max(math.ceil(steps / SHORTEST), min(steps, int(seconds / every - extra)))


def train_task(
    config: TrainConfig,
    variants: Sequence[str],
    clips: Clips,
    fabric: Any,
    report: Report,
    *,
    most: int,
    together: int,
) -> float:
    """Time every variant, decide what fits, and train it: all variants of some seeds, then of the next seeds.

    Args:
        config: of the runs; its variant does not count, its seed is the first.
        variants: Names of variants.
        clips: the rendered clips.
        fabric: of ``make_fabric``.
        report: takes the rows ``steps``, ``plan`` and ``runs``.
        most: seeds at most.
        together: seeds trained at once, where that is faster.

    Returns:
        The seconds that one seed of every variant takes, at the steps of `config`.
    """
    together = min(together, most)
    times = time_steps(config, variants, sorted({1, together}), clips, fabric, report)
    if not times:
        return math.inf
    costs = {variant: min(by_size.values()) for variant, by_size in times.items()}
    tested = clips.test_clips * len(config.data.tests) / config.batch
    count, steps = plan(costs, seconds=0.85 * report.left(), steps=config.steps, extra=tested, most=most)
    planned = {"seeds": count, "steps": steps, "of": config.steps, "rendered": min(steps, clips.distinct)}
    report.add("plan", [{"task": config.task, **planned}])
    run = replace(config, steps=steps, warmup=min(config.warmup, steps // 4))
    runs = [replace(run, seed=config.seed + index) for index in range(count)]
    for run in runs:
        clips.ahead(run)
    for first in range(0, count, together):
        for variant, by_size in times.items():
            group = [replace(run, variant=variant) for run in runs[first : first + together]]
            at_once = len(group) if min(by_size, key=by_size.__getitem__) > 1 else 1
            for part in [group[start : start + at_once] for start in range(0, len(group), at_once)]:
                name = f"{config.task}, {variant}, seeds {', '.join(str(run.seed) for run in part)}"
                cost = costs[variant] * (steps + tested) * len(part)
                report.do("runs", name, cost, lambda part=part: run_group(part, clips, fabric, report))
    return sum(costs.values()) * (config.steps + tested)


def run_group(configs: Sequence[TrainConfig], clips: Clips, fabric: Any, report: Report) -> list[dict]:
    """Train some seeds of one variant and test them: one row for each."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    models, steps, before = build(configs), [], report.clock()
    try:
        for records in records_of(models, configs, clips, fabric):
            steps.append(records)
            report.check()
    except Diverged:
        pass  # the row says at which step
    seconds = report.clock() - before
    shared = {
        "task": configs[0].task,
        "variant": configs[0].variant,
        "seeds_together": len(configs),
        "parameters": sum(weight.numel() for weight in models[0].parameters()),
        "seconds": seconds / len(configs),
        "clips_per_second": len(configs) * configs[0].batch * len(steps) / seconds if seconds else None,
        "peak_memory_mb": peak_memory_mb(),
    }
    return [
        shared | {"seed": config.seed} | judge(config, model, [records[index] for records in steps], clips, fabric)
        for index, (config, model) in enumerate(zip(configs, models, strict=True))
    ]


def judge(config: TrainConfig, model: VideoTransformer, records: list[Record], clips: Clips, fabric: Any) -> dict:
    """Say how a run went.

    Returns:
        ``accuracy`` by test, in float32; ``curve``, training accuracy over twenty stretches of equal length;
        ``steps_to_90``, the first step at which it reached .9 of the ceiling over 20 steps; ``loss`` over the last
        stretch; ``diverged_at``. What a diverged run lacks is None.
    """
    finite = [record for record in records if math.isfinite(record.loss)]
    diverged_at = None if len(finite) == config.steps else len(finite) + 1
    stretch = max(1, config.steps // 20)
    found: dict = {"diverged_at": diverged_at, "accuracy": None, "loss": None}
    found["curve"] = [
        statistics.mean(record.accuracy for record in finite[first : first + stretch])
        for first in range(0, len(finite), stretch)
    ]
    found["steps_to_90"] = reached(0.9 * config.data.ceiling, [record.accuracy for record in finite])
    if diverged_at is None:
        found["accuracy"] = {
            name: accuracy(model, clips.test(config, name), fabric.device) for name in config.data.tests
        }
        found["loss"] = statistics.mean(record.loss for record in finite[-stretch:])
    return found


def reached(level: float, accuracies: Sequence[float]) -> int | None:
    """Return the first step, counted from 1, whose last 20 accuracies have a mean of at least `level`."""
    window: deque[float] = deque(maxlen=WINDOW)
    for step, value in enumerate(accuracies, start=1):
        window.append(value)
        if len(window) == WINDOW and statistics.mean(window) >= level:
            return step
    return None
