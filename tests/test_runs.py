"""A run in a folder: its files and errors, how it stops, and two processes that take the steps of one."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from linvid_edu.models.checkpoint import CheckpointError, load_model
from linvid_edu.training import run as runs
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.evaluation import accuracy
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.loop import Diverged
from linvid_edu.training.metrics import read_metrics
from linvid_edu.training.run import Stopped
from linvid_edu.training.run_checkpoints import checkpoints
from linvid_edu.training.run_format import RUN_FORMAT
from linvid_edu.training.run_lock import CLAIM, CLAIMED_BY, FolderTaken, claimed

CONFIG = TrainConfig(task="lookup", preset="probe", variant="linear", steps=10, batch=8, warmup=2)


def fit(config, folder, fabric, *, resume=False, watch=lambda record: None, **effort):
    """Train with few clips in each test."""
    effort = Effort(**{"validation_clips": 16, "test_clips": 40, **effort})
    return runs.fit(config, folder, fabric, resume=resume, effort=effort, watch=watch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    records = []
    metrics = fit(CONFIG, folder, plain_fabric(), save_every=3, points=5, watch=records.append)
    return folder, metrics, records


def names(folder):
    """Return what is in a run's folder, without the claim."""
    return sorted(path.name for path in folder.iterdir() if path.name not in (CLAIM, CLAIMED_BY))


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_leaves_its_last_checkpoint_and_metrics(finished):
    folder, metrics, records = finished
    assert names(folder) == ["checkpoint-000010", "metrics.json"]
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert [record.step for record in records] == list(range(1, 11))
    assert TrainConfig.from_dict(metrics["config"]) == CONFIG
    assert metrics["config"]["seed"] == 0
    assert set(metrics["accuracy"]) == set(CONFIG.data.tests)
    assert metrics["test_clips"] == 40
    assert metrics["processes"] == 1
    assert metrics["seconds"] > 0
    assert metrics["clips_per_second"] == pytest.approx(80 / metrics["seconds"], rel=0.05)
    assert metrics["provenance"]["versions"]["torch"] == version("torch")
    assert metrics["provenance"]["device"] == "cpu"
    assert metrics["provenance"]["threads"] == torch.get_num_threads()
    assert len(metrics["provenance"]["commit"]) >= 7
    assert str(Path.home()) not in json.dumps(metrics)


def test_the_metrics_are_those_of_the_checkpoint(finished):
    folder, metrics, records = finished
    model = load_model(checkpoints(folder)[-1] / "model.safetensors")
    assert metrics["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert metrics["variant"] == model.config.variant == "linear"
    for name, share in metrics["accuracy"].items():
        assert share == accuracy(model, CONFIG.data.test_batches(name, clips=40))
    assert [step for step, _ in metrics["curve"]] == [2, 4, 6, 8, 10]
    name = next(iter(CONFIG.data.tests))
    assert metrics["curve"][-1][1] == accuracy(model, CONFIG.data.test_batches(name, clips=16, validation=True))
    for step, loss in metrics["losses"]:
        assert loss == pytest.approx((records[step - 2].loss + records[step - 1].loss) / 2)


def test_a_finished_run_is_read_and_not_run_again(finished, monkeypatch):
    folder, metrics, _ = finished
    before = content(folder)
    monkeypatch.delattr(runs, "train")
    assert json.dumps(fit(CONFIG, folder, plain_fabric())) == json.dumps(metrics)
    for resume in (False, True):
        with pytest.raises(CheckpointError, match="holds the metrics of a finished run: choose another folder, or"):
            fit(replace(CONFIG, seed=1), folder, plain_fabric(), resume=resume)
    assert content(folder) == before


def test_invalid_metrics_raise(tmp_path):
    assert read_metrics(tmp_path) is None
    for text in ("", "[]", "{}", '{"config": {}'):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"metrics\.json is not the metrics of a run .*: remove it, or"):
            fit(CONFIG, tmp_path, plain_fabric())
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_metrics_without_a_format_are_read_and_newer_ones_raise(finished, tmp_path):
    folder, metrics, _ = finished
    assert next(iter(metrics)) == "format"
    assert metrics["format"] == RUN_FORMAT
    written = json.loads((folder / "metrics.json").read_text())
    del written["format"], written["clips"]  # as before formats had numbers
    (tmp_path / "metrics.json").write_text(json.dumps(written))
    assert fit(CONFIG, tmp_path, plain_fabric())["accuracy"] == metrics["accuracy"]
    (tmp_path / "metrics.json").write_text(json.dumps({**written, "format": RUN_FORMAT + 1}))
    message = rf"metrics\.json has format {RUN_FORMAT + 1}, this linvid-edu reads formats up to {RUN_FORMAT}: install"
    with pytest.raises(CheckpointError, match=message):
        fit(CONFIG, tmp_path, plain_fabric())
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_threads_are_set_if_effort_says_so(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    for threads in (None, 2):
        fit(replace(CONFIG, steps=1), tmp_path / str(threads), plain_fabric(), threads=threads)
    assert calls == [2]


@contextmanager
def held_elsewhere(folder):
    """Hold a folder in another thread."""
    held, over = threading.Event(), threading.Event()

    def hold():
        with claimed(folder):
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    yield
    over.set()
    thread.join()


def test_a_run_that_another_process_finished_in_between_is_read(finished, monkeypatch):
    folder, metrics, _ = finished
    answers = iter([None, metrics])
    monkeypatch.setattr(runs, "_finished_metrics", lambda *arguments: next(answers))
    monkeypatch.delattr(runs, "train")
    assert fit(CONFIG, folder, plain_fabric()) is metrics


def interrupt_at(step):
    def watch(record):
        if record.step == step:
            signal.raise_signal(signal.SIGINT)

    return watch


def test_an_interrupt_finishes_the_step_and_saves_and_the_run_resumes(finished, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=r"stopped after step 4 of 10, which is saved in .*checkpoint-000004"):
        fit(CONFIG, tmp_path, plain_fabric(), points=5, watch=interrupt_at(4))
    assert signal.getsignal(signal.SIGINT) is handler
    assert names(tmp_path) == ["checkpoint-000004"]
    before = content(tmp_path)
    with pytest.raises(CheckpointError, match="holds checkpoint-000004 of an unfinished run: choose another"):
        fit(CONFIG, tmp_path, plain_fabric())
    with held_elsewhere(tmp_path), pytest.raises(FolderTaken, match=f"process {os.getpid()} trains in {tmp_path} "):
        fit(CONFIG, tmp_path, plain_fabric(), resume=True)
    assert content(tmp_path) == before
    with pytest.raises(Stopped, match="after step 10 of 10"):
        fit(CONFIG, tmp_path, plain_fabric(), points=5, resume=True, watch=interrupt_at(10))
    assert names(tmp_path) == ["checkpoint-000010"]
    metrics = fit(CONFIG, tmp_path, plain_fabric(), points=5, resume=True)
    for name in ("accuracy", "curve", "losses", "concentration"):
        assert json.dumps(metrics[name]) == json.dumps(finished[1][name])


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN, lambda *_: None])
def test_a_second_interrupt_does_not_wait(tmp_path, before):
    def twice(record):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    found = signal.signal(signal.SIGINT, before)  # whatever else in this process, such as an event loop, has left there
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(CONFIG, tmp_path, plain_fabric(), watch=twice)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)
    assert not names(tmp_path)


def test_a_run_that_diverges_names_its_last_good_checkpoint(tmp_path):
    wild = replace(CONFIG, learning_rate=1e6, warmup=0, steps=200)
    with pytest.raises(
        Diverged, match=r"of step \d+ is (nan|inf): try a lower .* checkpoint is not written yet"
    ) as error:
        fit(wild, tmp_path / "unsaved", plain_fabric(), points=1)
    step = int(str(error.value).split("of step ")[1].split()[0])
    assert step > 1
    with pytest.raises(Diverged, match=rf"step {step} .* the last good checkpoint is .*checkpoint-0*{step - 1}$"):
        fit(wild, tmp_path / "saved", plain_fabric(), points=1, save_every=1)
    (good,) = checkpoints(tmp_path / "saved")
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert all(weight.isfinite().all() for weight in load_file(good / name).values())
    assert not (tmp_path / "saved" / "metrics.json").exists()


# a run of two processes: the second one must save nothing; at first an interrupt that only it gets stops both
TOGETHER = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from linvid_edu.training import run as runs
from linvid_edu.training.run_lock import FolderTaken
from linvid_edu.training.fabric import make_fabric
from linvid_edu.training.config import Effort, TrainConfig

config, folder = TrainConfig.from_dict(json.loads(sys.argv[1])), sys.argv[2]
fabric = make_fabric("cpu", processes=2)
if not fabric.is_global_zero:
    runs.save_checkpoint = None
log = open(f"{folder}.{fabric.global_rank}", "w")  # one each: lines of two processes would mix

def watch(record):
    if record.step == 11 and not fabric.is_global_zero and not resume:
        os.kill(os.getpid(), signal.SIGINT)

effort = Effort(save_every=4, points=20, validation_clips=16, test_clips=40)
fit = lambda: runs.fit(config, folder, fabric, resume=resume, effort=effort, watch=watch)
resume = False
try:
    runs.fit(config, sys.argv[3], fabric)
    raise SystemExit("not refused")
except FolderTaken as error:
    print(error, file=log)
try:
    fit()
    raise SystemExit("not stopped")
except runs.Stopped as stop:
    print(stop, file=log)
fabric.barrier()
resume = True
metrics = fit()
print(metrics["processes"], metrics["accuracy"], file=log)
log.close()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    pytest.importorskip("lightning_fabric")
    config = TrainConfig(task="lookup", preset="probe", steps=20, batch=16, warmup=5)
    script, shared = tmp_path / "together.py", tmp_path / "shared"
    script.write_text(TOGETHER)
    root = Path(__file__).parents[1]
    with held_elsewhere(tmp_path / "taken"):
        process = subprocess.run(
            [sys.executable, script, json.dumps(config.to_dict()), shared, tmp_path / "taken"],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    metrics = fit(config, tmp_path / "alone", plain_fabric(), points=20)
    both = read_metrics(shared)
    assert both["processes"] == 2
    for rank in range(2):
        refused, stopped, ended = Path(f"{shared}.{rank}").read_text().splitlines()
        assert f"process {os.getpid()} trains in {tmp_path / 'taken'} already" in refused
        assert "stopped after step 11 of 20, which is saved in" in stopped
        assert ended == f"2 {both['accuracy']}"
    assert [step for step, _ in both["losses"]] == list(range(1, 21))
    alone = [loss for _, loss in metrics["losses"]]
    assert [loss for _, loss in both["losses"]] == pytest.approx(alone, abs=1e-4)
    assert [path.name for path in checkpoints(shared)] == ["checkpoint-000020"]
