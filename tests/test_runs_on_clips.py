"""Runs that train on clips from files: what decides them, how they resume, and the commands that use them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

pytest.importorskip("av")
pytest.importorskip("safetensors")

from safetensors.torch import load_file

from linvid_edu.models.checkpoint import CheckpointError
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.fabric import make_fabric
from linvid_edu.training.loop import initialize
from linvid_edu.training.run import fit
from linvid_edu.training.run_checkpoints import checkpoints

pytestmark = pytest.mark.slow


def run_config(root, **changes):
    scenes, model = {"root": str(root)}, {"width": 16, "depth": 1, "mlp_hidden": 16}
    settings = {"task": "clips", "steps": 6, "batch": 4, "warmup": 2, "scenes": scenes, "model": model}
    return TrainConfig(**settings | changes)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights(folder):
    return load_file(checkpoints(folder)[-1] / "model.safetensors")


@pytest.mark.usefixtures("one_thread")
def test_a_run_on_clips_resumes_to_the_same_bits_and_names_skipped_clips(broken, tmp_path):
    config, fabric = run_config(broken), make_fabric("cpu")
    how = {"effort": Effort(workers=0, save_every=2, points=2)}
    whole = fit(config, tmp_path / "whole", fabric, **how)

    def die(record):
        if record.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "parts", fabric, **how, watch=die)
    again = TrainConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    parts = fit(again, tmp_path / "parts", fabric, **how, resume=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], weight) for name, weight in untrained(config).items())
    for name in ("accuracy", "curve", "losses", "unreadable"):
        assert whole[name] == parts[name], name
    assert sorted(whole["unreadable"]) == ["test/down/clip_4.mp4", "train/left/clip_1.mp4", "train/up/clip_0.mp4"]
    assert whole["concentration"] == []
    assert list(whole["accuracy"]) == ["test"]


def test_the_settings_of_a_run_are_read_when_its_clips_are_gone(tmp_path):
    config = run_config(tmp_path / "gone")
    assert TrainConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match=r"gone is not a folder: give one"):
        fit(config, tmp_path / "run", make_fabric("cpu"))
    assert not list(tmp_path.iterdir())


def test_clips_that_are_no_data_set_are_reported_before_anything_is_written(clips, tmp_path):
    (tmp_path / "clips").mkdir()
    shutil.copytree(clips / "train", tmp_path / "clips" / "train")
    with pytest.raises(ValueError, match="has no split to test on"):
        fit(run_config(tmp_path / "clips"), tmp_path / "run", make_fabric("cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


@pytest.mark.parametrize(("root", "spelled"), [("./clips/", "clips"), ("a//b/./clips", "a/b/clips"), (".", ".")])
def test_a_folder_is_the_same_however_its_path_is_written(root, spelled):
    assert run_config(root) == run_config(spelled)
    assert run_config(root).to_dict()["scenes"]["root"] == spelled


@pytest.fixture
def stopped(clips, tmp_path, monkeypatch):
    """The folder of a run on clips that can be changed, stopped in step 2 of 3 after the checkpoint of step 1."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(clips, "clips")

    def stop(record):
        if record.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(run_config("clips", steps=3), "run", make_fabric("cpu"), effort=Effort(workers=0, save_every=1), watch=stop)
    return Path("run")


def resumed_steps(run, config, **effort):
    steps = []
    fit(config, run, make_fabric("cpu"), resume=True, effort=Effort(**effort), watch=lambda r: steps.append(r.step))
    return steps


@pytest.mark.parametrize("root", ["./clips/", "absolute", "moved"])
def test_a_run_resumes_with_another_loading_and_another_path_of_the_same_clips(stopped, root):
    if root == "absolute":
        root = str(Path("clips").resolve())
    elif root == "moved":
        Path("clips").rename("moved")
    assert resumed_steps(stopped, run_config(root, steps=3), workers=1, cache_mb=1) == [2, 3]
    assert resumed_steps(stopped, run_config(root, steps=3), workers=0) == []  # it is complete


def test_a_finished_run_is_read_when_its_clips_are_gone(stopped):
    assert resumed_steps(stopped, run_config("clips", steps=3), workers=0) == [2, 3]
    shutil.rmtree("clips")
    metrics = fit(run_config("clips", steps=3), stopped, make_fabric("cpu"))
    assert metrics["accuracy"].keys() == {"test"}


@pytest.mark.parametrize("change", ["flips", "another clip", "another label", "another file"])
def test_a_run_does_not_resume_with_other_clips(stopped, change):
    scenes, setting = {"root": "clips"}, "clips"
    if change == "flips":
        scenes, setting = {"root": "clips", "flips": True}, "scenes"
    elif change == "another clip":
        shutil.copy("clips/train/up/clip_0.mp4", "clips/train/up/clip_9.mp4")
    elif change == "another label":
        Path("clips/train/up/clip_0.mp4").rename("clips/train/down/clip_9.mp4")
    else:
        Path("clips/train/up/clip_0.mp4").write_bytes(Path("clips/train/up/clip_1.mp4").read_bytes() + b" ")
    with pytest.raises(CheckpointError, match=rf"belongs to a run with other settings \({setting}\): choose another"):
        resumed_steps(stopped, run_config("clips", steps=3, scenes=scenes), workers=0)


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
def test_a_run_from_before_the_first_format_resumes(stopped, name):
    """Then the settings of the loader were among the scenes, and the content of the folder was not noted."""
    config = run_config("clips", steps=3)
    if name == "metrics.json":
        resumed_steps(stopped, config, workers=0)
    path = stopped / name if name == "metrics.json" else checkpoints(stopped)[-1] / name
    written = json.loads(path.read_text())
    del written["format"], written["clips"]
    written["config"]["scenes"] = {"root": "./clips", "workers": 3, "cache_mb": 9}
    path.write_text(json.dumps(written))
    assert resumed_steps(stopped, config, workers=0) == ([2, 3] if name == "run.json" else [])


def test_the_name_of_a_run_in_a_sweep_does_not_depend_on_how_clips_are_loaded():
    pytest.importorskip("pandas")
    from linvid_edu.experiments.sweep_grid import run_name

    name = run_name(run_config("clips"))
    assert run_name(run_config("./clips/")) == name
    assert run_name(run_config("clips", scenes={"root": "clips", "flips": True})) != name
    assert run_name(run_config("others")) != name
    assert not {"workers", "cache_mb"} & set(TrainConfig().to_dict())


def untrained(config):
    return initialize(VideoTransformer(config.model_config), seed=config.seed).state_dict()


def test_a_run_takes_its_classes_from_the_folder(clips):
    config = run_config(clips)
    assert config.model_config.num_classes == 3
    assert (config.data.num_frames, config.data.size) == (8, 32)
    assert config.data is config.data


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "cue"}, "a knob that task 'cue' lacks: .*'root'"),
        ({"scenes": {}}, "scenes={} names no folder of clips"),
        ({"scenes": {"root": 3}}, "names no folder"),
        ({"scenes": {"root": "nowhere", "flips": "no"}}, "flips='no' must be true or false"),
        ({"scenes": {"root": "nowhere", "workers": 0}}, r"pass Effort\(workers=…\) to fit"),
        ({"model": {"image_size": (32, 40)}}, "those of task 'clips' are square: change model"),
        ({"model": {"heads": 5}}, "not divisible by heads=5"),
        ({"variant": "fixated"}, "variant 'fixated' is unknown"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_settings_that_do_not_go_together(clips, settings, words):
    with pytest.raises(ValueError, match=words):
        run_config(clips, **settings)


def test_knobs_of_rendered_scenes_are_unknown_to_clips(clips):
    with pytest.raises(ValueError, match="task 'clips' lacks: 'clutter' is none of root, flips"):
        run_config(clips, scenes={"root": str(clips), "clutter": 1})


def test_flips_can_be_set_in_the_settings(clips):
    assert run_config(clips, scenes={"root": str(clips), "flips": True}).data.flips_training_clips


def test_effort_decides_how_clips_are_loaded(clips):
    loaded = Effort(workers=1, cache_mb=1).loading(run_config(clips).data)
    assert loaded.workers == 1
    assert loaded.frame_cache.limit == 10**6
    for wrong in ({"workers": -1}, {"cache_mb": float("nan")}, {"points": 0}, {"threads": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Effort(**wrong)


@pytest.mark.usefixtures("one_thread")
def test_the_command_trains_on_clips(broken, tmp_path, monkeypatch):
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from linvid_edu.cli import app

    monkeypatch.chdir(broken.parent)
    words = ["train", "--clips", broken.name, "--variant", "cooperative", "--preset", "compact"]
    result = CliRunner().invoke(app, [*words, "--steps", "3", "--batch", "4", "--warmup", "1", "--folder", "a run"])
    assert result.exit_code == 0, result.output
    assert "skipped train/up/clip_0.mp4: not a readable video" in result.stderr
    metrics = json.loads(Path("a run/metrics.json").read_text())
    assert metrics["config"]["scenes"] == {"root": broken.name}
    assert str(broken.parent) not in json.dumps(metrics)


@pytest.mark.usefixtures("one_thread")
def test_evaluate_tests_a_run_on_its_own_clips_or_on_others(broken, clips, tmp_path):
    pytest.importorskip("typer")
    from test_cli import error_line, run

    root, folder, output = tmp_path / "own", tmp_path / "run", tmp_path / "found.json"
    root.mkdir()
    for split in ("train", "test"):
        (broken / split).rename(root / split)
    metrics = fit(run_config(root, steps=2), folder, make_fabric("cpu"), effort=Effort(workers=0))
    result = run("evaluate", folder, "--device", "cpu", "--json", output)
    assert result.exit_code == 0, result.output
    found = json.loads(output.read_text())
    row = found["accuracy"]["test"]
    assert row["accuracy"] == row["right"] / 5 == metrics["accuracy"]["test"]
    assert row["low"] < row["accuracy"] < row["high"]
    line = f"test  5      {row['accuracy']:.4f}  {row['low']:.4f} to {row['high']:.4f}"
    assert result.stdout.splitlines() == ["test  clips  right   95 % interval", line]
    (skipped,) = result.stderr.splitlines()
    assert skipped.startswith("skipped test/down/clip_4.mp4: the file is empty")
    assert list(found["unreadable"]) == ["test/down/clip_4.mp4"]
    assert (found["task"], found["concentration"]) == ("clips", [])

    result = run("evaluate", folder, "--clips", clips, "--count", 3)
    assert result.stdout.splitlines()[1].startswith("test  3 ")
    assert not result.stderr
    for split in ("train", "test"):
        (root / split / "up").rename(root / split / "upward")
    line = error_line("evaluate", folder, "--clips", clips)
    assert f"{clips} has class 'up' where the model learned 'upward'" in line
    root.rename(tmp_path / "moved")
    told = error_line("evaluate", folder)
    assert f"does not say what to test on ({root} is not a folder: give one" in told
    assert told.endswith("): give --task or --clips")
    assert run("evaluate", folder, "--clips", clips).exit_code == 0
    fewer = tmp_path / "fewer"
    for split in ("train", "test"):
        shutil.copytree(clips / split / "up", fewer / split / "up")
    told = error_line("evaluate", folder, "--clips", fewer)
    assert told.endswith(f"3 classes, the folder {fewer} has 1: choose the clips it was trained on")
