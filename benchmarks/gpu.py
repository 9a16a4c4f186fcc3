"""All that a GPU is needed for, in one command and within a time limit.

    python benchmarks/gpu.py                            # on a GPU: 8.5 minutes, results/gpu/<card>.json
    python benchmarks/gpu.py --device cpu --tiny        # the program itself, in seconds; its numbers mean nothing

In this order: the reference's outputs on CUDA (to 1e-4, float32, TF32 off), `floor.py` in float32 and bfloat16, softmax
against linear attention from 256 to 65,536 tokens, and training: every variant on as many seeds as fit. It needs torch,
einops and numpy. What did not fit in time or memory is listed under `left_out`.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from functools import partial
from itertools import chain, product
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the library of this checkout, installed or not

import floor  # noqa: E402
import gpu_attention  # noqa: E402
from gpu_clips import Clips  # noqa: E402
from gpu_report import MARGIN, Report, file_name, table  # noqa: E402
from gpu_training import TIMED, WARMUP, train_task  # noqa: E402

from linvid_edu.models.reference_weights import load_official  # noqa: E402
from linvid_edu.models.variants import ABLATION  # noqa: E402
from linvid_edu.training.config import TrainConfig  # noqa: E402
from linvid_edu.training.fabric import make_fabric  # noqa: E402
from linvid_edu.training.run_provenance import provenance  # noqa: E402

GOLDEN_LIMIT = 1e-4
TEST_CLIPS = 512
TINY_MODEL = {"num_frames": 2, "image_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_hidden": 8, "head_hidden": 8}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def golden_error(path: Path, device: str) -> list[dict]:
    """Compare logits and the features after each block with the reference's, relative to their largest value."""
    with np.load(path) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    config = json.loads(str(values.pop("config")))
    state = {name.removeprefix("state/"): value for name, value in values.items() if name.startswith("state/")}
    shift_div = config["n_div"] if config["shift"] else None
    model = load_official(state, heads=config["heads"], image_size=config["img"], temporal_shift_div=shift_div)
    model.to(device)
    found = {}
    with torch.no_grad():
        video = torch.from_numpy(values["video"]).to(device)
        x, grid = model.embed(video)
        for index, block in enumerate(model.blocks):
            x = block(x, grid)
            found[f"feature/block{index}"] = x.flatten(0, 1)
        found["logits"] = model(video)
    errors = [np.abs(found[name].cpu().numpy() - values[name]).max() / np.abs(values[name]).max() for name in found]
    return [{"file": path.stem, "largest_error": float(max(errors)), "limit": GOLDEN_LIMIT}]


def check_golden(report: Report, device: str) -> None:
    """Compare with every golden file, without TF32, which rounds to three digits."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = False
    for path in sorted(ROOT.glob("tests/golden/*.npz")):
        report.do("golden", path.stem, 10.0, lambda path=path: golden_error(path, device))
    for flag, allowed in zip(flags, before, strict=True):
        flag.allow_tf32 = allowed


def measure_floor(report: Report, device: str, *, tiny: bool) -> None:
    """Run `floor.py` in both precisions."""
    options = {"repeats": 1 if tiny else 15, "device": device}
    cases = list(product(["compact"] if tiny else floor.SHAPES, floor.NAMES, (False, True)))
    expected = 10.0
    for name, dtype in DTYPES.items():
        for shape, variant, training in cases[:1] if tiny else cases:
            before = report.clock()
            what = f"{shape}, {variant}, {'training step' if training else 'forward'}, {name}"
            ratio = partial(floor.ratio, shape, variant, training=training, dtype=dtype, **options)
            report.do("floor", what, expected, lambda ratio=ratio, name=name: [ratio() | {"dtype": name}])
            expected = 3 * (report.clock() - before)


def measure_attention(report: Report, device: str, *, tiny: bool) -> None:
    """Time each mechanism on longer and longer sequences, in bfloat16."""
    options = {"device": device, "dtype": torch.bfloat16, "patience": 0.0 if tiny else 0.3}
    for name in gpu_attention.MECHANISMS:
        expected = 10.0
        for tokens in (64, 128) if tiny else gpu_attention.TOKENS:
            before = report.clock()
            what = f"{name}, {tokens} tokens"
            report.do("attention", what, expected, lambda n=name, t=tokens: [gpu_attention.measure(n, t, **options)])
            expected = 4 * (report.clock() - before)  # twice the tokens, four times the pairs


def tables(content: dict) -> str:
    """Lay out the results for the eye."""
    parts = {
        "golden": {"file": "golden file", "largest_error": "largest error", "limit": "limit"},
        "floor": {"shape": "shape", "variant": "variant", "pass": "pass", "dtype": "dtype", "ratio": "× floor"},
        "attention": {
            "mechanism": "attention, bfloat16",
            "tokens": "tokens",
            "forward_ms": "forward, ms",
            "training_ms": "forward and backward, ms",
            "peak_mb": "peak, MB",
        },
        "steps": {
            "task": "task",
            "variant": "step of",
            "seeds_at_once": "seeds at once",
            "ms_per_seed": "ms a seed",
            "alone_over_this": "alone / this",
        },
        "runs": {
            "task": "task",
            "variant": "run of",
            "seed": "seed",
            "test": "accuracy",
            "steps_to_90": "steps to .9",
            "clips_per_second": "clips/s",
        },
        "left_out": {"part": "left out", "name": "what", "why": "why"},
    }
    rows = {part: content.get(part, []) for part in parts}
    rows["runs"] = [row | {"test": next(iter((row["accuracy"] or {}).values()), None)} for row in rows["runs"]]
    return "\n\n".join(table(rows[part], columns) for part, columns in parts.items() if rows[part])


def half_the_memory() -> float:
    """Return half of this machine's memory in 10⁹ bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2e9


def arguments() -> argparse.Namespace:
    """Read the command line; stop with exit code 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="tiny models and few steps, to check the program")
    parser.add_argument("--minutes", type=float, default=8.5, help="time limit for everything")
    parser.add_argument("--tasks", nargs="+", default=["motion", "cue"], help="the later ones if time permits")
    parser.add_argument("--variants", nargs="+", default=list(ABLATION), choices=ABLATION, metavar="VARIANT")
    parser.add_argument("--steps", type=int, default=1000, help="of a run; fewer where not even one seed fits")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--gain", type=float, default=1.5, help="of the initial weights")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=8, help="the most seeds of a variant")
    parser.add_argument("--together", type=int, default=4, help="seeds trained at once, where that is faster")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) - 2), help="that render clips")
    parser.add_argument("--clips-gb", type=float, default=half_the_memory(), help="of the host, for rendered clips")
    parser.add_argument("--output", type=Path, help="default: results/gpu/<card>.json")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error(
            "there is no CUDA device here, and these measurements need one; "
            "`python benchmarks/gpu.py --device cpu --tiny` checks the program without"
        )
    if given.device == "cpu" and not given.tiny:
        parser.error("--device cpu would take hours: add --tiny, which checks the program")
    return given


def run_config(given: argparse.Namespace, task: str) -> TrainConfig:
    """Return the configuration of a task's runs."""
    steps, batch = (2, 2) if given.tiny else (given.steps, given.batch)
    return TrainConfig(
        task=task,
        preset="gpu",
        seed=given.first_seed,
        steps=steps,
        batch=batch,
        learning_rate=given.learning_rate,
        gain=given.gain,
        model=TINY_MODEL if given.tiny else {},
    )


def start_rendering(clips: Clips, configs: list[TrainConfig], *, seeds: int) -> None:
    """Ask for what is needed first: the steps that are timed, then tests, then the first seeds of the first task."""
    runs = [[replace(config, seed=config.seed + index) for index in range(seeds)] for config in configs]
    for run in chain(*runs):
        clips.ahead(run, min(run.steps, WARMUP + TIMED))
    for config in configs:
        clips.ahead_tests(config)
    for run in runs[0]:
        clips.ahead(run)


def main() -> int:
    """Do everything that fits; return 1 where a golden file is missed."""
    given = arguments()
    if given.device == "cpu":
        torch.set_num_threads(1)
    origin = provenance(given.device)
    head = {"card": origin["device"], "tiny": given.tiny, "minutes": given.minutes, "provenance": origin}
    path = given.output or ROOT / "results" / "gpu" / file_name(("tiny " if given.tiny else "") + origin["device"])
    report = Report(path, head, seconds=60 * given.minutes)
    configs = [run_config(given, task) for task in given.tasks]
    first = configs[0].model_config
    clip_bytes = 3 * first.num_frames * first.image_size**2
    distinct = max(1, int(given.clips_gb * 1e9 / (clip_bytes * configs[0].batch * given.seeds * len(configs))))
    test_clips = 8 if given.tiny else TEST_CLIPS
    clips = Clips(given.device, workers=given.workers, distinct=distinct, test_clips=test_clips)
    fabric, needed = make_fabric(given.device), 0.0
    report.add("settings", [config.to_dict() | {"fabric": type(fabric).__name__} for config in configs])
    try:
        start_rendering(clips, configs, seeds=min(given.seeds, given.together))
        check_golden(report, given.device)
        measure_floor(report, given.device, tiny=given.tiny)
        measure_attention(report, given.device, tiny=given.tiny)
        for config in configs:
            if MARGIN * needed > report.left():
                report.leave_out("runs", config.task, "one seed of every variant would take longer than what is left")
                continue
            needed = train_task(
                config, given.variants, clips, fabric, report, most=given.seeds, together=given.together
            )
    finally:
        clips.close()
    print(f"\n{tables(report.content)}\n\nwritten to {path}")
    missed = [row["file"] for row in report.content.get("golden", []) if not row["largest_error"] < GOLDEN_LIMIT]
    if missed:
        print(f"golden files missed by more than {GOLDEN_LIMIT:g}: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
