"""Run a learner's function so that whatever it does comes back in words."""

import contextlib
import copy
import inspect
import io
import linecache
import signal
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pandas import Series
from torch import Tensor

from .difference import LONGEST, difference
from .exercise import Case, Exercise, call

SECONDS = 20  # that one call may take
AGAIN = 0.05  # seconds until it is stopped once more, in case its own "except:" swallowed that
_NOT_THEIRS = (
    *(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[2]),
)


class TooLong(BaseException):
    """A call did not come back in time; no ``except Exception`` of a learner catches it."""


class Outcome(NamedTuple):
    """What one call did.

    output: what it returned
    error: why it returned nothing, in words
    raised: the exception and its message
    changed: names of the inputs that are not what they were
    """

    output: Any = None
    error: str = ""
    raised: str = ""
    changed: tuple[str, ...] = ()


def names_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)


def input_names(exercise: Exercise) -> tuple[str, ...]:
    """Return the names of a case's inputs."""
    assert exercise.tries is not None
    return names_of(exercise.answer) if exercise.tries.use is call else names_of(exercise.tries.use)[1:]


def by_any_order(answer: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Return a function that takes its arguments in the order of `names`, whatever order the answer has.

    Raises:
        TypeError: the answer cannot be called with these arguments; it says with which.
    """
    try:
        signature = inspect.signature(answer)
    except (ValueError, TypeError):
        return answer  # written in C: it says itself what it takes
    taken = {
        name
        for name, each in signature.parameters.items()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    named = set(names) <= taken
    try:
        signature.bind(**dict.fromkeys(names)) if named else signature.bind(*names)
    except TypeError:
        raise TypeError(f"your function takes {signature}, and is called with ({', '.join(names)})") from None
    return (lambda *values: answer(**dict(zip(names, values, strict=False)))) if named else answer


def attempt(answer: Callable[..., Any], exercise: Exercise, case: Case) -> Outcome:
    """Call a function with a copy of the inputs of a case."""
    tries, inputs = exercise.tries, copy.deepcopy(case.inputs)
    assert tries is not None
    outcome = guarded(lambda: tries.use(answer, *inputs))
    named = zip(input_names(exercise), inputs, case.inputs, strict=True)
    changed = tuple(name for name, now, before in named if not _unchanged(now, before))
    return outcome._replace(changed=tuple(name for name in changed if name not in tries.may_change))


def gradients(answer: Callable[..., Any], exercise: Exercise, case: Case) -> Outcome:
    """Return the gradient of a weighted sum of the output for each floating-point input, None where none arrives."""
    tries = exercise.tries
    assert tries is not None
    leaves = [x.clone().requires_grad_() if _floating(x) else copy.deepcopy(x) for x in case.inputs]

    def run() -> tuple[Tensor | None, ...]:
        inputs = [x.clone() if _floating(x) else x for x in leaves]  # no leaves: a copy may be changed in place
        output = tries.use(answer, *inputs)
        total = sum(_weighted(part) for part in (output if isinstance(output, (tuple, list)) else (output,)))
        wanted = [leaf for leaf in leaves if _floating(leaf)]
        if not (isinstance(total, Tensor) and total.requires_grad):
            return (None,) * len(wanted)
        return torch.autograd.grad(total, wanted, allow_unused=True)

    return guarded(run)


def guarded(run: Callable[[], Any]) -> Outcome:
    """Return what a call did; silently, and within some seconds."""
    try:
        with _silent(), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), _limited():
            torch.default_generator.seed()
            return Outcome(run())
    except TooLong:
        return Outcome(error=f"does not come back within {SECONDS} s: does a loop end?", raised="TooLong")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # exit() and whatever else a learner may raise
        raised = _raised(error)
        return Outcome(error=f"{_where(error)} with {raised}", raised=raised)


def _weighted(part: Any) -> Any:
    """Σ of all values, each with a weight of its own, so that no direction of the gradient is lost."""
    if not isinstance(part, Tensor):
        return 0.0
    return (
        part * (torch.arange(part.numel(), device=part.device).sin() + 0.5).reshape(part.shape).to(part.dtype)
    ).sum()


def _floating(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _unchanged(now: Any, before: Any) -> bool:
    if isinstance(before, Series):
        return now.equals(before)
    if isinstance(before, list) and all(isinstance(each, (int, float, str)) for each in before):
        return now == before
    return not isinstance(before, (Tensor, np.ndarray)) or difference(now, before, 0.0) is None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise TooLong in the code within after some seconds, where the system can: not on Windows, nor in a thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    running = True

    def stop(*_: object) -> None:
        if running:
            raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, AGAIN)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _where(error: BaseException) -> str:
    """Say which line of the learner's stopped."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith((*_NOT_THEIRS, "<frozen"))]
    what = "stops"
    if theirs:
        text = linecache.getline(theirs[-1].filename, theirs[-1].lineno or 0).strip()
        what += f" in line {theirs[-1].lineno}{f', `{text}`' if text else ''},"
    elif Path(frames[-1].filename).stem.startswith("lesson_"):
        what = "returns what cannot be used; the next line stops"
    return what


def _raised(error: BaseException) -> str:
    try:
        message = " ".join(str(error).split())[:LONGEST]
    except Exception:
        message = ""
    return f"{type(error).__name__}{f': {message}' if message else ''}"
