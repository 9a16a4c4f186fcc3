"""Softmax and linear attention: numbers worked out by hand, oracles, and properties of the maps."""

import math

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

# batch axes, queries n, keys m, head width d, value width d_v
SHAPES = [((2, 3), 5, 5, 4, 4), ((), 1, 1, 1, 1), ((1,), 7, 3, 2, 5), ((2,), 3, 9, 16, 1), ((4, 1, 2), 33, 33, 8, 8)]


def operands(batch, n, m, d, d_v, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((n, d), (m, d), (m, d_v))
    return [torch.randn(*batch, *size, dtype=torch.float64, generator=generator) for size in sizes]


def outputs_and_gradients(function, tensors):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    out = function(*leaves)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


def exponential(x):
    return x.exp()


def test_softmax_attention_by_hand():
    """Scores are q kᵀ / √4 = [[ln 3, 0], [0, 0]], so the weights are [[3, 1] / 4, [1, 1] / 2]."""
    q = torch.tensor([[2 * math.log(3), 0, 0, 0], [0, 0, 0, 0]])
    k = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]])
    v = torch.tensor([[4.0], [8.0]])
    torch.testing.assert_close(attention_map(q, k), torch.tensor([[3 / 4, 1 / 4], [1 / 2, 1 / 2]]))
    torch.testing.assert_close(softmax_attention(q, k, v), torch.tensor([[5.0], [6.0]]))


def test_linear_attention_by_hand():
    """φ(q) φ(k)ᵀ is [[1, 3], [3, 5]], so the weights are [[1, 3] / 4, [3, 5] / 8]."""
    phi_q, phi_k = torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[1.0, 1.0], [3.0, 1.0]])
    v = torch.tensor([[0.0, 8.0], [8.0, 0.0]])
    weights = attention_map(phi_q, phi_k, feature_map=identity, eps=0)
    torch.testing.assert_close(weights, torch.tensor([[1 / 4, 3 / 4], [3 / 8, 5 / 8]]))
    out = linear_attention(phi_q, phi_k, v, feature_map=identity, eps=0)
    torch.testing.assert_close(out, torch.tensor([[6.0, 2.0], [5.0, 3.0]]))


def test_linear_attention_with_the_papers_features_by_hand():
    """d = 4, so the offset is 1/2. φ(q)·φ(k) is 3/4 + 3/4 = 3/2 for the first key and 9/4 + 3/4 = 3 for the second."""
    q = torch.tensor([[1.0, 0, -5, 0]])  # φ = 3/2, 1/2, 1/2, 1/2
    k = torch.tensor([[-1.0, 0, 0, 0], [1, 0, 0, 0]])  # φ = 1/2, 1/2, 1/2, 1/2 and 3/2, 1/2, 1/2, 1/2
    v = torch.tensor([[9.0], [0.0]])
    torch.testing.assert_close(linear_attention(q, k, v, eps=0), torch.tensor([[3.0]]))
    torch.testing.assert_close(linear_attention(q, k, v, eps=0.5), torch.tensor([[2.7]]))


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


@given(n=st.integers(1, 12), d=st.integers(1, 6), seed=st.integers(0, 99), scale=st.floats(0.01, 20))
@settings(max_examples=40, deadline=None)
def test_rows_sum_to_one_and_are_not_negative(n, d, seed, scale):
    q, k, _ = operands((2,), n, n, d, d, seed)
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


@given(n=st.integers(2, 24), d=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rank_of_the_linear_map_is_at_most_the_head_width(n, d, seed):
    q, k, _ = operands((), n, n, d, d, seed)
    assert torch.linalg.matrix_rank(attention_map(q, k, feature_map=relu_offset), rtol=1e-10) <= d


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
    t, n, d = 4, 5, 3
    x = torch.randn(t, n, d, dtype=torch.float64)
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
