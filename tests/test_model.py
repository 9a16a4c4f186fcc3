"""Every variant runs, trains and keeps its promises; every bad configuration is named."""

import itertools
import json
import re

import pytest
import torch

from linvid_edu.fixation import FixationRatios
from linvid_edu.model import ModelConfig, VideoTransformer

VARIANTS = [
    {"attention": attention, "fixation": fixation, "association": association, "space_time": space_time}
    for attention, fixation, association, space_time in itertools.product(
        ("softmax", "linear"), ("none", "separate", "cooperative"), (False, True), ("divided", "joint")
    )
    if not (attention == "softmax" and fixation != "none")
] + [{"fixation": "cooperative", "shared_fixation": True}, {"spatial_embedding": True}, {"qkv_bias": False}]


def tiny(**changes):
    return ModelConfig.compact(**({"num_frames": 3, "image_size": (14, 18), "width": 16, "mlp_hidden": 12} | changes))


def clips(config, batch=2):
    height, width = config.image_size
    return torch.randn(batch, 3, config.num_frames, height, width)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
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


@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_attention_ignores_the_order_of_locations_unless_associated(attention):
    """Permutation equivariance of one attention layer, without association, and its loss with it."""
    from linvid_edu.tokens import Grid

    x, order = torch.randn(1, 3, 6, 16), torch.tensor([3, 0, 5, 1, 4, 2])
    for association in (False, True):
        block = VideoTransformer(tiny(attention=attention, association=association, shift_div=4)).blocks[0]
        layer = block.attention["time"]
        same = torch.allclose(layer(x, Grid(2, 3))[:, :, order], layer(x[:, :, order], Grid(2, 3)), atol=1e-5)
        assert same is not association


def test_without_association_spatial_attention_ignores_the_order_of_frames():
    from linvid_edu.tokens import Grid

    x = torch.randn(1, 3, 6, 16)
    for association in (False, True):
        layer = VideoTransformer(tiny(association=association)).blocks[0].attention["space"]
        same = torch.allclose(layer(x, Grid(2, 3)).flip(1), layer(x.flip(1), Grid(2, 3)), atol=1e-5)
        assert same is not association


def test_the_mlp_carries_position():
    from linvid_edu.tokens import Grid

    mlp, x = VideoTransformer(tiny()).blocks[0].mlp, torch.randn(1, 1, 6, 16)
    assert not torch.allclose(mlp(x, Grid(2, 3)).flip(2), mlp(x.flip(2), Grid(2, 3)), atol=1e-5)


def test_presets():
    assert ModelConfig.reference().grid == (17, 17)
    assert ModelConfig.compact().grid == (8, 8)
    reference = ModelConfig.reference()
    assert (reference.num_frames, reference.width, reference.depth, reference.heads) == (16, 512, 12, 8)
    compact, gpu = (
        sum(w.numel() for w in VideoTransformer(preset()).parameters())
        for preset in (ModelConfig.compact, ModelConfig.gpu)
    )
    assert gpu >= 10 * compact


def test_configurations_survive_json():
    config = tiny(fixation="cooperative", association=True)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_variant_names():
    assert ModelConfig.compact(attention="softmax").variant == "softmax"
    config = ModelConfig.compact(fixation="cooperative", shared_fixation=True, association=True)
    assert config.variant == "cooperative (shared) + association"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "cosine"}, "attention='cosine' is unknown: choose one of 'softmax', 'linear'"),
        ({"attention": "softmax", "fixation": "cooperative"}, 'use attention="linear"'),
        ({"fixation": "separate", "shared_fixation": True}, 'shared_fixation needs fixation="cooperative"'),
        ({"width": 30}, "width=30 is not divisible by heads=4"),
        ({"depth": 0}, "depth=0 must be a whole number of at least 1"),
        ({"num_frames": 2.5}, "num_frames=2.5"),
        ({"num_frames": True}, "num_frames=True"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"shift_div": 1}, "shift_div=1"),
        ({"padding": -1}, "padding=-1"),
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
