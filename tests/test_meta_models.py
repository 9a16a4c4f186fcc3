"""Everything that a model does runs on torch's meta device, where a tensor on any other device is an error.

A tensor that is made on the wrong device fails here as it would on CUDA.
"""

import pytest
import torch
from color_models import N, T, color_config, copying_variants

from linvid_edu.models.color_transformer import ColorTransformer
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.interventions import changed_maps, changed_ratios, opened
from linvid_edu.models.streaming import ModelStream
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import VARIANTS
from linvid_edu.training.objective import outcome
from linvid_edu.video.batch import ColorBatch

pytestmark = pytest.mark.slow

SIZE = {
    "num_frames": 2,
    "image_size": 32,
    "spatial_embedding": True,
    "width": 48,
    "depth": 1,
    "heads": 4,
    "mlp_hidden": 16,
    "head_hidden": 16,
}
WINDOWED = ("dynamic_window_attention", "shuffle_window")
ASSOCIATED = [name if "association" in variant.changes else f"{name}-association" for name, variant in VARIANTS.items()]


def model_on_meta(name, space_time="divided"):
    if space_time == "joint" and name.startswith(WINDOWED):
        pytest.skip("windows lie inside a frame: joint attention over frames is refused")
    return VideoTransformer(ModelConfig.compact(**SIZE, space_time=space_time).with_variant(name)).to("meta")


def clips():
    return torch.empty(2, 3, 2, 32, 32, device="meta")


@pytest.mark.parametrize("space_time", ["divided", "joint"])
@pytest.mark.parametrize("name", ASSOCIATED)
def test_forward_backward_and_trace_run_on_meta(name, space_time):
    model = model_on_meta(name, space_time)
    readout = torch.empty(2, 2, 64, dtype=torch.bool, device="meta")
    with record(model) as trace:
        logits = model(clips(), readout)
    logits.sum().backward()
    assert (logits.device.type, logits.shape) == ("meta", (2, 4))
    assert all(weight.grad is None or weight.grad.device.type == "meta" for weight in model.parameters())
    assert trace.row(-1, 1, 3).device.type == "meta"
    assert trace.column(-1, 1, 3).shape == (2, 4, 2, 64)
    assert all(layer.map().device.type == "meta" for layer in trace.blocks[0].values())


@pytest.mark.parametrize("name", ["softmax", "cooperative", "gate", "performer-cooperative"])
def test_interventions_run_on_meta(name):
    model = model_on_meta(name)
    with changed_maps(model, lambda weights: weights**2):
        assert model(clips()).device.type == "meta"
    if model.config.fixation != "none":
        with changed_ratios(model, opened(0.5)):
            assert model(clips()).device.type == "meta"


@pytest.mark.parametrize("space_time", ["divided", "joint"])
@pytest.mark.parametrize("name", ASSOCIATED)
def test_streams_run_on_meta(name, space_time):
    model = model_on_meta(name, space_time)
    mechanism = next(iter(model.blocks[0].attention.values())).mechanism
    if mechanism.not_streaming:
        with pytest.raises(ValueError, match="does not stream here"):
            ModelStream(model)
        return
    stream = ModelStream(model)
    for _ in range(3):
        step = stream.update(torch.empty(1, 3, 32, 32, device="meta"))
    assert (step.logits.device.type, step.tokens.shape) == ("meta", (1, 64, 48))


@pytest.mark.parametrize("variant", copying_variants())
def test_a_color_model_is_trained_and_traced(variant):
    config = color_config(variant)
    with torch.device("meta"):
        model, lab = ColorTransformer(config), torch.empty(2, 3, T, 24, 24)
    with record(model) as trace:
        loss, right = outcome(model, ColorBatch(lab, (0, 2)), config)
    loss.backward()
    assert loss.is_meta
    assert right.is_meta
    assert trace.row(-1, 1, 5).shape == (2, 1, T, N)
    assert all(weight.grad is not None and weight.grad.is_meta for weight in model.head.query.parameters())
