"""Checkpoints come back exactly; broken or dangerous files give a clear error and nothing runs."""

import json
import os
import pickle
from dataclasses import fields

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from linvid_edu.files import atomic_path
from linvid_edu.models.checkpoint import MODEL_FORMAT, CheckpointError, load_model, read_state, save_model
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer


@pytest.mark.parametrize(
    "changes", [{}, {"fixation": "cooperative", "shared_fixation": True}, {"attention": "softmax"}]
)
def test_a_model_comes_back(tmp_path, changes):
    model = VideoTransformer(ModelConfig.compact(spatial_embedding=True, **changes)).eval()
    loaded = load_model(save_model(model, tmp_path / "deep" / "model.safetensors"))
    video = torch.randn(1, 3, 8, 32, 32)
    assert loaded.config == model.config
    assert torch.equal(loaded(video), model(video))


@pytest.fixture
def saved(tmp_path):
    return save_model(VideoTransformer(ModelConfig.compact()), tmp_path / "model.safetensors")


def with_format(path, version):
    """Write a model file that has another format version, or none, as files had before versions."""
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    config.pop("format")
    written = config if version is None else {"format": version, **config}
    save_file(load_file(path), path, metadata={"config": json.dumps(written)})
    return path


def test_equal_models_give_equal_bytes(saved):
    content = saved.read_bytes()
    for _ in range(20):
        assert save_model(load_model(saved), saved).read_bytes() == content


def test_files_without_a_format_version_are_read(saved):
    expected = load_model(saved)
    loaded = load_model(with_format(saved, None))
    video = torch.randn(1, 3, 8, 32, 32)
    assert torch.equal(loaded(video), expected(video))


# the fields that each format added
NEW_FIELDS = {
    1: {
        *("num_classes", "num_frames", "image_size", "kernel", "stride", "padding", "width", "depth", "heads"),
        *("mlp_hidden", "head_hidden", "dropout", "attention", "settings", "feature_map", "fixation", "gate"),
        *("shared_fixation", "association", "shift_div", "space_time", "qkv_bias", "mlp_convolution"),
        "spatial_embedding",
    },
    2: {"output"},
}


def test_a_new_field_of_a_model_raises_the_format():
    names = {each.name for each in fields(ModelConfig)}
    assert names == set().union(*NEW_FIELDS.values()), "raise MODEL_FORMAT and add the new format to NEW_FIELDS"
    assert max(NEW_FIELDS) == MODEL_FORMAT


@pytest.mark.parametrize("version", [MODEL_FORMAT + 1, "new"])
def test_a_newer_format_is_refused_in_words(saved, version):
    words = rf"has checkpoint format {version}, .* reads formats up to {MODEL_FORMAT}: update linvid-edu"
    with pytest.raises(CheckpointError, match=words):
        load_model(with_format(saved, version))


def test_a_cut_file_is_named(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not a whole safetensors file"):
        load_model(saved)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="missing"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="a folder"):
        load_model(tmp_path)


def test_weights_without_or_with_a_wrong_configuration_are_named(tmp_path):
    path = tmp_path / "bare.safetensors"
    save_file({"norm.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no model configuration"):
        load_model(path)
    save_file({"norm.weight": torch.zeros(3)}, path, metadata={"config": "{}"})
    with pytest.raises(CheckpointError, match="broken model configuration"):
        load_model(path)
    config = json.dumps(ModelConfig.compact().to_dict())
    save_file({"norm.weight": torch.zeros(3)}, path, metadata={"config": config})
    with pytest.raises(CheckpointError, match=r"weights are missing, unknown or misshapen .*blocks\.0"):
        load_model(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "model.npz"])
def test_a_pickle_is_refused_and_runs_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as file:
        pickle.dump(Bomb(), file)
    for load in (load_model, read_state):
        with pytest.raises(CheckpointError):
            load(name)
    torch.save({"weights": Bomb()}, "torch.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_state("torch.pth")
    assert not (tmp_path / "exploded").exists()


def test_states_of_other_programs_are_read(tmp_path):
    state = {"a": torch.ones(2)}
    for index, wrapped in enumerate((state, {"state_dict": state, "epoch": 3}, {"model": state})):
        torch.save(wrapped, tmp_path / f"{index}.pth")
        assert torch.equal(read_state(tmp_path / f"{index}.pth")["a"], state["a"])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="not a mapping of names to weights"):
        read_state(tmp_path / "list.pth")


def test_a_crash_leaves_the_old_file(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def crash():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_wrapped_model_is_saved_under_its_own_names(tmp_path):
    from lightning_fabric import Fabric

    model = VideoTransformer(ModelConfig.compact()).eval()
    save_model(model, tmp_path / "plain.safetensors")
    compiled = torch.compile(model, backend="eager")
    fabric = Fabric(accelerator="cpu", devices=1)
    for wrapped in (compiled, fabric.setup(model), fabric.setup(compiled)):
        save_model(wrapped, tmp_path / "wrapped.safetensors")
        assert (tmp_path / "wrapped.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="writes a VideoTransformer, not a Linear"):
        save_model(torch.nn.Linear(2, 2), tmp_path / "wrapped.safetensors")


def test_a_file_that_could_not_be_read_again_does_not_replace_the_old_one(tmp_path):
    model = VideoTransformer(ModelConfig.compact())
    path = save_model(model, tmp_path / "model.safetensors")
    before, random = path.read_bytes(), torch.get_rng_state()
    save_model(model, path)
    assert torch.equal(torch.get_rng_state(), random)
    model.blocks[0] = torch.compile(model.blocks[0], backend="eager")
    with pytest.raises(CheckpointError, match="was not written, because it could not be read again"):
        save_model(model, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n", "git lfs pull"),
        (b"", "is empty"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_download_that_is_no_checkpoint_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    for load in (load_model, read_state):
        with pytest.raises(CheckpointError, match=words):
            load(tmp_path / name)
