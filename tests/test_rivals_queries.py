"""FAQ's queries and SANA-Video's feed-forward: equal to their loops, and as their docstrings say."""

import pytest
import torch

from linvid_edu.attention import rivals
from linvid_edu.attention.rivals import (
    AggregationWeights,
    AttentionWeights,
    DepthwiseWeights,
    LinearWeights,
    MixFFNWeights,
    NormWeights,
)


def tensors(*shapes):
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64) for shape in shapes]


def mixffn_weights(leaves):
    return MixFFNWeights(LinearWeights(*leaves[:2]), DepthwiseWeights(*leaves[2:4]), *leaves[4:])


def aggregation_weights(leaves):
    attentions = [
        AttentionWeights(LinearWeights(*group[:2]), LinearWeights(*group[2:4]), NormWeights(*group[4:]))
        for group in (leaves[:6], leaves[6:12])
    ]
    return AggregationWeights(
        *attentions, LinearWeights(*leaves[12:14]), LinearWeights(*leaves[14:16]), NormWeights(*leaves[16:])
    )


def call(function, leaves, constants):
    """Call a function, or its oracle, with its learned weights bundled from a list of tensors."""
    name = function.__name__.removesuffix("_oracle")
    if name == "sana_video_mixffn":
        return function(leaves[0], mixffn_weights(leaves[1:]), **constants)
    if name == "faq_query_aggregation":
        return function(*leaves[:3], aggregation_weights(leaves[3:]), **constants)
    if name == "faq_dynamic_queries":
        return function(*leaves[:2], LinearWeights(*leaves[2:4]), LinearWeights(*leaves[4:]), **constants)
    return function(*leaves, **constants)


def with_gradients(function, leaves, **constants):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    out = call(function, leaves, constants)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)


def mixffn(t, h, w, width=4, hidden=3, side=3, taps=3, b=2):
    leaves = tensors(
        (b, t * h * w, width),
        (2 * hidden, width),
        (2 * hidden,),
        (2 * hidden, side, side),
        (2 * hidden,),
        (width, hidden),
        (width, width, taps),
    )
    return leaves, {"t": t, "h": h, "w": w}


def dynamic(t=3, n=7, width=5, channels=6, base=8, hidden=4, ratio=2):
    leaves = tensors((t, n, width), (base, channels), (hidden, width), (hidden,), (base, hidden), (base,))
    return leaves, {"ratio": ratio}


def aggregation(b=2, queries=3, references=5, classes=4, width=8, hidden=6, heads=2, top_k=7):
    shapes = [(b, queries, width), (b, references, width), (b, references, classes)]
    shapes += [(3 * width, width), (3 * width,), (width, width), (width,), (width,), (width,)] * 2
    shapes += [(hidden, width), (hidden,), (width, hidden), (width,), (width,), (width,)]
    return tensors(*shapes), {"heads": heads, "top_k": top_k}


def vanilla(b=2, t=4, queries=3, channels=5, width=6, compared=7):
    return tensors((b, t, queries, channels), (b, width), (b, t, width), (compared, width), (compared, width)), {}


CASES = {
    "sana_video_mixffn": [mixffn(1, 1, 1), mixffn(4, 2, 3), mixffn(2, 3, 1, side=1, taps=1), mixffn(5, 2, 2, taps=4)],
    "faq_dynamic_queries": [dynamic(), dynamic(base=5, ratio=1), dynamic(base=6, ratio=6)],
    "faq_query_aggregation": [aggregation(), aggregation(top_k=1, heads=1), aggregation(top_k=20, b=1)],
    "faq_vanilla_queries": [vanilla(), vanilla(t=1, b=1)],
}


@pytest.mark.parametrize(("name", "case"), [(name, i) for name, cases in CASES.items() for i in range(len(cases))])
def test_functions_equal_their_loops(name, case):
    leaves, constants = CASES[name][case]
    both = (with_gradients(getattr(rivals, function), leaves, **constants) for function in (name, f"{name}_oracle"))
    for actual, expected in zip(*both, strict=True):
        if actual is None or expected is None:  # scores choose, and get no gradient
            assert actual is expected
            continue
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def test_without_temporal_weights_frames_do_not_meet():
    leaves, grid = mixffn(3, 2, 2)
    leaves[-1] = torch.zeros_like(leaves[-1])
    out = call(rivals.sana_video_mixffn, leaves, grid)
    changed = [leaves[0].clone(), *leaves[1:]]
    changed[0][:, 4:] = 0  # all frames but the first
    assert torch.equal(call(rivals.sana_video_mixffn, changed, grid)[:, :4], out[:, :4])


def test_the_feed_forward_reads_the_next_frame():
    leaves, grid = mixffn(3, 2, 2)
    changed = [leaves[0].clone(), *leaves[1:]]
    changed[0][:, 4:] = 0
    first = (call(rivals.sana_video_mixffn, inputs, grid)[:, :4] for inputs in (leaves, changed))
    assert not torch.allclose(*first)


def test_dynamic_queries_are_no_average():
    leaves, constants = dynamic()
    leaves[1] = torch.ones_like(leaves[1])
    sums = call(rivals.faq_dynamic_queries, leaves, constants)[..., 0]
    assert (sums - 1).abs().min() > 1e-3
    assert sums.min() < 0


def aggregate(leaves, **constants):
    return call(rivals.faq_query_aggregation, leaves, constants)


def test_a_query_that_is_picked_twice_weighs_twice():
    leaves, _ = aggregation(references=2, classes=2)
    leaves[2] = torch.tensor([[[9.0, 8.0], [7.0, 0.0]]] * 2, dtype=torch.float64)
    once, twice = (aggregate(leaves, heads=2, top_k=k) for k in (1, 2))
    torch.testing.assert_close(once, twice)  # the same query again: alone, it changes nothing
    three = aggregate(leaves, heads=2, top_k=3)
    leaves[2] = torch.tensor([[[9.0, 0.0], [7.0, 0.0]]] * 2, dtype=torch.float64)
    assert not torch.allclose(three, aggregate(leaves, heads=2, top_k=2))


def test_cosines_are_not_normalized_over_frames():
    leaves, _ = vanilla(t=2)
    leaves[0] = torch.ones_like(leaves[0])
    leaves[2][:] = leaves[1].unsqueeze(1)
    leaves[4] = leaves[3]
    torch.testing.assert_close(rivals.faq_vanilla_queries(*leaves), torch.full((2, 3, 5), 2.0, dtype=torch.float64))


def calls():
    leaves_f, grid = mixffn(2, 2, 2)
    feed_forward = rivals.sana_video_mixffn
    yield lambda: call(feed_forward, leaves_f, {"t": 3, "h": 2, "w": 2}), "make 12 tokens, q has 8"
    odd = [leaves_f[0], *(leaf[:5] for leaf in leaves_f[1:5]), *leaves_f[5:]]
    yield lambda: call(feed_forward, odd, grid), "makes 5 channels"
    even = [*leaves_f[:3], leaves_f[3][:, :2, :2], *leaves_f[4:]]
    yield lambda: call(feed_forward, even, grid), "has side 2: choose an odd side"
    none = [*leaves_f[:6], leaves_f[6][:, :, :0]]
    yield lambda: call(feed_forward, none, grid), "temporal has 0 taps"
    leaves, _ = dynamic()
    yield lambda: call(rivals.faq_dynamic_queries, leaves, {"ratio": 3}), "ratio=3 does not divide 8 base queries"
    leaves_a, _ = aggregation()
    yield lambda: aggregate(leaves_a, heads=2, top_k=21), "top_k=21 of 5 queries × 4 classes: choose 1 to 20"
    yield lambda: aggregate(leaves_a, heads=3, top_k=1), "heads=3 do not divide 8 channels"
    (queries, current, frames, alpha, beta), _ = vanilla()
    average = rivals.faq_vanilla_queries
    yield lambda: average(queries, current, frames[:, :1], alpha, beta), "queries of 4 frames, features of 1"
    yield lambda: average(queries, current, frames, alpha, beta[:1]), "alpha_weight makes 7 channels, beta_weight 1"
    leaves_m, _ = dynamic()
    yield (
        lambda: call(rivals.faq_dynamic_queries, [*leaves_m[:4], leaves_m[4][:4], leaves_m[5][:4]], {"ratio": 2}),
        "makes 4 weights",
    )


@pytest.mark.parametrize(("invalid_call", "message"), list(calls()))
def test_bad_arguments_are_named(invalid_call, message):
    with pytest.raises(ValueError, match=message):
        invalid_call()
