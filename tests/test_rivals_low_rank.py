"""Nyströmformer and Orthoformer: equal to their oracles, and what is said about their maps is so."""

import pytest
import torch

from linvid_edu import rivals
from linvid_edu.attention import attention_map
from linvid_edu.rivals import RIVALS, Setting
from linvid_edu.tokens import Extent

SIZES = [(1, 1, 1, 2, 3, 1), (2, 3, 12, 8, 8, 4), (1, 2, 30, 5, 7, 6)]  # b, heads, n, d, d2, landmarks


def draw(b, heads, n, d, d2, landmarks):
    torch.manual_seed(0)
    q, k = torch.randn(2, b, heads, n, d, dtype=torch.float64)
    index = torch.stack([torch.randperm(n)[:landmarks] for _ in range(b * heads)]).reshape(b, heads, landmarks)
    return q, k, torch.randn(b, heads, n, d2, dtype=torch.float64), index


def with_gradients(function, leaves, *constants, **named):
    leaves = [each.clone().requires_grad_() for each in leaves]
    out = function(*leaves, *constants, **named)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


@pytest.mark.parametrize("init", ["original", "exact"])
@pytest.mark.parametrize("iterations", [0, 1, 6])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nystrom_equals_its_oracle(size, iterations, init):
    *qkv, _ = draw(*size)
    both = (with_gradients(each, qkv, size[-1], iterations, init) for each in (rivals.nystrom, rivals.nystrom_oracle))
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_orthoformer_equals_its_oracle(size):
    *qkv, index = draw(*size)
    both = (with_gradients(each, qkv, landmark_index=index) for each in (rivals.orthoformer, rivals.orthoformer_oracle))
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def test_nystrom_with_a_landmark_for_each_token_turns_to_softmax_attention():
    q, k, _, _ = draw(1, 2, 8, 6, 6, 8)
    gaps = [
        (rivals.nystrom_map(q, k, 8, iterations) - attention_map(q, k)).abs().max().item() for iterations in (4, 8, 16)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-6


def test_rows_of_nystrom_sum_to_one_only_once_it_has_converged_and_weights_may_be_negative():
    q, k, _, _ = draw(1, 2, 32, 6, 6, 8)
    sums = {i: rivals.nystrom_map(3 * q, 3 * k, 8, i).sum(-1) for i in (1, 30)}
    assert (sums[1] - 1).abs().max() > 0.01
    torch.testing.assert_close(sums[30], torch.ones_like(sums[30]), rtol=1e-6, atol=1e-6)
    assert rivals.nystrom_map(3 * q, 3 * k, 8, 30).min() < -0.01


def test_clips_meet_in_a_batch_under_the_original_start_and_not_under_the_exact_one():
    q, k, v, _ = draw(2, 1, 16, 6, 6, 4)
    q[1] *= 6
    for init, alone_equals_together in (("original", False), ("exact", True)):
        together = rivals.nystrom(q, k, v, 4, 2, init)[:1]
        alone = rivals.nystrom(q[:1], k[:1], v[:1], 4, 2, init)
        assert torch.allclose(together, alone, atol=1e-9) == alone_equals_together


def test_the_order_of_landmarks_does_not_matter_and_no_gradient_flows_through_them():
    q, k, v, index = draw(2, 3, 12, 8, 8, 4)
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
    q, k, v, index = draw(1, 2, 12, 4, 4, 5)
    out = rivals.orthoformer_frames(q, k, v, index, 3)
    assert out.shape == (1, 2, 12, 3, 4)
    one = rivals.orthoformer_frames(q, k, v, index, 1)
    torch.testing.assert_close(one.squeeze(3), rivals.orthoformer(q, k, v, index))


QKV = torch.ones(3, 1, 2, 12, 4)
INDEX = torch.zeros(1, 2, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "words"),
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
        (lambda: rivals.orthoformer_frames(*QKV, INDEX, 5), "12 tokens are no 5 frames"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()
