"""Fixation ratios and neighborhood association, against loops written from the equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from linvid_edu.attention.association import NEIGHBORS, spatial_association, temporal_association
from linvid_edu.attention.feature_maps import elu_plus_one, identity, relu_offset
from linvid_edu.attention.fixation import (
    Fixation,
    FixationRatios,
    ValueGate,
    constant_fixation,
    cooperative_fixation,
    separate_fixation,
)
from linvid_edu.attention.functions import EPS, attention_map
from linvid_edu.attention.mechanisms import LinearAttention
from linvid_edu.shapes import Grid


def temporal_oracle(x, shift_div):
    t, width = x.shape[1], x.shape[3]
    c = width // shift_div
    out = torch.zeros_like(x)
    for frame in range(t):
        for channel in range(width):
            source = frame + 1 if channel < c else frame - 1 if channel < 2 * c else frame
            if 0 <= source < t:
                out[:, frame, :, channel] = x[:, source, :, channel]
    return out


def spatial_oracle(x, grid):
    c = x.shape[-1] // 16
    out = torch.zeros_like(x)
    for row in range(grid.rows):
        for column in range(grid.columns):
            token = row * grid.columns + column
            for channel in range(x.shape[-1]):
                group = channel // c if c and channel < 8 * c else None
                down, right = NEIGHBORS[group] if group is not None else (0, 0)
                inside = 0 <= row + down < grid.rows and 0 <= column + right < grid.columns
                if inside:
                    out[:, :, token, channel] = x[:, :, (row + down) * grid.columns + column + right, channel]
                elif group >= 4:
                    out[:, :, token, channel] = x[:, :, token, channel]
    return out


SIZES = {"t": st.integers(1, 5), "rows": st.integers(1, 4), "columns": st.integers(1, 4), "width": st.integers(1, 40)}


@given(**SIZES, shift_div=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_temporal_association_equals_the_loop(t, rows, columns, width, shift_div):
    x = torch.randn(2, t, rows * columns, width)
    torch.testing.assert_close(temporal_association(x, shift_div=shift_div), temporal_oracle(x, shift_div))


@given(**SIZES)
@settings(max_examples=60, deadline=None)
def test_spatial_association_equals_the_loop(t, rows, columns, width):
    x, grid = torch.randn(2, t, rows * columns, width), Grid(rows, columns)
    torch.testing.assert_close(spatial_association(x, grid=grid), spatial_oracle(x, grid))


def test_association_gradients_equal_the_loops():
    x = torch.randn(1, 3, 6, 32, dtype=torch.float64, requires_grad=True)
    grid, weights = Grid(2, 3), torch.randn(1, 3, 6, 32, dtype=torch.float64)
    for fast, slow in (
        (lambda: temporal_association(x, shift_div=4), lambda: temporal_oracle(x, 4)),
        (lambda: spatial_association(x, grid=grid), lambda: spatial_oracle(x, grid)),
    ):
        actual, expected = (torch.autograd.grad((f() * weights).sum(), x)[0] for f in (fast, slow))
        torch.testing.assert_close(actual, expected)


def test_association_leaves_its_input_alone():
    x = torch.randn(1, 3, 4, 32)
    before = x.clone()
    temporal_association(x, shift_div=4)
    spatial_association(x, grid=Grid(2, 2))
    torch.testing.assert_close(x, before, rtol=0, atol=0)


def test_whole_heads_move_with_shift_div_four_and_eight_heads():
    x = torch.arange(3.0).reshape(1, 3, 1, 1).expand(1, 3, 1, 8 * 5)
    heads = temporal_association(x, shift_div=4)[0, 1, 0].reshape(8, 5)
    torch.testing.assert_close(heads[:, 0], torch.tensor([2.0, 2, 0, 0, 1, 1, 1, 1]))
    assert (heads == heads[:, :1]).all()


def test_at_the_border_groups_0_to_3_lose_their_value_and_4_to_7_keep_it():
    x = torch.ones(1, 1, 1, 16)
    assert spatial_association(x, grid=Grid(1, 1)).flatten().tolist() == [0.0] * 4 + [1.0] * 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: temporal_association(x, shift_div=1), "shift_div=1"),
        (lambda x: spatial_association(x, grid=Grid(2, 2)), "2×2 grid has 4 tokens, x has 6"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(1, 2, 6, 8))


def test_ratios_by_hand():
    """σ(ln 3) = 3/4 and σ(0) = 1/2; fixation of one channel moves the weights from [1, 3] / 4 to [3, 3] / 6."""
    phi_q, phi_k, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 6.0]])
    zero = torch.zeros(2)
    first_to_first = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
    separate = separate_fixation(phi_q, phi_k, first_to_first, zero, first_to_first / 3, zero)
    torch.testing.assert_close(separate, FixationRatios(torch.tensor([[3 / 4, 1 / 2]]), torch.tensor([[3 / 4, 1 / 2]])))
    from_value = torch.zeros(2, 6)
    from_value[1, 4] = math.log(3) / 5  # channel 1 looks at the first channel of the value
    cooperative = cooperative_fixation(phi_q, phi_k, v, from_value, zero, 0 * from_value, zero)
    torch.testing.assert_close(
        cooperative, FixationRatios(torch.tensor([[1 / 2, 3 / 4]]), torch.tensor([[1 / 2, 1 / 2]]))
    )
    query, keys = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    before = attention_map(query, keys, feature_map=identity, eps=0)
    after = attention_map(torch.tensor([[3.0, 1.0]]) / 4 * query, keys, feature_map=identity, eps=0)
    torch.testing.assert_close(before, torch.tensor([[1 / 4, 3 / 4]]))
    torch.testing.assert_close(after, torch.tensor([[1 / 2, 1 / 2]]))


def test_ratios_follow_the_equations():
    d, n = 3, 5
    q, k, v = torch.rand(3, 2, n, d, dtype=torch.float64)
    weights = torch.randn(4, d, 3 * d, dtype=torch.float64)
    ratios = cooperative_fixation(q, k, v, weights[0], weights[1, :, 0], weights[2], weights[3, :, 0])
    for b in range(2):
        for i in range(n):
            z = torch.cat([q[b, i], k[b, i], v[b, i]])
            torch.testing.assert_close(ratios.q[b, i], 1 / (1 + torch.exp(-(weights[0] @ z + weights[1, :, 0]))))
            torch.testing.assert_close(ratios.k[b, i], 1 / (1 + torch.exp(-(weights[2] @ z + weights[3, :, 0]))))
    square = weights[..., :d]
    apart = separate_fixation(q, k, square[0], square[1, :, 0], square[2], square[3, :, 0])
    torch.testing.assert_close(apart.q[0, 0], torch.sigmoid(square[0] @ q[0, 0] + square[1, :, 0]))
    torch.testing.assert_close(apart.k[1, 4], torch.sigmoid(square[2] @ k[1, 4] + square[3, :, 0]))


def test_separate_ratios_do_not_see_the_others_and_cooperative_ones_do():
    q, k, v = torch.rand(3, 2, 5, 4)
    for kind, changes in (("separate", False), ("cooperative", True)):
        fixation = Fixation(4, kind=kind)
        assert torch.equal(fixation(q, k, v).q, fixation(q, k + 1, v).q) is not changes
        assert torch.equal(fixation(q, k, v).k, fixation(q, k, v + 1).k) is not changes


def test_a_shared_layer_gives_one_ratio_and_is_one_layer():
    fixation = Fixation(4, kind="cooperative", shared=True)
    ratios = fixation(*torch.rand(3, 2, 5, 4))
    assert torch.equal(ratios.q, ratios.k)
    assert len(list(fixation.parameters())) == 2


def test_constant_ratios_follow_the_equation_and_do_not_see_the_input():
    q, k = torch.rand(2, 3, 5, 4, dtype=torch.float64), torch.rand(2, 3, 7, 4, dtype=torch.float64)
    b_q, b_k = torch.randn(2, 4, dtype=torch.float64)
    ratios = constant_fixation(q, k, b_q, b_k)
    assert (ratios.q.shape, ratios.k.shape) == (q.shape, k.shape)
    torch.testing.assert_close(ratios.q[1, 2, 3], 1 / (1 + torch.exp(-b_q)))
    torch.testing.assert_close(ratios.k[0, 1, 6], 1 / (1 + torch.exp(-b_k)))
    again = constant_fixation(q + 1, k - 1, b_q, b_k)
    assert torch.equal(again.q, ratios.q)
    assert torch.equal(again.k, ratios.k)
    assert sorted(dict(Fixation(4, kind="constant").named_parameters())) == ["key_bias", "query_bias"]


def random_weights(module):
    """Replace weights by large random ones in float64, so that no ratio is near 1/2."""
    module.double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight))
    return module


def linear_attention_loop(mechanism, q, k, v):
    """Linear attention with fixation or a gate, one clip and token after the other, written from the equations."""
    phi_q, phi_k = mechanism.feature_map(q), mechanism.feature_map(k)
    z = torch.cat([phi_q, phi_k, v], dim=-1)
    one = torch.ones_like(v)

    def ratio(layer, x):
        return one if layer is None else 1 / (1 + torch.exp(-(x @ layer.weight.T + layer.bias)))

    fixation, gate = mechanism.fixation, mechanism.gate
    r_q = r_k = one
    if fixation is not None and fixation.kind == "constant":
        r_q, r_k = (1 / (1 + torch.exp(-bias)) * one for bias in (fixation.query_bias, fixation.key_bias))
    elif fixation is not None:
        separate = fixation.kind == "separate"
        r_q, r_k = ratio(fixation.query, phi_q if separate else z), ratio(fixation.key, phi_k if separate else z)
    r_v, r_o = (one, one) if gate is None else (ratio(gate.value, z), ratio(gate.output, z))
    out = []
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            weights = [(r_q[b, i] * phi_q[b, i]) @ (r_k[b, j] * phi_k[b, j]) for j in range(q.shape[1])]
            gathered = sum(weight * r_v[b, j] * v[b, j] for j, weight in enumerate(weights)) / (sum(weights) + EPS)
            out.append(r_o[b, i] * gathered)
    return torch.stack(out).reshape(v.shape)


@pytest.mark.parametrize("feature_map", [relu_offset, elu_plus_one, F.relu], ids=lambda map: map.__name__)
@pytest.mark.parametrize("control", ["none", "separate", "cooperative", "constant", "value", "output", "both"])
def test_every_mechanism_equals_the_loop_in_outputs_and_gradients(control, feature_map):
    torch.manual_seed(0)
    d = 3
    fixation = Fixation(d, kind=control) if control in ("separate", "cooperative", "constant") else None
    gate = ValueGate(d, target=control) if control in ("value", "output", "both") else None
    mechanism = random_weights(LinearAttention(fixation, feature_map=feature_map, gate=gate))
    tensors = [torch.randn(2, 4, d, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    leaves = [*tensors, *mechanism.parameters()]
    outputs = []
    for out in (
        mechanism(*(x.unsqueeze(1) for x in tensors)).squeeze(1),
        linear_attention_loop(mechanism, *tensors),
    ):
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
        outputs.append((out, *torch.autograd.grad((out * weights).sum(), leaves)))
    for actual, expected in zip(*outputs, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def test_open_gates_are_no_gate_and_shut_ones_let_nothing_through():
    q, k, v = torch.randn(3, 2, 1, 6, 4)
    plain = LinearAttention()(q, k, v)
    for target, layers in (("value", ["value"]), ("output", ["output"]), ("both", ["value", "output"])):
        mechanism = LinearAttention(gate=ValueGate(4, target=target))
        for bias, expected in ((30.0, plain), (-200.0, torch.zeros_like(plain))):
            for layer in layers:
                nn.init.zeros_(getattr(mechanism.gate, layer).weight)
                nn.init.constant_(getattr(mechanism.gate, layer).bias, bias)
            assert torch.equal(mechanism(q, k, v), expected)


def test_a_gate_leaves_the_map_alone():
    q, k, v = torch.randn(3, 2, 1, 6, 4)
    gated, plain = LinearAttention(gate=ValueGate(4, target="both")), LinearAttention()
    with_gate, without = gated.attention_inputs(q, k, v), plain.attention_inputs(q, k, v)
    assert torch.equal(with_gate.q, without.q)
    assert torch.equal(with_gate.k, without.k)


def test_a_gate_on_both_has_the_weights_of_cooperative_fixation():
    cooperative, both, value, output = (
        sum(weight.numel() for weight in module.parameters())
        for module in (
            Fixation(5, kind="cooperative"),
            *(ValueGate(5, target=target) for target in ("both", "value", "output")),
        )
    )
    assert both == cooperative == 2 * value == 2 * output
