"""The comparison every lesson ends a derivation with: are these two results the same, and if not, where?"""

from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

ArrayLike: TypeAlias = Any  # a tensor on any device, a numpy array, a number, or nested lists of these


def to_numpy(values: ArrayLike) -> np.ndarray:
    """Copy tensors, arrays, numbers and nested lists of them into one numpy array.

    Args:
        values: a tensor (any device, with or without gradient), an array, a number, or nested lists of these.

    Returns:
        the same values; bfloat16, which numpy lacks, becomes float32.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().resolve_conj().resolve_neg()
        return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    if isinstance(values, (list, tuple)):
        return np.asarray([to_numpy(value) for value in values])
    return np.asarray(values)


def assert_same(
    actual: ArrayLike,
    expected: ArrayLike,
    *,
    tolerance: float = 1e-5,
    name: str = "",
    exact: bool = False,
    quiet: bool = False,
) -> None:
    """Assert that two results agree in shape and value, and say so in one line.

    max |actual − expected| ≤ tolerance · max |expected|

    Data types and devices may differ. Infinities agree with infinities of the same sign; NaN agrees with nothing. The
    printed line holds no measured number, so that it reads the same on every machine; ask for them with ``exact``.

    Args:
        actual: your result, any shape.
        expected: what it is compared with, the same shape.
        tolerance: relative to the largest finite |expected|; absolute where every expected value is 0.
        name: what is compared, the first words of the line.
        exact: print the largest difference and its place, which vary a little from machine to machine.
        quiet: print nothing.

    Raises:
        AssertionError: shapes differ, a value is NaN, or the largest difference exceeds the tolerance.
    """
    a, e = _comparable(actual), _comparable(expected)
    start = f"{name}: " if name else ""
    if a.shape != e.shape:
        raise AssertionError(f"{start}shapes differ: actual {a.shape}, expected {e.shape}")
    for who, values in (("actual", a), ("expected", e)):
        if np.isnan(values).any():
            raise AssertionError(f"{start}{_nan_report(who, values)}")
    if a.size == 0:
        line = f"{start}same shape {a.shape}, with no values to compare"
    else:
        line = start + _compare(a, e, tolerance, start, exact)
    if not quiet:
        print(line)


def _compare(a: np.ndarray, e: np.ndarray, tolerance: float, start: str, exact: bool) -> str:
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(a == e, 0.0, np.abs(a - e))
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), a.shape))
    largest = float(difference[where])
    scale = float(np.abs(e[np.isfinite(e)]).max(initial=0.0))
    bound = f"{tolerance:.3g} of the largest value" if scale else f"{tolerance:.3g}"
    measured = f"largest difference {largest:.2g}{f' at {where}' if where else ''}"
    reference = f"{bound} {scale:.3g}" if scale else bound
    if not largest <= tolerance * (scale or 1.0):
        values = f"actual {_show(a[where])}, expected {_show(e[where])}"
        raise AssertionError(f"{start}{measured}: {values}; the tolerance is {reference}")
    return f"{measured}, within {reference}" if exact else f"same shape {a.shape}, largest difference within {bound}"


def _comparable(values: ArrayLike) -> np.ndarray:
    array = to_numpy(values)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _nan_report(who: str, values: np.ndarray) -> str:
    where = tuple(int(i) for i in np.argwhere(np.isnan(values))[0])
    place = f", the first at {where}" if where else ""
    return f"{who} holds NaN: {int(np.isnan(values).sum()):,} of {values.size:,} values{place}"


def _show(value: np.generic) -> str:
    return f"{value:.7g}"
