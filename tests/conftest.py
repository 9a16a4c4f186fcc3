"""Shape annotations of the library are checked at run time in tests only; every process has one thread."""

import os

import jaxtyping
import pytest
import torch
from videos import write

# with more threads, small operations wait longer than they compute, above all if two processes share two cores
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

jaxtyping.install_import_hook("linvid_edu", "beartype.beartype")


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
