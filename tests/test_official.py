"""Our model with the reference's weights is the reference's model: to 1e-5 of the largest output."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from linvid_edu.models.reference_weights import load_official, official_name

GOLDEN = sorted(Path(__file__).parent.glob("golden/*.npz"))


def read(path):
    with np.load(path) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    config = json.loads(str(values.pop("config")))
    tensors = {name: torch.from_numpy(value) for name, value in values.items()}
    state = {name.removeprefix("state/"): value for name, value in tensors.items() if name.startswith("state/")}
    options = {"heads": config["heads"], "image_size": config["img"]}
    return tensors, state, options | {"temporal_shift_div": config["n_div"] if config["shift"] else None}


def relative_error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def test_all_four_files_are_here():
    assert len(GOLDEN) == 4


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_features_and_logits_agree(path):
    tensors, state, options = read(path)
    model = load_official(state, **options)
    with torch.no_grad():
        x, grid = model.embed(tensors["video"])
        embedded = x - model.temporal_embedding
        assert relative_error(embedded.flatten(0, 1), tensors["feature/patch_embed"]) < 1e-5
        for index, block in enumerate(model.blocks):
            x = block(x, grid)
            assert relative_error(x.flatten(0, 1), tensors[f"feature/block{index}"]) < 1e-5
        assert relative_error(model(tensors["video"]), tensors["logits"]) < 1e-5


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_leaving_a_mechanism_out_is_noticed(path):
    """The golden files can tell the variants apart: switching association the other way changes the logits."""
    tensors, state, options = read(path)
    options["temporal_shift_div"] = None if options["temporal_shift_div"] else 4
    with torch.no_grad():
        assert relative_error(load_official(state, **options)(tensors["video"]), tensors["logits"]) > 1e-3


def golden_state(name="fixation_separate_layers"):
    return read(next(path for path in GOLDEN if path.stem == name))[1:]


def test_one_error_lists_every_problem():
    state, options = golden_state()
    del state["base_model.temp_embed"]
    del state["base_model.blocks.1.attn.k_gate.bias"]
    state["base_model.blocks.0.mlp.fc1.weight"] = torch.zeros(3, 5)
    state["base_model.norm.weight"] = torch.zeros(7)
    state["base_model.extra"] = torch.zeros(2)
    with pytest.raises(ValueError, match="5 weights do not fit") as caught:
        load_official(state, **options)
    for line in (
        "missing: base_model.temp_embed",
        "missing: base_model.blocks.1.attn.k_gate.bias (8,)",
        "misshapen: base_model.blocks.0.mlp.fc1.weight is (3, 5), expected (128, 32)",
        "misshapen: base_model.norm.weight is (7,), expected (32,)",
        "unknown: base_model.extra (2,)",
    ):
        assert line in str(caught.value)


def test_each_single_missing_weight_is_named():
    state, options = golden_state("fixation_shared")
    for name in state:
        rest = {other: weight for other, weight in state.items() if other != name}
        with pytest.raises(ValueError, match="do not fit") as caught:
            load_official(rest, **options)
        assert f"missing: {name} " in str(caught.value)


def test_each_single_misshapen_weight_is_named():
    state, options = golden_state("fixation_separate_layers")
    for name, weight in state.items():
        if weight.ndim == 1:
            with pytest.raises(ValueError, match="do not fit") as caught:
                load_official(state | {name: torch.zeros(len(weight) + 1)}, **options)
            assert name in str(caught.value)


def test_an_empty_state_lists_what_is_missing():
    with pytest.raises(ValueError, match=r"missing: base_model\.temp_embed"):
        load_official({}, heads=4, image_size=56)


@pytest.mark.parametrize(("heads", "message"), [(3, "not divisible by heads=3"), (0, "heads=0"), (2, "q_gate")])
def test_wrong_heads_are_refused(heads, message):
    state, options = golden_state()
    with pytest.raises(ValueError, match=message):
        load_official(state, **(options | {"heads": heads}))


def test_names_of_data_parallel_training_and_arrays_are_taken():
    state, options = golden_state()
    wrapped = {f"module.{name}": weight.numpy() for name, weight in state.items()}
    assert load_official(wrapped, **options).config == load_official(state, **options).config


def test_other_sizes_are_read_off_the_shapes():
    """A checkpoint of another geometry, made by renaming the weights of a model of ours."""
    from linvid_edu.models.config import ModelConfig
    from linvid_edu.models.transformer import VideoTransformer

    config = ModelConfig(
        num_classes=3, num_frames=5, image_size=(30, 44), kernel=12, stride=14, padding=8, width=36, depth=3, heads=6,
        mlp_hidden=20, head_hidden=11, fixation="cooperative", shared_fixation=True, association=True, shift_div=5,
    )  # fmt: skip
    model = VideoTransformer(config).eval()
    state = {official_name(name, shared_fixation=True): weight for name, weight in model.state_dict().items()}
    loaded = load_official(state, heads=6, image_size=(30, 44), temporal_shift_div=5)
    video = torch.randn(2, 3, 5, 30, 44)
    assert loaded.config == config
    torch.testing.assert_close(loaded(video), model(video), rtol=0, atol=0)
