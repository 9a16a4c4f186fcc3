"""Every rival returns the numbers of its released code. The golden files name the function and its arguments."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from linvid_edu.attention import rivals
from linvid_edu.attention.rivals import (
    AggregationWeights,
    AttentionWeights,
    DepthwiseWeights,
    DynamicWindowWeights,
    LinearWeights,
    MixFFNWeights,
    NormWeights,
)
from linvid_edu.shapes import Grid

FILES = sorted((Path(__file__).parent / "golden" / "rivals").glob("*.npz"))


def read(path):
    with np.load(path, allow_pickle=False) as file:
        config = json.loads(str(file["config"]))
        tensors = {name: torch.from_numpy(file[name]) for name in file.files if name != "config"}
    arguments = {name.removeprefix("arg."): tensors[name] for name in tensors if name.startswith("arg.")}
    bundle = BUNDLES.get(config["function"])
    if bundle is not None:
        bundle(arguments, config["constants"])
    return config, arguments, tensors


def linear(arguments, name, kind=LinearWeights):
    """Take the weight and the bias of a layer out of the arguments of a file."""
    return kind(arguments.pop(f"{name}_weight"), arguments.pop(f"{name}_bias"))


def bundle_dynamic_window(arguments, _):
    layers = {name: linear(arguments, name) for name in ("qkv", "mix", "squeeze", "excite", "head")}
    arguments["weights"] = DynamicWindowWeights(relative_bias=arguments.pop("relative_bias"), **layers)


def bundle_dynamic_queries(arguments, _):
    arguments |= {name: linear(arguments, name) for name in ("hidden", "mix")}


def bundle_aggregation(arguments, _):
    attentions = {
        f"{name}_attention": AttentionWeights(
            linear(arguments, f"{name}_in"),
            linear(arguments, f"{name}_out"),
            linear(arguments, f"{name}_norm", NormWeights),
        )
        for name in ("self", "cross")
    }
    arguments["weights"] = AggregationWeights(
        expand=linear(arguments, "ffn_in"),
        project=linear(arguments, "ffn_out"),
        norm=linear(arguments, "ffn_norm", NormWeights),
        **attentions,
    )


def bundle_mixffn(arguments, _):
    arguments["weights"] = MixFFNWeights(
        expand=linear(arguments, "expand"),
        depthwise=linear(arguments, "depth", DepthwiseWeights),
        project=arguments.pop("point_weight"),
        temporal=arguments.pop("temporal_weight"),
    )


def bundle_focused_linear(arguments, constants):
    if "conv_weight" in arguments:
        arguments["conv_weight"] = arguments["conv_weight"].squeeze(1)
        arguments["convolution"] = linear(arguments, "conv", DepthwiseWeights)
        constants["grid"] = Grid(constants.pop("grid_height"), constants.pop("grid_width"))


def rename(old, new):
    def bundle(_, constants):
        if old in constants:
            constants[new] = constants.pop(old)

    return bundle


# the files have the names of the released code; our functions bundle learned weights
BUNDLES = {
    "cosformer": rename("eps", "floor"),
    "dynamic_window": bundle_dynamic_window,
    "faq_dynamic_queries": bundle_dynamic_queries,
    "faq_query_aggregation": bundle_aggregation,
    "focused_linear": bundle_focused_linear,
    "performer": rename("eps", "feature_offset"),
    "sana_video_mixffn": bundle_mixffn,
}


def tensors_in(value):
    """Return all tensors of an argument, which may be a tensor or bundled weights."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value or () for tensor in tensors_in(item)]


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
    given = [tensor for value in arguments.values() for tensor in tensors_in(value)]
    before = [tensor.clone() for tensor in given]
    getattr(rivals, config["function"])(**arguments, **config["constants"])
    assert given
    assert all(torch.equal(old, new) for old, new in zip(before, given, strict=True))


def test_all_files_are_there():
    functions = {read(path)[0]["function"] for path in FILES}
    assert len(FILES) == 21
    assert len(functions) == 18  # two beside the sixteen are optional
