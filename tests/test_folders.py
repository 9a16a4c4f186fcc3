"""Clips from files: order, cache, workers, flips and unreadable files."""

import gc
import json
import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av")

from linvid_edu.video import reading as video
from linvid_edu.video.clip_folder import decoding
from linvid_edu.video.clip_folder.decoding import FrameCache
from linvid_edu.video.clip_folder.folder import ClipFolder, epochs, open_clips
from linvid_edu.video.clip_folder.labeled_clips import LabeledClip
from linvid_edu.video.reading import load_clip

pytestmark = pytest.mark.slow

CLIP_BYTES = 4 * 16 * 16 * 3  # of 4 frames of 16 × 16


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setattr(decoding, "SECONDS_PER_BATCH", 30)


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


def test_with_cache_each_clip_is_decoded_once(clips, decoded):
    folder = small(clips)
    cached = taken(folder, 9, batch=3)
    for _ in range(2):
        list(folder.test_batches("test", clips=100))
    assert sum(decoded.values()) == 9 + 6
    same(cached, taken(small(clips, cache_mb=0), 9, batch=3))


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
