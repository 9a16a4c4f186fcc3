"""Does this machine have what the course needs, and if not, what to do about it."""

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import torch
from packaging.requirements import Requirement

INSTALL = 'run `make setup` in a clone; without one, `pip install "WHEEL[course]"`, with the name of the wheel\'s file'


class Finding(NamedTuple):
    """One thing that was looked at.

    what: what was looked at
    found: what was there
    fine: whether that is enough
    advice: what to do if it is not
    """

    what: str
    found: str
    fine: bool
    advice: str = ""


def check_environment(data_samples: str | Path) -> list[Finding]:
    """Look at Python, the packages of the course, the sample clips and the devices.

    Args:
        data_samples: the folder with the sample clips and their manifest.

    Returns:
        One finding for each thing; nothing is installed or changed.
    """
    return [_python(), *_packages(), _samples(Path(data_samples)), _device()]


def summary(findings: list[Finding]) -> str:
    """Write the findings as lines of text, with advice under what is missing, and a verdict at the end."""
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.fine else 'MISSING'} {finding.what}: {finding.found}")
        if not finding.fine:
            lines.append(f"        → {finding.advice}")
    missing = sum(not finding.fine for finding in findings)
    verdict = "Everything is here." if not missing else f"{missing} of {len(findings)} things need your attention."
    return "\n".join([*lines, verdict])


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    return Finding("Python", platform.python_version(), fine, "install Python 3.11 or newer, then `make setup`")


def _packages() -> list[Finding]:
    """Compare what is installed with the ranges that this package itself declares."""
    try:
        declared = [Requirement(line) for line in requires("linvid-edu") or ()]
    except PackageNotFoundError:
        return [Finding("linvid-edu", "not installed", False, INSTALL)]
    needed = [r for r in declared if r.marker is None or r.marker.evaluate({"extra": "course"})]
    return [_package(requirement) for requirement in needed]


def _package(requirement: Requirement) -> Finding:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return Finding(requirement.name, "not installed", False, INSTALL)
    fine = requirement.specifier.contains(found, prereleases=True)
    return Finding(requirement.name, found, fine, f"needs {requirement.specifier}: {INSTALL}")


def _samples(folder: Path) -> Finding:
    advice = "in a clone, `git checkout data_samples`; elsewhere, delete what is broken and run `linvid lab` again"
    try:
        clips = json.loads((folder / "manifest.json").read_text())["clips"]
    except (OSError, ValueError, KeyError):
        return Finding("sample clips", f"no manifest in {folder}", False, advice)
    broken = [clip["file"] for clip in clips if not _is_whole(folder / clip["file"], clip["sha256"])]
    if broken:
        return Finding("sample clips", f"{len(broken)} missing or changed: {', '.join(broken)}", False, advice)
    return Finding("sample clips", f"{len(clips)} clips, as in the manifest", True)


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _device() -> Finding:
    if torch.cuda.is_available():
        return Finding("device", torch.cuda.get_device_name(), True)
    return Finding("device", f"CPU, {torch.get_num_threads()} threads (enough for every lesson)", True)
