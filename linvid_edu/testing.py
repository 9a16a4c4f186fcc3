"""Compare two results, and report where they differ."""

import numpy as np

from .arrays import ArrayLike, to_numpy


def assert_same(
    actual: ArrayLike,
    expected: ArrayLike,
    *,
    tolerance: float = 1e-5,
    name: str = "",
    exact: bool = False,
    quiet: bool = False,
) -> None:
    """Assert that two results agree in shape and value, and print one line if they do.

    max |actual − expected| ≤ tolerance · max |expected|

    Data types and devices may differ. An infinity agrees with an infinity of the same sign; NaN agrees with nothing.
    The printed line contains no measured number unless ``exact`` is set, so that it is the same on every machine.

    Args:
        actual: Your result, any shape.
        expected: Result to compare with, the same shape.
        tolerance: Largest allowed difference, relative to the largest finite |expected|; absolute if all expected
            values are 0.
        name: Name of the result, at the start of the line.
        exact: Whether to print the largest difference and its index, which vary slightly between machines.
        quiet: Whether to print nothing.

    Raises:
        AssertionError: If shapes differ, a value is NaN, or the largest difference exceeds the tolerance.
    """
    prefix = f"{name}: " if name else ""
    try:
        line = _compare(_comparable(actual), _comparable(expected), tolerance, exact)
    except AssertionError as error:
        raise AssertionError(f"{prefix}{error}") from None
    if not quiet:
        print(f"{prefix}{line}")


def _compare(actual: np.ndarray, expected: np.ndarray, tolerance: float, exact: bool) -> str:
    """Return the line for two results that agree, or raise AssertionError."""
    if actual.shape != expected.shape:
        raise AssertionError(f"shapes differ: actual {actual.shape}, expected {expected.shape}")
    for name, values in (("actual", actual), ("expected", expected)):
        if np.isnan(values).any():
            raise AssertionError(_nan_report(name, values))
    if actual.size == 0:
        return f"same shape {actual.shape}, with no values to compare"
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(actual == expected, 0.0, np.abs(actual - expected))
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), actual.shape))
    largest = float(difference[index])
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    bound = f"{tolerance:.3g} of the largest value" if scale else f"{tolerance:.3g}"
    limit = f"{bound} {scale:.3g}" if scale else bound
    measured = f"largest difference {largest:.2g}{_at(index)}"
    if not largest <= tolerance * (scale or 1.0):
        both = f"actual {actual[index]:.7g}, expected {expected[index]:.7g}"
        raise AssertionError(f"{measured}: {both}; the tolerance is {limit}")
    return f"{measured}, within {limit}" if exact else f"same shape {actual.shape}, largest difference within {bound}"


def _comparable(values: ArrayLike) -> np.ndarray:
    array = to_numpy(values)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _nan_report(name: str, values: np.ndarray) -> str:
    first = tuple(int(i) for i in np.argwhere(np.isnan(values))[0])
    place = f", the first{_at(first)}" if first else ""
    return f"{name} contains NaN: {int(np.isnan(values).sum()):,} of {values.size:,} values{place}"


def _at(index: tuple[int, ...]) -> str:
    return f" at {index}" if index else ""
