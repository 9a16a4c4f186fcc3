"""Clips a second of a training step on one CPU core: the working tree against a commit.

    python benchmarks/training.py COMMIT [--preset compact] [--variant softmax] [--batch 16] [--repeats 9]

Each version runs in a process of its own, on one thread. The two take turns, so that a busy machine slows both, and
the median of the paired ratios is printed. A step is forward, cross-entropy, backward, clipping and AdamW, on clips of
noise. `taskset -c 0` in front keeps both processes on one core.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRESETS = {
    "probe": ("probe", {}),
    "probe, 4 frames": ("probe", {"num_frames": 4, "image_size": 16}),
    "compact": ("compact", {}),
}
NAMES = ("softmax", "linear", "cooperative", "cooperative-association")


def training_step(preset: str, variant: str, batch: int) -> Callable[[], None]:
    """Return a function that takes one step of a new model, of whichever version of the library is imported."""
    import torch

    from linvid_edu.models.config import ModelConfig
    from linvid_edu.models.transformer import VideoTransformer

    torch.manual_seed(0)
    name, changes = PRESETS[preset]
    config = getattr(ModelConfig, name)(**changes).with_variant(variant)
    model = VideoTransformer(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    video = torch.randn(batch, 3, config.num_frames, config.image_size, config.image_size)
    label = torch.randint(config.num_classes, (batch,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(video), label).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def answer() -> None:
    """Be one of the two processes: for each line "preset|variant|batch|seconds", print the time of one step."""
    import torch

    torch.set_num_threads(1)
    steps: dict[tuple[str, str, int], Callable[[], None]] = {}
    for line in sys.stdin:
        preset, variant, batch, least = line.strip().split("|")
        key = preset, variant, int(batch)
        if key not in steps:
            steps = {key: training_step(*key)}
            for _ in range(3):
                steps[key]()
        times: list[float] = []
        while sum(times) < float(least):
            start = time.process_time()
            steps[key]()
            times.append(time.process_time() - start)
        print(statistics.median(times), flush=True)


def start(source: Path) -> subprocess.Popen:
    """Start a process that imports the library from `source`."""
    return subprocess.Popen(
        [sys.executable, __file__, "--answer"],
        env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        cwd=source,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen, question: str) -> float:
    """Return the seconds that one step takes there."""
    print(question, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def main() -> None:
    """Print one row for each preset and variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default="HEAD", help="what the working tree is compared with")
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument("--variant", action="append", choices=NAMES)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="the least time that one repeat measures")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        return answer()
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", arguments.commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        with start(Path(folder)) as old, start(ROOT) as new:
            for preset in arguments.preset or PRESETS:
                for variant in arguments.variant or NAMES:
                    question = f"{preset}|{variant}|{arguments.batch}|{arguments.seconds}"
                    pairs = [(ask(old, question), ask(new, question)) for _ in range(arguments.repeats)]
                    before, after = (arguments.batch / statistics.median(times) for times in zip(*pairs, strict=True))
                    ratio = statistics.median(a / b for a, b in pairs)
                    print(f"{preset:16} {variant:26} {before:7.0f} → {after:7.0f} clips/s, {ratio:5.2f} ×", flush=True)
            old.stdin.close()
            new.stdin.close()


if __name__ == "__main__":
    main()
