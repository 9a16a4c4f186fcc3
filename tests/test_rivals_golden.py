"""Every rival gives the numbers of its released code: the golden files say which function, with which arguments."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from linvid_edu.attention import rivals

FILES = sorted((Path(__file__).parent / "golden" / "rivals").glob("*.npz"))


def read(path):
    with np.load(path, allow_pickle=False) as file:
        config = json.loads(str(file["config"]))
        tensors = {name: torch.from_numpy(file[name]) for name in file.files if name != "config"}
    arguments = {name.removeprefix("arg."): tensors[name] for name in tensors if name.startswith("arg.")}
    return config, arguments, tensors


def relative(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_and_maps_are_those_of_the_released_code(path):
    config, arguments, tensors = read(path)
    name, constants = config["function"], config["constants"]
    out = getattr(rivals, name)(**arguments, **constants)
    assert out.shape == tensors["out"].shape
    by_oracle = getattr(rivals, f"{name}_oracle")(**arguments, **constants)
    if out.dtype == torch.long:
        assert torch.equal(out, tensors["out"])
        assert torch.equal(by_oracle, tensors["out"])
        return
    assert relative(out, tensors["out"]) < 1e-5
    assert relative(by_oracle, tensors["out"]) < 1e-5
    if "map" in tensors:
        for_map = {key: value for key, value in arguments.items() if key != "v"}
        weights = getattr(rivals, f"{name}_map")(**for_map, **constants)
        assert relative(weights, tensors["map"]) < 1e-5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_arguments_stay_as_they_were(path):
    config, arguments, _ = read(path)
    before = {name: value.clone() for name, value in arguments.items()}
    getattr(rivals, config["function"])(**arguments, **config["constants"])
    assert all(torch.equal(before[name], value) for name, value in arguments.items())


def test_all_files_are_there():
    functions = {read(path)[0]["function"] for path in FILES}
    assert len(FILES) == 21
    assert len(functions) == 18  # two beside the sixteen are optional
