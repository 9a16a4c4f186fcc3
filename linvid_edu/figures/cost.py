"""The cost of attention on this machine: measured time and memory by number of tokens, and the power law that fits."""

import math
import os
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from linvid_edu.attention.functions import linear_attention, softmax_attention, softmax_attention_oracle

AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
ATTENTION_FUNCTIONS: dict[str, AttentionFunction] = {
    "softmax": softmax_attention,
    "softmax, explicit map": softmax_attention_oracle,
    "linear": linear_attention,
}
CALLS = 6  # least number of calls that a measurement takes
LARGEST_TIME_SHARE = 0.3  # share of the time left that one measurement may take
LARGEST_MEMORY_SHARE, LARGEST_MEMORY_BYTES = 0.25, 2e9  # share of the free memory, and absolute limit


class Cost(NamedTuple):
    """Cost of one call of one mechanism on one sequence.

    Args:
        mechanism: Name of the mechanism, such as those in ``ATTENTION_FUNCTIONS``.
        tokens: Number of tokens N.
        ms: Median time in milliseconds, forward only; NaN if it was not measured.
        peak_mb: Peak memory of outputs and intermediate tensors in 10⁶ bytes, without q, k and v.
        missing: Reason why it was not measured; "" if it was.
    """

    mechanism: str
    tokens: int
    ms: float
    peak_mb: float
    missing: str = ""


class PowerLaw(NamedTuple):
    """cost(N) = overhead + factor · N^exponent."""

    overhead: int | float
    factor: int | float
    exponent: int | float

    def at(self, tokens: Any) -> Any:
        """Return the cost for a number of tokens, or for an array of numbers."""
        return self.overhead + self.factor * np.asarray(tokens, dtype=float) ** self.exponent


def median_ms(
    run: Callable[[], object], device: str, *, seconds: int | float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of a call in milliseconds, after two calls to warm up.

    ``torch.utils.benchmark.Timer`` would use one clock to time the calls and to limit the measurement. Here, the limit
    is wall time even if CPU time is measured, so that a measurement takes no longer on a busy machine.

    Args:
        run: Function to time.
        device: "cpu" or "cuda".
        seconds: Approximate wall time to spend; 3 to 50 calls are timed.
        clock: Clock of a CPU. ``time.thread_time`` leaves out other processes, if one thread does all the work.
    """
    run()
    one_call_ms(run, device, clock)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (len(times) < 50 and time.perf_counter() < end):
        times.append(one_call_ms(run, device, clock))
    return statistics.median(times)


def one_call_ms(run: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the time of one call in milliseconds; on a GPU it is measured by CUDA's events."""
    if device == "cpu":
        begin = clock()
        run()
        return 1e3 * (clock() - begin)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


class _Tensors(TorchDispatchMode):
    """Count the bytes of all tensors that operations return, for as long as something refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_address(arg) for arg in args if isinstance(arg, Tensor)}
        out = func(*args, **(kwargs or {}))
        for result in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(result, Tensor) and _address(result) not in self.held.keys() | given:
                storage = result.untyped_storage()
                self.held[_address(result)] = storage.nbytes()
                weakref.finalize(storage, self.held.pop, _address(result), None)
        self.peak = max(self.peak, sum(self.held.values()))
        return out


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the peak memory in bytes of the tensors that `run` makes.

    The workspace of a fused kernel is not counted; that of PyTorch's softmax attention is about 1 MB.
    """
    with _Tensors() as tensors:
        run()
    return tensors.peak


def memory_limit(device: str = "cpu") -> float:
    """Return the largest memory of a measurement in bytes: a quarter of the free memory, 2·10⁹ at most."""
    if device == "cuda":
        return min(LARGEST_MEMORY_BYTES, LARGEST_MEMORY_SHARE * torch.cuda.mem_get_info()[0])
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        free = next(1024 * int(line.split()[1]) for line in meminfo.read_text().splitlines() if "MemAvailable" in line)
    else:  # the system does not report free memory: assume half of all
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return min(LARGEST_MEMORY_BYTES, LARGEST_MEMORY_SHARE * free)


def measure_costs(
    sizes: Iterable[int],
    *,
    heads: int = 4,
    d: int = 32,
    device: str = "cpu",
    budget: int | float = 5.0,
    memory: int | float | None = None,
    mechanisms: dict[str, AttentionFunction] = ATTENTION_FUNCTIONS,
) -> Iterator[Cost]:
    """Measure every mechanism at every size, from few tokens to many, within a budget of time and memory.

    Sizes that would exceed the budget are not run; time and memory are predicted from their growth between the last two
    sizes. A CPU works on one core, since with few tokens several cores wait for each other longer than they compute.
    Only the time of this core is counted, so that other processes do not matter.

    Args:
        sizes: Numbers of tokens N, each at least 1.
        heads, d: Number of attention heads and head width, at least 1.
        device: "cpu" or "cuda".
        budget: Seconds in all, above 0; one measurement may overrun it, and the smallest size is always run.
        memory: Largest memory in bytes, with q, k and v; None takes ``memory_limit``.
        mechanisms: Functions of queries, keys and values, by name.

    Yields:
        One row for each size and mechanism, in that order.

    Raises:
        ValueError: A number is below its limit.
    """
    sizes = sorted(set(sizes))
    if min([heads, d, *sizes], default=0) < 1 or not budget > 0:
        raise ValueError(
            f"sizes={sizes}, heads={heads}, d={d} must be at least 1, and budget={budget} s above 0: choose larger ones"
        )
    for attend in mechanisms.values():  # warm up, so that one-time initialization is not measured
        peak_bytes(partial(attend, *torch.ones(3, 1, heads, min(sizes, default=1), d)))
    limit = (memory_limit(device) if memory is None else memory) / 1e6
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _rows(sizes, mechanisms, heads, d, device, budget, limit)
    finally:
        torch.set_num_threads(threads)


def _rows(
    sizes: Sequence[int],
    mechanisms: dict[str, AttentionFunction],
    heads: int,
    d: int,
    device: str,
    budget: int | float,
    limit_mb: int | float,
) -> Iterator[Cost]:
    deadline = time.perf_counter() + budget
    seconds = budget / (4 * max(1, len(sizes)) * len(mechanisms))
    generator = torch.Generator().manual_seed(0)
    done: dict[str, list[Cost]] = {name: [] for name in mechanisms}
    for tokens in sizes:
        inputs_mb = 3 * heads * tokens * d * 4 / 1e6
        qkv: Sequence[Tensor] = ()
        for name, attend in mechanisms.items():
            if reason := _too_much(done[name], tokens, inputs_mb, limit_mb, deadline - time.perf_counter()):
                yield Cost(name, tokens, math.nan, math.nan, reason)
                continue
            if not qkv:  # 4 axes, because PyTorch has no fused kernel for others
                qkv = torch.randn(3, 1, heads, tokens, d, generator=generator).to(device).unbind()
            run = partial(attend, *qkv)
            with torch.no_grad():
                peak_mb = peak_bytes(run) / 1e6
                ms = median_ms(run, device, seconds=seconds, clock=time.thread_time)
            done[name].append(Cost(name, tokens, ms, peak_mb))
            yield done[name][-1]


def _too_much(done: Sequence[Cost], tokens: int, inputs_mb: float, limit_mb: float, left: float) -> str:
    """Return why a mechanism with these costs so far must not be run on a number of tokens; "" if it may be run."""
    megabytes = inputs_mb + _expected(done, tokens, "peak_mb")
    if megabytes > limit_mb:
        return f"would take about {megabytes:,.0f} MB, the limit is {limit_mb:,.0f} MB"
    seconds = CALLS * _expected(done, tokens, "ms") / 1e3
    if done and seconds > LARGEST_TIME_SHARE * left:
        return f"would take about {seconds:.2g} s, more than the budget leaves for one"
    return ""


def _expected(done: Sequence[Cost], tokens: int, what: str) -> float:
    """Extrapolate the growth between the last two sizes, at least as N and at most as N^2.2; 0 without measurements."""
    if not done:
        return 0.0
    before, last = done[-2:][0], done[-1]
    power = 1.0
    if last.tokens > before.tokens:
        power = math.log(getattr(last, what) / getattr(before, what)) / math.log(last.tokens / before.tokens)
    return getattr(last, what) * (tokens / last.tokens) ** min(2.2, max(1.0, power))


def fit_power_law(tokens: Sequence[int], values: Sequence[int | float]) -> PowerLaw:
    """Fit a constant and a power of N to measured costs, by least squares of their logarithms.

    min Σ ρ(log(overhead + factor · N^exponent) − log value), where ρ is a square up to about 0.1 and a line beyond, so
    that one disturbed measurement changes the fit little

    The constant stands for the time of starting operations, which dominates at small N and would bend the exponent.

    Args:
        tokens: Numbers of tokens N, at least 1.
        values: Costs, above 0; NaN are left out.

    Returns:
        The law, its exponent within 0 to 4.

    Raises:
        ValueError: Fewer than 3 values are finite, or one is not above 0.
    """
    from scipy.optimize import least_squares  # imported late: the benchmark on a GPU has no SciPy

    n, cost = np.asarray(tokens, dtype=float), np.asarray(values, dtype=float)
    n, cost = n[np.isfinite(cost)], cost[np.isfinite(cost)]
    if len(n) < 3 or cost.min() <= 0:
        raise ValueError(f"costs {cost.tolist()} of {len(n)} sizes: a law needs at least 3, each above 0")
    half = len(n) // 2 - (len(n) == 3)
    slope = min(3.5, max(0.5, np.polyfit(np.log(n[half:]), np.log(cost[half:]), 1)[0]))

    def misfit(x: np.ndarray) -> np.ndarray:
        return np.logaddexp(x[0], x[1] + x[2] * np.log(n)) - np.log(cost)

    start = [np.log(cost.min() / 2), np.log(cost[-1]) - slope * np.log(n[-1]), slope]
    bounds = [-np.inf, -np.inf, 0.0], [np.inf, np.inf, 4.0]
    solution = least_squares(misfit, start, bounds=bounds, loss="soft_l1", f_scale=0.1).x
    return PowerLaw(float(np.exp(solution[0])), float(np.exp(solution[1])), float(solution[2]))


def crossover(law: PowerLaw, other: PowerLaw, low: int | float, high: int | float) -> float | None:
    """Return the number of tokens from `low` to `high` above which `other` stays cheaper than `law`.

    Returns:
        N; None if one of the two is cheaper over the whole range, or if `law` is cheaper at its end.
    """
    sizes = np.geomspace(low, high, 4001)
    dearer = np.flatnonzero(other.at(sizes) >= law.at(sizes))
    if not len(dearer) or dearer[-1] == len(sizes) - 1:
        return None
    return float(sizes[dearer[-1] + 1])
