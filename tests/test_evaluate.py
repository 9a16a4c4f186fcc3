"""Accuracy and concentration against numbers computed by hand; the model stays unchanged."""

import math

import pytest
import torch
from einops import rearrange
from torch import nn

from linvid_edu.attention.feature_maps import relu_offset
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.evaluation import accuracy, concentration_per_layer
from linvid_edu.training.tasks import Task
from linvid_edu.video.batch import TEST, VALIDATION, Batch
from linvid_edu.video.scenes import CueLookup, CueMatch, Flash, render, role_mask

CELLS = {"kernel": 4, "stride": 4, "padding": 0}
MEASURES = {"entropy", "effective_tokens", "top_mass"}


class Brightness(nn.Module):
    """Answer 1 for a clip that is brighter than gray, over the readout if there is one; dropout would spoil it."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.99)
        self.frozen = nn.Dropout(0.99).eval()
        self.readouts = []

    def forward(self, video, readout=None):
        self.readouts.append(readout)
        assert not self.dropout.training
        level = self.dropout(video.mean((1, 2, 3, 4)))
        return torch.stack([-level, level], dim=1)


def brightness_batches(readout=None):
    bright = torch.tensor([0.5, -0.5, 0.1, -0.2, 0.9])
    video = bright[:, None, None, None, None].expand(5, 3, 1, 4, 4)
    return [Batch(video, torch.tensor([1, 0, 0, 1, 1]), readout), Batch(video[:2], torch.tensor([1, 1]), readout)]


def test_accuracy_counts_clips_not_batches():
    assert accuracy(Brightness(), brightness_batches()) == pytest.approx(4 / 7)


def test_accuracy_hands_on_the_readout():
    model, readout = Brightness(), torch.ones(5, 1, 1, dtype=torch.bool)
    accuracy(model, brightness_batches(readout)[:1])
    assert torch.equal(model.readouts[0], readout)
    accuracy(model, brightness_batches())
    assert model.readouts[-1] is None


def test_accuracy_leaves_modes_as_they_were_also_after_an_error():
    model = Brightness()
    accuracy(model, brightness_batches())
    assert (model.training, model.dropout.training, model.frozen.training) == (True, True, False)
    with pytest.raises(IndexError):
        accuracy(model, [Batch(torch.zeros(2, 3), torch.zeros(2))])
    assert (model.training, model.dropout.training, model.frozen.training) == (True, True, False)


def lookup_task(**knobs):
    return Task(training=(CueLookup(**knobs),), tests={"test": CueLookup(**knobs)})


def flash_task(**knobs):
    return Task(training=(Flash(**knobs),), tests={"test": Flash(**knobs)})


def build(task, seed=0, **changes):
    scene = task.training[0]
    torch.manual_seed(seed)
    config = ModelConfig.probe(**{**CELLS, "num_frames": scene.frames, "image_size": scene.size} | changes)
    model = VideoTransformer(config)
    with torch.no_grad():
        for weight in model.parameters():  # large enough for maps that are far from uniform
            weight.add_(0.3 * torch.randn_like(weight))
    return model


def maps_of_first_block(model, video):
    """Compute the maps of the first attention layer from the weights alone, a head at a time: (b heads t·n t·n).

    Divided attention sees its own location or frame; all other entries are 0.
    """
    x, grid = model.embed(video)
    layers, norms = model.blocks[0].attention, model.blocks[0].attention_norm
    t, n, heads = x.shape[1], x.shape[2], model.config.heads
    frame, place = (index.flatten() for index in torch.meshgrid(torch.arange(t), torch.arange(n), indexing="ij"))
    together = {"joint": torch.ones(t * n, t * n), "time": place == place[:, None], "space": frame == frame[:, None]}
    found = {}
    for span, layer in layers.items():
        q, k, _ = (
            rearrange(part, "b t n (g d) -> b g (t n) d", g=heads) for part in layer.qkv(norms[span](x)).chunk(3, -1)
        )
        if model.config.attention == "softmax":
            similarity = (q @ k.mT / math.sqrt(q.shape[-1])).exp()
        else:
            similarity = relu_offset(q) @ relu_offset(k).mT
        similarity = similarity * together[span]
        found[span] = similarity / similarity.sum(-1, keepdim=True)
        x = x + layer(norms[span](x), grid)
    return found


@pytest.mark.parametrize("space_time", ["joint", "divided"])
@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_concentration_equals_values_computed_from_the_weights(attention, space_time):
    task = flash_task(frames=3, objects=3)
    model = build(task, attention=attention, space_time=space_time)
    rows = concentration_per_layer(model, task, "test", clips=6)
    scenes = render(task.tests["test"], count=6, seed=(TEST, 0))
    query, answer = (role_mask(scenes, role, grid=(4, 4)).flatten(1) for role in ("flash", "answer"))
    with torch.no_grad():
        maps = maps_of_first_block(model, scenes.video)
    spans = {"joint": ["joint"], "divided": ["time", "space"]}[space_time]
    assert [(row["block"], row["span"]) for row in rows] == [(block, span) for block in (0, 1) for span in spans]
    for row in rows[: len(spans)]:
        m = {"joint": 48, "time": 3, "space": 16}[row["span"]]
        p = maps[row["span"]].double()
        entropy = -(p * p.clamp(min=1e-300).log()).sum(-1)  # (b heads tokens)
        asked = entropy.transpose(1, 2)[query]
        top = math.ceil(0.05 * m)
        on_answer = torch.stack([p[b, :, query[b]][..., answer[b]].sum((-1, -2)) for b in range(6)])
        on_query = torch.stack([p[b, :, query[b]][..., query[b]].sum((-1, -2)) for b in range(6)])
        seen = torch.stack([(p[b, 0, query[b]] > 0)[..., answer[b]].sum() / m for b in range(6)])
        expected = {
            "entropy": entropy.mean() / math.log(m),
            "effective_tokens": entropy.exp().mean(),
            "top_mass": p.topk(top, dim=-1).values.sum(-1).mean(),
            "query_entropy": asked.mean() / math.log(m),
            "query_effective_tokens": asked.exp().mean(),
            "query_top_mass": p.topk(top, dim=-1).values.sum(-1).transpose(1, 2)[query].mean(),
            "mass_on_answer": on_answer.mean(),
            "mass_on_query": on_query.mean(),
            "share_answer": seen.mean(),
            "share_query": 1 / m,
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(float(value), rel=1e-4, abs=1e-6), (row["span"], name)


def test_mass_is_the_share_for_uniform_attention_and_one_for_fixed_attention():
    """Queries and keys of zero give uniform maps; a key that only the cue has draws all attention to it."""
    task = lookup_task(clutter=20)
    model = build(task, attention="softmax", depth=1)
    layer = model.blocks[0].attention["joint"]
    with torch.no_grad():
        layer.qkv.weight.zero_()
        layer.qkv.bias.zero_()
    (row,) = concentration_per_layer(model, task, "test", clips=8)
    assert row["mass_on_answer"] == pytest.approx(row["share_answer"]) == pytest.approx(1 / 64)
    assert row["mass_on_query"] == pytest.approx(row["share_query"]) == pytest.approx(1 / 64)
    assert row["entropy"] == pytest.approx(1)
    assert row["effective_tokens"] == pytest.approx(64, rel=1e-4)
    assert row["rank"] == 1

    def white_pixels(module, inputs, tokens):  # every channel says whether the cell has a white frame
        white = (inputs[0] > 0.8).all(1).float()
        count = nn.functional.avg_pool2d(white.flatten(0, 1), 4) * 16
        return (50.0 * (count > 8)).flatten(1)[:, None, :, None].expand_as(tokens[0]).contiguous(), tokens[1]

    with torch.no_grad():
        layer.qkv.weight[:64] = torch.eye(32).repeat(2, 1)
    model.blocks[0].attention_norm["joint"] = nn.Identity()
    model.patch_embedding.register_forward_hook(white_pixels)
    (row,) = concentration_per_layer(model, task.with_knobs(noise=0.0), "test", clips=8)
    assert row["mass_on_query"] == pytest.approx(1, abs=1e-4)
    assert row["query_entropy"] == pytest.approx(0, abs=1e-4)
    assert row["mass_on_answer"] == pytest.approx(0, abs=1e-4)
    assert row["share_answer"] == pytest.approx(1 / 64)


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_rank_is_at_most_the_head_width_for_linear_attention_alone(heads):
    task = lookup_task()
    linear, softmax = (
        concentration_per_layer(build(task, attention=attention, heads=heads), task, "test", clips=4)
        for attention in ("linear", "softmax")
    )
    assert all(1 <= row["rank"] <= 32 // heads for row in linear)
    assert heads == 1 or any(row["rank"] > 32 // heads for row in softmax)


@pytest.mark.parametrize(("bias", "mean", "shut", "open_"), [(0.0, 0.5, 0, 0), (-9.0, 0.0, 1, 0), (9.0, 1.0, 0, 1)])
def test_ratios_are_counted(bias, mean, shut, open_):
    task = lookup_task()
    model = build(task, fixation="constant")
    with torch.no_grad():
        for block in model.blocks:
            block.attention["joint"].mechanism.fixation.query_bias.fill_(bias)
            block.attention["joint"].mechanism.fixation.key_bias.fill_(0.0)
    for row in concentration_per_layer(model, task, "test", clips=2):
        assert row["mean_q"] == pytest.approx(mean, abs=1e-3)
        assert (row["shut_q"], row["open_q"]) == (shut, open_)
        assert (row["mean_k"], row["shut_k"], row["open_k"]) == (0.5, 0, 0)


def test_ratios_are_there_with_fixation_alone():
    task = lookup_task()
    for changes, there in (({}, False), ({"gate": "both"}, False), ({"fixation": "separate"}, True)):
        row = concentration_per_layer(build(task, **changes), task, "test", clips=2)[0]
        assert {"mean_q", "shut_k"} <= set(row) if there else not {"mean_q", "shut_k"} & set(row)


def test_rows_without_mass_count_as_uniform():
    """Without the offset, a query whose features all are zero attends to nothing."""
    task = lookup_task()
    model = build(task, feature_map="relu")
    layer = model.blocks[0].attention["joint"]
    with torch.no_grad():
        layer.qkv.weight.zero_()
        layer.qkv.bias.fill_(-1.0)
    first, second = concentration_per_layer(model, task, "test", clips=4)
    assert first["entropy"] == pytest.approx(1)
    assert first["mass_on_answer"] == pytest.approx(1 / 64)
    assert first["rank"] == 0
    assert all(math.isfinite(value) for row in (first, second) for value in row.values() if isinstance(value, float))


def test_the_model_its_mode_and_the_random_state_stay():
    task = lookup_task()
    model = build(task, fixation="cooperative", dropout=0.5)
    model.head[3].eval()
    modes = [module.training for module in model.modules()]
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    random_state = torch.random.get_rng_state()
    first = concentration_per_layer(model, task, "test", clips=3)
    assert first == concentration_per_layer(model, task, "test", clips=3)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_validation_shows_other_clips_than_the_test():
    task = lookup_task()
    model = build(task)
    test, validation = (
        concentration_per_layer(model, task, "test", clips=5, validation=flag) for flag in (False, True)
    )
    assert test[0]["entropy"] != validation[0]["entropy"]
    assert TEST != VALIDATION


@pytest.mark.parametrize("window", [(6, 4, 1), (8, 6, 2), (4, 4, 0)], ids=str)
def test_patches_of_any_window_are_met_by_the_masks(window):
    """Scenes over a background take the model's size, and masks its grid of tokens."""
    kernel, stride, padding = window
    task = Task(training=(CueMatch(),), tests={"test": CueMatch()})
    config = ModelConfig.compact(
        image_size=40, num_frames=2, width=16, heads=2, kernel=kernel, stride=stride, padding=padding
    )
    rows = concentration_per_layer(VideoTransformer(config), task, "test", clips=4)
    assert [row["span"] for row in rows] == ["time", "space"] * 2
    assert all(0 < row["mass_on_query"] <= 1 for row in rows)
    assert all({*MEASURES, *(f"query_{name}" for name in MEASURES)} <= set(row) for row in rows)


def test_a_larger_grid_is_seen_by_the_same_model():
    task = lookup_task()
    larger = Task(training=task.training, tests={"test": CueLookup(grid=12)})
    rows = concentration_per_layer(build(task), larger, "test", clips=3)
    assert rows[0]["share_answer"] == pytest.approx(1 / 144)


@pytest.mark.parametrize("name", ["sana_video_attention", "nystrom", "cosformer", "shuffle_window"])
def test_a_rivals_maps_are_measured_by_the_shares_of_their_size(name):
    task = Task(training=(CueLookup(clutter=8),), tests={"test": CueLookup(clutter=8)}, readout="cue", model=CELLS)
    model = build(task, attention=name)
    row = concentration_per_layer(model, task, "test", clips=4)[0]
    scenes = render(CueLookup(clutter=8), count=4, seed=(TEST, 0))
    with torch.no_grad(), record(model) as trace:
        model(scenes.video)
    weights = trace.blocks[0]["joint"].map()
    assert row["row_sum"] == pytest.approx(weights.sum(-1).mean().item(), rel=1e-4)
    assert row["negative"] == pytest.approx((-weights.clamp(max=0)).sum().item() / weights.abs().sum().item(), abs=1e-6)
    assert (row["negative"] > 0.01) == (name in ("sana_video_attention", "nystrom"))
    sizes = weights.abs().sum(dim=-1, keepdim=True)
    shares = torch.where(sizes > 0, weights.abs() / sizes, 1 / 64)
    assert row["entropy"] == pytest.approx(torch.special.entr(shares).sum(-1).mean().item() / math.log(64), rel=1e-4)
