"""Device, precision and processes of a training: Lightning Fabric's, or one plain process where it is not installed."""

import os
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = ("32-true", "bf16-mixed")


def make_fabric(device: str = "auto", processes: int = 1, precision: str | None = None) -> Any:
    """Return a launched Lightning Fabric, or ``plain_fabric`` where that is not installed.

    Within a script that ``fabric run`` started, which decides device, processes and precision, it is joined.

    Args:
        device: "auto", "cpu", "cuda" or "mps"; "auto" is CUDA where there is one, else the CPU.
        processes: how many share each batch; more than one on a CPU talk through gloo, on CUDA through nccl.
        precision: one of ``PRECISIONS``; None means "bf16-mixed" on CUDA and "32-true" elsewhere.

    Raises:
        ValueError: an unknown device or precision, or a device that this machine lacks.
    """
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device):
        known = device in there
        raise ValueError(f"device {device!r} is {'not on this machine' if known else 'unknown'}: choose auto or cpu")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"precision {precision!r} is unknown: choose one of {', '.join(PRECISIONS)}")
    if device == "auto":
        device = "cuda" if there["cuda"] else "cpu"
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


class plain_fabric:
    """The few methods of Lightning Fabric that training calls, for one process on one device."""

    world_size, global_rank, is_global_zero = 1, 0, True

    def __init__(self, device: str = "cpu", precision: str = "32-true"):
        self.device = torch.device(device)
        self._bfloat16 = precision == "bf16-mixed"

    def setup(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Move the model to the device, and return one that runs in bfloat16 where asked."""
        model.to(self.device)
        return _Bfloat16(model) if self._bfloat16 else model, optimizer

    def all_reduce(self, value: Tensor) -> Tensor:
        """Return the value: there is no other process."""
        return value

    def broadcast(self, value: Any) -> Any:
        """Return the value: there is no other process."""
        return value

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()

    def clip_gradients(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, *, max_norm: float, error_if_nonfinite: bool
    ) -> Tensor:
        """Scale the gradients down to a norm of `max_norm`, and return their norm before."""
        return nn.utils.clip_grad_norm_(model.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)


class _Bfloat16(nn.Module):
    """Run a model in bfloat16 where that is safe; weights and outputs stay float32."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, video: Tensor, readout: Tensor | None = None) -> Tensor:
        with torch.autocast(video.device.type, dtype=torch.bfloat16):
            return self.model(video, readout).float()
