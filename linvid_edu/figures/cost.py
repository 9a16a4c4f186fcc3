"""What attention costs on this machine: measured time and memory by number of tokens, and the law that fits them."""

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

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
MECHANISMS: dict[str, Attention] = {
    "softmax": softmax_attention,
    "softmax, explicit map": softmax_attention_oracle,
    "linear": linear_attention,
}
CALLS, SHARE = 6, 0.3  # a measurement makes at least so many calls, and takes at most this share of the time left
LARGEST_SHARE, LARGEST_MEMORY = 0.25, 2e9  # of the free memory, and bytes: no measurement takes more


class Cost(NamedTuple):
    """What one call of one mechanism costs on one sequence.

    mechanism: a name in ``MECHANISMS``
    tokens: N
    ms: median time, forward only; NaN where it was not measured
    peak_mb: the most that outputs and intermediate tensors take at once, in 10⁶ bytes, without q, k and v
    missing: why it was not measured, in words; "" where it was
    """

    mechanism: str
    tokens: int
    ms: float
    peak_mb: float
    missing: str = ""


class Law(NamedTuple):
    """cost(N) = overhead + factor · N^exponent."""

    overhead: int | float
    factor: int | float
    exponent: int | float

    def at(self, tokens: Any) -> Any:
        """Return the cost of so many tokens, a number or an array of them."""
        return self.overhead + self.factor * np.asarray(tokens, dtype=float) ** self.exponent


def milliseconds(
    run: Callable[[], object], device: str, *, patience: int | float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of one call, after two to warm up, by CUDA's own events on a GPU.

    Args:
        run: what is timed.
        device: "cpu" or "cuda".
        patience: about how many seconds to spend; 3 to 50 calls are timed.
        clock: of a CPU; ``time.thread_time`` leaves out what else the machine does, where one thread does all the work.
    """
    run()
    one_call(run, device, clock)
    times: list[float] = []
    end = time.perf_counter() + patience
    while len(times) < 3 or (len(times) < 50 and time.perf_counter() < end):
        times.append(one_call(run, device, clock))
    return statistics.median(times)


def one_call(run: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the milliseconds of one call."""
    if device == "cpu":
        before = clock()
        run()
        return 1e3 * (clock() - before)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


class _Tensors(TorchDispatchMode):
    """Keep count of the bytes of all tensors that operations return, until nothing holds them any more."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_address(each) for each in args if isinstance(each, Tensor)}
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(each, Tensor) and _address(each) not in self.held.keys() | given:
                storage = each.untyped_storage()
                self.held[_address(each)] = storage.nbytes()
                weakref.finalize(storage, self.held.pop, _address(each), None)
        self.peak = max(self.peak, sum(self.held.values()))
        return out


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def peak_bytes(run: Callable[[], object]) -> int:
    """Return the most bytes that the tensors made by `run` take at once.

    What a fused kernel keeps for itself while it runs is not seen: for PyTorch's softmax attention about 1 MB.
    """
    with _Tensors() as tensors:
        run()
    return tensors.peak


def memory_limit(device: str = "cpu") -> float:
    """Return how many bytes a measurement may take: a quarter of what is free, 2·10⁹ at most."""
    if device == "cuda":
        return min(LARGEST_MEMORY, LARGEST_SHARE * torch.cuda.mem_get_info()[0])
    about = Path("/proc/meminfo")
    if about.exists():
        free = next(1024 * int(line.split()[1]) for line in about.read_text().splitlines() if "MemAvailable" in line)
    else:  # where the system does not tell: half of all there is
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return min(LARGEST_MEMORY, LARGEST_SHARE * free)


def measure(
    sizes: Iterable[int],
    *,
    heads: int = 4,
    e: int = 32,
    device: str = "cpu",
    budget: int | float = 5.0,
    memory: int | float | None = None,
    mechanisms: dict[str, Attention] = MECHANISMS,
) -> Iterator[Cost]:
    """Measure every mechanism at every size, from few tokens to many, within a budget of time and memory.

    What would not fit is not run: time and memory are taken to grow as they did between the last two sizes. A CPU works
    on one core, since with few tokens several cores wait for each other longer than they compute, and the time is that
    of this core alone, whatever else the machine does.

    Args:
        sizes: numbers of tokens N, each at least 1.
        heads, e: attention heads and the channels of each, at least 1.
        device: "cpu" or "cuda".
        budget: seconds for everything, above 0; one measurement may overrun it, and the smallest size is always run.
        memory: bytes at most, q, k and v included; None asks ``memory_limit``.
        mechanisms: name to a function of queries, keys and values.

    Yields:
        One row for each size and mechanism, in that order.

    Raises:
        ValueError: a number below its limit.
    """
    sizes = sorted(set(sizes))
    if min([heads, e, *sizes], default=0) < 1 or not budget > 0:
        raise ValueError(
            f"sizes={sizes}, heads={heads}, e={e} must be at least 1, and budget={budget} s above 0: choose larger ones"
        )
    for attend in mechanisms.values():  # what PyTorch prepares once in a process is nobody's cost
        peak_bytes(partial(attend, *torch.ones(3, 1, heads, min(sizes, default=1), e)))
    limit = (memory_limit(device) if memory is None else memory) / 1e6
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _rows(sizes, mechanisms, heads, e, device, budget, limit)
    finally:
        torch.set_num_threads(threads)


def _rows(
    sizes: Sequence[int],
    mechanisms: dict[str, Attention],
    heads: int,
    e: int,
    device: str,
    budget: int | float,
    limit_mb: int | float,
) -> Iterator[Cost]:
    deadline = time.perf_counter() + budget
    patience = budget / (4 * max(1, len(sizes)) * len(mechanisms))
    generator = torch.Generator().manual_seed(0)
    done: dict[str, list[Cost]] = {name: [] for name in mechanisms}
    for tokens in sizes:
        inputs_mb = 3 * heads * tokens * e * 4 / 1e6
        qkv: Sequence[Tensor] = ()
        for name, attend in mechanisms.items():
            if reason := _too_much(done[name], tokens, inputs_mb, limit_mb, deadline - time.perf_counter()):
                yield Cost(name, tokens, math.nan, math.nan, reason)
                continue
            if not qkv:  # 4 axes, since PyTorch fuses only those
                qkv = torch.randn(3, 1, heads, tokens, e, generator=generator).to(device).unbind()
            run = partial(attend, *qkv)
            with torch.no_grad():
                peak_mb = peak_bytes(run) / 1e6
                ms = milliseconds(run, device, patience=patience, clock=time.thread_time)
            done[name].append(Cost(name, tokens, ms, peak_mb))
            yield done[name][-1]


def _too_much(done: Sequence[Cost], tokens: int, inputs_mb: float, limit_mb: float, left: float) -> str:
    """Say why a mechanism with these costs so far should not be run on so many tokens; "" where it may be."""
    megabytes = inputs_mb + _expected(done, tokens, "peak_mb")
    if megabytes > limit_mb:
        return f"would take about {megabytes:,.0f} MB, the limit is {limit_mb:,.0f} MB"
    seconds = CALLS * _expected(done, tokens, "ms") / 1e3
    if done and seconds > SHARE * left:
        return f"would take about {seconds:.2g} s, more than the budget leaves for one"
    return ""


def _expected(done: Sequence[Cost], tokens: int, what: str) -> float:
    """Carry the growth between the last two sizes on, as N at least and N^2.2 at most; 0 where nothing was measured."""
    if not done:
        return 0.0
    before, last = done[-2:][0], done[-1]
    power = 1.0
    if last.tokens > before.tokens:
        power = math.log(getattr(last, what) / getattr(before, what)) / math.log(last.tokens / before.tokens)
    return getattr(last, what) * (tokens / last.tokens) ** min(2.2, max(1.0, power))


def fit(tokens: Sequence[int], values: Sequence[int | float]) -> Law:
    """Fit a constant and a power of N to measured costs, by least squares of their logarithms.

    min Σ ρ(log(overhead + factor · N^exponent) − log value), where ρ is a square up to about 0.1 and a line beyond, so
    that one disturbed measurement bends little

    Without the constant, the time of starting a few operations, which small N are all about, would bend the exponent.

    Args:
        tokens: N, at least 1.
        values: costs, above 0; NaN are left out.

    Returns:
        The law, its exponent within 0 to 4.

    Raises:
        ValueError: fewer than 3 values are known, or one is not above 0.
    """
    from scipy.optimize import least_squares  # here, since a GPU is measured where torch, einops and numpy are alone

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
    found = least_squares(misfit, start, bounds=bounds, loss="soft_l1", f_scale=0.1).x
    return Law(float(np.exp(found[0])), float(np.exp(found[1])), float(found[2]))


def crossover(law: Law, other: Law, low: int | float, high: int | float) -> float | None:
    """Return the number of tokens from `low` to `high` above which `other` stays cheaper than `law`.

    Returns:
        N; None where one of the two is cheaper over the whole range, or `law` is cheaper at its end.
    """
    places = np.geomspace(low, high, 4001)
    dearer = np.flatnonzero(other.at(places) >= law.at(places))
    if not len(dearer) or dearer[-1] == len(places) - 1:
        return None
    return float(places[dearer[-1] + 1])
