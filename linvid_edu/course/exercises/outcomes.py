"""Call a learner's function safely: whatever it does comes back as an Outcome."""

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

from .differences import LONGEST_QUOTE, first_difference
from .exercise import Case, Exercise, call

TIMEOUT_SECONDS = 20
RETRY_SECONDS = 0.05  # stop the call again after this time, in case its own "except:" caught the first attempt
TIMEOUT = "timeout"
_NOT_THE_LEARNERS = (
    *(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[2]),
)


class CallTimeout(BaseException):
    """A call did not return in time. No ``except Exception`` in the learner's code catches it."""


class Outcome(NamedTuple):
    """What one call did.

    output: what it returned
    error: why it returned nothing, to complete "your function …"
    raised: the exception and its message
    changed: names of the inputs that the call changed in place
    """

    output: Any = None
    error: str = ""
    raised: str = ""
    changed: tuple[str, ...] = ()


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)


def input_names(exercise: Exercise) -> tuple[str, ...]:
    """Return the names of a case's inputs."""
    assert exercise.trial is not None
    if exercise.trial.use is call:
        return parameter_names(exercise.answer)
    return parameter_names(exercise.trial.use)[1:]


def accept_any_order(answer: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Return a function that takes its arguments in the order of `names`, whatever the order of the answer.

    Raises:
        TypeError: The answer cannot be called with these arguments; the message has its signature.
    """
    try:
        signature = inspect.signature(answer)
    except (ValueError, TypeError):
        return answer  # written in C, without a signature
    keywords = {
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    by_name = set(names) <= keywords
    try:
        signature.bind(**dict.fromkeys(names)) if by_name else signature.bind(*names)
    except TypeError:
        raise TypeError(f"your function takes {signature}, but it is called with ({', '.join(names)})") from None
    return (lambda *values: answer(**dict(zip(names, values, strict=False)))) if by_name else answer


def outcome_of(answer: Callable[..., Any], exercise: Exercise, case: Case) -> Outcome:
    """Call a function with a copy of the inputs of a case."""
    trial, inputs = exercise.trial, copy.deepcopy(case.inputs)
    assert trial is not None
    outcome = guarded(lambda: trial.use(answer, *inputs))
    compared = zip(input_names(exercise), inputs, case.inputs, strict=True)
    changed = [name for name, after, before in compared if not _unchanged(after, before)]
    return outcome._replace(changed=tuple(name for name in changed if name not in trial.may_change))


def gradients(answer: Callable[..., Any], exercise: Exercise, case: Case) -> Outcome:
    """Return the gradient of a weighted sum of the output for each floating-point input; None if it has none."""
    trial = exercise.trial
    assert trial is not None
    leaves = [x.clone().requires_grad_() if _floating(x) else copy.deepcopy(x) for x in case.inputs]

    def run() -> tuple[Tensor | None, ...]:
        inputs = [x.clone() if _floating(x) else x for x in leaves]  # clones may be changed in place, leaves may not
        output = trial.use(answer, *inputs)
        total = sum(_weighted_sum(result) for result in (output if isinstance(output, (tuple, list)) else (output,)))
        wanted = [leaf for leaf in leaves if _floating(leaf)]
        if not (isinstance(total, Tensor) and total.requires_grad):
            return (None,) * len(wanted)
        return torch.autograd.grad(total, wanted, allow_unused=True)

    return guarded(run)


def guarded(run: Callable[[], Any]) -> Outcome:
    """Run a call without letting it print, stop it after TIMEOUT_SECONDS, and return what it did."""
    try:
        with _silent(), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), _limited():
            torch.default_generator.seed()
            return Outcome(run())
    except CallTimeout:
        return Outcome(error=f"does not return within {TIMEOUT_SECONDS} s: does every loop end?", raised=TIMEOUT)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # exit() and whatever else a learner may raise
        raised = _exception_in_words(error)
        return Outcome(error=f"{_place_in_words(error)} with {raised}", raised=raised)


def _weighted_sum(result: Any) -> Any:
    """Sum all values, each with a different weight, so that the gradient sees every direction."""
    if not isinstance(result, Tensor):
        return 0.0
    weights = torch.arange(result.numel(), device=result.device).sin() + 0.5
    return (result * weights.reshape(result.shape).to(result.dtype)).sum()


def _floating(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _unchanged(after: Any, before: Any) -> bool:
    if isinstance(before, Series):
        return after.equals(before)
    if isinstance(before, list) and all(isinstance(value, (int, float, str)) for value in before):
        return after == before
    return not isinstance(before, (Tensor, np.ndarray)) or first_difference(after, before, 0.0) is None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise CallTimeout in the block after TIMEOUT_SECONDS; on Windows and in threads, there is no limit."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    running = True

    def stop(*_: object) -> None:
        if running:
            raise CallTimeout

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_SECONDS, RETRY_SECONDS)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _place_in_words(error: BaseException) -> str:
    """Return which line of the learner's code failed, to complete "your function …"."""
    frames = traceback.extract_tb(error.__traceback__)
    learners = [frame for frame in frames if not frame.filename.startswith((*_NOT_THE_LEARNERS, "<frozen"))]
    if learners:
        source = linecache.getline(learners[-1].filename, learners[-1].lineno or 0).strip()
        quoted_line = f", `{source}`" if source else ""
        return f"fails in line {learners[-1].lineno}{quoted_line},"
    if Path(frames[-1].filename).stem.startswith("lesson_"):
        return "returns something that cannot be used; the next step fails"
    return "fails"


def _exception_in_words(error: BaseException) -> str:
    try:
        message = " ".join(str(error).split())[:LONGEST_QUOTE]
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
