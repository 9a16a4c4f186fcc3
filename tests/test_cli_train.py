"""linvid train and linvid evaluate: numbers and files appear, errors are one line, Ctrl-C saves."""

import json
import logging
import os
import re
import shlex
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("typer")

from test_cli import error_line, run

from linvid_edu.models.checkpoint import save_model
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.metrics import read_metrics
from linvid_edu.training.run import fit
from linvid_edu.training.run_lock import CLAIM, CLAIMED_BY, claimed

pytestmark = pytest.mark.slow

QUICK = Effort(validation_clips=8, test_clips=40)
TRAIN = ("train", "--task", "lookup", "--preset", "probe", "--steps", 4, "--batch", 8, "--warmup", 2)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Make the tests of a run short, and let it write where nothing else is."""
    pytest.importorskip("rich")

    def quick_fit(config, folder, fabric, *, effort, **how):
        effort = replace(effort, validation_clips=8, test_clips=40)
        return fit(config, folder, fabric, effort=effort, **how)

    monkeypatch.setattr("linvid_edu.training.run.fit", quick_fit)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quick")
def test_train_writes_a_run_and_prints_its_accuracies():
    result = run(*TRAIN, "--variant", "linear", "--seed", 3, "--threads", 1, "--device", "cpu")
    assert result.exit_code == 0, result.output
    folder = Path("runs/lookup-linear-probe-3")
    metrics = read_metrics(folder)
    *table, last = result.stdout.splitlines()
    assert last == f"metrics: {folder}/metrics.json"
    assert [re.split("  +", line) for line in table] == [[k, f"{v:.4f}"] for k, v in metrics["accuracy"].items()]
    assert metrics["config"]["seed"] == 3
    assert metrics["provenance"]["threads"] == 1
    assert result.stderr == f"{result.stderr.strip()}\n"  # one line, at the last step
    assert re.match(r"step 4/4  loss \d\.\d+  accuracy \d\.\d+  \d+ clips/s  0:00 left  testing$", result.stderr)


@pytest.mark.usefixtures("quick")
def test_train_shows_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    monkeypatch.setattr("linvid_edu.cli.train.SECONDS_BETWEEN_LINES", 0)
    lines = run(*TRAIN, "--folder", "lines").stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"step {step}/4" for step in range(1, 5)]
    assert "clips/s" not in lines[0]  # no step was timed yet
    assert all(re.search(r"loss \d.* accuracy \d.* \d+ clips/s  \d+:\d\d left", line) for line in lines[1:])
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = run(*TRAIN, "--folder", "bar").stderr
    assert "━" in bar
    assert "step 4/4" in bar
    assert "\x1b[2K" in bar  # it is cleared at the end


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch", 9, "--processes", 2), "a batch of 9 clips cannot be shared by 2 processes: choose a multiple"),
        (("--learning-rate", "inf"), "learning_rate=inf must be above 0 and finite"),
        (("--task", "cue"), "frames is 1, it must be at least 2"),
        (("--clips", "nowhere", "--preset", "compact"), "nowhere is not a folder: give one"),
    ],
    ids=str,
)
def test_bad_values_are_errors_and_nothing_is_written(words, message):
    assert message in error_line(*TRAIN, *words)
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("quick")
def test_train_stops_at_an_interrupt_and_names_the_command_that_resumes(monkeypatch):
    options = ("--learning-rate", 0.01, "--seed", 5, "--device", "cpu")
    whole = run(*TRAIN, *options, "--folder", "whole")
    calls = []

    def interrupted(config, folder, fabric, *, resume, effort, watch):
        def kill(record):
            watch(record)
            calls.append(record.step)
            if record.step == 2 and not resume:
                signal.raise_signal(signal.SIGINT)

        return fit(config, folder, fabric, resume=resume, effort=QUICK, watch=kill)

    monkeypatch.setattr("linvid_edu.training.run.fit", interrupted)
    result = run(*TRAIN, *options, "--folder", "a run")
    assert result.exit_code == 130
    assert not result.stdout
    message, command = result.stderr.splitlines()
    assert message == "linvid: stopped after step 2 of 4, which is saved in a run/checkpoint-000002: resume with"
    words = shlex.split(command)
    assert words[0] == "linvid"
    assert "holds checkpoint-000002 of an unfinished run" in error_line(*words[1:-1])
    assert "other settings (learning_rate)" in error_line(*words[1:], "--learning-rate", 0.02)
    calls.clear()
    resumed = run(*words[1:])
    assert resumed.exit_code == 0, resumed.output
    assert calls == [3, 4]
    assert resumed.stdout.replace("a run", "whole") == whole.stdout
    assert "finished run" in error_line(*words[1:], "--seed", 6)


@pytest.mark.usefixtures("quick")
def test_train_names_the_process_that_trains_in_the_folder():
    messages = []
    with claimed("run"):
        words = (*TRAIN, "--folder", "run", "--device", "cpu")
        thread = threading.Thread(target=lambda: messages.append(error_line(*words)))
        thread.start()
        thread.join()
    folder = Path("run").resolve()
    way_out = "wait until it ends, stop it, or choose another folder"
    assert messages == [f"linvid: process {os.getpid()} trains in {folder} already: {way_out}"]
    assert sorted(path.name for path in folder.iterdir()) == [CLAIM, CLAIMED_BY]


@pytest.mark.usefixtures("quick")
def test_a_divergence_is_reported_in_one_line():
    result = run(*TRAIN, "--learning-rate", 1e6, "--warmup", 0, "--steps", 50)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.match(r"linvid: the .* of step \d+ is (nan|inf): try a lower learning rate than 1000000\.0, .*", line)
    assert line.endswith("the last good checkpoint is not written yet")
    assert not list(Path().rglob("metrics.json"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    config = TrainConfig(task="lookup", preset="probe", variant="separate", steps=2, batch=4)
    fit(config, folder, plain_fabric(), effort=QUICK)
    return folder


def test_evaluate_prints_accuracy_with_its_interval_and_concentration(trained, tmp_path):
    checkpoint = trained / "checkpoint-000002"
    output = tmp_path / "results.json"
    result = run("evaluate", trained, "--task", "lookup", "--count", 40, "--json", output)
    assert result.exit_code == 0, result.output
    for path in (trained, checkpoint, checkpoint / "model.safetensors"):
        assert run("evaluate", path, "--count", 40).stdout == result.stdout
    numbers = json.loads(output.read_text())
    accuracies = read_metrics(trained)["accuracy"]
    assert {name: row["accuracy"] for name, row in numbers["accuracy"].items()} == accuracies
    head, *lines = result.stdout.splitlines()
    assert re.split("  +", head) == ["test", "clips", "right", "95 % interval"]
    for line, (name, row) in zip(lines, numbers["accuracy"].items(), strict=False):
        interval = f"{row['low']:.4f} to {row['high']:.4f}"
        assert re.split("  +", line) == [name, "40", f"{row['accuracy']:.4f}", interval]
        assert row["low"] < row["right"] / 40 < row["high"]
    assert numbers["variant"] == "separate"
    assert [row["block"] for row in numbers["concentration"]] == [0, 1]
    assert lines[-1].split()[2] == f"{numbers['concentration'][1]['entropy']:.4g}"


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("motion", {}, "the model distinguishes 4 classes, task 'motion' has 8: choose the task it was trained on"),
        ("flash", {}, "the model takes 1 frames, clips of task 'flash' have 4: choose the task"),
        ("cue", {}, "the model does not fit task 'cue': frames is 1, it must be at least 2"),
        (
            "lookup",
            {"kernel": 6, "padding": 1},
            "patches are 6 pixels wide and 4 apart, the cells of task",
        ),
        ("lookup", {"spatial_embedding": True}, "spatial embedding is for frames of 32 pixels, task 'lookup' also has"),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_an_error(tmp_path, task, changes, message):
    path = save_model(VideoTransformer(ModelConfig.probe(**changes)), tmp_path / "model.safetensors")
    assert message in error_line("evaluate", path, "--task", task)


def test_evaluate_knows_the_knobs_of_the_run(tmp_path):
    settings = {"task": "lookup", "preset": "probe", "variant": "linear", "steps": 1, "batch": 4}
    config = TrainConfig(**settings, scenes={"noise": 0.9})
    accuracies = fit(config, tmp_path, plain_fabric(), effort=replace(QUICK, test_clips=200))["accuracy"]
    output = tmp_path / "results.json"
    assert run("evaluate", tmp_path, "--count", 200, "--json", output).exit_code == 0
    assert {name: row["accuracy"] for name, row in json.loads(output.read_text())["accuracy"].items()} == accuracies


def test_evaluate_asks_what_to_test_on_if_no_run_says(trained, tmp_path):
    path = save_model(VideoTransformer(ModelConfig.probe()), tmp_path / "model.safetensors")
    message = error_line("evaluate", path)
    assert message.endswith("run.json does not say what to test on (No such file or directory): give --task or --clips")
    for text, problem in (
        ("{}", "'config'"),
        ("[1]", "list"),
        ("{", "Expecting"),
        ('{"config": {"lr": 1}}', "settings"),
    ):
        (tmp_path / "run.json").write_text(text)
        assert problem in error_line("evaluate", path)
    message = error_line("evaluate", trained, "--task", "lookup", "--clips", tmp_path)
    assert f"--task lookup and --clips {tmp_path} are two things to test on: choose one" in message


def test_evaluating_anything_but_a_checkpoint_is_an_error(tmp_path):
    assert "holds no checkpoint: give a run's folder" in error_line("evaluate", tmp_path, "--task", "lookup")
    assert "is missing: pass a checkpoint file" in error_line("evaluate", tmp_path / "none", "--task", "lookup")
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    assert "is not a whole safetensors file" in error_line("evaluate", tmp_path, "--task", "lookup")
