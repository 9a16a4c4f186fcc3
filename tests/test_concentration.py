"""Every measure against its value where that is known, and against its definition elsewhere."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linvid_edu.attention.measures import (
    concentration,
    effective_tokens,
    entropy,
    gini,
    mask_share,
    mass_on,
    negative_share,
    normalized_entropy,
    numerical_rank,
    top_mass,
)


@pytest.mark.parametrize("m", [1, 2, 7, 40])
def test_uniform_attention(m):
    weights = torch.full((3, m), 2.0)  # any scale: rows are normalized
    torch.testing.assert_close(entropy(weights), torch.full((3,), math.log(m)))
    torch.testing.assert_close(effective_tokens(weights), torch.full((3,), float(m)))
    torch.testing.assert_close(normalized_entropy(weights), torch.full((3,), 1.0 if m > 1 else 0.0))
    torch.testing.assert_close(gini(weights), torch.zeros(3))
    torch.testing.assert_close(top_mass(weights), torch.full((3,), math.ceil(0.05 * m) / m))


@pytest.mark.parametrize("m", [1, 2, 7, 40])
def test_attention_on_one_token(m):
    weights = torch.eye(m)
    for measure, value in ((entropy, 0), (normalized_entropy, 0), (effective_tokens, 1), (top_mass, 1)):
        torch.testing.assert_close(measure(weights), torch.full((m,), float(value)))
    torch.testing.assert_close(gini(weights), torch.full((m,), 1 - 1 / m))
    assert numerical_rank(weights).item() == m


@given(m=st.integers(2, 30), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_definitions(m, seed):
    p = torch.rand(m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).softmax(0)
    values = p.tolist()
    assert entropy(p).item() == pytest.approx(-sum(x * math.log(x) for x in values))
    pairs = sum(abs(x - y) for x in values for y in values)
    assert gini(p).item() == pytest.approx(pairs / (2 * m * sum(values)))
    assert top_mass(p, share=0.3).item() == pytest.approx(sum(sorted(values)[-math.ceil(0.3 * m) :]))
    mask = torch.arange(m) % 3 == 0
    assert mass_on(p, mask).item() == pytest.approx(sum(values[::3]))
    assert mask_share(mask).item() == pytest.approx(len(values[::3]) / m)


def test_a_share_that_divides_evenly_takes_that_many_tokens():
    weights = torch.arange(1.0, 101)
    for count in range(1, 101):
        expected = weights[-count:].sum() / weights.sum()
        assert top_mass(weights, share=count / 100).item() == pytest.approx(expected.item(), rel=1e-5)


def test_rank_counts_singular_values():
    a, b = torch.randn(9, 3, dtype=torch.float64), torch.randn(3, 9, dtype=torch.float64)
    assert numerical_rank(a @ b).item() == 3
    assert numerical_rank(torch.diag(torch.tensor([1.0, 1e-3, 1e-5])), tolerance=1e-4).item() == 2


def test_negative_weights_count_by_their_size():
    weights = torch.tensor([0.5, -0.25, 1.0, 0.0, -0.25])  # sums to 1, its sizes to 2
    shares = torch.tensor([0.25, 0.125, 0.5, 0.0, 0.125])
    for measure in (entropy, normalized_entropy, effective_tokens, top_mass, gini):
        torch.testing.assert_close(measure(weights), measure(shares))
        torch.testing.assert_close(measure(weights), measure(-3 * weights))
    assert concentration(weights) == pytest.approx(concentration(shares))
    on = torch.tensor([True, True, False, False, False])
    assert mass_on(weights, on).item() == pytest.approx(0.375)
    assert negative_share(weights).item() == pytest.approx(0.25)
    assert negative_share(shares).item() == 0
    balanced = torch.tensor([[1.0, -1.0, 0.0], [-1.0, -1.0, -1.0]])  # a sum of 0 is no dead row
    torch.testing.assert_close(effective_tokens(balanced), torch.tensor([2.0, 3.0]))
    torch.testing.assert_close(negative_share(balanced), torch.tensor([0.5, 1.0]))


def test_the_summary_is_the_mean_over_rows():
    weights = torch.stack([torch.ones(10), torch.eye(10)[0]])
    summary = concentration(weights)
    assert summary.normalized_entropy == pytest.approx(0.5)
    assert summary.effective_tokens == pytest.approx(5.5)
    assert summary.top_mass == pytest.approx(0.55)
    assert summary.gini == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0, 0.0], "is 0 everywhere"),
        ([1.0, float("nan")], "not a number"),
        ([], "0 tokens"),
    ],
)
def test_what_is_no_distribution_is_named(weights, message):
    with pytest.raises(ValueError, match=message):
        entropy(torch.tensor(weights))


def test_a_bad_share_is_named():
    with pytest.raises(ValueError, match="share=0"):
        top_mass(torch.ones(3), share=0.0)
