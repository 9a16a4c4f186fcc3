"""Every rival as attention of a model: what holds for all of them, whoever adds another one."""

import inspect
import re
from dataclasses import replace

import pytest
import torch
from rival_arguments import constants, of_map
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from linvid_edu.attention import rivals
from linvid_edu.attention.mechanisms import weights_between
from linvid_edu.attention.rivals import RIVALS, KernelRival, Setting
from linvid_edu.attention.spans import unfold
from linvid_edu.models.checkpoint import load_model, save_model
from linvid_edu.models.config import KERNELS, ModelConfig
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Extent
from linvid_edu.training.loop import initialize

VIDEO = torch.linspace(-1, 1, 2 * 3 * 8 * 32 * 32).reshape(2, 3, 8, 32, 32).sin()
JOINT = sorted(set(RIVALS) - {"dynamic_window_attention", "shuffle_window"})


def model_of(name, **changes):
    return initialize(VideoTransformer(ModelConfig.compact(attention=name, **changes)), seed=0).eval()


def layers_of(model, video=VIDEO):
    """Return each attention layer beside what was recorded of it."""
    with torch.no_grad(), record(model) as trace:
        model(video)
    return [
        (block.attention[span], layer)
        for block, layers in zip(model.blocks, trace.blocks, strict=True)
        for span, layer in layers.items()
    ]


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_is_a_function_with_a_source(name):
    function, facts = RIVALS[name].function, RIVALS[name].facts
    assert function is getattr(rivals, name)
    assert re.fullmatch(r"\d{4}\.\d{5}", facts.arxiv)
    assert f"arXiv {facts.arxiv}" in function.__doc__.split("Source:")[1]
    assert facts.arxiv.startswith(str(facts.year % 100))


def arguments(name, size=(2, 3, 24, 8)):
    """Return the arguments of a rival's function; fail if it needs more than q, k, v and the table lacks them."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, *size, dtype=torch.float64)
    given = {"q": q, "k": k, "v": v, **constants(name, *size)}
    parameters = inspect.signature(RIVALS[name].function).parameters.values()
    missing = {parameter.name for parameter in parameters if parameter.default is parameter.empty} - set(given)
    assert not missing, f"{name} needs {sorted(missing)}: add them to constants in tests/rival_arguments.py"
    return tree_map(lambda x: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x, given)


@pytest.mark.parametrize("name", RIVALS)
def test_function_map_and_oracle_agree(name):
    given = arguments(name)
    function, explicit, oracle = (getattr(rivals, name + ending) for ending in ("", "_map", "_oracle"))
    expected = function(**given)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(oracle(**given), expected)
    if "convolution" in given:  # which is added beside the map
        expected = function(**given | {"convolution": None})
    torch.testing.assert_close(explicit(**of_map(given)) @ given["v"], expected)


@pytest.mark.parametrize("name", [name for name in RIVALS if not constants(name, 1, 1, 6, 2).keys() - {"eps", "floor"}])
def test_a_layer_without_weights_computes_its_function(name):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 24, 8, dtype=torch.float64)
    layer = RIVALS[name](Setting(heads=3, head_width=8, span="space", extent=Extent(1, 4, 6))).double()
    torch.testing.assert_close(layer(q, k, v, Extent(1, 4, 6)), RIVALS[name].function(q, k, v))


@pytest.mark.parametrize("fixation", ["none", "cooperative"])
@pytest.mark.parametrize("name", RIVALS)
def test_the_recorded_map_times_the_values_is_what_the_layer_returns(name, fixation):
    if fixation != "none" and name not in KERNELS:
        with pytest.raises(ValueError, match=rf"which attention='{name}' does not have: use \"linear\" or one of"):
            ModelConfig.compact(attention=name, fixation=fixation)
        return
    model = model_of(name, fixation=fixation, association=True)
    outs = []
    for block in model.blocks:
        for layer in block.attention.values():
            layer.mechanism.register_forward_hook(lambda _, inputs, out: outs.append(out))
    seen = layers_of(model)
    for (_, layer), out in zip(seen, outs, strict=True):
        t, n = layer.v.shape[2:4]
        expected = layer.map() @ layer._grouped(layer.v)
        actual = unfold(out, layer.span, t=t, n=n, merge_heads=False)
        if layer.span == "time":
            actual = actual.transpose(2, 3)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
        assert (layer.ratios is None) == (fixation == "none")


@pytest.mark.parametrize("name", RIVALS)
def test_rows_of_the_trace_are_rows_of_its_map(name):
    for _, layer in layers_of(model_of(name)):
        whole = layer.map()[:, :, 3, 5] if layer.span == "space" else layer.map()[:, :, 5, 3]
        torch.testing.assert_close(layer.row(3, 5), whole)


@pytest.mark.parametrize("name", RIVALS)
def test_facts_about_rows_signs_and_rank_hold(name):
    torch.manual_seed(0)
    extent = Extent(1, 8, 8)
    mechanism = RIVALS[name](Setting(heads=4, head_width=16, span="space", extent=extent))
    q, k, v = 3 * torch.randn(3, 2, 4, 64, 16, dtype=torch.float64)
    weights = weights_between(*(mechanism.double().attention_inputs(q, k, v, extent)[i] for i in (0, 1, 3)))
    facts, sums = RIVALS[name].facts, weights.sum(-1)
    if facts.signs == "never negative":
        assert weights.min() >= 0
    else:
        assert facts.signs == "may be negative"
        assert weights.min() < -1e-3
    if facts.rows.split(",")[0] == "1":
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-3, atol=1e-3)
    else:
        assert (sums - 1).abs().max() > 1e-3
    bounds = {"d": 16, "2·d": 32, "f": 44, "m": 8, "N": 64, "d for the rows of a block": 64}
    assert facts.rank in bounds, f"rank={facts.rank!r} of {name} is none of {list(bounds)}: add its value in this test"
    assert torch.linalg.matrix_rank(weights).max() <= bounds[facts.rank]
    assert re.fullmatch(r"([\dNfdm²³·+ ]|side)+", facts.memory), f"memory={facts.memory!r} is no formula"


@pytest.mark.parametrize("name", JOINT)
def test_joint_attention_takes_it_too(name):
    model = model_of(name, space_time="joint")
    ((_, layer), _) = layers_of(model)
    assert layer.row(3, 5).shape == (2, 4, 8, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", RIVALS)
def test_some_steps_of_training_lower_the_loss_and_every_weight_learns(name):
    fixation = "cooperative" if name in KERNELS else "none"
    model = model_of(name, fixation=fixation, association=True).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    labels, losses = torch.tensor([0, 1]), []
    for _ in range(8):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(VIDEO), labels)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    still = [n for n, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()]
    assert still == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RIVALS)
def test_gradients_of_a_model_are_those_of_its_maps(name):
    """The same model with every attention computed through its explicit map: the oracle, in outputs and gradients."""
    found = []
    for through_map in (False, True):
        model = model_of(name, fixation="cooperative" if name in KERNELS else "none").double()
        if through_map:
            for block in model.blocks:
                for layer in block.attention.values():
                    layer.mechanism.register_forward_hook(attend_through_the_map)
        out = model(VIDEO.double())
        gradients = torch.autograd.grad((out * torch.tensor([1.0, -2.0, 3.0, 0.5])).sum(), list(model.parameters()))
        found.append((out, *gradients))
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


def attend_through_the_map(mechanism, inputs, _):
    features = mechanism.attention_inputs(*inputs)
    return weights_between(features.q, features.k, features.similarity) @ inputs[2]


@pytest.mark.parametrize("name", RIVALS)
def test_a_checkpoint_brings_back_the_same_numbers(name, tmp_path):
    model = model_of(name)
    save_model(model, tmp_path / "rival.safetensors")
    torch.manual_seed(7)  # random buffers that loading creates must not matter
    again = load_model(tmp_path / "rival.safetensors")
    assert again.config == model.config
    with torch.no_grad():
        assert torch.equal(again.eval()(VIDEO), model(VIDEO))


@pytest.mark.parametrize("name", RIVALS)
def test_the_seed_is_the_whole_random_state(name):
    first, second, other = (
        initialize(VideoTransformer(ModelConfig.compact(attention=name)), seed=seed).eval() for seed in (1, 1, 2)
    )
    ours, theirs = first.state_dict(), second.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    with torch.no_grad():
        assert not torch.equal(first(VIDEO), other(VIDEO))


@pytest.mark.parametrize("name", RIVALS)
def test_a_configuration_uses_no_random_numbers_and_names_its_rival(name):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    config = ModelConfig.compact(attention=name)
    assert torch.equal(torch.get_rng_state(), before)
    assert config.variant == name
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_settings_are_the_rivals_own():
    assert ModelConfig.compact(attention="performer", settings={"features": 5}).settings == {"features": 5}
    model = model_of("performer", settings={"features": 5}, fixation="cooperative")
    assert model.blocks[0].attention["time"].mechanism.fixation.query.weight.shape == (5, 2 * 5 + 16)
    with pytest.raises(ValueError, match="performer has no setting 'landmarks': it has features, feature_offset"):
        ModelConfig.compact(attention="performer", settings={"landmarks": 5})
    with pytest.raises(ValueError, match="'linear' has none: leave them out"):
        ModelConfig.compact(settings={"features": 5})
    with pytest.raises(ValueError, match="head of 15 channels cannot be rotated"):
        ModelConfig.compact(attention="sana_video_attention", width=60)
    with pytest.raises(ValueError, match="feature_map='relu' belongs to linear attention, not 'performer'"):
        ModelConfig.compact(attention="performer", feature_map="relu")


@pytest.mark.parametrize("name", KERNELS)
def test_open_ratios_are_no_fixation(name):
    model = model_of(name, fixation="cooperative")
    plain = VideoTransformer(replace(model.config, fixation="none")).eval()
    shared = {key: value for key, value in model.state_dict().items() if "fixation" not in key}
    plain.load_state_dict(shared)
    for module in model.modules():
        if isinstance(module, KernelRival):
            for layer in (module.fixation.query, module.fixation.key):
                torch.nn.init.zeros_(layer.weight)
                torch.nn.init.constant_(layer.bias, 50.0)
    with torch.no_grad():
        torch.testing.assert_close(model(VIDEO), plain(VIDEO), rtol=1e-5, atol=1e-6)


def expected(formula, **letters):
    """Compute a formula of ``Facts``, such as 2·N·d²."""
    for sign, code in (("·", "*"), ("²", "**2"), ("³", "**3"), ("−", "-")):
        formula = formula.replace(sign, code)
    return eval(formula, {}, letters)


@pytest.mark.parametrize("name", RIVALS)
def test_the_number_of_multiplications_is_the_stated_one(name):
    n, d, heads = 4096, 16, 2
    extent = Extent(16, 16, 16) if name in JOINT else Extent(1, 64, 64)
    mechanism = RIVALS[name](Setting(heads, d, span="joint", extent=extent))
    f = getattr(mechanism, "projection", torch.empty(0)).shape[0]
    landmarks = 64
    side = {"shuffle_window": 4, "dynamic_window_attention": 10**0.5}.get(name)  # 2² and 4² in equal shares
    q, k, v = torch.randn(3, 1, heads, n, d)
    with FlopCounterMode(display=False) as flops:
        mechanism(q, k, v, extent)
    counted = flops.get_total_flops() / 2 / heads  # a multiplication and an addition each
    assert counted == pytest.approx(
        expected(RIVALS[name].facts.operations, N=n, d=d, f=f, m=landmarks, side=side), rel=0.01
    )
