"""Nyströmformer and Orthoformer: equal to their oracles, and what is said about their maps is so."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linvid_edu.attention import rivals
from linvid_edu.attention.functions import attention_map
from linvid_edu.attention.rivals import RIVALS, Setting
from linvid_edu.shapes import Extent

SIZES = [(1, 1, 1, 2, 3, 1), (2, 3, 12, 8, 8, 4), (1, 2, 30, 5, 7, 6)]  # b, heads, n, d, d_v, landmarks


def operands(b, heads, n, d, d_v, landmarks):
    torch.manual_seed(0)
    q, k = torch.randn(2, b, heads, n, d, dtype=torch.float64)
    index = torch.stack([torch.randperm(n)[:landmarks] for _ in range(b * heads)]).reshape(b, heads, landmarks)
    return q, k, torch.randn(b, heads, n, d_v, dtype=torch.float64), index


def with_gradients(function, leaves, *constants, **named):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    out = function(*leaves, *constants, **named)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


@pytest.mark.parametrize("init", ["original", "exact"])
@pytest.mark.parametrize("iterations", [0, 1, 6])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nystrom_equals_its_oracle(size, iterations, init):
    *qkv, _ = operands(*size)
    both = (
        with_gradients(function, qkv, size[-1], iterations, init)
        for function in (rivals.nystrom, rivals.nystrom_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_orthoformer_equals_its_oracle(size):
    *qkv, index = operands(*size)
    both = (
        with_gradients(function, qkv, landmark_index=index)
        for function in (rivals.orthoformer, rivals.orthoformer_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def operands_of_frames(b, heads, t, s, d, d_v, landmarks, shared):
    q, k, v, _ = operands(b, heads, t * s, d, d_v, 1)
    rows = b * heads if shared else b * heads * t
    index = torch.stack([torch.randperm(t * s if shared else s)[:landmarks] for _ in range(rows)])
    return q, k, v, index.reshape(b, heads, *([] if shared else [t]), landmarks)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("size", [(1, 1, 1, 1, 2, 3, 1), (2, 3, 4, 5, 6, 4, 3), (1, 2, 3, 4, 5, 5, 4)], ids=str)
def test_reading_out_frames_equals_its_oracle_and_its_rows_sum_to_one(size, shared):
    *qkv, index = operands_of_frames(*size, shared)
    constants = {"landmark_index": index, "num_frames": size[2], "shared_landmarks": shared}
    both = (
        with_gradients(function, qkv, **constants)
        for function in (rivals.orthoformer_frames, rivals.orthoformer_frames_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)
    weights = rivals.orthoformer_frames_map(*qkv[:2], **constants)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 20), d=st.integers(2, 6), data=st.data())
def test_landmarks_are_those_of_the_loop_over_candidates(seed, n, d, data):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(2, 2, n, d, generator=generator, dtype=torch.float64)
    first = torch.randint(n, (2, 2), generator=generator)
    count = data.draw(st.integers(1, n))
    chosen = rivals.orthoformer_landmarks(q, first, count)
    assert torch.equal(chosen, rivals.orthoformer_landmarks_oracle(q, first, count))
    assert (chosen == first.unsqueeze(-1)).any(-1).all()
    assert (chosen.diff(dim=-1) > 0).all()


def test_the_order_of_landmarks_of_each_frame_matters():
    q, k, v, index = operands_of_frames(1, 2, 3, 4, 5, 5, 3, shared=False)
    turned = index.clone()
    turned[:, :, 0] = turned[:, :, 0].flip(-1)
    in_order, mixed = (
        rivals.orthoformer_frames(q, k, v, landmarks, 3, shared_landmarks=False) for landmarks in (index, turned)
    )
    assert not torch.allclose(in_order, mixed)
    torch.testing.assert_close(in_order[:, :, :4, 0], mixed[:, :, :4, 0])  # within a frame both sides turn together


def test_numbers_of_landmarks_may_be_of_any_integer_type():
    q, k, v, index = operands(1, 2, 12, 4, 4, 3)
    short = index.to(torch.int32)
    assert torch.equal(rivals.orthoformer(q, k, v, short), rivals.orthoformer(q, k, v, index))
    for count in (1, 3):
        chosen, expected = (rivals.orthoformer_landmarks(q, first[..., 0], count) for first in (short, index))
        torch.testing.assert_close(chosen, expected)  # the type, too


def test_nystrom_with_a_landmark_for_each_token_turns_to_softmax_attention():
    q, k, _, _ = operands(1, 2, 8, 6, 6, 8)
    gaps = [
        (rivals.nystrom_map(q, k, 8, iterations) - attention_map(q, k)).abs().max().item() for iterations in (4, 8, 16)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-6


def test_rows_of_nystrom_sum_to_one_only_once_it_has_converged_and_weights_may_be_negative():
    q, k, _, _ = operands(1, 2, 32, 6, 6, 8)
    sums = {i: rivals.nystrom_map(3 * q, 3 * k, 8, i).sum(-1) for i in (1, 30)}
    assert (sums[1] - 1).abs().max() > 0.01
    torch.testing.assert_close(sums[30], torch.ones_like(sums[30]), rtol=1e-6, atol=1e-6)
    assert rivals.nystrom_map(3 * q, 3 * k, 8, 30).min() < -0.01


def test_clips_meet_in_a_batch_under_the_original_start_and_not_under_the_exact_one():
    q, k, v, _ = operands(2, 1, 16, 6, 6, 4)
    q[1] *= 6
    for init, alone_equals_together in (("original", False), ("exact", True)):
        together = rivals.nystrom(q, k, v, 4, 2, init)[:1]
        alone = rivals.nystrom(q[:1], k[:1], v[:1], 4, 2, init)
        assert torch.allclose(together, alone, atol=1e-9) == alone_equals_together


def test_the_order_of_landmarks_does_not_matter_and_no_gradient_flows_through_them():
    q, k, v, index = operands(2, 3, 12, 8, 8, 4)
    torch.testing.assert_close(rivals.orthoformer(q, k, v, index), rivals.orthoformer(q, k, v, index.flip(-1)))
    k.requires_grad_()
    q = q.clone().requires_grad_()
    one = torch.zeros(2, 3, 1, dtype=torch.long)
    gradient = torch.autograd.grad(rivals.orthoformer(q, k, v, one).sum(), q)[0]
    assert gradient.abs().max() < 1e-12  # one landmark: every query gets the same, whatever it is


def test_landmarks_are_unlike_each_other():
    tokens = [[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [-1.0, 0.0, 0.01], [0.0, 1.0, 0.0], [0.1, 0.5, 2.0]]
    q = torch.tensor(tokens)[None, None]
    chosen = rivals.orthoformer_landmarks(q, torch.zeros(1, 1, dtype=torch.long), 3)
    assert chosen.tolist() == [[[0, 3, 4]]]
    everyone = rivals.orthoformer_landmarks(q, torch.full((1, 1), 2), 5)
    assert everyone.tolist() == [[[0, 1, 2, 3, 4]]]


def test_default_landmarks_divide_the_tokens_and_lie_near_their_root():
    for tokens, expected in ((1, 1), (8, 2), (64, 8), (289, 17), (512, 16), (7, 1)):
        layer = RIVALS["nystrom"](Setting(1, 4, "joint", Extent(tokens, 1, 1)))
        assert layer.landmarks(tokens) == expected
    layer = RIVALS["orthoformer"](Setting(1, 4, "joint", Extent(1, 8, 8)))
    assert layer.landmarks(torch.randn(1, 1, 64, 4)).shape == (1, 1, 8)


def test_all_landmarks_of_a_frame_make_a_frame_wise_readout():
    q, k, v, index = operands(1, 2, 12, 4, 4, 5)
    out = rivals.orthoformer_frames(q, k, v, index, 3)
    assert out.shape == (1, 2, 12, 3, 4)
    one = rivals.orthoformer_frames(q, k, v, index, 1)
    torch.testing.assert_close(one.squeeze(3), rivals.orthoformer(q, k, v, index))


QKV = torch.ones(3, 1, 2, 12, 4)
INDEX = torch.zeros(1, 2, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rivals.nystrom(*QKV, 5), "num_landmarks=5 does not divide 12 tokens: choose one of 1, 2, 3, 4, 6, 12"),
        (lambda: rivals.nystrom(*QKV, 24), "num_landmarks=24"),
        (lambda: rivals.nystrom(*QKV, 0), "num_landmarks=0"),
        (lambda: rivals.nystrom(*QKV, 4, init="best"), "init='best' is unknown"),
        (lambda: rivals.nystrom(*QKV, 4, iterations=-1), "iterations=-1"),
        (lambda: rivals.orthoformer(*QKV, INDEX + 12), "landmarks are tokens 12 to 12: choose among 0 to 11"),
        (lambda: rivals.orthoformer(*QKV, INDEX.repeat(1, 1, 5)), "15 landmarks of 12 tokens"),
        (lambda: rivals.orthoformer_landmarks(QKV[0], INDEX[..., 0], 13), "num_landmarks=13 of 12 tokens"),
        (lambda: rivals.orthoformer_landmarks(QKV[0], INDEX[..., 0] - 1, 2), "choose among 0 to 11"),
        (lambda: rivals.orthoformer_frames(*QKV, INDEX, 5), "12 tokens cannot be cut into 5 equal frames"),
        (lambda: rivals.orthoformer_frames(*QKV, INDEX, 3, False), "has 3 axes, 4 are expected"),
        (lambda: rivals.orthoformer_frames(*QKV, INDEX.unsqueeze(2), 3), "has 4 axes, 3 are expected"),
        (
            lambda: rivals.orthoformer_frames(*QKV, INDEX.unsqueeze(2).expand(-1, -1, 2, -1), 3, False),
            "landmarks of 2 frames, num_frames=3",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
