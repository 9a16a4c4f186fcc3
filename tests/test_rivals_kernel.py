"""The kernel rivals: equal to their oracles in outputs and gradients, and what is said about their maps is so."""

import math

import pytest
import torch
from rival_arguments import constants, of_map
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map

from linvid_edu.attention import rivals
from linvid_edu.attention.functions import linear_attention
from linvid_edu.attention.rivals.focused_linear_2023 import focused_features
from linvid_edu.attention.rivals.performer_2020 import performer_features
from linvid_edu.attention.rivals.sana_video_attention_2025 import rotary_angles, rotary_widths, rotate
from linvid_edu.shapes import Extent, Grid

SIZES = [(1, 1, 1, 2), (2, 3, 12, 8), (1, 2, 24, 14)]  # b, heads, n, d


NAMES = [
    "elu_linear",
    "sana_relu_linear",
    "performer",
    "cosformer",
    "focused_linear",
    "sana_video_attention",
    "sana_block_causal",
]


def arguments(name, size, dtype=torch.float64):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, *size, dtype=dtype)
    further = tree_map(lambda x: x.to(dtype) if isinstance(x, torch.Tensor) else x, constants(name, *size))
    return {"q": q, "k": k, "v": v, **further}


def run_with_gradients(function, given):
    arguments = tree_map(lambda x: x.clone().requires_grad_() if isinstance(x, torch.Tensor) else x, given)
    leaves = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor)]
    out = function(**arguments)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_function_equals_oracle_in_outputs_and_gradients(name, size):
    given = arguments(name, size)
    functions = getattr(rivals, name), getattr(rivals, f"{name}_oracle")
    for actual, expected in zip(*(run_with_gradients(function, given) for function in functions), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def explicit_map(name, given):
    return getattr(rivals, f"{name}_map")(**of_map(given))


@pytest.mark.parametrize("name", ["elu_linear", "performer", "cosformer", "sana_relu_linear"])
def test_rows_are_averages(name):
    given = arguments(name, (2, 3, 12, 8))
    tiny = {key: 1e-9 for key in ("eps", "feature_offset", "floor") if key in given}
    weights = explicit_map(name, given | tiny)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 12, dtype=torch.float64), rtol=1e-4, atol=1e-4)
    assert weights.min() >= 0


def test_rows_of_focused_attention_lose_what_a_small_query_loses_to_the_offset():
    given = arguments("focused_linear", (2, 3, 12, 8))
    given["q"][0, 1, 4] = -1.0  # a head without a positive channel
    sums = explicit_map("focused_linear", given).sum(-1)
    assert sums[0, 1, 4] < 0.5
    assert 0.9999 < sums.max() <= 1


@pytest.mark.parametrize("name", ["sana_video_attention", "sana_block_causal"])
def test_rows_of_rotated_features_are_no_averages(name):
    weights = explicit_map(name, arguments(name, (2, 3, 12, 8)))
    assert weights.min() < 0
    assert (weights.sum(-1) - 1).abs().max() > 0.1


@pytest.mark.parametrize("name", ["sana_relu_linear", "cosformer", "sana_video_attention"])
def test_a_query_without_a_positive_channel_gets_zeros(name):
    given = arguments(name, (2, 3, 12, 8), torch.float32)
    for constant in {"eps", "floor"} & set(given):
        given.pop(constant)  # use the published value
    given["q"][:, :, 4] = -1.0
    out = getattr(rivals, name)(**given)
    assert torch.equal(out[:, :, 4], torch.zeros(2, 3, 8))
    assert out.isfinite().all()


def test_a_rival_that_is_only_another_feature_map_is_only_that():
    q, k, v = torch.randn(3, 1, 2, 9, 4)
    assert torch.equal(rivals.elu_linear(q, k, v), linear_attention(q, k, v, feature_map=lambda x: F.elu(x) + 1))
    assert torch.equal(rivals.sana_relu_linear(q, k, v), linear_attention(q, k, v, feature_map=F.relu, eps=1e-15))


def test_performer_comes_near_softmax_attention_with_more_features():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 20, 4, dtype=torch.float64)
    exact = (q @ k.mT / 2).softmax(-1)
    far = []
    for features in (4, 64, 4096):
        projection = rivals.orthogonal_projection(features, 4).double()
        far.append((rivals.performer_map(q, k, projection, feature_offset=1e-9) - exact).abs().mean().item())
    assert far[0] > 2 * far[1] > 4 * far[2]


def test_projection_is_orthogonal_within_blocks_and_long_as_gaussian_vectors():
    projection = rivals.orthogonal_projection(4000, 5, torch.Generator().manual_seed(0))
    block = projection[:5] / projection[:5].norm(dim=1, keepdim=True)
    torch.testing.assert_close(block @ block.mT, torch.eye(5), rtol=0, atol=1e-5)
    assert abs(projection.square().sum(1).mean().item() - 5) < 0.2
    assert abs(projection.mean().item()) < 0.05


def test_the_feature_offset_is_a_floor_relative_to_the_largest_key():
    q, k = torch.randn(2, 1, 1, 6, 4)
    projection = rivals.orthogonal_projection(8, 4)
    least = performer_features(q, 3 * k, projection, feature_offset=1e-2)[1].min()
    assert least >= 8**-0.5 * 1e-2


def test_cosformer_weighs_by_the_distance_on_the_line_and_by_its_length():
    ones = torch.ones(1, 1, 8, 3)
    weights = rivals.cosformer_map(ones, ones)[0, 0]
    assert (weights[0].diff() < 0).all()  # nearer is more
    expected = torch.tensor([math.cos(math.pi * j / 16) for j in range(8)])
    torch.testing.assert_close(weights[0], expected / expected.sum())
    assert rivals.cosformer_map(ones[:, :, :4], ones[:, :, :4])[0, 0, 0, 1] / rivals.cosformer_map(
        ones[:, :, :4], ones[:, :, :4]
    )[0, 0, 0, 0] != pytest.approx((weights[0, 1] / weights[0, 0]).item())


def test_focusing_keeps_the_length_over_all_heads_and_turns_to_the_largest_channel():
    x = torch.tensor([1.0, 2.0, 3.0, 0.5]).reshape(1, 2, 1, 2)
    scale = torch.full((2, 2), math.log(math.e - 1))  # softplus of it is 1
    once, more = (focused_features(x, x, scale, factor)[0].flatten() for factor in (1, 8))
    torch.testing.assert_close(once, x.flatten() + 1e-6)
    torch.testing.assert_close(more.norm(), once.norm())
    assert more[2] / more.norm() > 0.99  # heads are coupled: the first one keeps almost nothing
    assert more[:2].norm() < 0.05 * more.norm()


def test_a_query_that_meets_a_key_only_after_the_rotation_blows_up():
    """The normalizer ignores the rotation: it equals eps, and the output is as large as 1 / eps."""
    q, k = (torch.tensor([[[a, b]]] * 2).reshape(1, 1, 2, 2).double() for a, b in ((1.0, 0.0), (0.0, 1.0)))
    out = rivals.sana_video_attention(q, k, torch.ones_like(q), 2, 1, 1)
    assert out.abs().max() > 1e10
    assert rivals.sana_relu_linear(q, k, torch.ones_like(q)).abs().max() == 0


def test_focusing_survives_tokens_without_a_positive_channel():
    x = -torch.ones(1, 2, 3, 4)
    for factor in (3, 6, 12):
        (features, _) = focused_features(x, x, torch.zeros(2, 4), factor)
        torch.testing.assert_close(features, torch.full_like(x, 1e-6 / math.log(2)))


def test_rotary_widths_are_the_published_ones():
    assert rotary_widths(14) == (6, 4, 4)
    assert rotary_widths(112) == (40, 36, 36)
    assert rotary_widths(2) == (2, 0, 0)


def test_rotation_keeps_lengths_and_makes_products_depend_on_the_distance_alone():
    angles = rotary_angles(Extent(5, 1, 1), 8)
    x, y = torch.randn(2, 1, 8, dtype=torch.float64)
    turned_x, turned_y = (rotate(token.expand(5, 8), angles) for token in (x, y))
    torch.testing.assert_close(turned_x.norm(dim=-1), x.norm().expand(5))
    products = turned_x @ turned_y.mT
    for apart in range(-3, 4):
        diagonal = products.diagonal(apart)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))


def test_block_causal_is_the_whole_attention_of_each_prefix_and_sees_nothing_later():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 30, 8, dtype=torch.float64)
    out = rivals.sana_block_causal(q, k, v, 5, 2, 3, [0, 2, 3])
    for first, last in ((0, 2), (2, 3), (3, 5)):
        prefix = [x[:, :, : 6 * last] for x in (q, k, v)]
        whole = rivals.sana_video_attention(*prefix, last, 2, 3)
        torch.testing.assert_close(out[:, :, 6 * first : 6 * last], whole[:, :, 6 * first :], rtol=1e-9, atol=1e-11)
    later = v.clone()
    later[:, :, 18:] = 0
    assert torch.equal(rivals.sana_block_causal(q, k, later, 5, 2, 3, [0, 2, 3])[:, :, :18], out[:, :, :18])
    one = rivals.sana_block_causal(q, k, v, 5, 2, 3, [0])
    torch.testing.assert_close(one, rivals.sana_video_attention(q, k, v, 5, 2, 3), rtol=1e-9, atol=1e-11)


QKV = torch.ones(3, 1, 2, 6, 4)


def kernels(side):
    return rivals.DepthwiseWeights(torch.ones(4, side, side), None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rivals.performer(*QKV, projection=torch.ones(8, 5)), r"heads of 5 .* q has 4 .*orthogonal_projection"),
        (lambda: rivals.performer(*QKV, projection=torch.ones(0, 4)), "with 0 features"),
        (lambda: rivals.orthogonal_projection(0, 4), "features=0"),
        (
            lambda: rivals.cosformer(QKV[0], QKV[1, :, :, :5], QKV[2, :, :, :5]),
            "q has 6 tokens and k has 5: pass queries and keys of the same tokens",
        ),
        (lambda: rivals.focused_linear(*QKV, torch.zeros(4)), r"shape \(4,\).* 2 heads of 4"),
        (lambda: rivals.focused_linear(*QKV, torch.zeros(2, 4), 0), "focusing_factor=0"),
        (lambda: rivals.focused_linear(*QKV, torch.zeros(2, 4), 3, kernels(3)), "arrangement of the tokens: pass grid"),
        (
            lambda: rivals.focused_linear(*QKV, torch.zeros(2, 4), 3, kernels(3), Grid(2, 4)),
            "make 8 tokens, q has 6",
        ),
        (lambda: rivals.focused_linear(*QKV, torch.zeros(2, 4), 3, kernels(2), Grid(2, 3)), "odd side"),
        (lambda: rivals.sana_video_attention(*QKV, 2, 2, 2), "make 8 tokens, q has 6"),
        (lambda: rivals.sana_video_attention(*torch.ones(3, 1, 2, 6, 5), 1, 2, 3), "5 channels .* 4 or 6"),
        (lambda: rivals.sana_block_causal(*QKV, 3, 1, 2, [1, 2]), r"block_starts=\[1, 2\] of 3 frames"),
        (lambda: rivals.sana_block_causal(*QKV, 3, 1, 2, [0, 3]), r"block_starts=\[0, 3\] of 3 frames"),
        (lambda: rivals.sana_block_causal(*QKV, 3, 1, 2, []), r"block_starts=\[\] of 3 frames"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
