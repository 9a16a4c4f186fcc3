"""A recorder sees what the layers see, explains their output, and leaves the model as it was."""

import pytest
import torch

from linvid_edu.attention.feature_maps import relu_offset
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer

CONFIGS = [
    {"attention": "softmax"},
    {},
    {"fixation": "separate"},
    {"fixation": "cooperative", "association": True},
    {"fixation": "cooperative", "shared_fixation": True, "space_time": "joint"},
    {"attention": "softmax", "association": True, "space_time": "joint"},
]


def model_and_video(**changes):
    torch.manual_seed(0)
    config = ModelConfig.compact(num_frames=3, image_size=(14, 10), width=16, **changes)
    return VideoTransformer(config).eval(), torch.randn(2, 3, 3, 14, 10)


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_the_recorded_maps_times_the_values_are_what_the_layer_computed(changes):
    model, video = model_and_video(**changes)
    computed = {}
    for name, module in model.named_modules():
        if name.endswith("mechanism"):
            module.register_forward_hook(lambda _m, _i, out, name=name: computed.update({name: out}))
    with record(model) as trace, torch.no_grad():
        model(video)
    for index, layers in enumerate(trace.blocks):
        for span, layer in layers.items():
            v = layer.v.transpose(2, 3) if span == "time" else layer.v
            v = v.flatten(2, 3) if span == "joint" else v
            attended = layer.map() @ v
            if span == "joint":
                attended = attended.unflatten(2, layer.q.shape[2:4])
            attended = attended.transpose(2, 3) if span == "time" else attended
            expected = computed[f"blocks.{index}.attention.{span}.mechanism"]
            order = {"time": (0, 3, 1, 2, 4), "space": (0, 2, 1, 3, 4), "joint": (0, 1, 2, 3, 4)}[span]
            torch.testing.assert_close(attended.permute(order).reshape(expected.shape), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_rows_are_rows_of_the_maps_and_sum_to_one(changes):
    model, video = model_and_video(**changes)
    with record(model) as trace:
        model(video)
    frame, token, (t, n) = 1, 3, (3, 6)
    layers = trace.blocks[-1]
    if "joint" in layers:
        torch.testing.assert_close(
            layers["joint"].row(frame, token).flatten(-2), layers["joint"].map()[:, :, frame * n + token]
        )
    else:
        torch.testing.assert_close(layers["space"].row(frame, token), layers["space"].map()[:, :, frame, token])
        torch.testing.assert_close(layers["time"].row(frame, token), layers["time"].map()[:, :, token, frame])
        torch.testing.assert_close(layers["time"].rows_over_time(frame), layers["time"].map()[:, :, :, frame])
    row = trace.row(-1, frame, token)
    assert row.shape == (2, 4, t, n)
    torch.testing.assert_close(row.sum((-1, -2)), torch.ones(2, 4), rtol=0, atol=1e-4)


def test_a_divided_row_is_built_from_its_two_layers():
    model, video = model_and_video()
    with record(model) as trace:
        model(video)
    layers = trace.blocks[0]
    space, time = layers["space"].map(), layers["time"].map()  # (b heads t n n), (b heads n t t)
    expected = torch.einsum("bhj,bhjs->bhsj", space[:, :, 2, 4], time[:, :, :, 2])
    torch.testing.assert_close(trace.row(0, 2, 4), expected)


def test_the_recorded_inputs_follow_the_equations():
    model, video = model_and_video(fixation="cooperative")
    with record(model) as trace:
        model(video)
    layer = trace.blocks[1]["space"]
    assert layer.ratios is not None
    assert ((layer.ratios.q > 0) & (layer.ratios.q < 1)).all()
    torch.testing.assert_close(layer.input_q, layer.ratios.q * relu_offset(layer.q))
    torch.testing.assert_close(layer.input_k, layer.ratios.k * relu_offset(layer.k))
    assert layer.q.shape == (2, 4, 3, 6, 4)
    assert not any(x.requires_grad for x in (layer.q, layer.k, layer.v, layer.input_q, *layer.ratios))


def test_the_model_is_unchanged_afterwards_also_after_an_exception():
    model, video = model_and_video(fixation="cooperative")
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    before = model(video)
    with record(model) as trace:
        during = model(video)
    with pytest.raises(KeyError), record(model):
        raise KeyError
    with record(model) as silent:
        pass
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks
    assert torch.equal(before, during)
    assert torch.equal(before, model(video))
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())
    assert trace.blocks[0]
    with pytest.raises(ValueError, match="nothing was recorded"):
        silent.row(0, 0, 0)


def test_gradients_pass_through_a_recorded_model_unchanged():
    model, video = model_and_video(fixation="cooperative")
    model(video).sum().backward()
    expected = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    with record(model):
        model(video).sum().backward()
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=0, atol=0)


def test_a_second_pass_replaces_the_first():
    model, video = model_and_video()
    with record(model) as trace:
        model(video)
        first = trace.row(0, 0, 0)
        model(-video)
    assert not torch.equal(trace.row(0, 0, 0), first)


def test_places_outside_the_clip_are_named():
    model, video = model_and_video()
    with record(model) as trace:
        model(video)
    with pytest.raises(IndexError, match=r"\(frame 3, token 0\) is outside the clip's 3 frames of 6 tokens"):
        trace.row(0, 3, 0)
    with pytest.raises(ValueError, match="rows over time belong to temporal attention"):
        trace.blocks[0]["space"].rows_over_time(0)
