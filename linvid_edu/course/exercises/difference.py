"""What differs between an answer and what is right, in words."""

import inspect
from typing import Any

import numpy as np
from torch import Tensor

from linvid_edu.testing import to_numpy

_ARRAYS = (Tensor, np.ndarray, np.number, int, float)
LONGEST = 200  # letters of anything that is quoted


class Unreadable(ValueError):
    """An answer that is no array of numbers; it says what it is."""


def quoted(thing: object) -> str:
    """Return the representation of anything, shortened, whatever it does when asked for it."""
    try:
        text = " ".join(repr(thing).split())
    except Exception:
        text = f"a {type(thing).__name__}"
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def kind(thing: object) -> str:
    """Say what something is, such as "a list of 3"."""
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


def numbers(thing: Any) -> np.ndarray:
    """Read a tensor on any device, an array or a number, as float64.

    Raises:
        Unreadable: it is something else.
    """
    if not isinstance(thing, _ARRAYS):
        raise Unreadable(kind(thing))
    try:
        array = to_numpy(thing)
    except Exception as error:
        raise Unreadable(f"{kind(thing)} whose values cannot be read ({type(error).__name__})") from None
    if np.iscomplexobj(array):
        raise Unreadable("complex numbers")
    if array.dtype.kind not in "fiub":
        raise Unreadable(f"an array of {array.dtype}")
    return array.astype(np.float64)


def difference(actual: Any, expected: Any, tolerance: float) -> str | None:
    """Say what differs first: structure, shape, NaN, or where and how much; None where nothing does.

    max |actual − expected| ≤ tolerance · max |expected|; data types and devices may differ.

    Args:
        actual: anything.
        expected: a tensor, a number, text, or a tuple of these.
        tolerance: relative to the largest |expected|; absolute where that is 0.
    """
    if isinstance(expected, tuple):
        return _of_tuples(actual, expected, tolerance)
    if expected is None or isinstance(expected, str):
        same = actual is None if expected is None else isinstance(actual, str) and actual == expected
        return None if same else f"the result is {kind(actual)}, and should be {kind(expected)}"
    if isinstance(actual, list) and isinstance(expected, Tensor):
        return f"the result is {kind(actual)}, and should be one tensor: torch.stack or torch.cat makes one"
    mine, theirs = (tuple(getattr(x, "shape", ())) if isinstance(x, _ARRAYS) else None for x in (actual, expected))
    if None not in (mine, theirs) and mine != theirs:
        return f"the result has shape {mine}, and should have {theirs}"
    try:
        return _of_arrays(numbers(actual), numbers(expected), tolerance)
    except Unreadable as found:
        return f"the result is {found}, and should be {kind(expected)}"


def _of_tuples(actual: Any, expected: tuple[Any, ...], tolerance: float) -> str | None:
    if isinstance(actual, (Tensor, np.ndarray)) and all(isinstance(part, (int, float)) for part in expected):
        actual = list(actual) if actual.shape == (len(expected),) else actual
    if not isinstance(actual, (tuple, list)) or len(actual) != len(expected):
        return f"the result is {kind(actual)}, and should be a tuple of {len(expected)}"
    for place, (mine, theirs) in enumerate(zip(actual, expected, strict=True), start=1):
        if words := difference(mine, theirs, tolerance):
            return f"{words} (result {place} of {len(expected)})"
    return None


def _of_arrays(a: np.ndarray, e: np.ndarray, tolerance: float) -> str | None:
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where((a == e) | (np.isnan(a) & np.isnan(e)), 0.0, np.abs(a - e))
    scale = float(np.abs(e[np.isfinite(e)]).max(initial=0.0)) or 1.0
    wrong = ~(gap <= tolerance * scale)
    if not wrong.any():
        return None
    for name, found in (("NaN", np.isnan), ("infinite", np.isinf)):
        if unwanted := np.argwhere(np.atleast_1d(found(a) & ~found(e))).tolist():
            return f"{len(unwanted):,} of {a.size:,} values are {name}, the first at {tuple(unwanted[0])}"
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(gap)), a.shape))
    place = f" at {where}" if where else ""
    values = f"the largest difference is{place}: {a[where]:.5g} instead of {e[where]:.5g}"
    share = "" if a.ndim == 0 else f"{int(wrong.sum()):,} of {a.size:,} values differ, "
    return share + values + _pattern(a, e, tolerance * scale)


def _pattern(a: np.ndarray, e: np.ndarray, bound: float) -> str:
    """Say whether a factor or another order explains the difference."""
    if a.size < 2 or not (np.isfinite(a).all() and np.isfinite(e).all()):
        return ""
    factor = float((a * e).sum() / max((e * e).sum(), 1e-300))
    if abs(factor) > 1e-3 and f"{factor:.4g}" != "1" and np.abs(a - factor * e).max() <= bound * max(abs(factor), 1.0):
        return f"; everywhere it is {factor:.4g} times what is right"
    if np.abs(np.sort(a, axis=None) - np.sort(e, axis=None)).max() <= bound:
        return "; the right numbers are all there, in another order"
    return ""
