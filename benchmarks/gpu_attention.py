"""Softmax against linear attention by number of tokens: milliseconds and memory, forward and backward."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from linvid_edu.attention.fixation import Fixation
from linvid_edu.attention.mechanisms import LinearAttention
from linvid_edu.figures.cost import ATTENTION_FUNCTIONS, median_ms

HEADS, HEAD_WIDTH = 8, 64
TOKENS = tuple(2**power for power in range(8, 17))  # 256 to 65,536
MECHANISMS: dict[str, Callable[[], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    **{name: lambda attend=attend: attend for name, attend in ATTENTION_FUNCTIONS.items()},
    "cooperative": lambda: LinearAttention(Fixation(HEAD_WIDTH, kind="cooperative")),
}


def measure(name: str, tokens: int, *, device: str, dtype: torch.dtype, patience: float = 0.3) -> dict:
    """Time one mechanism on one sequence, 8 heads of width 64.

    Returns:
        ``forward_ms``, ``training_ms`` (forward and backward) and ``peak_mb``, the most memory of the GPU in use
        during training, in 10⁶ bytes; None where it does not fit, and for memory on a CPU.
    """
    mechanism = MECHANISMS[name]()
    if isinstance(mechanism, nn.Module):
        mechanism.to(device, dtype)
    weights = list(mechanism.parameters()) if isinstance(mechanism, nn.Module) else []
    shape = (1, HEADS, tokens, HEAD_WIDTH)
    q, k, v, gradient = (torch.randn(shape, device=device, dtype=dtype) for _ in range(4))

    def forward() -> None:
        with torch.no_grad():
            mechanism(q, k, v)

    def training() -> None:
        torch.autograd.grad(mechanism(q, k, v), [q, k, v, *weights], gradient)

    row = {"mechanism": name, "tokens": tokens, "forward_ms": None, "training_ms": None, "peak_mb": None}
    try:
        row["forward_ms"] = median_ms(forward, device, seconds=patience)
        for operand in (q, k, v):
            operand.requires_grad_()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        row["training_ms"] = median_ms(training, device, seconds=patience)
        if device == "cuda":
            row["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    except torch.OutOfMemoryError:
        pass  # the numbers that are missing say so
    return row
