"""Where a number comes from: commit, versions, machine, device, threads and date, and the memory that it took."""

import os
import platform
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def peak_memory_mb() -> float | None:
    """Return the peak memory so far, in 10⁶ bytes: that of the GPU if one is used, else that of this process.

    On Windows it is None if psutil is not installed.
    """
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    size = _peak_process_bytes()
    return None if size is None else round(size / 1e6, 1)


def _peak_process_bytes() -> int | None:
    if sys.platform == "win32":
        try:
            import psutil
        except ImportError:
            return None
        return psutil.Process().memory_info().peak_wset
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss starts at the peak of the parent process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # it does not exist on Windows

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Return commit, versions, machine, device, threads and date, without any path or host name.

    Args:
        device: Device that was used, such as "cpu" or "cuda:0".
    """
    names = ("torch", "numpy", "einops", "lightning-fabric")
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in names}},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def commit() -> str:
    """Return the commit of this package's repository, marked "with changes" if the library differs from it.

    It is read at the first call and kept. Call it before a long run, so that later commits do not change the answer.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # otherwise the surrounding repository is not ours
        changed = git("status", "--porcelain", "--", "..")
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
