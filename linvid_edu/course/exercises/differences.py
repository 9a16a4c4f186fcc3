"""Describe how a result differs from the right one."""

import inspect
from typing import Any

import numpy as np
from torch import Tensor

from linvid_edu.arrays import to_numpy

_ARRAYS = (Tensor, np.ndarray, np.number, int, float)
LONGEST_QUOTE = 200  # characters


class UnreadableAnswer(ValueError):
    """An answer is not of the expected type; the message describes what it is."""


def quoted(thing: object) -> str:
    """Return the shortened representation of any object, even of one whose ``__repr__`` fails."""
    try:
        text = " ".join(repr(thing).split())
    except Exception:
        text = f"a {type(thing).__name__}"
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def described(thing: object) -> str:
    """Return what something is, such as "a list of 3"."""
    if thing is None:
        return "None"
    if isinstance(thing, (Tensor, np.ndarray)):
        return f"{'a tensor' if isinstance(thing, Tensor) else 'an array'} of shape {tuple(thing.shape)}"
    if isinstance(thing, (tuple, list)):
        return f"a {type(thing).__name__} of {len(thing)}"
    if inspect.isgenerator(thing):
        return "a generator, from yield instead of return"
    if inspect.iscoroutine(thing):
        return "a coroutine, from async def"
    if isinstance(thing, str):
        return f"the text {quoted(thing)}"
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if inspect.ismodule(thing):
        return f"the module {thing.__name__}"
    if callable(thing):
        return "a function"
    return quoted(thing)


def as_array(thing: Any) -> np.ndarray:
    """Return a tensor on any device, an array, or a number as a float64 array.

    Raises:
        UnreadableAnswer: The object is something else.
    """
    if not isinstance(thing, _ARRAYS):
        raise UnreadableAnswer(described(thing))
    try:
        array = to_numpy(thing)
    except Exception as error:
        raise UnreadableAnswer(f"{described(thing)} whose values cannot be read ({type(error).__name__})") from None
    if np.iscomplexobj(array):
        raise UnreadableAnswer("complex numbers")
    if array.dtype.kind not in "fiub":
        raise UnreadableAnswer(f"an array of {array.dtype}")
    return array.astype(np.float64)


def first_difference(actual: Any, expected: Any, tolerance: float) -> str | None:
    """Return what differs first: structure, shape, NaN, or where and how much; None if nothing does.

    max |actual − expected| ≤ tolerance · max |expected|; data types and devices may differ.

    Args:
        actual: Any object.
        expected: A tensor, a number, text, or a tuple of these.
        tolerance: Largest error, relative to the largest |expected|; absolute if that is 0.
    """
    if isinstance(expected, tuple):
        return _between_tuples(actual, expected, tolerance)
    if expected is None or isinstance(expected, str):
        same = actual is None if expected is None else isinstance(actual, str) and actual == expected
        return None if same else f"the result is {described(actual)}, but should be {described(expected)}"
    if isinstance(actual, list) and isinstance(expected, Tensor):
        return f"the result is {described(actual)}, but should be one tensor: use torch.stack or torch.cat"
    if isinstance(actual, _ARRAYS) and isinstance(expected, _ARRAYS) and _shape(actual) != _shape(expected):
        return f"the result has shape {_shape(actual)}, but should have {_shape(expected)}"
    try:
        return _between_arrays(as_array(actual), as_array(expected), tolerance)
    except UnreadableAnswer as error:
        return f"the result is {error}, but should be {described(expected)}"


def _shape(thing: Any) -> tuple[int, ...]:
    return tuple(getattr(thing, "shape", ()))


def _between_tuples(actual: Any, expected: tuple[Any, ...], tolerance: float) -> str | None:
    if isinstance(actual, (Tensor, np.ndarray)) and all(isinstance(number, (int, float)) for number in expected):
        actual = list(actual) if actual.shape == (len(expected),) else actual
    if not isinstance(actual, (tuple, list)) or len(actual) != len(expected):
        return f"the result is {described(actual)}, but should be a tuple of {len(expected)}"
    for place, pair in enumerate(zip(actual, expected, strict=True), start=1):
        if difference := first_difference(*pair, tolerance):
            return f"{difference} (result {place} of {len(expected)})"
    return None


def _between_arrays(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> str | None:
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where((actual == expected) | (np.isnan(actual) & np.isnan(expected)), 0.0, np.abs(actual - expected))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)) or 1.0
    wrong = ~(gap <= tolerance * scale)
    if not wrong.any():
        return None
    for name, test in (("NaN", np.isnan), ("infinite", np.isinf)):
        if unwanted := np.argwhere(np.atleast_1d(test(actual) & ~test(expected))).tolist():
            return f"{len(unwanted):,} of {actual.size:,} values are {name}, the first at {tuple(unwanted[0])}"
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(gap)), actual.shape))
    place = f" at {where}" if where else ""
    values = f"the largest difference is{place}: {actual[where]:.5g} instead of {expected[where]:.5g}"
    share = "" if actual.ndim == 0 else f"{int(wrong.sum()):,} of {actual.size:,} values differ, "
    return share + values + _pattern(actual, expected, tolerance * scale)


def _pattern(actual: np.ndarray, expected: np.ndarray, bound: float) -> str:
    """Return a remark if a constant factor or another order explains the difference."""
    if actual.size < 2 or not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return ""
    factor = float((actual * expected).sum() / max((expected * expected).sum(), 1e-300))
    has_factor = abs(factor) > 1e-3 and f"{factor:.4g}" != "1"
    if has_factor and np.abs(actual - factor * expected).max() <= bound * max(abs(factor), 1.0):
        return f"; everywhere it is {factor:.4g} times the right value"
    if np.abs(np.sort(actual, axis=None) - np.sort(expected, axis=None)).max() <= bound:
        return "; all the right numbers are there, but in another order"
    return ""
