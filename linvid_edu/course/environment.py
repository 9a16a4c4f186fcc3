"""Check whether this machine has what the course needs, and say how to install what is missing."""

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import torch
from packaging.requirements import Requirement

INSTALL = 'in a clone, run `make setup`; otherwise `pip install "WHEEL[course]"`, with the path of the wheel'


class Finding(NamedTuple):
    """Result of one check.

    subject: what was checked, such as "torch"
    status: its version or state
    fine: whether that is good enough
    advice: what to do if it is not
    """

    subject: str
    status: str
    fine: bool
    advice: str = ""


def check_environment(data_samples: str | Path) -> list[Finding]:
    """Check Python, the packages of the course, the sample clips and the device. Nothing is installed or changed.

    Args:
        data_samples: Folder with the sample clips and their manifest.

    Returns:
        One finding for each check.
    """
    return [_python(), *_packages(), _samples(Path(data_samples)), _device()]


def summary(findings: list[Finding]) -> str:
    """Return the findings as lines of text, with advice under each that is not fine, and a verdict at the end."""
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.fine else 'MISSING'} {finding.subject}: {finding.status}")
        if not finding.fine:
            lines.append(f"        → {finding.advice}")
    problems = sum(not finding.fine for finding in findings)
    verdict = f"{problems} of {len(findings)} things need your attention." if problems else "Everything is here."
    return "\n".join([*lines, verdict])


def _python() -> Finding:
    fine = sys.version_info >= (3, 11)
    return Finding("Python", platform.python_version(), fine, "install Python 3.11 or newer, then `make setup`")


def _packages() -> list[Finding]:
    """Compare the installed versions with the ranges that this package declares."""
    try:
        declared = [Requirement(line) for line in requires("linvid-edu") or ()]
    except PackageNotFoundError:
        return [Finding("linvid-edu", "not installed", False, INSTALL)]
    needed = [line for line in declared if line.marker is None or line.marker.evaluate({"extra": "course"})]
    return [_package(requirement) for requirement in needed]


def _package(requirement: Requirement) -> Finding:
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return Finding(requirement.name, "not installed", False, INSTALL)
    fine = requirement.specifier.contains(installed, prereleases=True)
    return Finding(requirement.name, installed, fine, f"needs {requirement.specifier}: {INSTALL}")


def _samples(folder: Path) -> Finding:
    advice = "in a clone, run `git checkout data_samples`; elsewhere, delete the files and run `linvid lab` again"
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
