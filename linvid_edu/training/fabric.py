"""Device, precision and processes: Lightning Fabric, or a plain replacement for one process if it is not installed."""

import os
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = ("32-true", "bf16-mixed")


def make_fabric(device: str = "auto", processes: int = 1, precision: str | None = None) -> Any:
    """Return a launched Lightning Fabric, or ``plain_fabric`` if it is not installed.

    In a script started by ``fabric run``, the launcher decides device, processes and precision, and the arguments are
    ignored.

    Args:
        device: "auto", "cpu", "cuda" or "mps"; "auto" is CUDA if there is one, else the CPU.
        processes: Number of processes that share each batch. They communicate through gloo on a CPU, nccl on CUDA.
        precision: One of ``PRECISIONS``; None means "bf16-mixed" on CUDA and "32-true" elsewhere.

    Raises:
        ValueError: The device or the precision is unknown, or this machine lacks the device.
    """
    available = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device):
        problem = "not on this machine" if device in available else "unknown"
        raise ValueError(f"device {device!r} is {problem}: choose auto or cpu")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"precision {precision!r} is unknown: choose one of {', '.join(PRECISIONS)}")
    if device == "auto":
        device = "cuda" if available["cuda"] else "cpu"
    precision = precision or ("bf16-mixed" if device == "cuda" else "32-true")
    try:
        from lightning_fabric import Fabric
    except ImportError:
        if processes > 1:
            raise ValueError(f"{processes} processes need Lightning Fabric: pip install lightning-fabric") from None
        return plain_fabric(device, precision)
    if os.environ.get("LT_CLI_USED"):
        return Fabric()
    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator=device, devices=processes, strategy=strategy, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def check_fabric(fabric: Any, batch: int) -> None:
    """Raise ValueError if a run cannot be trained to its end with this Fabric, however it was started.

    Args:
        fabric: Result of ``make_fabric``, or a Fabric of the caller.
        batch: Number of clips in a batch, over all processes.
    """
    strategy = getattr(fabric, "strategy", None)
    precision = PRECISIONS[0] if strategy is None else str(strategy.precision.precision)
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not supported: choose one of {', '.join(PRECISIONS)}")
    if batch % fabric.world_size:
        raise ValueError(
            f"a batch of {batch} clips cannot be shared by {fabric.world_size} processes: choose a multiple"
        )


class plain_fabric:
    """The methods of Lightning Fabric that training calls, for one process on one device.

    Args:
        device: Name of the device, such as "cpu".
        precision: One of ``PRECISIONS``.
    """

    world_size, global_rank, is_global_zero = 1, 0, True

    def __init__(self, device: str = "cpu", precision: str = "32-true"):
        self.device = torch.device(device)
        self._bfloat16 = precision == "bf16-mixed"

    def setup(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return the model, moved to the device and run in bfloat16 for "bf16-mixed", and the optimizer."""
        model.to(self.device)
        return _Bfloat16(model) if self._bfloat16 else model, optimizer

    def all_reduce(self, value: Tensor) -> Tensor:
        """Return the value, since there is only one process."""
        return value

    def broadcast(self, value: Any) -> Any:
        """Return the value, since there is only one process."""
        return value

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()

    def clip_gradients(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, *, max_norm: float, error_if_nonfinite: bool
    ) -> Tensor:
        """Scale the gradients down to a norm of at most `max_norm`, and return the norm before scaling.

        The weights are in the optimizer's order, as in Lightning Fabric, since the last bits of the norm depend on it.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        return nn.utils.clip_grad_norm_(weights, max_norm, error_if_nonfinite=error_if_nonfinite)


class _Bfloat16(nn.Module):
    """Run a model under autocast to bfloat16; weights and outputs stay float32."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, video: Tensor, readout: Tensor | None = None) -> Tensor:
        with torch.autocast(video.device.type, dtype=torch.bfloat16):
            return self.model(video, readout).float()
