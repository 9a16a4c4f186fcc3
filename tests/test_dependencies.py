"""What is declared, what is pinned and what conda installs agree, and the pins are what runs here."""

import re
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = chain(project["dependencies"], *project["optional-dependencies"].values())
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def pinned():
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    return {canonicalize_name(name): number for name, number in (line.split("==") for line in lines)}


def test_every_range_has_a_pin_inside_it():
    pins = pinned()
    for name, requirement in declared().items():
        assert name in pins, f"{name} is in pyproject.toml and not in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{requirement} does not admit {pins[name]}"


def test_conda_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip[0] == "-c constraints.txt"
    assert pip[-1] == "-e ."
    listed = {canonicalize_name(name): number for name, number in (line.split("==") for line in pip[1:-1])}
    assert listed == {name: pinned()[name] for name in declared()}


def test_no_upper_bounds_in_the_ranges():
    for requirement in declared().values():
        assert {part.operator for part in requirement.specifier} == {">="}


@pytest.mark.parametrize("name", sorted(declared()))
def test_the_pin_is_what_runs_here(name):
    assert re.sub(r"\+.*", "", version(name)) == pinned()[name], "run `make setup`"
