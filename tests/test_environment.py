"""The self-test finds what is missing and says what to do."""

import shutil
from pathlib import Path

from linvid_edu.course import environment
from linvid_edu.course.environment import Finding, check_environment, summary

SAMPLES = Path(__file__).parents[1] / "data_samples"


def test_everything_is_here():
    findings = check_environment(SAMPLES)
    assert all(finding.fine for finding in findings), summary(findings)
    assert {"torch", "papermill", "av"} <= {finding.subject for finding in findings}
    assert "pytest" not in {finding.subject for finding in findings}  # learners do not need the tests' packages
    assert summary(findings).endswith("Everything is here.")


def test_a_missing_and_an_old_package_are_named(monkeypatch):
    monkeypatch.setattr(environment, "requires", lambda _: ["nonexistent-package>=1", "torch>=99"])
    missing, old = environment._packages()
    assert (missing.status, missing.fine) == ("not installed", False)
    assert not old.fine
    assert "needs >=99" in old.advice
    assert "make setup" in old.advice


def test_changed_and_missing_samples_are_named(tmp_path):
    folder = shutil.copytree(SAMPLES, tmp_path / "samples")
    clips = sorted(folder.glob("*.mp4"))
    clips[0].write_bytes(b"changed")
    clips[1].unlink()
    finding = environment._samples(folder)
    assert not finding.fine
    assert clips[0].name in finding.status
    assert clips[1].name in finding.status
    assert not environment._samples(tmp_path).fine


def test_the_summary_counts_what_is_missing():
    text = summary([Finding("a", "1", True), Finding("b", "not installed", False, "install b")])
    assert "MISSING b: not installed\n        → install b" in text
    assert text.endswith("1 of 2 things need your attention.")
