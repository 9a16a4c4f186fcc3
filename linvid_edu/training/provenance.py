"""Where a number comes from: commit, versions, machine, device, threads, date, and how much memory it took."""

import os
import platform
import resource
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def peak_memory_mb() -> float:
    """Return the most memory that was in use: of the GPU where one is used, else of this process, in 10⁶ bytes."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss begins at the peak of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) * 1024 / 1e6, 1)
    unit = 1 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Return commit, versions, machine, device, threads and date of what runs now; no path and no host's name."""
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
    """Return the commit of this package's repository when first asked, marked where the library differs from it.

    Ask before a long run, which ends with the code that it began with, whatever was committed in between.
    """
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # or the repository around it is another one
        return git("rev-parse", "--short=12", "HEAD") + " with changes" * bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
