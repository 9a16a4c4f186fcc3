"""Every variant runs, trains and keeps its promises; every bad configuration is named."""

import itertools
import json
import re

import pytest
import torch

from linvid_edu.attention.fixation import FixationRatios
from linvid_edu.attention.rivals import RIVALS
from linvid_edu.models.config import KERNELS, ModelConfig
from linvid_edu.models.transformer import VideoTransformer, _check_axes
from linvid_edu.models.variants import ABLATION, VARIANTS, find_variant
from linvid_edu.shapes import Grid

GATES, MAPS = ("value", "output", "both"), ("relu", "elu + 1")
CHANGES = [
    {"attention": attention, "fixation": fixation, "association": association, "space_time": space_time}
    for attention, fixation, association, space_time in itertools.product(
        ("softmax", "linear"), ("none", "separate", "cooperative"), (False, True), ("divided", "joint")
    )
    if not (attention == "softmax" and fixation != "none")
]
CHANGES += [{"fixation": "cooperative", "shared_fixation": True}, {"spatial_embedding": True}, {"qkv_bias": False}]
CHANGES += [{"fixation": "constant"}, {"mlp_convolution": False}, *({"gate": gate} for gate in GATES)]
CHANGES += [{"feature_map": each, "fixation": fixation} for each in MAPS for fixation in ("none", "cooperative")]
CHANGES += [{"feature_map": "relu", "gate": "both", "association": True, "space_time": "joint"}]


def tiny(**changes):
    return ModelConfig.compact(**({"num_frames": 3, "image_size": (14, 18), "width": 16, "mlp_hidden": 12} | changes))


def clips(config, batch=2):
    height, width = config.image_size
    return torch.randn(batch, 3, config.num_frames, height, width)


@pytest.mark.parametrize("variant", CHANGES, ids=str)
def test_every_variant_gives_logits_and_a_gradient_for_every_weight(variant):
    torch.manual_seed(0)
    model = VideoTransformer(tiny(**variant))
    logits = model(clips(model.config))
    assert logits.shape == (2, 4)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    # softmax over keys does not change when all keys are moved by the same bias
    assert not [name for name in silent if not name.endswith("qkv.bias")]


@pytest.mark.parametrize("space_time", ["divided", "joint"])
@pytest.mark.parametrize("shape", [(1, 1, (6, 6)), (1, 4, (6, 10)), (2, 1, (10, 6))], ids=str)
def test_odd_shapes(space_time, shape):
    batch, frames, image_size = shape
    config = tiny(num_frames=frames, image_size=image_size, heads=1, association=True, fixation="cooperative")
    config = ModelConfig.from_dict(config.to_dict() | {"space_time": space_time})
    assert VideoTransformer(config)(clips(config, batch)).shape == (batch, 4)


@pytest.mark.parametrize("fixation", ["separate", "cooperative"])
@pytest.mark.parametrize("space_time", ["divided", "joint"])
def test_ratios_forced_to_one_give_the_linear_baseline_exactly(fixation, space_time):
    model = VideoTransformer(tiny(fixation=fixation, space_time=space_time)).eval()
    baseline = VideoTransformer(tiny(space_time=space_time)).eval()
    baseline.load_state_dict({n: w for n, w in model.state_dict().items() if "fixation" not in n})
    video = clips(model.config)
    assert not torch.equal(model(video), baseline(video))
    for module in model.modules():
        if type(module).__name__ == "Fixation":
            module.register_forward_hook(lambda _m, _i, ratios: FixationRatios(*map(torch.ones_like, ratios)))
    assert torch.equal(model(video), baseline(video))


@pytest.mark.parametrize("space_time", ["divided", "joint"])
def test_constant_ratios_are_the_baseline_where_all_are_equal(space_time):
    """Open ratios change nothing; ratios of one size cancel in the weights, up to eps; unequal ones weigh channels."""
    torch.manual_seed(0)
    model = VideoTransformer(tiny(fixation="constant", space_time=space_time)).eval()
    baseline = VideoTransformer(tiny(space_time=space_time)).eval()
    baseline.load_state_dict({n: w for n, w in model.state_dict().items() if "fixation" not in n})
    video = clips(model.config)
    biases = [weight for name, weight in model.named_parameters() if "fixation" in name]
    assert all((bias == 0).all() for bias in biases)
    torch.testing.assert_close(model(video), baseline(video), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for bias in biases:
            bias.fill_(30.0)
        assert torch.equal(model(video), baseline(video))
        for bias in biases:
            bias.copy_(torch.linspace(-4, 4, len(bias)))
        assert not torch.allclose(model(video), baseline(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_attention_ignores_the_order_of_locations_unless_associated(attention):
    """Permutation equivariance of one attention layer, without association, and its loss with it."""
    x, order = torch.randn(1, 3, 6, 16), torch.tensor([3, 0, 5, 1, 4, 2])
    for association in (False, True):
        block = VideoTransformer(tiny(attention=attention, association=association, shift_div=4)).blocks[0]
        layer = block.attention["time"]
        same = torch.allclose(layer(x, Grid(2, 3))[:, :, order], layer(x[:, :, order], Grid(2, 3)), atol=1e-5)
        assert same is not association


def test_without_association_spatial_attention_ignores_the_order_of_frames():
    x = torch.randn(1, 3, 6, 16)
    for association in (False, True):
        layer = VideoTransformer(tiny(association=association)).blocks[0].attention["space"]
        same = torch.allclose(layer(x, Grid(2, 3)).flip(1), layer(x.flip(1), Grid(2, 3)), atol=1e-5)
        assert same is not association


def test_the_mlp_carries_position():
    mlp, x = VideoTransformer(tiny()).blocks[0].mlp, torch.randn(1, 1, 6, 16)
    assert not torch.allclose(mlp(x, Grid(2, 3)).flip(2), mlp(x.flip(2), Grid(2, 3)), atol=1e-5)


def test_without_the_convolution_a_probe_does_not_know_where_its_cells_stand():
    torch.manual_seed(0)
    video, order = torch.randn(2, 3, 1, 32, 32), torch.randperm(64)
    moved = video.unflatten(-1, (8, 4)).unflatten(-3, (8, 4)).permute(0, 1, 2, 3, 5, 4, 6).flatten(3, 4)[:, :, :, order]
    moved = moved.unflatten(3, (8, 8)).permute(0, 1, 2, 3, 5, 4, 6).flatten(5, 6).flatten(3, 4)
    for convolution in (False, True):
        model = VideoTransformer(ModelConfig.probe(mlp_convolution=convolution))
        assert torch.allclose(model(video), model(moved), atol=1e-5) is not convolution


def test_the_mlp_without_convolution_is_the_usual_one():
    mlp, x = VideoTransformer(tiny(mlp_convolution=False)).blocks[0].mlp.double(), torch.randn(1, 2, 6, 16).double()
    hidden = x @ mlp.expand.weight.T + mlp.expand.bias
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    torch.testing.assert_close(mlp(x, Grid(2, 3)), hidden @ mlp.contract.weight.T + mlp.contract.bias)
    assert len(list(mlp.parameters())) == 4


def test_a_readout_is_the_mean_of_its_tokens():
    torch.manual_seed(0)
    model = VideoTransformer(tiny(fixation="cooperative")).eval()
    video, seen = clips(model.config, batch=3), []
    model.norm.register_forward_hook(lambda _module, _inputs, tokens: seen.append(tokens))
    tokens = model.config.num_frames * model.config.grid.tokens
    readout = torch.zeros(3, tokens, dtype=torch.bool)
    readout[0, 5] = readout[1, :4] = readout[2, ::3] = True
    logits = model(video, readout.unflatten(1, (model.config.num_frames, -1)))
    for clip in range(3):
        mean = seen[0][clip].flatten(0, 1)[readout[clip]].mean(0)
        torch.testing.assert_close(logits[clip], model.head(mean))
    everything = torch.ones(3, model.config.num_frames, model.config.grid.tokens, dtype=torch.bool)
    torch.testing.assert_close(model(video, everything), model(video))


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_one_token_is_read_out_through_attention_alone(attention):
    """In a probe, nothing but attention carries other cells to the cell that is read out."""
    torch.manual_seed(0)
    model = VideoTransformer(ModelConfig.probe(attention=attention)).eval()
    readout = torch.zeros(1, 1, 64, dtype=torch.bool)
    readout[..., 9] = True  # row 1, column 1

    def touched():
        video = torch.randn(1, 3, 1, 32, 32, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(video, readout)[0, 0], video)
        return (torch.nn.functional.avg_pool2d(gradient[0].abs().sum(0), 4) > 0).flatten()

    assert touched().all()
    with torch.no_grad():
        for block in model.blocks:
            block.attention["joint"].projection.weight.zero_()
    assert touched().nonzero().flatten().tolist() == [9]


def test_presets():
    assert ModelConfig.reference().grid == (17, 17)
    assert ModelConfig.compact().grid == (8, 8)
    probe = ModelConfig.probe()
    assert (probe.grid, probe.num_frames, probe.space_time, probe.dropout) == ((8, 8), 1, "joint", 0.0)
    assert (probe.width // probe.heads, probe.depth, probe.mlp_convolution) == (8, 2, False)
    reference = ModelConfig.reference()
    assert (reference.num_frames, reference.width, reference.depth, reference.heads) == (16, 512, 12, 8)
    compact, gpu = (
        sum(w.numel() for w in VideoTransformer(preset()).parameters())
        for preset in (ModelConfig.compact, ModelConfig.gpu)
    )
    assert gpu >= 10 * compact


def test_configurations_survive_json():
    config = tiny(fixation="cooperative", association=True, feature_map="elu + 1", gate="value", mlp_convolution=False)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_variant_names():
    assert ModelConfig.compact(attention="softmax").variant == "softmax"
    config = ModelConfig.compact(fixation="cooperative", shared_fixation=True, association=True)
    assert config.variant == "cooperative-shared-association"
    assert config.label == "cooperative fixation, shared layer + association"
    config = ModelConfig.compact(fixation="constant", feature_map="elu + 1", gate="both")
    assert config.variant == "constant, feature_map='elu + 1', gate='both'"
    config = ModelConfig.compact(attention="performer", settings={"features": 5}, association=True)
    assert config.variant == "performer-association, settings={'features': 5}"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_table_and_the_configuration_agree_on_a_variant(name):
    variant = find_variant(name)
    config = ModelConfig.compact(attention="softmax", association=True).with_variant(name)
    assert config == ModelConfig.compact(**variant.changes)
    expected = find_variant("linear") if variant.matched else variant
    assert (config.variant, config.label) == (expected.name, expected.label)
    if "association" not in variant.changes:
        associated = config.with_variant(f"{name}-association")
        assert (associated.variant, associated.association) == (f"{expected.name}-association", True)


def test_every_rival_is_in_the_table_and_every_label_is_another():
    rivals = {variant.name: variant.changes for variant in VARIANTS.values() if variant.group == "rival"}
    assert set(rivals) == set(RIVALS)
    fixated = [variant.changes["attention"] for variant in VARIANTS.values() if variant.group == "rival + fixation"]
    assert set(fixated) == set(KERNELS)
    assert len({variant.label for variant in VARIANTS.values()}) == len(VARIANTS)
    assert set(ABLATION) | set(rivals) | {f"{name}-cooperative" for name in fixated} == set(VARIANTS)


def test_variant_names_tell_mechanisms_apart():
    names = ("attention", "fixation", "shared_fixation", "feature_map", "gate", "association")
    configs = [tiny(**variant) for variant in CHANGES]
    mechanisms = {
        config.variant: {
            tuple(getattr(each, name) for name in names) for each in configs if each.variant == config.variant
        }
        for config in configs
    }
    assert all(len(same) == 1 for same in mechanisms.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "cosine"}, "attention='cosine' is unknown: choose one of 'softmax', 'linear'"),
        ({"attention": "softmax", "fixation": "cooperative"}, 'use "linear" or one of'),
        ({"fixation": "separate", "shared_fixation": True}, 'shared_fixation needs fixation="cooperative"'),
        ({"fixation": "constant", "shared_fixation": True}, 'shared_fixation needs fixation="cooperative", not \'con'),
        (
            {"fixation": "learned"},
            "fixation='learned' is unknown: choose one of 'none', 'separate', 'cooperative', 'con",
        ),
        ({"feature_map": "gelu"}, "feature_map='gelu' is unknown: choose one of 'relu + offset', 'relu', 'elu + 1'"),
        ({"gate": "key"}, "gate='key' is unknown: choose one of 'none', 'value', 'output', 'both'"),
        ({"attention": "softmax", "feature_map": "relu"}, "feature_map='relu' belongs to linear attention"),
        ({"attention": "softmax", "gate": "both"}, "gate='both' belongs to linear attention"),
        ({"attention": "softmax", "fixation": "constant"}, "fixation='constant' reweights the features"),
        ({"width": 30}, "width=30 is not divisible by heads=4"),
        ({"depth": 0}, "depth=0 must be a whole number of at least 1"),
        ({"num_frames": 2.5}, "num_frames=2.5"),
        ({"num_frames": True}, "num_frames=True"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"shift_div": 1}, "shift_div=1"),
        ({"padding": -1}, "padding=-1"),
        ({"association": "no"}, "association='no' must be True or False"),
        ({"image_size": 2}, "2×2 frame with padding 1 is smaller than the 6-pixel patch"),
        ({"image_size": (32, 32, 32)}, "image_size"),
    ],
)
def test_bad_configurations_are_named(changes, message, unchecked_shapes):
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelConfig.compact(**changes)


def test_unknown_and_missing_fields_are_named():
    with pytest.raises(ValueError, match="unknown fields of a model configuration: speed"):
        ModelConfig.from_dict(ModelConfig.compact().to_dict() | {"speed": 1})
    with pytest.raises(ValueError, match="not a model configuration"):
        ModelConfig.from_dict({"width": 4})


def test_a_clip_with_other_frames_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="clip has 15 frames, the model expects 8: resample with num_frames=8"):
        VideoTransformer(ModelConfig.compact())(torch.zeros(1, 3, 15, 32, 32))


def test_a_spatial_embedding_fixes_the_frame_size():
    assert VideoTransformer(ModelConfig.compact())(torch.zeros(1, 3, 8, 48, 40)).shape == (1, 4)
    with pytest.raises(ValueError, match=r"48×40 pixels, .* expects 32×32"):
        VideoTransformer(ModelConfig.compact(spatial_embedding=True))(torch.zeros(1, 3, 8, 48, 40))


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (torch.zeros(3, 8, 32, 32), r"add the axis of the batch with video\[None\]"),
        (torch.zeros(32, 32), "pass a batch of clips"),
        (torch.zeros(2, 8, 3, 32, 32), r"swap frames and channels with video.transpose\(1, 2\)"),
        (torch.zeros(2, 1, 8, 32, 32), "give it 3 channels"),
        (torch.zeros(0, 3, 8, 32, 32), "pass at least one clip"),
        (torch.zeros(1, 3, 8, 32, 32, dtype=torch.uint8), "video / 127.5 - 1"),
    ],
)
def test_a_video_with_other_axes_is_refused_in_words(video, words):
    with pytest.raises(ValueError, match=words):
        _check_axes(video, 3)  # the tests' shape checks would stop most of these before the model


def test_a_model_checks_the_axes_of_a_video():
    with pytest.raises(ValueError, match="pass at least one clip"):
        VideoTransformer(ModelConfig.compact())(torch.zeros(0, 3, 8, 32, 32))
