"""The GPU program on a CPU: seeds trained at once get the numbers they get alone, and its time limit is kept."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stacked_seeds import StackedModels, stacked_optimizer, train_seeds

from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import ABLATION
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.loop import initialize, make_optimizer, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TINY = {"num_frames": 2, "image_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_hidden": 8, "head_hidden": 8}


@pytest.fixture(autouse=True)
def one_thread():
    """Compute with one thread, which is faster for tiny tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_run(**changes):
    fields = {"task": "motion", "preset": "gpu", "steps": 4, "batch": 4, "warmup": 1, "clip_norm": 0.2, "model": TINY}
    return TrainConfig(**fields | changes)


def start(config):
    return initialize(VideoTransformer(config.model_config), seed=config.seed, gain=config.gain)


def batches(config):
    return config.data.batches(seed=config.seed, batch=config.batch, stop=config.steps)


def alone(config, precision="32-true"):
    fabric, model = plain_fabric("cpu", precision), start(config)
    wrapped, optimizer = fabric.setup(model, make_optimizer(model, config))
    return list(train(wrapped, optimizer, batches(config), config, fabric)), model


def at_once(configs, precision="32-true", models=None):
    fabric, models = plain_fabric("cpu", precision), models or [start(config) for config in configs]
    stack = StackedModels(models)
    wrapped, optimizer = fabric.setup(stack, stacked_optimizer(stack, configs[0]))
    step_batches = zip(*map(batches, configs), strict=True)
    records = list(train_seeds(wrapped, optimizer, step_batches, configs[0], fabric))
    for index, model in enumerate(models):
        stack.copy_to(index, model)
    return list(zip(*records, strict=True)), models


def close(actual, expected, tolerance):
    torch.testing.assert_close(
        torch.tensor(actual, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), **tolerance
    )


RUNS = [
    *(tiny_run(variant=name) for name in ("softmax-association", "cooperative-shared", "separate", "constant", "gate")),
    tiny_run(variant="cooperative-association", task="cue", weight_decay=3.0),  # with a spatial embedding
    TrainConfig(task="lookup", preset="probe", variant="linear-elu", steps=4, batch=8, warmup=1),  # with a readout
]


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("config", RUNS, ids=lambda config: f"{config.task} {config.variant}")
def test_seeds_at_once_get_the_numbers_of_each_alone(config):
    configs = [config, replace(config, seed=7)]
    runs, models = at_once(configs)
    video, _, readout = next(batches(config))
    for records, model, config in zip(runs, models, configs, strict=True):
        expected, trained = alone(config)
        close(records, expected, {"rtol": 1e-4, "atol": 1e-5})
        trained.eval(), model.eval()
        torch.testing.assert_close(model(video, readout), trained(video, readout), rtol=1e-4, atol=1e-4)
    assert all(a.loss != b.loss for a, b in zip(*runs, strict=True))


def test_seeds_at_once_agree_in_bfloat16():
    config = tiny_run(variant="cooperative")
    (records,), _ = at_once([config], "bf16-mixed")
    close(records, alone(config, "bf16-mixed")[0], {"rtol": 0.05, "atol": 1e-3})
    assert records[0].loss != alone(config)[0][0].loss


def test_a_seed_that_is_not_finite_leaves_the_others_alone():
    configs = [tiny_run(), tiny_run(seed=1)]
    models = [start(config) for config in configs]
    with torch.no_grad():
        models[0].temporal_embedding.fill_(torch.nan)
    (broken, whole), _ = at_once(configs, models=models)
    close(whole, alone(configs[1])[0], {"rtol": 1e-4, "atol": 1e-5})
    assert all(record.loss != record.loss for record in broken)


def test_models_of_two_variants_are_not_stacked():
    with pytest.raises(ValueError, match="different configurations: stack seeds of one variant"):
        StackedModels([start(tiny_run()), start(tiny_run(variant="linear"))])


class Clock:
    """A clock that advances by `step` seconds each time it is read."""

    def __init__(self, step=0.0):
        self.now, self.step = 100.0, step

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.fixture
def report(tmp_path):
    from gpu_report import Report

    return Report(tmp_path / "deep" / "report.json", {"card": "none"}, seconds=60, clock=Clock())


def written(report):
    return json.loads(report.path.read_text())


def test_work_that_does_not_fit_is_not_started(report):
    def work(seconds):
        report.clock.now += seconds
        return [{"took": seconds, "not a number": float("nan")}]

    assert report.do("a", "short", 20, lambda: work(20)) == report.content["a"]
    assert written(report)["a"] == [{"took": 20, "not a number": None}]
    assert report.do("a", "long", 35, lambda: work(35)) == []  # 40 s are left, but 20 % more is possible
    assert report.do("b", "longer than said", 20, lambda: work(38)) != []
    assert report.do("b", "none left", 2, lambda: work(2)) == []
    assert [row["name"] for row in written(report)["left_out"]] == ["long", "none left"]
    assert written(report)["left_out"][0]["why"] == "may take 42 s, 40 s are left"
    assert written(report)["seconds"] == 58


def test_work_stops_in_the_middle_at_the_limit_and_a_full_memory_is_no_end(report):
    def slow():
        for _ in range(10):
            report.clock.now += 20
            report.check()
        return [{}]

    def full():
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    assert report.do("a", "full", 1, full) == []
    assert report.do("a", "slow", 1, slow) == []
    assert report.clock.now == 160
    reasons = [row["why"] for row in written(report)["left_out"]]
    assert reasons == ["OutOfMemoryError: CUDA out of memory.", "OutOfTime: the limit of 60 s is reached"]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1e6, (8, 100)), (331, (3, 100)), (109, (1, 99)), (50, (1, 40)), (1, (1, 25))]
)
def test_the_plan_fills_the_time(seconds, expected):
    from gpu_training import plan

    assert plan({"a": 0.25, "b": 0.75}, seconds=seconds, steps=100, extra=10, most=8) == expected


def train_with_a_slow_clock(folder, *, limit):
    """Train two variants where each look at the clock takes a quarter of a second; return what was written."""
    from gpu_clips import Clips
    from gpu_report import Report
    from gpu_training import train_task

    clips, config = Clips("cpu", workers=0, distinct=2, test_clips=4), tiny_run(batch=2, steps=6)
    report = Report(folder / "report.json", {}, seconds=limit, clock=Clock(step=0.25))
    train_task(config, ["linear", "constant"], clips, plain_fabric(), report, most=4, together=2)
    assert report.clock.now <= 100 + limit
    return written(report)


def test_seeds_are_trained_at_once_where_that_is_faster(tmp_path):
    results = train_with_a_slow_clock(tmp_path, limit=90)
    # a step takes as many looks at the clock for two seeds as for one
    assert [row["alone_over_this"] for row in results["steps"]] == [None, 2.0, None, 2.0]
    assert results["plan"] == [{"task": "motion", "seeds": 4, "steps": 6, "of": 6, "rendered": 2}]
    assert results["left_out"] == []
    order = [(variant, seed) for pair in ((0, 1), (2, 3)) for variant in ("linear", "constant") for seed in pair]
    assert [(row["variant"], row["seed"]) for row in results["runs"]] == order
    for row in results["runs"]:
        assert row["seeds_together"] == 2
        assert row["diverged_at"] is None
        assert set(row["accuracy"]) == {"test", "clutter 0.5"}
        assert len(row["curve"]) == 6


def test_in_less_time_fewer_seeds_are_trained(tmp_path):
    results = train_with_a_slow_clock(tmp_path, limit=30)
    assert [row["name"] for row in results["left_out"]] == ["motion, constant, 2 at once"]
    assert results["plan"] == [{"task": "motion", "seeds": 2, "steps": 6, "of": 6, "rendered": 2}]
    at_once = [(row["variant"], row["seed"], row["seeds_together"]) for row in results["runs"]]
    assert at_once == [("linear", 0, 2), ("linear", 1, 2), ("constant", 0, 1), ("constant", 1, 1)]


def test_a_run_that_diverges_says_at_which_step(report):
    from gpu_clips import Clips
    from gpu_training import run_group

    config = tiny_run(learning_rate=1e30, clip_norm=1e30, warmup=0)
    clips = Clips("cpu", workers=0, distinct=1, test_clips=4)
    (row,) = run_group([config], clips, plain_fabric(), report)
    assert (row["diverged_at"], row["accuracy"], row["loss"]) == (2, None, None)


def test_the_step_that_reached_a_level():
    from gpu_training import reached

    assert reached(0.9, [0.0] * 10 + [1.0] * 30) == 28
    assert reached(0.9, [1.0] * 19) is None


@pytest.mark.parametrize("task", ["motion", "lookup"])
def test_clips_are_those_of_the_task(task):
    from gpu_clips import Clips

    config = tiny_run(steps=3) if task == "motion" else TrainConfig(task=task, preset="probe", steps=3, batch=4)
    clips = Clips("cpu", workers=0, distinct=2, test_clips=5)
    expected = [*batches(config)]
    name = next(iter(config.data.tests))
    loaded = [*clips.batches(config), *clips.test(config, name)]
    expected = [*expected[:2], expected[0], *config.data.test_batches(name, clips=5)]
    for batch, other in zip(loaded, expected, strict=True):
        assert torch.equal(batch.video, other.video)
        assert torch.equal(batch.label, other.label)
        assert (batch.readout is None) == (task == "motion")
        assert batch.readout is None or torch.equal(batch.readout, other.readout)


@pytest.mark.parametrize(
    ("given", "message"),
    [([], "there is no CUDA device here"), (["--device", "cpu"], "would take hours: add --tiny")],
)
def test_without_a_gpu_it_says_what_to_do(monkeypatch, capsys, given, message):
    import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *given])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missed_golden_file_is_an_error_after_everything_is_written(monkeypatch, capsys, tmp_path):
    import gpu

    output = tmp_path / "missed.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--tiny", "--workers", "0", "--output", str(output)])
    monkeypatch.setattr(gpu, "golden_error", lambda path, device: [{"file": path.stem, "largest_error": float("nan")}])
    for part in ("measure_floor", "measure_attention"):
        monkeypatch.setattr(gpu, part, lambda *arguments, **options: None)
    monkeypatch.setattr(gpu, "train_task", lambda *arguments, **options: 0.0)
    assert gpu.main() == 1
    assert "golden files missed by more than 0.0001: fixation_and_association, " in capsys.readouterr().err
    assert [row["largest_error"] for row in json.loads(output.read_text())["golden"]] == [None] * 4


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Run the program as a user does, where Lightning Fabric and all but torch, einops and numpy are missing."""
    folder = tmp_path_factory.mktemp("smoke")
    missing = "lightning_fabric safetensors rich typer pandas scipy distributed papermill matplotlib jaxtyping av"
    for name in missing.split():
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not installed here')")
    few = ["--variants", "softmax", "cooperative-shared", "--tasks", "motion", "--seeds", "2", "--together", "2"]
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--tiny", "--workers", "1", *few]
    done = subprocess.run(
        [*command, "--output", folder / "results.json"],
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "results.json").read_text())


def test_the_smoke_run_measures_everything(smoke):
    _, results = smoke
    assert (results["card"], results["tiny"], results["left_out"]) == ("cpu", True, [])
    assert results["settings"][0]["fabric"] == "plain_fabric"
    assert results["provenance"]["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert [row["file"] for row in results["golden"]] == [
        "fixation_and_association", "fixation_separate_layers", "fixation_shared", "linear_baseline"
    ]  # fmt: skip
    assert all(row["largest_error"] < 1e-5 for row in results["golden"])
    assert {row["dtype"] for row in results["floor"]} == {"float32", "bfloat16"}
    assert {(row["mechanism"], row["tokens"]) for row in results["attention"]} == {
        (name, tokens) for name in ("softmax", "softmax, explicit map", "linear", "cooperative") for tokens in (64, 128)
    }
    assert all(row["forward_ms"] > 0 and row["training_ms"] > 0 for row in results["attention"])
    assert [(row["variant"], row["seeds_at_once"]) for row in results["steps"]] == [
        ("softmax", 1), ("softmax", 2), ("cooperative-shared", 1), ("cooperative-shared", 2)
    ]  # fmt: skip
    assert sorted((row["variant"], row["seed"]) for row in results["runs"]) == [
        ("cooperative-shared", 0), ("cooperative-shared", 1), ("softmax", 0), ("softmax", 1)
    ]  # fmt: skip


def test_the_smoke_run_prints_tables(smoke):
    printed, results = smoke
    for heading in ("golden file", "attention, bfloat16", "seeds at once", "run of", "steps to .9"):
        assert heading in printed
    assert f"{results['runs'][0]['accuracy']['test']:.4g}" in printed


def test_by_default_every_variant_is_trained_on_the_gpu_preset(monkeypatch):
    import gpu

    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    given = gpu.arguments()
    assert tuple(given.variants) == tuple(ABLATION)
    config = gpu.run_config(given, "motion")
    assert (config.model_config.num_frames, config.model_config.image_size) == (16, 64)
    assert config.data.training[0].size == 64
