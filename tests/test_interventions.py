"""Interventions change the attention they name, nothing else, and only inside their block."""

from contextlib import ExitStack

import pytest
import torch
from color_models import color_model, lab_clips

from linvid_edu.attention.fixation import FixationRatios
from linvid_edu.attention.measures import normalized_entropy
from linvid_edu.models.color_transformer import gray_video
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.interventions import averaged, changed_ratios, forced, opened, restricted, sharpened
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.loop import initialize

VARIANTS = [
    {"attention": "softmax"},
    {},
    {"fixation": "cooperative"},
    {"gate": "both"},
    {"feature_map": "relu"},
    {"fixation": "separate", "space_time": "divided", "num_frames": 3},
]


def model_and_video(**changes):
    config = ModelConfig.probe(**changes)
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(2, 3, config.num_frames, 32, 32, generator=generator)
    return initialize(VideoTransformer(config), seed=0, gain=1.5).eval(), video


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_power_one_changes_nothing_and_others_do(changes):
    model, video = model_and_video(**changes)
    expected = model(video)
    with sharpened(model, 1.0):
        torch.testing.assert_close(model(video), expected, rtol=1e-4, atol=1e-5)
    with sharpened(model, 8.0):
        assert not torch.allclose(model(video), expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(model(video), expected)


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_large_powers_leave_the_largest_weight_and_small_ones_the_mean(attention):
    model, video = model_and_video(attention=attention, depth=1)
    seen = {}
    layer = model.blocks[0].attention["joint"]
    layer.projection.register_forward_pre_hook(lambda _, inputs: seen.update(out=inputs[0].detach()))
    with record(model) as trace:
        model(video)
    trace = trace.blocks[0]["joint"]
    v = trace.v.flatten(2, 3)
    for power, weights in (
        (1e5, torch.nn.functional.one_hot(trace.map().argmax(-1), v.shape[2]).float()),
        (1e-6, torch.full_like(trace.map(), 1 / v.shape[2])),
    ):
        with sharpened(model, power):
            model(video)
        expected = (weights @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(seen["out"].flatten(1, 2), expected, rtol=1e-3, atol=1e-4)


def test_sharpening_lowers_the_entropy_of_what_is_attended():
    model, video = model_and_video()
    with record(model) as trace:
        model(video)
    weights = trace.blocks[0]["joint"].map()
    entropies = [normalized_entropy(weights**power).mean().item() for power in (0.25, 1, 4)]
    assert entropies[0] > entropies[1] > entropies[2]


@pytest.mark.parametrize("changes", [each for each in VARIANTS if "space_time" not in each], ids=str)
def test_all_keys_change_nothing_and_a_key_left_out_gets_no_weight(changes):
    model, video = model_and_video(**changes)
    keys = torch.ones(2, 64, dtype=torch.bool)
    expected = model(video)
    with restricted(model, keys):
        torch.testing.assert_close(model(video), expected, rtol=1e-4, atol=1e-5)
    keys[:, 10:] = False
    query = torch.zeros(2, 1, 64, dtype=torch.bool)
    query[:, :, 3] = True  # the head sees a token that may be attended to
    changed = video.clone()
    changed[..., 8:, :] = torch.randn_like(changed[..., 8:, :])  # rows of tokens below the first two: all left out
    with restricted(model, keys):
        torch.testing.assert_close(model(changed, query), model(video, query), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(changed, query), model(video, query), rtol=1e-3, atol=1e-4)


def test_keys_of_a_clip_need_joint_attention():
    model, _ = model_and_video(space_time="divided", num_frames=3)
    with (
        pytest.raises(ValueError, match="'divided': the mask of a whole clip needs joint attention"),
        restricted(model, torch.ones(2, 192, dtype=torch.bool)),
    ):
        pass


@pytest.mark.parametrize("attention", ["performer", "cosformer", "focused_linear", "elu_linear", "orthoformer"])
def test_maps_of_rivals_are_sharpened_and_restricted(attention):
    model, video = model_and_video(attention=attention)
    with record(model) as trace:
        model(video)
    layer = trace.blocks[0]["joint"]
    assert layer.similarity == "product"
    outs = {}
    for power in (1.0, 4.0):
        with sharpened(model, power):
            outs[power] = attended(model, video)
        weights = layer.map() ** power
        expected = weights / weights.sum(-1, keepdim=True) @ layer.v.flatten(2, 3)
        torch.testing.assert_close(outs[power], expected.transpose(1, 2).flatten(2), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(outs[1.0], outs[4.0], rtol=1e-2, atol=1e-3)
    keys = torch.arange(64).expand(2, 64) < 10
    with restricted(model, keys):
        found = attended(model, video)
    weights = layer.map() * keys[:, None, None]
    expected = weights / weights.sum(-1, keepdim=True) @ layer.v.flatten(2, 3)
    torch.testing.assert_close(found, expected.transpose(1, 2).flatten(2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("attention", ["nystrom", "sana_video_attention"])
def test_negative_weights_have_no_power(attention):
    model, video = model_and_video(attention=attention)
    with pytest.raises(ValueError, match="sharpen maps without negative weights"), sharpened(model, 2.0):
        model(video)


@pytest.mark.parametrize("attention", ["cosformer", "performer"])
def test_ratios_of_a_rival_are_forced(attention):
    model, video = model_and_video(attention=attention, fixation="cooperative")
    plain = VideoTransformer(ModelConfig.probe(attention=attention)).eval()
    plain.load_state_dict({name: model.state_dict()[name] for name in plain.state_dict()})
    assert not torch.allclose(model(video), plain(video), atol=1e-4)
    with changed_ratios(model, opened(1.0)):
        torch.testing.assert_close(model(video), plain(video), rtol=1e-4, atol=1e-5)


def attended(model, video):
    """Return what the first layer's attention gives to its projection, (b tokens width)."""
    seen = {}
    layer = model.blocks[0].attention["joint"]
    hook = layer.projection.register_forward_pre_hook(lambda _, inputs: seen.update(out=inputs[0].detach()))
    model(video)
    hook.remove()
    return seen["out"].flatten(1, 2)


def test_open_ratios_are_the_model_without_fixation():
    model, video = model_and_video(fixation="cooperative")
    plain = VideoTransformer(ModelConfig.probe()).eval()
    plain.load_state_dict({name: model.state_dict()[name] for name in plain.state_dict()})
    with changed_ratios(model, opened(1.0)):
        torch.testing.assert_close(model(video), plain(video))
    with changed_ratios(model, opened(0.0)):
        torch.testing.assert_close(model(video), model(video))
    assert not torch.allclose(model(video), plain(video), atol=1e-4)


@pytest.mark.parametrize("part", [lambda model: model, lambda model: model.head])
def test_open_ratios_of_a_copy_head_are_the_model_without_fixation(part):
    fixed, video = color_model("cooperative"), gray_video(lab_clips())
    linear = color_model("linear")
    linear.load_state_dict({name: fixed.state_dict()[name] for name in linear.state_dict()})
    with torch.no_grad():
        learned = fixed.copy_map(video, (0,))
        with changed_ratios(part(fixed), opened(1.0)):
            torch.testing.assert_close(fixed.copy_map(video, (0,)), linear.copy_map(video, (0,)))
        assert torch.equal(fixed.copy_map(video, (0,)), learned)
    with pytest.raises(ValueError, match="has no fixation ratios"), changed_ratios(part(linear), averaged):
        pass


def test_averaged_ratios_are_the_same_for_every_token():
    model, video = model_and_video(fixation="cooperative", shared_fixation=True)
    with changed_ratios(model, averaged), record(model) as trace:
        model(video)
    for ratio in trace.blocks[0]["joint"].ratios:
        assert ratio.std(dim=(0, 2, 3)).max() < 1e-6
    learned = FixationRatios(torch.rand(2, 4, 7, 8), torch.rand(2, 4, 7, 8))
    torch.testing.assert_close(averaged(learned).q[0, :, 0], learned.q.mean(dim=(0, 2)))


def test_hooks_go_after_an_exception():
    model, video = model_and_video(fixation="cooperative")
    expected = model(video)

    def crash():
        with sharpened(model, 4.0), changed_ratios(model, averaged):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert torch.equal(model(video), expected)


def test_what_cannot_be_done_is_said():
    model, _ = model_and_video()
    with pytest.raises(ValueError, match=r"power=0.0 .*above 0"), sharpened(model, 0.0):
        pass
    with pytest.raises(ValueError, match="linear model has no fixation ratios"), changed_ratios(model, averaged):
        pass


def test_forced_ratios_run_from_shut_over_learned_to_open():
    ratios = FixationRatios(torch.rand(1, 2, 5, 4), torch.rand(1, 2, 5, 4))
    for position, expected in (
        (-1.0, ratios.q * 0),
        (-0.5, ratios.q / 2),
        (0.0, ratios.q),
        (1.0, torch.ones_like(ratios.q)),
    ):
        torch.testing.assert_close(forced(position)(ratios).q, expected)
    torch.testing.assert_close(forced(0.5)(ratios), opened(0.5)(ratios))
    with pytest.raises(ValueError, match=r"position=1.5 must lie in −1 \(shut\) to 1 \(open\)"):
        forced(1.5)


def test_one_layer_is_forced_and_no_other():
    model, video = model_and_video(fixation="cooperative", space_time="divided", num_frames=3)
    with changed_ratios(model, forced(-1.0), layer=(1, "space")), record(model) as trace:
        model(video)
    assert (trace.blocks[1]["space"].ratios.q == 0).all()
    assert (trace.blocks[1]["time"].ratios.q > 0).all()
    with (
        pytest.raises(ValueError, match=r"layer=\(2, 'space'\) does not exist: choose one of \(0, 'time'\)"),
        changed_ratios(model, forced(0.0), layer=(2, "space")),
    ):
        pass


@pytest.mark.parametrize("recorded_first", [False, True], ids=["record inside", "record around"])
@pytest.mark.parametrize("changes", [*VARIANTS, {"attention": "performer", "fixation": "cooperative"}], ids=str)
def test_a_trace_shows_the_map_that_the_changed_model_used(changes, recorded_first):
    model, video = model_and_video(depth=1, **changes)
    span = model.config.spans[0]
    with record(model) as plain:
        model(video)
    plain_map = plain.blocks[0][span].map()
    for power in (1.0, 3.0):
        contexts = [lambda: record(model), lambda power=power: sharpened(model, power)]
        with ExitStack() as stack:
            entered = [stack.enter_context(make()) for make in (contexts if recorded_first else contexts[::-1])]
            trace = entered[0] if recorded_first else entered[1]
            model(video)
        layer = trace.blocks[0][span]
        expected = plain_map**power
        expected = expected / expected.sum(dim=-1, keepdim=True).clamp(min=1e-30)
        torch.testing.assert_close(layer.map(), expected, rtol=1e-4, atol=1e-6)
        token = trace.row(0, 0, 3) if span == "joint" else layer.row(0, 3)
        grouped = layer.map()[:, :, 3].unflatten(-1, layer.q.shape[2:4]) if span == "joint" else layer.map()[:, :, 3, 0]
        torch.testing.assert_close(token, grouped)
        assert (layer.ratios is None) == (plain.blocks[0][span].ratios is None)
    assert vars(model.blocks[0].attention[span].mechanism).keys().isdisjoint({"attention_inputs", "forward"})


def test_a_recorded_map_times_the_values_is_what_a_sharpened_layer_computed():
    model, video = model_and_video(fixation="cooperative")
    with sharpened(model, 2.0), record(model) as trace:
        out = attended(model, video)
    layer = trace.blocks[0]["joint"]
    expected = (layer.map() @ layer.v.flatten(2, 3)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_interventions_inside_each_other_are_all_seen_and_all_undone():
    model, video = model_and_video(fixation="cooperative")
    keys = torch.arange(64).expand(2, 64) < 10
    expected = model(video)
    with changed_ratios(model, forced(0.5)), sharpened(model, 2.0):
        with restricted(model, keys), record(model) as trace:
            model(video)
        with record(model) as sharp:
            model(video)
    weights, sharp_weights = (one.blocks[0]["joint"].map() for one in (trace, sharp))
    assert (weights[..., 10:] == 0).all()
    kept = sharp_weights[..., :10]
    torch.testing.assert_close(weights[..., :10], kept / kept.sum(-1, keepdim=True), rtol=1e-4, atol=1e-6)
    assert (trace.blocks[0]["joint"].ratios.q >= 0.5).all()
    assert torch.equal(model(video), expected)
