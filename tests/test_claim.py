"""A claim on a folder: one holder at a time, named in errors, gone when its process is killed."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from linvid_edu.training.run_lock import CLAIMED_BY, FolderTaken, claimed

# holds a folder until it is killed; "forked" leaves a child behind, as a killed training leaves its decoding workers
HOLD = """
import os, sys, time
from linvid_edu.training.run_lock import claimed
with claimed(sys.argv[1]):
    if sys.argv[2:] == ["forked"] and (child := os.fork()):
        print(child, flush=True)
    elif sys.argv[2:] == ["forked"]:
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder, *words):
    """Start a process that holds a folder, and kill it at the end."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", HOLD, str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            yield process
        finally:
            process.kill()


def test_another_process_gets_an_error_that_names_the_holder_until_it_is_killed(tmp_path):
    with holder(tmp_path / "run") as process:
        assert process.stdout.readline() == "held\n"
        told = rf"process {process.pid} trains in {tmp_path / 'run'} already: wait until it ends, stop it, or choose"
        for _ in range(2):
            with pytest.raises(FolderTaken, match=told), claimed(tmp_path / "run", wait=False):
                pass
        assert (tmp_path / "run" / CLAIMED_BY).read_text() == f"{process.pid}\n"
        process.kill()
        process.wait()
        with claimed(tmp_path / "run", wait=False):
            assert (tmp_path / "run" / CLAIMED_BY).read_text() == f"{os.getpid()}\n"


def test_a_process_that_the_killed_holder_forked_does_not_hold_the_folder(tmp_path):
    with holder(tmp_path, "forked") as process:
        child = int(process.stdout.readline())
        try:
            assert process.stdout.readline() == "held\n"
            with pytest.raises(FolderTaken), claimed(tmp_path, wait=False):
                pass
            process.kill()
            process.wait()
            os.kill(child, 0)  # it is still there
            with claimed(tmp_path, wait=False):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_holder_may_claim_its_folder_again_and_holds_it_until_the_outer_claim_ends(tmp_path):
    refused = []

    def ask():
        try:
            with claimed(tmp_path, wait=False):
                refused.append(False)
        except FolderTaken as error:
            refused.append(str(os.getpid()) in str(error))

    def ask_elsewhere():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    with claimed(tmp_path):
        with claimed(tmp_path / ".." / tmp_path.name, wait=False):
            ask_elsewhere()
        ask_elsewhere()
    ask_elsewhere()
    assert refused == [True, True, False]


def test_an_error_inside_ends_the_claim(tmp_path):
    with pytest.raises(KeyError), claimed(tmp_path):
        raise KeyError("inside")
    with holder(tmp_path) as process:
        assert process.stdout.readline() == "held\n"


def test_filelock_is_needed_only_to_claim_a_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ModuleNotFoundError, match="filelock"), claimed(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
