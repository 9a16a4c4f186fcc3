"""The comparison that ends a derivation: what it prints, and what it rejects."""

import numpy as np
import pytest
import torch

from linvid_edu.testing import assert_same


def test_equal_tensors_print_one_line_without_a_measured_number(capsys):
    expected = torch.linspace(-2.31, 2.31, 48).reshape(2, 4, 6)
    assert_same(expected + 2e-7, expected, name="linear attention")
    line = "linear attention: same shape (2, 4, 6), largest difference within 1e-05 of the largest value\n"
    assert capsys.readouterr().out == line
    assert_same(expected, expected, name="linear attention")
    assert capsys.readouterr().out == line


def test_exact_names_the_largest_difference_its_place_and_the_scale(capsys):
    expected = np.zeros((1, 4, 6))
    expected[0, 0, 0] = -2.31
    actual = expected.copy()
    actual[0, 3, 5] = 1.2e-7
    assert_same(actual, expected, name="linear attention", exact=True)
    line = "linear attention: largest difference 1.2e-07 at (0, 3, 5), within 1e-05 of the largest value 2.31\n"
    assert capsys.readouterr().out == line


def test_quiet_prints_nothing(capsys):
    assert_same(1.0, 1.0, quiet=True)
    assert capsys.readouterr().out == ""


def test_different_values_are_reported_with_place_and_both_values():
    expected = torch.ones(2, 3)
    actual = expected.clone()
    actual[1, 2] = 1.5
    with pytest.raises(AssertionError, match=r"mine: largest difference 0\.5 at \(1, 2\): actual 1\.5, expected 1;"):
        assert_same(actual, expected, name="mine")


def test_different_shapes_are_both_named():
    with pytest.raises(AssertionError, match=r"shapes differ: actual \(2, 4, 6\), expected \(2, 6, 4\)"):
        assert_same(torch.zeros(2, 4, 6), torch.zeros(2, 6, 4))
    with pytest.raises(AssertionError, match=r"actual \(\), expected \(1,\)"):
        assert_same(1.0, [1.0])


@pytest.mark.parametrize("side", ["actual", "expected"])
def test_nan_is_reported_with_its_place_on_either_side(side):
    values = {"actual": torch.zeros(3, 4), "expected": torch.zeros(3, 4)}
    values[side][1, 2] = values[side][2, 0] = torch.nan
    with pytest.raises(AssertionError, match=rf"{side} contains NaN: 2 of 12 values, the first at \(1, 2\)"):
        assert_same(**values)
    with pytest.raises(AssertionError, match="contains NaN: 1 of 1 values"):
        assert_same(float("nan"), float("nan"))


def test_tolerance_is_relative_to_the_largest_expected_value():
    assert_same([1000.005, 0.001], [1000.0, 0.005], quiet=True)
    with pytest.raises(AssertionError, match=r"the tolerance is 1e-06 of the largest value 1e\+03"):
        assert_same([1000.005], [1000.0], tolerance=1e-6)


def test_tolerance_is_absolute_where_all_expected_values_are_zero(capsys):
    assert_same([1e-6, 0.0], [0.0, 0.0])
    assert capsys.readouterr().out == "same shape (2,), largest difference within 1e-05\n"
    with pytest.raises(AssertionError, match="the tolerance is 1e-05"):
        assert_same([1e-4, 0.0], [0.0, 0.0])


def test_infinities_agree_by_sign_only():
    assert_same([-np.inf, 1.0], torch.tensor([-np.inf, 1.0]), quiet=True)
    for wrong in ([np.inf, 1.0], [1e9, 1.0]):
        with pytest.raises(AssertionError, match="largest difference inf"):
            assert_same(wrong, [-np.inf, 1.0])


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (3, 3),
        (True, torch.tensor(True)),
        ([], np.zeros(0)),
        (torch.zeros(0, 4), np.zeros((0, 4), int)),
        ([[1, 2], [3, 4]], torch.tensor([[1, 2], [3, 4]])),
        ([torch.tensor(1.0, requires_grad=True), 2.0], np.array([1, 2])),
        (torch.ones(2, dtype=torch.bfloat16), [True, True]),
        (torch.ones(2, dtype=torch.complex64).conj(), np.ones(2)),
        (np.float32(0.5), torch.tensor(0.5, dtype=torch.float64)),
    ],
)
def test_every_kind_of_input_is_compared(actual, expected, capsys):
    assert_same(actual, expected)
    assert capsys.readouterr().out.count("\n") == 1
    assert_same(actual, expected, exact=True)
