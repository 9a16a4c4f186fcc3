"""How far one block is from the time that its own matrix products take.

    python benchmarks/floor.py [--device cuda] [--dtype bfloat16] [--threads 2] [--json results.json]

The floor is the sum of the block's matrix products, each run alone on contiguous tensors of the right shapes; in the
training step each product counts three times, as its backward pass has two more of the same size. The depthwise
convolution, norms, activations and copies are not in the floor. Block and floor are timed in turn, and the median of
the paired ratios is printed. Shapes: reference is 16 frames of 17 × 17 tokens, width 512, 8 heads; compact is 16 clips
of 8 frames of 8 × 8 tokens, width 64, 4 heads.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Grid

SHAPES = {
    "reference": (1, ModelConfig.reference, Grid(17, 17)),
    "compact": (16, ModelConfig.compact, Grid(8, 8)),
}
NAMES = ("linear", "cooperative", "cooperative-association", "softmax")


def products(config: ModelConfig, batch: int, grid: Grid, **like) -> list[Callable[[], Tensor]]:
    """Return the block's matrix products, each ready to run on its own operands."""
    b, t, n, d, e = batch, config.num_frames, grid.tokens, config.width, config.width // config.heads
    rows, hidden = b * t * n, config.mlp_hidden
    shapes = []
    for groups, tokens in ((b * n, t), (b * t, n)):  # temporal, then spatial attention
        heads = groups * config.heads
        shapes += [((rows, d), (d, 3 * d)), ((rows, d), (d, d))]
        quadratic = config.attention == "softmax" or tokens < e  # the order that linear_attention takes
        first, second = (tokens, tokens) if quadratic else (e, e)
        inner = e if quadratic else tokens
        shapes += [((heads, first, inner), (heads, inner, second)), ((heads, tokens, second), (heads, second, e))]
        if config.fixation == "cooperative":
            shapes += [((rows * config.heads, 3 * e), (3 * e, e))] * 2
    shapes += [((rows, d), (d, hidden)), ((rows, hidden), (hidden, d))]
    operands = [(torch.randn(*left, **like), torch.randn(*right, **like)) for left, right in shapes]
    return [lambda left=left, right=right: left @ right for left, right in operands]


def seconds(run: Callable[[], object], device: str) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(shape: str, variant: str, *, training: bool, repeats: int, device: str, dtype: torch.dtype) -> dict:
    """Return the median of block time over floor time, and both medians."""
    torch.manual_seed(0)
    batch, preset, grid = SHAPES[shape]
    config = preset(depth=1).with_variant(variant)
    block = VideoTransformer(config).blocks[0].to(device, dtype)
    like = {"device": device, "dtype": dtype}
    x = torch.randn(batch, config.num_frames, grid.tokens, config.width, requires_grad=training, **like)
    floor = products(config, batch, grid, **like)

    def run_block() -> None:
        if training:
            block(x, grid).sum().backward()
        else:
            with torch.no_grad():
                block(x, grid)

    def run_floor() -> None:
        for _ in range(3 if training else 1):
            for product in floor:
                product()

    for run in (run_block, run_floor, run_block, run_floor):
        seconds(run, device)
    pairs = [(seconds(run_block, device), seconds(run_floor, device)) for _ in range(repeats)]
    return {
        "shape": shape,
        "variant": variant,
        "pass": "training step" if training else "forward",
        "ratio": statistics.median(a / b for a, b in pairs),
        "block_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "floor_ms": 1e3 * statistics.median(b for _, b in pairs),
    }


def main() -> None:
    """Print one row for each shape, variant and pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", help="also write the rows to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{platform.machine()} CPU"
    print(f"{machine}, torch {torch.__version__}, {arguments.dtype}, {arguments.threads} threads")
    rows = []
    for shape in SHAPES:
        for variant in NAMES:
            for training in (False, True):
                dtype = getattr(torch, arguments.dtype)
                row = ratio(
                    shape, variant, training=training, repeats=arguments.repeats, device=arguments.device, dtype=dtype
                )
                rows.append(row)
                print("{shape:10} {variant:26} {pass:14} {ratio:5.2f} × floor".format(**row), flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "torch": torch.__version__, **vars(arguments), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
