"""The rivals with windows: equal to their oracles over all pairs of tokens, and what windows see."""

import pytest
import torch

from linvid_edu.attention import rivals
from linvid_edu.attention.rivals import RIVALS, DynamicWindowWeights, LinearWeights, Setting
from linvid_edu.attention.rivals.windows import bias_index, window_partition, window_reverse, wrapped_pairs
from linvid_edu.models.config import ModelConfig
from linvid_edu.shapes import Extent


def rows(windows):
    return sum((2 * side - 1) ** 2 for side in windows)


def operands(b, heads, h, w, d, windows=None, window=None):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, b, heads, h * w, d, dtype=torch.float64)
    table = rows(windows) if windows else (2 * window - 1) ** 2
    return q, k, v, torch.randn(table, heads // len(windows) if windows else heads, dtype=torch.float64)


def with_gradients(function, leaves, *constants):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    out = function(*leaves, *constants)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


def test_the_bias_knows_where_the_key_lies_seen_from_the_query():
    index = bias_index(2)  # places 0 1 / 2 3, steps −1 … 1
    assert index[0].tolist() == [4, 3, 1, 0]
    assert index[3].tolist() == [8, 7, 5, 4]
    assert bias_index(3).unique().tolist() == list(range(25))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("case", [(1, 1, 2, 2, 3, 1), (2, 3, 4, 6, 5, 2), (1, 2, 9, 3, 4, 3), (1, 1, 4, 4, 2, 4)])
def test_shuffled_windows_equal_their_oracle(case, shuffle):
    b, heads, h, w, d, window = case
    leaves = operands(b, heads, h, w, d, window=window)
    both = (
        with_gradients(function, leaves, h, w, window, shuffle)
        for function in (rivals.shuffle_window, rivals.shuffle_window_oracle)
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
    leaves = operands(b, heads, h, w, d, windows=windows)
    both = (
        with_gradients(function, leaves, h, w, windows, shifts)
        for function in (rivals.dynamic_window_attention, rivals.dynamic_window_attention_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("h", "w", "windows", "shifts"), [(6, 8, [2, 3], [0, 1]), (5, 3, [2, 4], [1, 0])])
def test_the_whole_layer_equals_its_oracle(h, w, windows, shifts):
    torch.manual_seed(0)
    width, heads, squeezed = 8, 4, 3
    layers = [(3 * width, width), (width, width), (squeezed, width), (width, squeezed), (width, width // 2)]
    shapes = [
        (2, h * w, width),
        (rows(windows), heads // 2),
        *(s for outputs, n in layers for s in ((outputs, n), (outputs,))),
    ]
    leaves = [torch.randn(*shape, dtype=torch.float64) for shape in shapes]

    def on_leaves(function):
        def call(x, table, *tensors):
            qkv, *others = (LinearWeights(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True))
            return function(x, DynamicWindowWeights(qkv, table, *others), h, w, windows, shifts, heads)

        return call

    both = (
        with_gradients(on_leaves(function), leaves)
        for function in (rivals.dynamic_window, rivals.dynamic_window_oracle)
    )
    for actual, expected in zip(*both, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-9)


def test_windows_hold_neighbors_and_are_put_together_again():
    frame = torch.arange(24.0).reshape(1, 1, 4, 6, 1)
    windows = window_partition(frame, 2)
    assert windows.shape == (1, 6, 1, 4, 1)
    assert windows[0, 1].flatten().tolist() == [2, 3, 8, 9]
    assert torch.equal(window_reverse(windows, 2, 4, 6), frame)


def test_the_mask_is_made_once_and_serves_training_after_inference():
    wrapped_pairs.cache_clear()
    q, k, v, table = operands(1, 1, 4, 4, 4, windows=[2])
    table.requires_grad_()
    with torch.inference_mode():
        expected = rivals.dynamic_window_attention(q, k, v, table, 4, 4, [2], [1])
    out = rivals.dynamic_window_attention(q, k, v, table, 4, 4, [2], [1])
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert table.grad.isfinite().all()
    assert wrapped_pairs.cache_info().misses == 1
    assert wrapped_pairs.cache_info().hits == 1


def test_rows_sum_to_one_except_where_a_window_holds_padding():
    q, k, _, table = operands(1, 2, 5, 6, 4, windows=[2])
    sums = rivals.dynamic_window_attention_map(q, k, table, 5, 6, [2], [0]).sum(-1).reshape(2, 5, 6)
    torch.testing.assert_close(sums[:, :4], torch.ones(2, 4, 6, dtype=torch.float64))
    assert (sums[:, 4] < 0.99).all()


def test_a_shift_keeps_apart_what_only_the_wrap_brings_together():
    q, k, _, table = operands(1, 1, 4, 4, 4, windows=[2])
    weights = rivals.dynamic_window_attention_map(q, k, 0 * table, 4, 4, [2], [1])[0, 0].reshape(4, 4, 4, 4)
    assert weights[0, 0].flatten().argmax() == 0  # the corner is alone in its window
    assert weights[0, 0, 0, 0] > 1 - 1e-9
    assert (weights[1, 1] > 1e-6).sum() == 4
    assert weights[1, 1, 2, 2] > 1e-6


def test_a_padded_key_scores_the_bias_alone_and_carries_nothing():
    q, k, v, table = operands(1, 1, 1, 1, 4, windows=[2])
    scores = table[:, 0][[4, 3, 1, 0]] + torch.tensor([(q @ k.mT / 2).item(), 0, 0, 0])
    out = rivals.dynamic_window_attention(q, k, v, table, 1, 1, [2], [0])
    torch.testing.assert_close(out, scores.softmax(0)[0] * v)


def test_the_gate_is_one_for_the_frame_and_weighs_branches_not_their_mix():
    torch.manual_seed(0)
    width, n = 4, 6
    x, weight = torch.randn(1, n, width), torch.randn(3 * width, width)
    weights = DynamicWindowWeights(
        qkv=LinearWeights(weight, torch.zeros(3 * width)),
        relative_bias=torch.randn(2, 1),  # windows of one token: out = v
        mix=LinearWeights(torch.zeros(width, width), torch.zeros(width)),
        squeeze=LinearWeights(torch.zeros(1, width), torch.zeros(1)),
        # branch 0 in channel 0, branch 1 in channel 1
        excite=LinearWeights(torch.zeros(width, 1), torch.tensor([50.0, -50.0, -50.0, 50.0])),
        head=LinearWeights(torch.eye(width, 2), torch.zeros(width)),
    )
    out = rivals.dynamic_window(x, weights, 2, 3, [1, 1], [0, 0], 2)
    values = x @ weight[2 * width :].mT
    torch.testing.assert_close(out[..., :2], values[..., [0, 3]])
    assert out[..., 2:].abs().max() == 0


def test_plain_windows_hold_neighbors_and_shuffled_ones_a_dilated_grid():
    q, k, _, table = operands(1, 1, 4, 6, 3, window=2)
    plain, shuffled = (
        rivals.shuffle_window_map(q, k, table, 4, 6, 2, shuffle)[0, 0, 0].reshape(4, 6) > 0 for shuffle in (False, True)
    )
    assert plain.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert shuffled.nonzero().tolist() == [[0, 0], [0, 3], [2, 0], [2, 3]]


def test_a_window_as_large_as_the_frame_is_softmax_attention_with_a_bias():
    q, k, v, table = operands(1, 2, 4, 4, 3, window=4)
    bias = table[bias_index(4)].permute(2, 0, 1)
    expected = (q @ k.mT / 3**0.5 + bias).softmax(-1) @ v
    for shuffle in (False, True):
        torch.testing.assert_close(rivals.shuffle_window(q, k, v, table, 4, 4, 4, shuffle), expected)
    torch.testing.assert_close(rivals.dynamic_window_attention(q, k, v, table, 4, 4, [4], [0]), expected)


def test_layers_alternate_and_windows_that_do_not_fit_become_the_frame():
    layers = [RIVALS["dynamic_window_attention"](Setting(4, 8, "space", Extent(1, 3, 8), block=b)) for b in (0, 1)]
    assert [layer.windows for layer in layers] == [[2, 3], [2, 3]]
    assert [layer.shifts for layer in layers] == [[0, 0], [1, 0]]
    layers = [RIVALS["shuffle_window"](Setting(4, 8, "space", Extent(1, 8, 8), block=b)) for b in (0, 1)]
    assert [layer.shuffle for layer in layers] == [False, True]


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


def ones(outputs, inputs):
    return LinearWeights(torch.ones(outputs, inputs), torch.ones(outputs))


def layer(heads=2, excited=4):
    weights = DynamicWindowWeights(ones(12, 4), torch.ones(2, 1), ones(4, 4), ones(1, 4), ones(excited, 1), ones(4, 2))
    return rivals.dynamic_window(torch.ones(1, 6, 4), weights, 2, 3, [1, 1], [0, 0], heads)


@pytest.mark.parametrize(
    ("call", "message"),
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
        (lambda: rivals.dynamic_window_attention(*QKV, torch.ones(1, 4), 4, 6, [0], [0]), r"windows=\[0\]: each side"),
        (lambda: layer(heads=3), "heads=3 do not divide 4 channels"),
        (lambda: layer(excited=2), "weights.excite makes 2 channels of 4"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
