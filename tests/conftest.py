"""Shape annotations of the library are checked at run time here, and only here; every process has one thread."""

import os

import jaxtyping
import pytest
import torch
from videos import write

# small operations wait for their threads longer than they compute, the more so where two test processes share two cores
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

jaxtyping.install_import_hook("linvid_edu", "beartype.beartype")


@pytest.fixture
def unchecked_shapes():
    """Switch the checks off, to see the library's own answer to an argument of the wrong type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A video file: 40 frames at 10 per second, with reordered frames and a keyframe a second."""
    return write(tmp_path_factory.mktemp("plain") / "plain.mp4")
