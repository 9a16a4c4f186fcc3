"""Clips from files: order, cache, workers, flips, unreadable files, and a run that trains on them and resumes."""

import gc
import json
import multiprocessing
import os
import shutil
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
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
from linvid_edu.video import reading as video
from linvid_edu.video.clip_folder import decoding
from linvid_edu.video.clip_folder.decoding import FrameCache
from linvid_edu.video.clip_folder.folder import ClipFolder, epochs, open_clips
from linvid_edu.video.clip_folder.layouts import LabeledClip
from linvid_edu.video.reading import load_clip
from linvid_edu.video.samples import encode
from linvid_edu.video.scenes import Motion, render

CLIP_BYTES = 4 * 16 * 16 * 3  # of 4 frames of 16 × 16


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setattr(decoding, "SECONDS_PER_BATCH", 30)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """What moves left, up and down, in the layout of UCF101: 4 training clips and 2 test clips a class."""
    root = tmp_path_factory.mktemp("clips")
    scene = Motion(frames=8, size=32, distractors=0)
    scenes = render(scene, count=200, seed=0)
    for label, name in ((0, "left"), (2, "up"), (3, "down")):
        for index, which in enumerate((scenes.label == label).nonzero()[:6, 0].tolist()):
            path = root / ("train" if index < 4 else "test") / name / f"clip_{index}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(scenes.frames[which].numpy(), 8))
    return root


@pytest.fixture
def broken(clips, tmp_path):
    """The same, with a cut clip, a text named .mp4 and an empty one among them."""
    for path in clips.rglob("*.mp4"):
        copy = tmp_path / path.relative_to(clips)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    cut = tmp_path / "train/left/clip_1.mp4"
    cut.write_bytes(cut.read_bytes()[:-400])
    (tmp_path / "train/up/clip_0.mp4").write_text("no video at all")
    (tmp_path / "test/down/clip_4.mp4").write_bytes(b"")
    return tmp_path


def small(root, **knobs):
    return replace(open_clips(root), num_frames=4, size=16, **{"workers": 0, **knobs})


def taken(folder, stop, *, start=0, seed=0, batch=4):
    return list(folder.batches(seed=seed, batch=batch, start=start, stop=stop))


def same(one, other):
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.video, right.video)
        assert torch.equal(left.label, right.label)


@pytest.fixture
def decoded(monkeypatch):
    """Count how often each file is decoded."""
    counts = Counter()

    def counting(path, **how):
        counts[Path(path).name if Path(path).parts[-3] == "train" else "test"] += 1
        return load_clip(path, **how)

    monkeypatch.setattr(video, "load_clip", counting)
    return counts


def test_a_folder_has_the_interface_of_a_task(clips):
    folder = small(clips)
    assert folder.classes == ("down", "left", "up")
    assert folder.tests == ("test",)
    assert folder.ceiling == 1
    sized = folder.resized(8, 32)
    assert (sized.num_frames, sized.size) == (8, 32)
    batch = next(sized.batches(seed=0, batch=5, stop=1))
    assert batch.video.shape == (5, 3, 8, 32, 32)
    assert batch.video.dtype == torch.float32
    assert batch.readout is None


def test_clips_are_those_of_load_clip(clips):
    (batch,) = small(clips).test_batches("test", clips=100)
    paths = sorted((clips / "test").rglob("*.mp4"))
    assert batch.label.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(batch.video, torch.stack([load_clip(path, num_frames=4, size=16).video for path in paths]))


@pytest.mark.parametrize(("count", "batch"), [(9, 4), (3, 8), (1, 1), (8, 4)])
def test_each_epoch_has_each_clip_once(count, batch):
    order = np.concatenate(list(epochs(count, seed=3, batch=batch, start=0, stop=4 * count)))
    for epoch in order.reshape(-1, count):
        assert sorted(epoch) == list(range(count))


def test_order_depends_on_seed_and_epoch_alone():
    whole = list(epochs(9, seed=5, batch=4, start=0, stop=30))
    assert list(epochs(9, seed=5, batch=4, start=17, stop=30)) == whole[17:]
    assert list(epochs(9, seed=6, batch=4, start=0, stop=30)) != whole
    assert whole[:9] != whole[9:18]


@pytest.mark.parametrize("start", [1, 5])
def test_the_clips_of_a_step_do_not_depend_on_earlier_steps(clips, start):
    knobs = {"flips": True}
    same(taken(small(clips, **knobs), 7)[start:], taken(small(clips, **knobs), 7, start=start))


def test_validation_clips_are_neither_trained_nor_tested_on(clips):
    folder = small(clips)
    (validation,) = folder.test_batches("test", clips=100, validation=True)
    (test,) = folder.test_batches("test", clips=100)
    training = torch.cat([batch.video for batch in taken(folder, 9)])
    assert validation.label.tolist() == [0, 1, 2]
    expected = [load_clip(clips / "train" / name / "clip_3.mp4", num_frames=4, size=16) for name in folder.classes]
    assert torch.equal(validation.video, torch.stack([clip.video for clip in expected]))
    for others in (training, test.video):
        assert not any(torch.equal(one, other) for one in validation.video for other in others)


def test_a_validation_split_is_used_if_there_is_one(clips, tmp_path):
    for split, source in (("train", "train"), ("valid", "test"), ("test", "test")):
        (tmp_path / split).symlink_to(clips / source)
    folder = small(tmp_path)
    (validation,) = folder.test_batches("test", clips=100, validation=True)
    assert len(validation.label) == 6
    assert sorted(Counter(torch.cat([batch.label for batch in taken(folder, 3)]).tolist()).values()) == [4, 4, 4]


def test_fewer_test_clips_are_spread_over_the_classes(clips):
    batches = list(small(clips).test_batches("test", clips=3, batch=2))
    assert [batch.label.tolist() for batch in batches] == [[0, 1], [2]]


def test_an_unknown_test(clips):
    with pytest.raises(ValueError, match="'hard' is unknown: choose 'test'"):
        next(small(clips).test_batches("hard", clips=1))


@pytest.mark.parametrize(
    "knobs", [{"workers": -1}, {"workers": 1.5}, {"cache_mb": -1}, {"cache_mb": float("nan")}, {"flips": "no"}]
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_knobs_out_of_range(clips, knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        small(clips, **knobs)


def test_one_training_clip_a_class_leaves_none_for_validation(clips, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "up").mkdir(parents=True)
        (tmp_path / split / "up" / "a.mp4").symlink_to(clips / "train/up/clip_0.mp4")
    with pytest.raises(ValueError, match="one training clip a class"):
        open_clips(tmp_path)


@pytest.mark.slow
def test_workers_do_not_change_a_bit(broken):
    alone, many = small(broken, flips=True), small(broken, flips=True, workers=2)
    same(taken(alone, 6), taken(many, 6))
    same(list(alone.test_batches("test", clips=9, batch=2)), list(many.test_batches("test", clips=9, batch=2)))
    assert alone.unreadable == many.unreadable
    assert len(many.unreadable) == 3


def test_workers_leave_the_random_state_alone(clips):
    before = torch.get_rng_state()
    taken(small(clips, workers=2), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_survive_decoders_that_this_process_left_behind(clips, monkeypatch):
    gc.disable()  # decoders stay behind as garbage, which each worker inherits and collects
    for path in clips.rglob("*.mp4"):
        load_clip(path, num_frames=2, size=16)
    gc.enable()
    monkeypatch.setattr(decoding, "_ignore_interrupts", lambda worker: gc.collect())
    assert len(taken(small(clips, workers=2), 2)) == 2


def test_workers_leave_an_interrupt_to_this_process(clips):
    batches = small(clips, workers=2, cache_mb=0).batches(seed=0, batch=2, start=0, stop=40)
    first, workers = next(batches), multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)
    assert len([first, *batches]) == 40
    for worker in workers:
        worker.join(10)
    assert not multiprocessing.active_children()


def test_without_cache_each_epoch_decodes_again(clips, decoded):
    taken(small(clips, cache_mb=0), 9, batch=3)  # 9 training clips, 3 epochs
    assert sum(decoded.values()) == 27


@pytest.mark.slow
def test_with_cache_each_clip_is_decoded_once(clips, decoded):
    folder = small(clips)
    cached = taken(folder, 9, batch=3)
    for _ in range(2):
        list(folder.test_batches("test", clips=100))
    assert sum(decoded.values()) == 9 + 6
    same(cached, taken(small(clips, cache_mb=0), 9, batch=3))


@pytest.mark.slow
@pytest.mark.parametrize("room", [1, 2.5])
def test_the_cache_is_bounded_over_all_splits(clips, decoded, room):
    folder = small(clips, cache_mb=room * CLIP_BYTES / 1e6)
    for _ in range(2):
        taken(folder, 3, batch=3)
        list(folder.test_batches("test", clips=100))
    kept = [frames for frames in folder.frame_cache.values() if frames is not None]
    assert len(kept) == int(room)
    assert sum(frames.nbytes for frames in kept) == folder.frame_cache.used_bytes <= folder.frame_cache.limit
    assert all(frames.base is None or frames.base.nbytes == frames.nbytes for frames in kept)
    assert sum(decoded.values()) == 2 * 15 - int(room)


def test_the_cache_keeps_the_first_clips():
    cache = FrameCache(25)
    for name in "abac":
        cache.add_if_room(LabeledClip(Path(name), 0), np.zeros((1, 2, 2, 3), dtype=np.uint8))
    assert [clip.path.name for clip in cache] == ["a", "b"]
    assert cache.used_bytes == 24


def test_flips_are_off_if_labels_are_directions(clips, tmp_path):
    assert not small(clips).flips_training_clips
    assert small(clips, flips=True).flips_training_clips
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for name in ("up", "down"):
            (tmp_path / split / name).symlink_to(clips / split / name)
    assert small(tmp_path).flips_training_clips
    assert not small(tmp_path, flips=False).flips_training_clips


@pytest.mark.slow
def test_flips_mirror_half_of_the_training_clips_and_no_test_clip(clips):
    plain, flipped = taken(small(clips), 12), taken(small(clips, flips=True), 12)
    mirrored = 0
    for batch, other in zip(plain, flipped, strict=True):
        assert torch.equal(batch.label, other.label)
        for one, two in zip(batch.video, other.video, strict=True):
            assert torch.equal(two, one) or torch.equal(two, one.flip(-1))
            mirrored += not torch.equal(two, one)
    assert 12 < mirrored < 36  # of 48
    same(*(list(small(clips, flips=flips).test_batches("test", clips=9)) for flips in (False, True)))


def test_unreadable_clips_are_named_and_replaced_within_their_class(broken, clips):
    folder = small(broken)
    batches = taken(folder, 9, batch=4)
    assert all(len(batch.label) == 4 for batch in batches)
    labels = torch.cat([batch.label for batch in batches])
    assert Counter(labels.tolist()) == {0: 12, 1: 12, 2: 12}
    whole = torch.cat([batch.label for batch in taken(small(clips), 9, batch=4)])
    assert torch.equal(labels, whole)
    (test,) = folder.test_batches("test", clips=100)
    assert test.label.tolist() == [0, 1, 1, 2, 2]
    assert sorted(folder.unreadable) == ["test/down/clip_4.mp4", "train/left/clip_1.mp4", "train/up/clip_0.mp4"]
    assert "not a readable video" in folder.unreadable["train/up/clip_0.mp4"]
    assert str(broken) not in "".join(folder.unreadable.values())


def test_a_replacement_is_the_next_of_the_class(broken):
    up_clips = [load_clip(broken / f"train/up/clip_{index}.mp4", num_frames=4, size=16) for index in (1, 2)]
    batches = taken(small(broken), 3, batch=3)  # one epoch
    up = [video for batch in batches for video, label in zip(batch.video, batch.label, strict=True) if label == 2]
    assert [sum(torch.equal(video, clip.video) for video in up) for clip in up_clips] == [2, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_class_of_unreadable_clips_is_an_error(broken, workers):
    for path in (broken / "train/up").iterdir():
        path.write_text("no video at all")
    with pytest.raises(ValueError, match=r"none of the 3 clips of class 'up' can be read.*train/up/clip_0.mp4: not a"):
        taken(small(broken, workers=workers), 3)


def test_a_class_of_unreadable_test_clips_is_an_error(broken):
    (broken / "test/down/clip_5.mp4").write_text("no video at all")
    with pytest.raises(ValueError, match="none of the 2 clips of class 'down'"):
        list(small(broken).test_batches("test", clips=100))


def test_a_test_that_meets_unreadable_clips_alone_is_an_error(broken):
    with pytest.raises(ValueError, match="none of the 1 clips of this test can be read: ask for more than 1"):
        list(small(broken).test_batches("test", clips=1))


def test_label_files_with_a_clip_that_is_missing(clips, tmp_path):
    entries = {"train": [], "validation": []}
    (tmp_path / "videos").mkdir()
    for path in sorted(clips.rglob("*.mp4")):
        each = f"{path.parent.name}{path.stem[-1]}"
        (tmp_path / "videos" / f"{each}.mp4").symlink_to(path)
        split = "train" if path.parts[-3] == "train" else "validation"
        entries[split].append({"id": each, "template": f"Moving [something] {path.parent.name}"})
    (tmp_path / "videos" / "up1.mp4").unlink()
    for split, content in entries.items():
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    labels = {f"Moving something {name}": str(index) for index, name in enumerate(("left", "up", "down"))}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    folder = small(tmp_path)
    assert isinstance(folder, ClipFolder)
    assert folder.tests == ("val",)
    assert Counter(torch.cat([batch.label for batch in taken(folder, 3, batch=3)]).tolist()) == {0: 3, 1: 3, 2: 3}
    assert list(folder.unreadable) == ["videos/up1"]
    assert "no such file" in folder.unreadable["videos/up1"]


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
