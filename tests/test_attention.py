"""Every fast path against its oracle, in outputs and gradients, and the properties of the maps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from linvid_edu.attention.feature_maps import elu_plus_one, identity, relu_offset
from linvid_edu.attention.functions import (
    attention_map,
    attention_row,
    linear_attention,
    linear_attention_oracle,
    softmax_attention,
    softmax_attention_oracle,
)
from linvid_edu.attention.spans import divided_row, fold, unfold

# batch axes, queries n, keys m, head width e, value width e2
SHAPES = [((2, 3), 5, 5, 4, 4), ((), 1, 1, 1, 1), ((1,), 7, 3, 2, 5), ((2,), 3, 9, 16, 1), ((4, 1, 2), 33, 33, 8, 8)]


def operands(batch, n, m, e, e2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((n, e), (m, e), (m, e2))
    return [torch.randn(*batch, *size, dtype=torch.float64, generator=generator) for size in sizes]


def outputs_and_gradients(function, tensors):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    out = function(*leaves)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


def exponential(x):
    return x.exp()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("feature_map", [relu_offset, exponential, elu_plus_one, F.relu], ids=lambda map: map.__name__)
def test_linear_attention_equals_its_oracle(shape, feature_map):
    tensors = operands(*shape)
    actual = outputs_and_gradients(lambda q, k, v: linear_attention(q, k, v, feature_map=feature_map), tensors)
    oracle = outputs_and_gradients(lambda q, k, v: linear_attention_oracle(q, k, v, feature_map=feature_map), tensors)
    for a, b in zip(actual, oracle, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_attention_equals_its_oracle(shape):
    tensors = operands(*shape)
    actual = outputs_and_gradients(softmax_attention, tensors)
    oracle = outputs_and_gradients(softmax_attention_oracle, tensors)
    for a, b in zip(actual, oracle, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_both_product_orders_are_taken_and_agree():
    """Few tokens and many tokens take different orders; a token count on each side of the switch is compared."""
    for n in (4, 64):
        q, k, v = operands((2,), n, n, 16, 16)
        torch.testing.assert_close(linear_attention(q, k, v), linear_attention_oracle(q, k, v), rtol=1e-10, atol=0)


def test_gradients_against_finite_differences():
    q, k, v = (x.requires_grad_() for x in operands((2,), 3, 4, 3, 2))
    assert torch.autograd.gradcheck(lambda *x: linear_attention(*x, feature_map=exponential), (q, k, v))


def test_float32_stays_close_to_float64():
    tensors = operands((2, 4), 50, 50, 8, 8)
    exact = linear_attention(*tensors)
    single = linear_attention(*(x.float() for x in tensors)).double()
    assert (single - exact).abs().max() < 1e-5 * exact.abs().max()


@given(n=st.integers(1, 12), e=st.integers(1, 6), seed=st.integers(0, 99), scale=st.floats(0.01, 20))
@settings(max_examples=40, deadline=None)
def test_rows_sum_to_one_and_are_not_negative(n, e, seed, scale):
    q, k, _ = operands((2,), n, n, e, e, seed)
    for feature_map in (None, relu_offset):
        weights = attention_map(scale * q, scale * k, feature_map=feature_map)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, n, dtype=torch.float64), rtol=0, atol=2e-6)


@pytest.mark.parametrize("feature_map", [elu_plus_one, F.relu], ids=lambda map: map.__name__)
def test_without_a_lower_bound_rows_may_have_less_weight_but_never_more(feature_map):
    q, k, _ = operands((50,), 6, 6, 3, 3)
    rows = attention_map(20 * q, 20 * k, feature_map=feature_map).sum(-1)
    assert rows.min() < 0.5
    assert rows.max() <= 1


def test_a_query_without_features_attends_to_nothing_and_has_finite_gradients():
    q, k, v = operands((2,), 5, 5, 4, 4)
    q, k = q.abs(), k.abs()
    q[:, 2] *= -1
    out, *gradients = outputs_and_gradients(lambda q, k, v: linear_attention(q, k, v, feature_map=F.relu), [q, k, v])
    assert (out[:, 2] == 0).all()
    assert out[:, [0, 1, 3, 4]].abs().sum(-1).min() > 0
    assert all(gradient.isfinite().all() for gradient in gradients)


@given(n=st.integers(2, 24), e=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rank_of_the_linear_map_is_at_most_the_head_width(n, e, seed):
    q, k, _ = operands((), n, n, e, e, seed)
    assert torch.linalg.matrix_rank(attention_map(q, k, feature_map=relu_offset), rtol=1e-10) <= e


def test_the_softmax_map_exceeds_the_head_width():
    q, k, _ = operands((), 24, 24, 3, 3)
    assert torch.linalg.matrix_rank(attention_map(q, k), rtol=1e-10) > 12


@given(n=st.integers(2, 12), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_permuting_tokens_permutes_the_output(n, seed):
    q, k, v = operands((1,), n, n, 4, 4, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for attend in (softmax_attention, linear_attention):
        torch.testing.assert_close(attend(q, k, v)[:, order], attend(*(x[:, order] for x in (q, k, v))))


@pytest.mark.parametrize("feature_map", [None, relu_offset])
def test_a_row_is_a_row_of_the_map(feature_map):
    q, k, _ = operands((2, 3), 7, 5, 4, 4)
    rows = attention_row(q[..., 4, :], k, feature_map=feature_map)
    torch.testing.assert_close(rows, attention_map(q, k, feature_map=feature_map)[..., 4, :])


def test_features_are_at_least_the_offset():
    x = torch.randn(100, 9)
    assert relu_offset(x).min().item() == pytest.approx(1 / 3)
    torch.testing.assert_close(relu_offset(x) - 1 / 3, x.clamp(min=0))


def test_elu_plus_one_is_one_piece_above_zero_and_another_below():
    x = torch.linspace(-10, 10, 41, dtype=torch.float64)
    torch.testing.assert_close(elu_plus_one(x), torch.where(x > 0, x + 1, x.exp()))
    assert elu_plus_one(x).min() > 0


@pytest.mark.parametrize("span", ["time", "space", "joint"])
def test_unfold_undoes_fold(span):
    x = torch.randn(2, 3, 5, 8)
    folded = fold(x, span, heads=4)
    batch, tokens = {"time": (10, 3), "space": (6, 5), "joint": (2, 15)}[span]
    assert folded.shape == (batch, 4, tokens, 2)
    torch.testing.assert_close(unfold(folded, span, t=3, n=5), x, rtol=0, atol=0)
    split = unfold(folded, span, t=3, n=5, merge_heads=False)
    torch.testing.assert_close(split, x.unflatten(-1, (4, 2)).permute(0, 3, 1, 2, 4), rtol=0, atol=0)


def test_divided_row_composes_time_then_space():
    """The composed row, applied to values, is spatial attention applied to the result of temporal attention."""
    t, n, e = 4, 5, 3
    x = torch.randn(t, n, e, dtype=torch.float64)
    time_maps = torch.rand(n, t, t, dtype=torch.float64).softmax(-1)
    space_map = torch.rand(n, n, dtype=torch.float64).softmax(-1)  # of the query's frame
    after_time = torch.stack([time_maps[j] @ x[:, j] for j in range(n)], dim=1)
    frame, token = 2, 3
    expected = space_map[token] @ after_time[frame]
    row = divided_row(space_map[token], time_maps[:, frame])
    torch.testing.assert_close((row.unsqueeze(-1) * x).sum((0, 1)), expected)
    assert row.sum().item() == pytest.approx(1)


def test_identity_takes_features_as_they_are():
    q, k, v = operands((2,), 6, 6, 4, 4)
    torch.testing.assert_close(
        linear_attention(relu_offset(q), relu_offset(k), v, feature_map=identity), linear_attention(q, k, v)
    )
