"""Shape annotations of the library are checked at run time in tests only; every process has one thread."""

import os

import jaxtyping
import pytest
import torch
from videos import write

# with more threads, small operations wait longer than they compute, above all if two processes share two cores
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

SHAPED = ("attention", "figures", "models", "training", "video", "widgets")  # the rooms that state shapes
jaxtyping.install_import_hook([f"linvid_edu.{room}" for room in SHAPED], "beartype.beartype")


def pytest_collection_modifyitems(items):
    """Begin with the files that have slow tests, so that none of them is left alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def unchecked_shapes():
    """Switch off the checks, so that the library itself meets an argument of the wrong type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A video file: 40 frames at 10 per second, with reordered frames and one keyframe per second."""
    return write(tmp_path_factory.mktemp("plain") / "plain.mp4")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of objects that move left, up or down, in the layout of UCF101; each class has 4 to train and 2 to test."""
    # imported here, so that the hook above comes first
    from linvid_edu.video.samples import encode
    from linvid_edu.video.scenes import Motion, render

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
    """A copy of the clips in which one is cut, one is a text and one is empty."""
    for path in clips.rglob("*.mp4"):
        copy = tmp_path / path.relative_to(clips)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    cut = tmp_path / "train/left/clip_1.mp4"
    cut.write_bytes(cut.read_bytes()[:-400])
    (tmp_path / "train/up/clip_0.mp4").write_text("no video at all")
    (tmp_path / "test/down/clip_4.mp4").write_bytes(b"")
    return tmp_path
