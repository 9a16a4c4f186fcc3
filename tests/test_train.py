"""Training: settings are checked, equal seeds give equal numbers, gradients are finite, divergence stops."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import ABLATION
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import PRECISIONS, make_fabric, plain_fabric
from linvid_edu.training.loop import Diverged, _share, initialize, learning_rate, make_optimizer, train
from linvid_edu.video.batch import Batch

SMALL = TrainConfig(task="lookup", preset="probe", variant="linear", steps=20, batch=8, warmup=2)


def start(config, fabric=None):
    """Return model, optimizer and fabric of a run that begins."""
    fabric = fabric or plain_fabric()
    model = initialize(VideoTransformer(config.model_config), seed=config.seed, gain=config.gain)
    return *fabric.setup(model, make_optimizer(model, config)), fabric


def losses(config, fabric=None, steps=4):
    model, optimizer, fabric = start(config, fabric)
    batches = config.data.batches(seed=config.seed, batch=config.batch, stop=steps)
    return [record.loss for record in train(model, optimizer, batches, config, fabric)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "chess"}, "task 'chess' is unknown: choose one of cue"),
        ({"variant": "quadratic"}, "variant 'quadratic' is unknown: choose one of softmax"),
        ({"preset": "huge"}, "preset 'huge' is unknown: choose one of probe"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"seed": 1.5}, "seed=1.5 is a float, expected int"),
        ({"seed": True}, "seed=True is a bool, expected int"),
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"batch": "32"}, "batch='32' is a str, expected int"),
        ({"warmup": -1}, "warmup=-1 must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must be at least 0"),
        ({"weight_decay": float("nan")}, "weight_decay=nan must be at least 0"),
        ({"clip_norm": 0}, "clip_norm=0 must be above 0"),
        ({"gain": float("inf")}, "gain=inf must be above 0 and finite"),
        ({"model": [1]}, "model=[1] is a list, expected dict"),
        ({"model": {"depht": 3}}, "depht"),
        ({"model": {"heads": 5}}, "width=64 is not divisible by heads=5"),
        ({"scenes": {"clutte": 1}}, "scenes={'clutte': 1} has a knob that task 'cue' lacks"),
        ({"scenes": {"noise": 2}}, "noise is 2, it must be 0 to 1"),
        ({"variant": "softmax", "model": {"fixation": "separate"}}, "fixation='separate' reweights the features"),
        ({"variant": "softmax", "model": {"feature_map": "relu"}}, "feature_map='relu' belongs to linear"),
        ({"variant": "softmax", "model": {"gate": "value"}}, "gate='value' belongs to linear attention"),
        ({"variant": "separate", "model": {"shared_fixation": True}}, 'shared_fixation needs fixation="cooperative"'),
        ({"preset": "probe"}, "task 'cue': frames is 1, it must be at least 2: a single frame shows no change"),
        ({"task": "motion", "preset": "probe"}, "set frames=2 or more: choose another preset than 'probe'"),
        (
            {"model": {"image_size": (32, 40)}},
            "32 × 40 pixels, those of task 'cue' are square: change model={",
        ),
        (
            {"task": "lookup", "model": {"num_frames": 2}},
            "takes 2 frames, clips of task 'lookup' have 1: change",
        ),
        (
            {"task": "flash", "model": {"kernel": 6, "padding": 1}},
            "patches are 6 pixels wide and 4 apart, the cells",
        ),
        (
            {"task": "lookup", "model": {"spatial_embedding": True}},
            "task 'lookup' also has frames of 48: change",
        ),
    ],
    ids=str,
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_invalid_settings_raise_errors_that_name_them(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        TrainConfig(**settings)


def test_settings_survive_json_and_unknown_ones_raise():
    config = replace(SMALL, model={"depth": 1}, scenes={"noise": 0.2})
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="unknown settings of a run: lr; known are batch"):
        TrainConfig.from_dict({"lr": 1e-3})


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    config = replace(SMALL, learning_rate=0.4, warmup=4, steps=12)
    rates = [learning_rate(config, step) for step in range(1, 13)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rates[7] == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0)
    assert all(before > after for before, after in pairwise(rates[3:]))
    assert learning_rate(replace(config, warmup=0, steps=1000), 1) == pytest.approx(0.4, rel=1e-4)
    assert learning_rate(replace(config, warmup=24), 12) == pytest.approx(0.2)


def test_biases_norms_and_embeddings_do_not_decay():
    model = VideoTransformer(SMALL.model_config)
    decayed, others = make_optimizer(model, SMALL).param_groups
    names = {weight: name for name, weight in model.named_parameters()}
    assert decayed["weight_decay"] == SMALL.weight_decay
    assert others["weight_decay"] == 0
    assert len(decayed["params"]) + len(others["params"]) == len(names)
    assert all(names[weight].endswith("weight") and weight.ndim > 1 for weight in decayed["params"])
    assert any(names[weight].endswith("embedding") for weight in others["params"])


@pytest.mark.parametrize("task", ["lookup", "flash"])
@pytest.mark.parametrize("variant", ABLATION)
def test_every_weight_of_every_variant_has_a_finite_gradient(variant, task):
    config = replace(SMALL, task=task, variant=variant, batch=4)
    model, optimizer, fabric = start(config)
    (record,) = train(model, optimizer, config.data.batches(seed=0, batch=4, stop=1), config, fabric)
    assert record.step == 1
    assert 0 < record.loss < 10
    assert record.gradient_norm > 0
    assert record.learning_rate == pytest.approx(config.learning_rate / config.warmup)
    missing = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not missing
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_variants_of_a_seed_share_the_weights_that_they_have_in_common():
    def weights(variant, seed=0):
        config = replace(SMALL, variant=variant)
        return dict(initialize(VideoTransformer(config.model_config), seed=seed).named_parameters())

    base, other = weights("linear"), weights("linear", seed=1)
    for variant in ABLATION:
        each = weights(variant)
        common = [name for name in base if name in each and each[name].shape == base[name].shape]
        assert len(common) > len(base) / 2
        assert all(torch.equal(each[name], base[name]) for name in common), variant
    drawn = [name for name, weight in base.items() if weight.ndim > 1]
    assert not any(torch.equal(base[name], other[name]) for name in drawn)


def test_the_wide_control_has_as_many_weights_as_cooperative_fixation():
    def count(variant):
        model = VideoTransformer(replace(SMALL, variant=variant).model_config)
        return sum(weight.numel() for weight in model.parameters())

    extra = count("linear-wide") - count("cooperative")
    assert count("linear") < count("cooperative")
    assert 0 <= extra < 4 * SMALL.model_config.width


def test_training_fits_one_batch():
    config = replace(SMALL, learning_rate=1e-2, steps=60, warmup=5)
    model, optimizer, fabric = start(config)
    batch = next(config.data.batches(seed=0, batch=8, stop=1))
    records = list(train(model, optimizer, repeat(batch, config.steps), config, fabric))
    assert records[0].loss > 1
    assert records[-1].loss < 0.02
    assert records[-1].accuracy == 1


REPEAT = """
import torch
torch.set_num_threads(1)
from linvid_edu.training.config import TrainConfig
from tests.test_train import losses
for seed in (3, 4):
    config = TrainConfig(task="motion", preset="compact", steps=20, batch=4, model={"dropout": 0.5}, seed=seed)
    print([loss.hex() for loss in losses(config, steps=3)])
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_in_another_process():
    def begin(hashes):
        place = {"cwd": Path(__file__).parents[1], "env": {**os.environ, "PYTHONHASHSEED": hashes}}
        return subprocess.Popen([sys.executable, "-c", REPEAT], **place, stdout=subprocess.PIPE, text=True)

    first, again = [process.communicate(timeout=300)[0] for process in (begin("1"), begin("2"))]
    one, other = first.splitlines()
    assert one.count("0x") == other.count("0x") == 3
    assert again == first
    assert other != one


def test_dropout_of_a_step_does_not_depend_on_earlier_draws():
    config = replace(SMALL, model={"dropout": 0.5})

    def disturbed():
        for batch in config.data.batches(seed=0, batch=8, stop=4):
            torch.rand(7)
            yield batch

    model, optimizer, fabric = start(config)
    assert [record.loss for record in train(model, optimizer, disturbed(), config, fabric)] == losses(config)


def test_each_process_drops_its_own_channels(monkeypatch):
    config = replace(SMALL, model={"dropout": 0.5})
    batch = next(config.data.batches(seed=0, batch=4, stop=1))
    twice = Batch(*(part.repeat_interleave(2, dim=0) for part in batch))  # so both processes have the same clips
    found = []
    monkeypatch.setattr(plain_fabric, "world_size", 2)
    for rank in range(2):
        monkeypatch.setattr(plain_fabric, "global_rank", rank)
        model, optimizer, fabric = start(config)
        found += [record.loss for record in train(model, optimizer, [twice], config, fabric)]
    assert found[0] != found[1]


def test_a_loss_that_is_not_finite_stops_before_the_step():
    model, optimizer, fabric = start(SMALL)
    with torch.no_grad():
        model.head[1].bias[0] = float("nan")
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with pytest.raises(Diverged, match=r"loss of step 8 is nan: try a lower learning rate than 0\.003, a longer"):
        list(train(model, optimizer, SMALL.data.batches(seed=0, batch=8, stop=2), SMALL, fabric, taken=7))
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters() if name != "head.1.bias")


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    model, optimizer, fabric = start(SMALL)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    model.head[1].bias.register_hook(lambda gradient: gradient / 0)
    with pytest.raises(Diverged, match=r"norm of the gradient of step 1 is (nan|inf): try .* smaller gain than 1\.0"):
        list(train(model, optimizer, SMALL.data.batches(seed=0, batch=8, stop=1), SMALL, fabric))
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_processes_share_a_batch_without_overlap():
    batch = next(SMALL.data.batches(seed=0, batch=6, stop=1))
    shares = [_share(batch, SimpleNamespace(world_size=3, global_rank=rank, device="cpu")) for rank in range(3)]
    assert all(len(share.label) == len(share.readout) == 2 for share in shares)
    assert torch.equal(torch.stack([share.video for share in shares], dim=1).flatten(0, 1), batch.video)
    with pytest.raises(ValueError, match="a batch of 6 clips cannot be shared by 4 processes: choose a multiple"):
        _share(batch, SimpleNamespace(world_size=4, global_rank=0, device="cpu"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_plain_fabric_takes_the_steps_of_lightning_fabric(precision):
    """Both call the same functions of PyTorch on the same numbers in the same order: the bits agree on any processor.

    The order matters in one place: the norm of the gradient is a sum over the weights, and its last bits, which scale
    every gradient, depend on whether the weights come in the model's order or in the optimizer's.
    """
    pytest.importorskip("lightning_fabric")
    assert losses(SMALL, make_fabric("cpu", precision=precision)) == losses(SMALL, plain_fabric("cpu", precision))


def test_plain_fabric_clips_in_the_order_of_the_optimizer(monkeypatch):
    clipped = []

    def note(weights, max_norm, *, error_if_nonfinite):
        clipped.extend(weights)
        return torch.ones(())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", note)
    model, optimizer, fabric = start(SMALL)
    fabric.clip_gradients(model, optimizer, max_norm=1.0, error_if_nonfinite=False)
    expected = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert len(clipped) == len(list(model.parameters()))
    assert all(weight is other for weight, other in zip(clipped, expected, strict=True))


class MetaFabric(plain_fabric):
    """Run on the meta device, which has shapes but no numbers: a tensor made on another device fails as on a GPU."""

    def __init__(self):
        super().__init__("meta")

    def all_reduce(self, value):
        assert value.device.type == "meta"
        return torch.ones(value.shape)

    def clip_gradients(self, model, optimizer, **how):
        norm = super().clip_gradients(model, optimizer, **how)
        assert norm.device.type == "meta"
        return torch.ones(())


@pytest.mark.slow
@pytest.mark.parametrize("task", ["lookup", "flash", "motion"])
@pytest.mark.parametrize("variant", ["softmax", "cooperative-association", "gate", "performer-cooperative"])
def test_a_step_runs_on_the_meta_device(variant, task):
    preset = "compact" if task == "motion" else "probe"
    config = TrainConfig(task=task, preset=preset, variant=variant, steps=2, batch=2, model={"dropout": 0.5})
    model, fabric = VideoTransformer(config.model_config).to("meta"), MetaFabric()  # moving to it makes new weights,
    model, optimizer = fabric.setup(model, make_optimizer(model, config))  # so the optimizer comes after
    batches = config.data.batches(seed=0, batch=2, stop=2)
    assert [record.step for record in train(model, optimizer, batches, config, fabric)] == [1, 2]
    assert {weight.grad.device.type for weight in model.parameters()} == {"meta"}
    assert {value.device.type for value in optimizer.state[next(model.parameters())].values() if value.ndim} == {"meta"}


def test_bfloat16_leaves_the_weights_in_float32():
    model, optimizer, fabric = start(SMALL, plain_fabric("cpu", "bf16-mixed"))
    batch = next(SMALL.data.batches(seed=0, batch=8, stop=1))
    logits = model(batch.video, batch.readout)
    exact = start(SMALL)[0](batch.video, batch.readout)
    assert logits.dtype == torch.float32
    assert 0 < (logits - exact).abs().max() < 0.1
    list(train(model, optimizer, [batch], SMALL, fabric))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_missing_devices_raise(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'tpu' is unknown: choose auto or cpu"):
        make_fabric("tpu")
    with pytest.raises(ValueError, match="device 'cuda' is not on this machine: choose auto or cpu"):
        make_fabric("cuda")
    with pytest.raises(ValueError, match="precision '8' is unknown: choose one of 32-true, bf16-mixed"):
        make_fabric("cpu", precision="8")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert isinstance(make_fabric("auto"), plain_fabric)
    with pytest.raises(ValueError, match="2 processes need Lightning Fabric: pip install lightning-fabric"):
        make_fabric("cpu", processes=2)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "16-true"])
def test_a_precision_that_the_test_could_not_use_is_refused_before_the_first_step(precision):
    from lightning_fabric import Fabric

    from linvid_edu.training.fabric import check_fabric

    with pytest.raises(ValueError, match="is not supported: choose one of 32-true, bf16-mixed"):
        check_fabric(Fabric(accelerator="cpu", devices=1, precision=precision), batch=8)


def test_a_batch_that_the_processes_of_a_launcher_cannot_share_is_refused():
    from linvid_edu.training.fabric import check_fabric, plain_fabric

    fabric = plain_fabric()
    fabric.world_size = 3
    check_fabric(fabric, batch=9)
    with pytest.raises(ValueError, match="a batch of 8 clips cannot be shared by 3 processes"):
        check_fabric(fabric, batch=8)
