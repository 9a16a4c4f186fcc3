"""A killed run resumes to the same bits; a broken checkpoint raises and stays unchanged."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from linvid_edu.models.checkpoint import CheckpointError, save_model
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.loop import initialize, make_optimizer
from linvid_edu.training.run import fit
from linvid_edu.training.run_checkpoints import (
    Progress,
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from linvid_edu.training.run_format import RUN_FORMAT
from linvid_edu.training.run_lock import CLAIM, CLAIMED_BY

pytest.importorskip("lightning_fabric")

STEPS = 40
CONFIG = TrainConfig(task="lookup", preset="probe", steps=STEPS, batch=8, warmup=5, model={"dropout": 0.5})
FILES = ("model.safetensors", "optimizer.safetensors", "run.json")

# One process imports torch once and starts each attempt as a fork of itself. It reads lines: the run's folder, the
# step after which the attempt is killed (0: never) and what it is killed in (nothing, or a function of `resume`).
WORKER = """
import json, os, signal, sys
import lightning_fabric, torch
from linvid_edu.training import run as runs, run_checkpoints as resume
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.fabric import make_fabric

torch.set_num_threads(1)
config = TrainConfig.from_dict(json.loads(sys.argv[1]))

def attempt(folder, inside, taken):
    if inside == "half a file":
        def cut(tensors, path):
            path.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        resume.save_file = cut
    if inside == "no name yet":
        resume.os.rename = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
    tell = lambda record: os.write(taken, bytes([record.step]))
    effort = Effort(save_every=3, points=5, validation_clips=8, test_clips=16)
    runs.fit(config, folder, make_fabric("cpu"), resume=True, effort=effort, watch=tell)

for line in sys.stdin:
    folder, last, inside = json.loads(line)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        attempt(folder, inside, writing)
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    steps = []
    while more := os.read(reading, 1):
        steps += more
        if more[0] == last and not inside:
            os.kill(child, signal.SIGKILL)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, steps]), flush=True)
"""


class Worker:
    """Carries out attempts at one run."""

    def __init__(self, config):
        command = [sys.executable, "-c", WORKER, json.dumps(config.to_dict())]
        root = Path(__file__).parents[1]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def attempt(self, folder, last=0, inside=""):
        """Return the exit code, −9 after a kill, and the steps that were told."""
        self.process.stdin.write(json.dumps([str(folder), last, inside]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def worker():
    worker = Worker(CONFIG)
    yield worker
    worker.process.stdin.close()
    worker.process.wait()


@pytest.fixture(scope="module")
def whole(worker, tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert worker.attempt(folder) == [0, list(range(1, STEPS + 1))]
    return folder


def result(folder):
    """Return what a finished run leaves, but for times and memory: metrics, and the bytes of its checkpoint."""
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("seconds", "clips_per_second", "peak_memory_mb", "provenance"):
        del metrics[name]
    progress = json.loads((checkpoint_path(folder, STEPS) / "run.json").read_text())["progress"]
    del progress["seconds"]
    weights, moments = ((checkpoint_path(folder, STEPS) / name).read_bytes() for name in FILES[:2])
    return metrics, progress, weights, moments


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_random_steps_ends_in_the_same_bits(worker, whole, tmp_path, seed):
    draw, kills, last = random.Random(seed), 0, 0
    while kills < 5:
        last = min(last + draw.randint(2, 7), STEPS - 1)
        status, steps = worker.attempt(tmp_path, last)
        assert status == -9
        assert steps[-1] >= last
        assert steps[0] == 1 if kills == 0 else steps[0] % 3 == 1  # from the newest checkpoint, not from the start
        kills += 1
        assert not (tmp_path / "metrics.json").exists()
    status, steps = worker.attempt(tmp_path)
    assert status == 0
    assert 1 < steps[0] <= STEPS
    assert steps[-1] == STEPS
    assert result(tmp_path) == result(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        CLAIM,
        CLAIMED_BY,
        f"checkpoint-{STEPS:06}",
        "metrics.json",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["half a file", "no name yet"])
def test_a_kill_while_saving_leaves_the_checkpoint_before(worker, whole, tmp_path, inside):
    assert worker.attempt(tmp_path, 7)[0] == -9
    (before,) = checkpoints(tmp_path)
    kept = {path.name: path.read_bytes() for path in before.iterdir()}
    status, steps = worker.attempt(tmp_path, inside=inside)
    assert status == -9
    assert steps[0] == int(before.name[-6:]) + 1
    assert checkpoints(tmp_path) == [before]
    assert {path.name: path.read_bytes() for path in before.iterdir()} == kept
    assert worker.attempt(tmp_path)[0] == 0
    assert result(tmp_path) == result(whole)
    assert {path.name for path in tmp_path.glob(".*")} <= {CLAIM, CLAIMED_BY}  # no half-written checkpoint


def parts(config=CONFIG):
    model = initialize(VideoTransformer(config.model_config), seed=config.seed)
    return model, make_optimizer(model, config)


def content(folder):
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in (CLAIM, CLAIMED_BY))
    return {path.relative_to(folder): path.read_bytes() for path in found}


def refused(folder, words, config=CONFIG):
    """Assert that a run cannot go on from a folder, and that neither the folder nor the model was touched."""
    before = content(folder)
    with pytest.raises(CheckpointError, match=words):
        fit(config, folder, plain_fabric(), resume=True)
    assert content(folder) == before
    model, optimizer = parts(config)
    weights = [weight.clone() for weight in model.parameters()]
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(checkpoints(folder)[-1], model, optimizer, config)
    assert all(torch.equal(*pair) for pair in zip(weights, model.parameters(), strict=True))
    assert not optimizer.state


@pytest.fixture
def started(whole, tmp_path):
    """The folder of a run without its metrics, as after a kill."""
    shutil.copytree(checkpoint_path(whole, STEPS), checkpoint_path(tmp_path, STEPS))
    return tmp_path


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "cut early", "empty", "missing", "pickle", "torch.save", "a folder"])
def test_a_broken_checkpoint_raises_and_stays_unchanged(started, tmp_path_factory, name, damage):
    path = checkpoint_path(started, STEPS) / name
    mark = tmp_path_factory.mktemp("mark") / "executed"
    whole = path.read_bytes()
    path.unlink()
    if damage == "pickle":
        path.write_bytes(pickle.dumps(Trap(mark)))
    elif damage == "torch.save":
        torch.save({"weights": Trap(mark)}, path)
    elif damage == "a folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(whole[: {"cut": len(whole) - 9, "cut early": 5, "empty": 0}[damage]])
    refused(started, rf"{name}.* remove .*checkpoint-{STEPS:06}")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "missing or broken"),
        ({"config": {}}, "missing or broken .*progress"),
        ({"config": None, "progress": {"step": STEPS}}, "missing or broken"),
        ({"config": CONFIG.to_dict(), "progress": {"step": STEPS, "epoch": 3}}, "missing or broken .*epoch"),
        ({"config": CONFIG.to_dict(), "progress": {"step": 20}}, "missing or broken .its step is 20"),
        ({"config": CONFIG.to_dict(), "progress": {"step": "x"}}, "missing or broken"),
    ],
    ids=str,
)
def test_an_invalid_progress_raises(started, values, words):
    (checkpoint_path(started, STEPS) / "run.json").write_text(json.dumps(values))
    refused(started, words)


# the settings that each format added
NEW_SETTINGS = {
    1: {
        *("task", "variant", "preset", "seed", "steps", "batch", "learning_rate", "warmup", "weight_decay"),
        *("clip_norm", "gain", "model", "scenes"),
    },
}


def test_a_new_setting_of_a_run_raises_the_format():
    names = {each.name for each in fields(TrainConfig)}
    assert names == set().union(*NEW_SETTINGS.values()), "raise RUN_FORMAT and add the new format to NEW_SETTINGS"
    assert max(NEW_SETTINGS) == RUN_FORMAT


def test_a_checkpoint_without_a_format_is_resumed_and_a_newer_one_raises(started):
    path = checkpoint_path(started, STEPS) / "run.json"
    written = json.loads(path.read_text())
    assert written["format"] == RUN_FORMAT
    path.write_text(json.dumps({**written, "format": RUN_FORMAT + 1}))
    refused(started, rf"run\.json has format {RUN_FORMAT + 1}, this linvid-edu reads formats up to {RUN_FORMAT}")
    del written["format"], written["clips"]  # as before formats had numbers
    path.write_text(json.dumps(written))
    assert load_checkpoint(path.parent, *parts(), CONFIG).step == STEPS


def test_nothing_that_is_resumed_keeps_a_file_of_the_checkpoint_open(started):
    """An open file cannot be removed on Windows, and the next checkpoint removes this one."""
    model, optimizer = parts()
    load_checkpoint(checkpoint_path(started, STEPS), model, optimizer, CONFIG)
    tensors = [*model.state_dict().values(), *(value for state in optimizer.state.values() for value in state.values())]
    mapped = Path("/proc/self/maps").read_text()
    assert len(tensors) > 10
    assert str(started) not in mapped


def test_a_checkpoint_of_another_run_raises_and_names_the_differing_settings(started):
    other = replace(CONFIG, seed=1, learning_rate=0.1)
    refused(started, r"belongs to a run with other settings \(learning_rate, seed\): choose another folder", other)


def test_weights_and_moments_that_do_not_fit_raise(started):
    at = checkpoint_path(started, STEPS)
    moments = (at / "optimizer.safetensors").read_bytes()
    weights = (at / "model.safetensors").read_bytes()
    save_model(parts(replace(CONFIG, variant="linear"))[0], at / "model.safetensors")
    refused(started, r"holds a linear model that does not fit its run\.json: remove")
    (at / "model.safetensors").write_bytes(weights)
    shutil.copy(at / "model.safetensors", at / "optimizer.safetensors")
    refused(started, r"optimizer\.safetensors: \d+ tensors are missing, unknown or misshapen .*: remove")
    (at / "optimizer.safetensors").write_bytes(moments)
    (at / "model.safetensors").write_bytes(moments)
    refused(started, r"model\.safetensors holds weights but no model configuration")


def test_the_newest_checkpoint_is_that_of_the_latest_step(tmp_path):
    for step in (999_999, 1_000_000, 200):
        checkpoint_path(tmp_path, step).mkdir()
    (tmp_path / "checkpoint-notes.txt").touch()
    assert [int(path.name.split("-")[1]) for path in checkpoints(tmp_path)] == [200, 999_999, 1_000_000]


def test_saving_removes_older_checkpoints_and_the_remains_of_a_kill(tmp_path):
    model, optimizer = parts()
    (tmp_path / ".writing-checkpoint").mkdir()
    (tmp_path / ".writing-checkpoint" / "junk").touch()
    for step in (1, 2):
        saved = save_checkpoint(tmp_path, model, optimizer, CONFIG, Progress(step=step))
        assert list(tmp_path.iterdir()) == [saved]
        assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)
    progress = load_checkpoint(saved, *parts(), CONFIG)
    assert progress == Progress(step=2)
