"""The rivals with windows: equal to their oracles over all pairs of tokens, and what windows see."""

import pytest
import torch

from linvid_edu import ModelConfig, rivals
from linvid_edu.rivals import RIVALS, Setting
from linvid_edu.rivals.windows import bias_index
from linvid_edu.tokens import Extent


def rows(windows):
    return sum((2 * side - 1) ** 2 for side in windows)


def draw(b, heads, h, w, d, windows=None, window=None):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, b, heads, h * w, d, dtype=torch.float64)
    table = rows(windows) if windows else (2 * window - 1) ** 2
    return q, k, v, torch.randn(table, heads // len(windows) if windows else heads, dtype=torch.float64)


def with_gradients(function, leaves, *constants):
    leaves = [each.clone().requires_grad_() for each in leaves]
    out = function(*leaves, *constants)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("case", [(1, 1, 2, 2, 3, 1), (2, 3, 4, 6, 5, 2), (1, 2, 9, 3, 4, 3), (1, 1, 4, 4, 2, 4)])
def test_shuffled_windows_equal_their_oracle(case, shuffle):
    b, heads, h, w, d, window = case
    leaves = draw(b, heads, h, w, d, window=window)
    both = (
        with_gradients(each, leaves, h, w, window, shuffle)
        for each in (rivals.shuffle_window, rivals.shuffle_window_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


CASES = [  # b, heads, h, w, d, windows, shifts
    (1, 1, 1, 1, 2, [1], [0]),
    (2, 4, 6, 8, 3, [2, 3], [0, 1]),
    (1, 3, 5, 7, 4, [2, 3, 4], [1, 2, 3]),
    (1, 2, 4, 4, 3, [4], [2]),
    (1, 2, 3, 5, 3, [7], [0]),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dynamic_windows_equal_their_oracle(case):
    b, heads, h, w, d, windows, shifts = case
    leaves = draw(b, heads, h, w, d, windows=windows)
    both = (
        with_gradients(each, leaves, h, w, windows, shifts)
        for each in (rivals.dynamic_window_attention, rivals.dynamic_window_attention_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("h", "w", "windows", "shifts"), [(6, 8, [2, 3], [0, 1]), (5, 3, [2, 4], [1, 0])])
def test_the_whole_layer_equals_its_oracle(h, w, windows, shifts):
    torch.manual_seed(0)
    c, heads, squeezed = 8, 4, 3
    shapes = [(2, h * w, c), (3 * c, c), (3 * c,), (rows(windows), heads // 2), (c, c), (c,)]
    shapes += [(squeezed, c), (squeezed,), (c, squeezed), (c,), (c, c // 2), (c,)]
    leaves = [torch.randn(*shape, dtype=torch.float64) for shape in shapes]
    both = (
        with_gradients(each, leaves, h, w, windows, shifts, heads)
        for each in (rivals.dynamic_window, rivals.dynamic_window_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-9)


def test_rows_sum_to_one_except_where_a_window_holds_padding():
    q, k, _, table = draw(1, 2, 5, 6, 4, windows=[2])
    sums = rivals.dynamic_window_attention_map(q, k, table, 5, 6, [2], [0]).sum(-1).reshape(2, 5, 6)
    torch.testing.assert_close(sums[:, :4], torch.ones(2, 4, 6, dtype=torch.float64))
    assert (sums[:, 4] < 0.99).all()


def test_a_shift_keeps_apart_what_only_the_wrap_brings_together():
    q, k, _, table = draw(1, 1, 4, 4, 4, windows=[2])
    weights = rivals.dynamic_window_attention_map(q, k, 0 * table, 4, 4, [2], [1])[0, 0].reshape(4, 4, 4, 4)
    assert weights[0, 0].flatten().argmax() == 0  # the corner is alone in its window
    assert weights[0, 0, 0, 0] > 1 - 1e-9
    assert (weights[1, 1] > 1e-6).sum() == 4
    assert weights[1, 1, 2, 2] > 1e-6


def test_plain_windows_hold_neighbors_and_shuffled_ones_a_dilated_grid():
    q, k, _, table = draw(1, 1, 4, 6, 3, window=2)
    plain, shuffled = (
        rivals.shuffle_window_map(q, k, table, 4, 6, 2, shuffle)[0, 0, 0].reshape(4, 6) > 0 for shuffle in (False, True)
    )
    assert plain.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert shuffled.nonzero().tolist() == [[0, 0], [0, 3], [2, 0], [2, 3]]


def test_a_window_as_large_as_the_frame_is_softmax_attention_with_a_bias():
    q, k, v, table = draw(1, 2, 4, 4, 3, window=4)
    bias = table[bias_index(4)].permute(2, 0, 1)
    expected = (q @ k.mT / 3**0.5 + bias).softmax(-1) @ v
    for shuffle in (False, True):
        torch.testing.assert_close(rivals.shuffle_window(q, k, v, table, 4, 4, 4, shuffle), expected)
    torch.testing.assert_close(rivals.dynamic_window_attention(q, k, v, table, 4, 4, [4], [0]), expected)


def test_layers_alternate_and_windows_that_do_not_fit_become_the_frame():
    made = [RIVALS["dynamic_window_attention"](Setting(4, 8, "space", Extent(1, 3, 8), block=b)) for b in (0, 1)]
    assert [each.windows for each in made] == [[2, 3], [2, 3]]
    assert [each.shifts for each in made] == [[0, 0], [1, 0]]
    made = [RIVALS["shuffle_window"](Setting(4, 8, "space", Extent(1, 8, 8), block=b)) for b in (0, 1)]
    assert [each.shuffle for each in made] == [False, True]


@pytest.mark.parametrize("name", ["shuffle_window", "dynamic_window_attention"])
def test_windows_are_refused_in_joint_attention_over_frames_and_taken_on_one_frame(name):
    with pytest.raises(ValueError, match=r"over 8 frames would never mix them: use space_time=\"divided\""):
        ModelConfig.compact(attention=name, space_time="joint")
    assert ModelConfig.probe(attention=name).attention == name


def test_a_window_that_does_not_divide_the_models_grid_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match="window=3 does not divide the 8×8 grid: choose one of 1, 2, 4, 8"):
        ModelConfig.compact(attention="shuffle_window", settings={"window": 3})
    with pytest.raises(ValueError, match="4 heads cannot be cut into 3 equal groups"):
        ModelConfig.compact(attention="dynamic_window_attention", settings={"windows": [2, 3, 4]})


QKV = torch.ones(3, 1, 4, 24, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rivals.shuffle_window(*QKV, torch.ones(9, 4), 4, 5, 2, True), "h=4, w=5 make 20 tokens, q has 24"),
        (lambda: rivals.shuffle_window(*QKV, torch.ones(25, 4), 4, 6, 3, True), "window=3 does not divide the 4×6"),
        (lambda: rivals.shuffle_window(*QKV, torch.ones(9, 3), 4, 6, 2, True), r"needs \(9, 4\)"),
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(9, 4), 5, 5, [2], [0]), "make 25 tokens, q has 24"),
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(9, 1), 4, 6, [2, 2, 2], [0, 0, 0]), "into 3 equal"),
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(9, 4), 4, 6, [2], [2]), r"shifts=\[2\]"),
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(9, 4), 4, 6, [2], [0, 0]), r"shifts=\[0, 0\]"),
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(9, 4), 4, 6, [3], [0]), r"need \(25, 4\)"),
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(9, 4), 4, 6, [], []), "into 0 equal groups"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()
