"""FAQ's queries and SANA-Video's feed-forward: equal to their loops, and what is said of them is so."""

import pytest
import torch

from linvid_edu.attention import rivals


def tensors(*shapes):
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64) for shape in shapes]


def with_gradients(function, leaves, **constants):
    leaves = [each.clone().requires_grad_() for each in leaves]
    out = function(*leaves, **constants)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)


def mixffn(t, h, w, c=4, m=3, side=3, taps=3, b=2):
    leaves = tensors((b, t * h * w, c), (2 * m, c), (2 * m,), (2 * m, side, side), (2 * m,), (c, m), (c, c, taps))
    return leaves, {"t": t, "h": h, "w": w}


def dynamic(frames=3, tokens=7, c=5, d=6, base=8, hidden=4, ratio=2):
    leaves = tensors((frames, tokens, c), (base, d), (hidden, c), (hidden,), (base, hidden), (base,))
    return leaves, {"ratio": ratio}


def aggregation(b=2, queries=3, refs=5, classes=4, c=8, hidden=6, heads=2, top_k=7):
    shapes = [(b, queries, c), (b, refs, c), (b, refs, classes)]
    shapes += [(3 * c, c), (3 * c,), (c, c), (c,), (c,), (c,)] * 2
    shapes += [(hidden, c), (hidden,), (c, hidden), (c,), (c,), (c,)]
    return tensors(*shapes), {"heads": heads, "top_k": top_k}


def vanilla(b=2, frames=4, queries=3, d=5, c=6, e=7):
    return tensors((b, frames, queries, d), (b, c), (b, frames, c), (e, c), (e, c)), {}


CASES = {
    "sana_video_mixffn": [mixffn(1, 1, 1), mixffn(4, 2, 3), mixffn(2, 3, 1, side=1, taps=1), mixffn(5, 2, 2, taps=4)],
    "faq_dynamic_queries": [dynamic(), dynamic(base=5, ratio=1), dynamic(base=6, ratio=6)],
    "faq_query_aggregation": [aggregation(), aggregation(top_k=1, heads=1), aggregation(top_k=20, b=1)],
    "faq_vanilla_queries": [vanilla(), vanilla(frames=1, b=1)],
}


@pytest.mark.parametrize(("name", "case"), [(name, i) for name, cases in CASES.items() for i in range(len(cases))])
def test_functions_equal_their_loops(name, case):
    leaves, constants = CASES[name][case]
    both = (with_gradients(getattr(rivals, each), leaves, **constants) for each in (name, f"{name}_oracle"))
    for actual, expected in zip(*both, strict=True):
        if actual is None or expected is None:  # scores choose, and get no gradient
            assert actual is expected
            continue
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def test_without_temporal_weights_frames_do_not_meet():
    leaves, grid = mixffn(3, 2, 2)
    leaves[-1] = torch.zeros_like(leaves[-1])
    out = rivals.sana_video_mixffn(*leaves, **grid)
    changed = [leaves[0].clone(), *leaves[1:]]
    changed[0][:, 4:] = 0  # all frames but the first
    assert torch.equal(rivals.sana_video_mixffn(*changed, **grid)[:, :4], out[:, :4])


def test_the_feed_forward_reads_the_next_frame():
    leaves, grid = mixffn(3, 2, 2)
    changed = [leaves[0].clone(), *leaves[1:]]
    changed[0][:, 4:] = 0
    first = (rivals.sana_video_mixffn(*each, **grid)[:, :4] for each in (leaves, changed))
    assert not torch.allclose(*first)


def test_dynamic_queries_are_no_average():
    leaves, constants = dynamic()
    leaves[1] = torch.ones_like(leaves[1])
    sums = rivals.faq_dynamic_queries(*leaves, **constants)[..., 0]
    assert (sums - 1).abs().min() > 1e-3
    assert sums.min() < 0


def test_a_query_that_is_picked_twice_weighs_twice():
    leaves, _ = aggregation(refs=2, classes=2)
    leaves[2] = torch.tensor([[[9.0, 8.0], [7.0, 0.0]]] * 2, dtype=torch.float64)
    once, twice = (rivals.faq_query_aggregation(*leaves, heads=2, top_k=k) for k in (1, 2))
    torch.testing.assert_close(once, twice)  # the same query again: alone, it changes nothing
    three = rivals.faq_query_aggregation(*leaves, heads=2, top_k=3)
    leaves[2] = torch.tensor([[[9.0, 0.0], [7.0, 0.0]]] * 2, dtype=torch.float64)
    assert not torch.allclose(three, rivals.faq_query_aggregation(*leaves, heads=2, top_k=2))


def test_cosines_are_not_normalized_over_frames():
    leaves, _ = vanilla(frames=2)
    leaves[0] = torch.ones_like(leaves[0])
    leaves[2][:] = leaves[1].unsqueeze(1)
    leaves[4] = leaves[3]
    torch.testing.assert_close(rivals.faq_vanilla_queries(*leaves), torch.full((2, 3, 5), 2.0, dtype=torch.float64))


def calls():
    (x, *weights), grid = mixffn(2, 2, 2)
    yield lambda: rivals.sana_video_mixffn(x, *weights, t=3, h=2, w=2), "make 12 tokens, q has 8"
    odd = [weights[0][:5], weights[1][:5], weights[2][:5], weights[3][:5], *weights[4:]]
    yield lambda: rivals.sana_video_mixffn(x, *odd, **grid), "makes 5 channels"
    even = [*weights[:2], weights[2][:, :2, :2], *weights[3:]]
    yield lambda: rivals.sana_video_mixffn(x, *even, **grid), "is 2 wide: choose an odd side"
    leaves, _ = dynamic()
    yield lambda: rivals.faq_dynamic_queries(*leaves, ratio=3), "ratio=3 does not divide 8 base queries"
    leaves_a, _ = aggregation()
    aggregate = rivals.faq_query_aggregation
    yield lambda: aggregate(*leaves_a, heads=2, top_k=21), "top_k=21 of 5 queries × 4 classes: choose 1 to 20"
    yield lambda: aggregate(*leaves_a, heads=3, top_k=1), "heads=3 do not divide 8 channels"
    (queries, current, frames, alpha, beta), _ = vanilla()
    average = rivals.faq_vanilla_queries
    yield lambda: average(queries, current, frames[:, :1], alpha, beta), "queries of 4 frames, features of 1"
    yield lambda: average(queries, current, frames, alpha, beta[:1]), "alpha_weight makes 7 channels, beta_weight 1"
    leaves_m, _ = dynamic()
    yield (
        lambda: rivals.faq_dynamic_queries(*leaves_m[:4], leaves_m[4][:4], leaves_m[5][:4], ratio=2),
        "makes 4 weights",
    )


@pytest.mark.parametrize(("call", "words"), list(calls()))
def test_bad_arguments_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()
