"""Fixation ratios and neighborhood association, against loops written from the equations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linvid_edu.fixation import (
    NEIGHBORS,
    Fixation,
    cooperative_fixation,
    separate_fixation,
    spatial_association,
    temporal_association,
)
from linvid_edu.tokens import Grid


def temporal_oracle(x, shift_div):
    t, d = x.shape[1], x.shape[3]
    c = d // shift_div
    out = torch.zeros_like(x)
    for frame in range(t):
        for channel in range(d):
            source = frame + 1 if channel < c else frame - 1 if channel < 2 * c else frame
            if 0 <= source < t:
                out[:, frame, :, channel] = x[:, source, :, channel]
    return out


def spatial_oracle(x, grid):
    c = x.shape[-1] // 16
    out = torch.zeros_like(x)
    for row in range(grid.rows):
        for column in range(grid.columns):
            here = row * grid.columns + column
            for channel in range(x.shape[-1]):
                group = channel // c if c and channel < 8 * c else None
                down, right = NEIGHBORS[group] if group is not None else (0, 0)
                inside = 0 <= row + down < grid.rows and 0 <= column + right < grid.columns
                if inside:
                    out[:, :, here, channel] = x[:, :, (row + down) * grid.columns + column + right, channel]
                elif group >= 4:
                    out[:, :, here, channel] = x[:, :, here, channel]
    return out


SIZES = {"t": st.integers(1, 5), "rows": st.integers(1, 4), "columns": st.integers(1, 4), "d": st.integers(1, 40)}


@given(**SIZES, shift_div=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_temporal_association_equals_the_loop(t, rows, columns, d, shift_div):
    x = torch.randn(2, t, rows * columns, d)
    torch.testing.assert_close(temporal_association(x, shift_div=shift_div), temporal_oracle(x, shift_div))


@given(**SIZES)
@settings(max_examples=60, deadline=None)
def test_spatial_association_equals_the_loop(t, rows, columns, d):
    x, grid = torch.randn(2, t, rows * columns, d), Grid(rows, columns)
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


def test_ratios_follow_the_equations():
    e, n = 3, 5
    q, k, v = torch.rand(3, 2, n, e, dtype=torch.float64)
    weights = torch.randn(4, e, 3 * e, dtype=torch.float64)
    ratios = cooperative_fixation(q, k, v, weights[0], weights[1, :, 0], weights[2], weights[3, :, 0])
    for b in range(2):
        for i in range(n):
            z = torch.cat([q[b, i], k[b, i], v[b, i]])
            torch.testing.assert_close(ratios.q[b, i], 1 / (1 + torch.exp(-(weights[0] @ z + weights[1, :, 0]))))
            torch.testing.assert_close(ratios.k[b, i], 1 / (1 + torch.exp(-(weights[2] @ z + weights[3, :, 0]))))
    square = weights[..., :e]
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
