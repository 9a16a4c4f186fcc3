"""A sweep loses no run and trains none twice, whatever is killed; wrong settings are errors before it starts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import fields

import nbformat
import papermill
import psutil
import pytest
import torch
from typer.testing import CliRunner

from linvid_edu.cli import app
from linvid_edu.experiments import sweep_runs
from linvid_edu.experiments.sweep_grid import expand_grid, is_complete, plan_runs, read_sweep_grid
from linvid_edu.experiments.sweep_runs import NOTEBOOK, run_plain, run_sweep
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.metrics import METRICS, read_metrics
from linvid_edu.training.run_checkpoints import checkpoints
from linvid_edu.training.run_lock import CLAIMED_BY, claimed

pytestmark = pytest.mark.slow

TINY = {"task": "lookup", "preset": "probe", "variant": "linear", "batch": 8, "warmup": 5}
EFFORT = {"save_every": 10, "points": 3, "validation_clips": 16, "test_clips": 16}
TWO_RUNS = {"fixed": TINY | {"steps": 120}, "vary": {"seed": [1000, 1001]}, "effort": EFFORT}
DIVERGES = {**TINY, "seed": 1002, "steps": 2, "gain": 1e30}
NUMBERS = ("config", "accuracy", "curve", "losses", "concentration", "parameters")
PATIENCE_SECONDS = 240  # a busy machine starts processes slowly


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a folder with the two runs that other tests disturb."""
    folder, threads = tmp_path_factory.mktemp("undisturbed"), torch.get_num_threads()
    runs = plan_runs(expand_grid(TWO_RUNS).settings)
    for run in runs:
        run_plain(run.config.to_dict(), folder / run.name, Effort(**EFFORT))
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def local_cluster():
    """A scheduler and two workers on this machine, as a sweep starts them, for all tests that need some."""
    with pytest.MonkeyPatch.context() as patch:
        for name in sweep_runs.WORKER_ENVIRONMENT:
            patch.delenv(name, raising=False)
        with sweep_runs._client(2, None) as client:
            yield client


def numbers_in(folder):
    metrics = read_metrics(folder)
    return {name: metrics[name] for name in NUMBERS}


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# kills


def test_a_killed_worker_loses_nothing_and_no_run_counts_twice(tmp_path, undisturbed, local_cluster):
    grid = expand_grid(TWO_RUNS)
    first, failing = plan_runs([grid.settings[0], DIVERGES])
    killed, over = [], threading.Event()

    def kill():
        folder = tmp_path / first.name
        wait_until(lambda: over.is_set() or checkpoints(folder))
        kernel = psutil.Process(int((folder / CLAIMED_BY).read_text()))
        for process in (kernel.parent(), kernel):
            killed.append(process.cmdline())
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    address = local_cluster.scheduler.address
    progress = run_sweep([grid.settings[0], DIVERGES], tmp_path, effort=grid.effort, cluster=address)
    over.set()
    killer.join()

    assert list(progress.failed) == [failing.name], progress.failed
    worker, kernel = killed
    assert "spawn_main" in " ".join(worker)
    assert "ipykernel_launcher" in " ".join(kernel)
    assert (progress.total, progress.skipped, progress.done) == (2, 0, 1)
    assert progress.failed[failing.name].startswith("Diverged: the ")
    assert [path.parent.name for path in tmp_path.rglob(METRICS)] == [first.name]
    assert "from checkpoint-" in printed_by(tmp_path / first.name)
    assert "from the start" in printed_by(tmp_path / failing.name)
    assert numbers_in(tmp_path / first.name) == numbers_in(undisturbed / first.name)


def printed_by(folder):
    """Return what the executed notebook of a run printed."""
    cells = nbformat.read(folder / NOTEBOOK.name, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_a_killed_driver_is_started_again_and_goes_on(tmp_path, undisturbed, local_cluster):
    first, second = plan_runs(expand_grid(TWO_RUNS).settings)
    (tmp_path / "grid.json").write_text(json.dumps(TWO_RUNS))
    folder = tmp_path / "runs"
    shutil.copytree(undisturbed / first.name, folder / first.name)
    written = (folder / first.name / METRICS).stat().st_mtime_ns
    arguments = ["sweep", "--plain", "--grid", str(tmp_path / "grid.json"), "--folder", str(folder)]

    command = [sys.executable, "-m", "linvid_edu.cli", *arguments, "--workers", "1"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: checkpoints(folder / second.name))
    worker = int((folder / second.name / CLAIMED_BY).read_text())
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    wait_until(lambda: gone(worker))
    assert not is_complete(second, folder)
    begun = checkpoints(folder / second.name)[-1]

    again = CliRunner().invoke(app, [*arguments, "--cluster", local_cluster.scheduler.address])
    assert again.exit_code == 0, again.stderr
    assert again.stdout == "2 runs: 1 complete before, 1 done\n"
    assert (folder / first.name / METRICS).stat().st_mtime_ns == written
    assert checkpoints(folder / second.name)[-1] > begun
    assert numbers_in(folder / second.name) == numbers_in(undisturbed / second.name)


def gone(process):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    return True


def test_workers_keep_freed_memory(local_cluster):
    """With dask's own setting, each step would take its memory from the system anew, in two to three times the time."""
    environment = {name: local_cluster.submit(os.environ.get, name).result() for name in sweep_runs.WORKER_ENVIRONMENT}
    assert environment == {name: str(value) for name, value in sweep_runs.WORKER_ENVIRONMENT.items()}


def test_only_one_at_a_time_holds_a_folder(tmp_path):
    log = []

    def hold(name):
        with claimed(tmp_path):
            log.append(name)
            time.sleep(0.02)
            log.append(name)

    threads = [threading.Thread(target=hold, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log[::2] == log[1::2]
    assert sorted(log[::2]) == [0, 1, 2, 3, 4]


# errors before anything starts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 0.1}, "unknown settings of a run: learning_rat"),
        ({"seed": True}, "seed=True is a bool"),
        ({"variant": "fixated"}, "variant 'fixated' is unknown"),
        ({"scenes": {"cluter": 3}}, "cluter"),
        ({"task": "motion"}, "frames is 1"),
    ],
)
def test_wrong_settings_are_errors_before_anything_starts(tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(sweep_runs, "LocalCluster", lambda **_: pytest.fail("workers were started"))
    with pytest.raises(ValueError, match="run 1 of the sweep") as raised:
        run_sweep([TINY, TINY | change], tmp_path / "runs")
    assert message in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_the_notebook_has_a_parameter_for_each_setting():
    names = {field.name for settings in (TrainConfig, Effort) for field in fields(settings)}
    assert set(papermill.inspect_notebook(str(NOTEBOOK))) == {*names, "folder"}


def test_a_notebook_without_a_parameter_is_an_error(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("gain = 1.0", "strength = 1.0")
    nbformat.write(notebook, tmp_path / "other.ipynb")
    with pytest.raises(ValueError, match=r"other\.ipynb lacks gain in its cell"):
        run_sweep([TINY], tmp_path / "runs", notebook=tmp_path / "other.ipynb")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([], "a grid is an object with some of fixed, vary, runs, effort"),
        ({"vari": {}}, "a grid is an object"),
        ({"vary": {"seed": 3}}, "expected a list of values"),
        ({"fixed": 3}, "must be objects"),
        ({"fixed": {"seed": 1}, "vary": {"seed": [1]}}, "two parts of the grid decide seed"),
        ({"runs": [{"seed": 1}], "vary": {"seed": [1]}}, "two parts of the grid decide seed"),
        ({"effort": {"clips": 3}}, "the unknown clips"),
        ({"effort": {"points": 0}}, "points=0 must be a whole number above 0"),
    ],
)
def test_what_is_no_grid_is_an_error(tmp_path, grid, message):
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(grid))
    with pytest.raises(ValueError, match=message):
        read_sweep_grid(path)


def test_a_grid_that_is_no_json_is_an_error(tmp_path):
    (tmp_path / "grid.json").write_text("{'fixed': {}}")
    with pytest.raises(ValueError, match=r"grid\.json is not JSON"):
        read_sweep_grid(tmp_path / "grid.json")


# names


def test_each_entry_of_runs_is_combined_with_each_combination():
    grid = expand_grid(
        {
            "fixed": {"task": "lookup"},
            "runs": [{"variant": "linear", "gain": 1.0}, {"variant": "softmax", "gain": 2.0}],
            "vary": {"seed": [0, 1], "steps": [5]},
        }
    )
    assert [(settings["variant"], settings["gain"], settings["seed"]) for settings in grid.settings] == [
        ("linear", 1.0, 0),
        ("linear", 1.0, 1),
        ("softmax", 2.0, 0),
        ("softmax", 2.0, 1),
    ]
    assert all(settings["task"] == "lookup" and settings["steps"] == 5 for settings in grid.settings)


def test_equal_settings_are_one_run_and_others_another():
    once = [{"gain": 2.0}, {"gain": 2.0, "steps": 1000}, {"steps": 1000, "gain": 2.0}]
    (run,) = plan_runs(once)
    assert run.name.startswith("cue-cooperative-compact-seed0-")
    others = [{}, {"seed": 1}, {"gain": 2.0, "model": {"dropout": 0.5}}, {"gain": 2.0, "steps": 999}]
    names = {run.name for run in plan_runs(once + others)}
    assert len(names) == 5


@pytest.mark.usefixtures("unchecked_shapes")
def test_whole_numbers_may_be_written_either_way():
    whole, fraction = plan_runs([{"gain": 2}])[0], plan_runs([{"gain": 2.0}])[0]
    assert whole.name == fraction.name


def test_metrics_of_another_run_are_an_error(tmp_path):
    one, other = plan_runs([TINY | {"seed": 1}, TINY | {"seed": 2}])
    metrics = {"config": other.config.to_dict(), "accuracy": {}}
    (tmp_path / one.name).mkdir()
    (tmp_path / one.name / METRICS).write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match="holds the metrics of another run"):
        is_complete(one, tmp_path)


# command line


def test_dry_run_lists_what_is_complete_begun_and_to_do(tmp_path):
    grid = {"fixed": TINY | {"steps": 3}, "vary": {"seed": [1, 2, 3]}}
    done, begun, left = plan_runs(expand_grid(grid).settings)
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    (tmp_path / done.name).mkdir()
    (tmp_path / done.name / METRICS).write_text(json.dumps({"config": done.config.to_dict(), "accuracy": {}}))
    (tmp_path / begun.name / "checkpoint-000002").mkdir(parents=True)
    arguments = ["sweep", "--grid", str(tmp_path / "grid.json"), "--folder", str(tmp_path), "--dry-run"]
    listed = CliRunner().invoke(app, arguments)
    assert listed.exit_code == 0
    states = [("complete", done), ("checkpoint-000002", begun), ("to do", left)]
    assert listed.stdout.splitlines() == [f"{state:20}{run.name}" for state, run in states]


def test_a_sweep_that_is_complete_starts_no_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_runs, "LocalCluster", lambda **_: pytest.fail("workers were started"))
    (run,) = plan_runs([TINY])
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / METRICS).write_text(json.dumps({"config": run.config.to_dict(), "accuracy": {}}))
    assert run_sweep([TINY, TINY], tmp_path) == (1, 1, 0, 0, {})


def test_failed_runs_are_named_and_the_exit_code_is_1(tmp_path, monkeypatch):
    progress = sweep_runs.SweepProgress(3, 0, done=2, failed={"run-x": "Diverged: the loss"})
    monkeypatch.setattr(sweep_runs, "run_sweep", lambda *_, **__: progress)
    (tmp_path / "grid.json").write_text(json.dumps({"fixed": TINY}))
    ended = CliRunner().invoke(app, ["sweep", "--grid", str(tmp_path / "grid.json"), "--folder", str(tmp_path)])
    assert ended.exit_code == 1
    assert ended.stdout == "3 runs: 2 done, 1 failed\n"
    assert "failed: run-x: Diverged: the loss" in ended.stderr


def test_after_ctrl_c_it_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_runs, "run_sweep", interrupted)
    (tmp_path / "grid.json").write_text(json.dumps({"fixed": TINY}))
    ended = CliRunner().invoke(app, ["sweep", "--grid", str(tmp_path / "grid.json"), "--folder", str(tmp_path)])
    assert ended.exit_code == 130
    assert "the same command continues" in ended.stderr


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_value_of_the_wrong_type_is_an_error_of_one_line(tmp_path):
    (tmp_path / "grid.json").write_text(json.dumps({"fixed": TINY | {"steps": "30"}}))
    arguments = ["sweep", "--grid", str(tmp_path / "grid.json"), "--folder", str(tmp_path / "runs")]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("linvid: run 0 of the sweep")
    assert ended.stderr.endswith("steps='30' is a str, expected int\n")
    assert not (tmp_path / "runs").exists()


def test_nothing_to_do_is_said(tmp_path):
    ended = CliRunner().invoke(app, ["sweep", "--folder", str(tmp_path)])
    assert ended.exit_code == 1
    assert "--grid" in ended.stderr
