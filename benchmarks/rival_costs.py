"""The cost of linear attention and of every rival, relative to torch's scaled_dot_product_attention in the same run.

    python benchmarks/rival_costs.py [--largest 16384] [--device cuda --dtype bfloat16] [--threads 1] [--json FILE]

One clip with 16 × 16 tokens in a frame, 256 tokens and more, 4 heads of 32 channels. Each measurement runs the rival
and softmax attention in turn and takes the median of the paired ratios, for forward alone and forward with backward.
Memory is the peak of outputs and intermediate tensors in a training step, beside q, k, v. The slope is the slope of
time on log-log axes over the last two doublings. The crossover is the number of tokens at which the fitted time of a
rival falls below that of softmax. Windows lie inside frames, as in divided attention; streaming takes a frame at a
time. The last column compares each rival at 4,096 tokens with its plain formula in torch operators (limit 1.2).
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
from rival_formulas import FORMULAS
from torch import Tensor

from linvid_edu.attention.causal import CausalAttention
from linvid_edu.attention.fixation import Fixation
from linvid_edu.attention.functions import linear_attention, softmax_attention
from linvid_edu.attention.mechanisms import LinearAttention
from linvid_edu.attention.rivals import RIVALS, Setting
from linvid_edu.attention.rivals.windows import WindowRival
from linvid_edu.figures.cost import crossover, fit_power_law, one_call_ms, peak_bytes
from linvid_edu.files import atomic_path
from linvid_edu.shapes import Extent
from linvid_edu.training.run_provenance import provenance

HEADS, D, SIDE = 4, 32, 16
FRAME = SIDE * SIDE
WINDOWED = [name for name, rival in RIVALS.items() if issubclass(rival, WindowRival)]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def streamed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend to all frames so far, one frame after another, with a state that does not grow."""
    state = CausalAttention()
    frames = zip(*(x.split(FRAME, dim=-2) for x in (q, k, v)), strict=True)
    return torch.cat([state.update(*frame) for frame in frames], dim=-2)


def compared(frames: int, device: str, dtype: torch.dtype) -> dict[str, Attend]:
    """Return every attention function for a clip with this number of frames; weights come from seed 0."""
    torch.manual_seed(0)
    functions: dict[str, Attend] = {
        "linear": linear_attention,
        "cooperative": LinearAttention(Fixation(D, kind="cooperative")).to(device, dtype),
        "streaming, a frame at a time": streamed,
    }
    for name, rival in RIVALS.items():
        windowed = name in WINDOWED
        extent = Extent(1 if windowed else frames, SIDE, SIDE)
        layer = rival(Setting(HEADS, D, "space" if windowed else "joint", extent)).to(device, dtype)

        def attend(q: Tensor, k: Tensor, v: Tensor, layer=layer, extent=extent, windowed=windowed) -> Tensor:
            if windowed:  # each frame on its own: (1 heads t·n d) → (t heads n d)
                q, k, v = (x.unflatten(-2, (-1, FRAME)).transpose(1, 2).flatten(0, 1) for x in (q, k, v))
            return layer(q, k, v, extent)

        functions[name] = attend
    return functions


def training_step(attend: Attend, leaves: list[Tensor]) -> Callable[[], object]:
    """Return a function that runs forward, and backward to q, k and v."""
    return lambda: torch.autograd.grad(attend(*leaves).sum(), leaves)


def paired(run: Callable[[], object], base: Callable[[], object], device: str, patience: float) -> tuple[float, float]:
    """Return the median of the paired ratios of time, and the median milliseconds of `run`."""
    for warm_up in (run, base):
        one_call_ms(warm_up, device)
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + patience
    while len(pairs) < 3 or (len(pairs) < 30 and time.perf_counter() < end):
        pairs.append((one_call_ms(run, device), one_call_ms(base, device)))
    return statistics.median(a / b for a, b in pairs), statistics.median(a for a, _ in pairs)


def measure(tokens: int, name: str, attend: Attend, *, device: str, dtype: torch.dtype, patience: float) -> dict:
    """Measure one function on one number of tokens: ratios to softmax attention, and milliseconds."""
    torch.manual_seed(1)
    qkv = list(torch.randn(3, 1, HEADS, tokens, D, device=device, dtype=dtype).unbind())
    leaves = [x.clone().requires_grad_() for x in qkv]
    step, base_step = training_step(attend, leaves), training_step(softmax_attention, leaves)
    with torch.no_grad():
        forward, ms = paired(lambda: attend(*qkv), lambda: softmax_attention(*qkv), device, patience)
    training, training_ms = paired(step, base_step, device, patience)
    row = {"name": name, "tokens": tokens, "forward": forward, "training": training}
    return row | {
        "ms": ms,
        "softmax_ms": ms / forward,
        "training_ms": training_ms,
        "memory": peak_bytes(step) / peak_bytes(base_step),
        "peak_mb": peak_bytes(step) / 1e6,
    }


def against_formula(name: str, *, device: str, dtype: torch.dtype, patience: float) -> float:
    """Return the time of a rival relative to its plain formula, forward and backward, at 4,096 tokens."""
    frames = 16
    torch.manual_seed(1)
    shape = (frames, HEADS, FRAME, D) if name in WINDOWED else (1, HEADS, frames * FRAME, D)
    leaves = [torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
    extent = Extent(1 if name in WINDOWED else frames, SIDE, SIDE)
    layer = RIVALS[name](Setting(HEADS, D, "space" if name in WINDOWED else "joint", extent)).to(device, dtype)
    ours = training_step(lambda q, k, v: layer(q, k, v, extent), leaves)
    plain = training_step(lambda q, k, v: FORMULAS[name](q, k, v, layer, extent), leaves)
    torch.testing.assert_close(layer(*leaves, extent), FORMULAS[name](*leaves, layer, extent), rtol=1e-3, atol=1e-3)
    return paired(ours, plain, device, patience)[0]


def summary(rows: list[dict], name: str) -> dict:
    """Return slope and crossover of one function from its rows."""
    own_rows = [row for row in rows if row["name"] == name]
    last = own_rows[-3:]
    slope = math.log(last[-1]["ms"] / last[0]["ms"]) / math.log(last[-1]["tokens"] / last[0]["tokens"])
    sizes = [row["tokens"] for row in own_rows]
    laws = []
    if len(own_rows) >= 3:
        laws = [fit_power_law(sizes, [row[key] for row in own_rows]) for key in ("softmax_ms", "ms")]
    return {"name": name, "slope": slope, "crossover": crossover(*laws, sizes[0], 16 * sizes[-1]) if laws else None}


def main() -> None:
    """Print a table for each number of tokens, then slopes, crossovers and comparisons with plain formulas."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--largest", type=int, default=16384, help="tokens, at least 512; 131072 on a GPU")
    parser.add_argument("--patience", type=float, default=1.0, help="approximate seconds for each measurement")
    parser.add_argument("--json", help="also write everything to this file")
    arguments = parser.parse_args()
    if arguments.largest < 2 * FRAME:
        parser.error(f"--largest {arguments.largest} is below {2 * FRAME}: a slope needs two numbers of tokens")
    torch.set_num_threads(arguments.threads)
    came_from = provenance(arguments.device)
    options = {"device": arguments.device, "dtype": getattr(torch, arguments.dtype), "patience": arguments.patience}
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{platform.machine()} CPU"
    print(f"{machine}, torch {torch.__version__}, {arguments.dtype}, {arguments.threads} threads")
    rows: list[dict] = []
    tokens = FRAME
    while tokens <= arguments.largest:
        print(f"\n{tokens:,} tokens{'':18} forward  training  memory   (× softmax attention)")
        for name, attend in compared(tokens // FRAME, arguments.device, options["dtype"]).items():
            try:
                rows.append(measure(tokens, name, attend, **options))
            except RuntimeError as error:  # out of memory
                print(f"{name:28} does not fit: {str(error).splitlines()[0][:70]}")
                continue
            print("{name:28} {forward:9.3f} {training:9.3f} {memory:7.2f}".format(**rows[-1]), flush=True)
        tokens *= 2
    names = list(dict.fromkeys(row["name"] for row in rows))
    laws = [summary(rows, name) for name in names]
    print(f"\n{'':28} slope  crossover  × plain formula at 4,096 tokens")
    for law in laws:
        if law["name"] in FORMULAS:
            law["against_formula"] = against_formula(law["name"], **options)
        place = f"{law['crossover']:9,.0f}" if law["crossover"] else "     none"
        plain = f"{law['against_formula']:6.2f}" if "against_formula" in law else ""
        print(f"{law['name']:28} {law['slope']:5.2f}  {place}  {plain}", flush=True)
    if arguments.json:
        ratios = ("name", "tokens", "forward", "training", "memory")  # times of a shared CPU would mean nothing
        kept = [row if arguments.device == "cuda" else {key: row[key] for key in ratios} for row in rows]
        about = {"command": " ".join(["python benchmarks/rival_costs.py", *sys.argv[1:]]), "provenance": came_from}
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps({**about, "rows": kept, "laws": laws}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
