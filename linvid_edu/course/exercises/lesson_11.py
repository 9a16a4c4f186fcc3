"""Exercises of lesson 11: your own clip, and the paper."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsFloat

import torch
from torch import Generator

from linvid_edu.models.reference_weights import official_name

from .exercise import Case, Exercise, Mistake, Tries

# 11.1 which frames are seen


def frame_cases(generator: Generator) -> Iterator[Case]:
    """Yield numbers of frames at which no center falls exactly on the beginning of a frame."""
    found = 0
    while found < 4:
        frames = int(torch.randint(20, 400, (), generator=generator))
        t = int(torch.randint(5, 17, (), generator=generator))
        if frames % t and all((2 * i + 1) * frames % (2 * t) for i in range(t)):
            found += 1
            yield Case((frames, t))
    yield Case((16, 8), "a frame begins at each center")
    yield Case((3, 8), "fewer frames than t")
    yield Case((12, 12), "as many frames as t")
    yield Case((31, 1), "one frame asked for")


def as_numbers(answer: Callable[[int, int], Iterable[Any]], F: int, t: int) -> Any:
    """Return the numbers as a tensor, whatever holds them; text stays as it is, to be refused."""
    found = list(answer(F, t))
    whole = all(isinstance(number, SupportsFloat) and not getattr(number, "ndim", 0) for number in found)
    return torch.tensor([float(number) for number in found]) if whole else found


def my_frames(F: int, t: int) -> list[int]:
    return [int((i + 0.5) * F / t) for i in range(t)]


def _in(t: int, number: Callable[[int], float]) -> list[int]:
    return [int(number(i)) for i in range(t)]


# 11.3 names of the reference


def name_cases(generator: Generator) -> Iterator[Case]:
    """Yield our names of the weights of an attention layer, in any block."""
    layers = ("qkv", "projection", "mechanism.fixation.query", "mechanism.fixation.key")
    for layer in layers:
        for span in ("time", "space"):
            for kind in ("weight", "bias"):
                block = int(torch.randint(0, 30, (), generator=generator))
                yield Case((f"blocks.{block}.attention.{span}.{layer}.{kind}",))


def reference_name(name: str) -> str:
    return official_name(name, shared_fixation=False)


def _after(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda name: change(reference_name(name))


def _exchanged(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


EXERCISES = (
    Exercise(
        id="11.1",
        question="Write my_frames(F, t): which of F frames, numbered from 0, a clip of t frames holds.",
        answer=my_frames,
        why="The center of stretch i lies at (i + 1/2) · F / t, counted in frames, and the frame on screen is the last "
        "one that has begun: rounded down. Half a stretch is left out at either end, so neither the first nor the "
        "last frame is taken, unless F is small; then some frames come twice.",
        hints=(
            "Cut F frames into t equal stretches. How long is one, in frames? It need not be a whole number.",
            "Where is the center of stretch i? Which frame is on screen there: the nearest, or the last that has "
            "begun?",
            "[int((i + 0.5) * F / t) for i in range(t)]",
        ),
        mistakes=(
            Mistake(
                "that is where the stretches begin: their centers lie half a stretch later",
                lambda F, t: _in(t, lambda i: i * F / t),
            ),
            Mistake(
                "you spread from the first frame to the last one: take the centers of stretches, not their ends",
                lambda F, t: _in(t, lambda i: round(i * (F - 1) / max(1, t - 1))),
            ),
            Mistake(
                "you spread from the first frame to the last one, rounded down: take the centers of stretches",
                lambda F, t: _in(t, lambda i: i * (F - 1) / max(1, t - 1)),
            ),
            Mistake(
                "those are the last frames of the stretches: their centers lie half a stretch earlier",
                lambda F, t: _in(t, lambda i: max(0, (i + 1) * F // t - 1)),
            ),
            Mistake(
                "you rounded to the nearest: the frame on screen is the last one that has begun, so round down",
                lambda F, t: _in(t, lambda i: round((i + 0.5) * F / t)),
            ),
            Mistake(
                "all numbers are one too high: did you round up, or count frames from 1?",
                lambda F, t: _in(t, lambda i: 1 + (2 * i + 1) * F // (2 * t)),
            ),
            Mistake(
                "all numbers are one too low: round down, and subtract nothing",
                lambda F, t: _in(t, lambda i: max(0, (2 * i + 1) * F // (2 * t) - 1)),
            ),
            Mistake(
                "you rounded the length of a stretch: F / t need not be whole, and the end of the clip is lost",
                lambda F, t: _in(t, lambda i: i * (F // t) + (F // t) // 2),
            ),
            Mistake(
                "every ⌊F / t⌋-th frame, from the first: the end of the clip is lost",
                lambda F, t: _in(t, lambda i: i * (F // t)),
            ),
            Mistake(
                "there are F frames, and not F − 1: the last one is on screen for as long as the others",
                lambda F, t: _in(t, lambda i: (i + 0.5) * (F - 1) / t),
            ),
            Mistake("those are the first t frames: spread them over the whole clip", lambda F, t: list(range(t))),
            Mistake(
                "where a frame begins exactly at a center it is on screen there: the last one that has begun, ≤, not <",
                lambda F, t: _in(t, lambda i: math.ceil((i + 0.5) * F / t) - 1),
            ),
            Mistake(
                "where F is less than t the same formula holds: some frames come twice, and there are always t numbers",
                lambda F, t: sorted(set(my_frames(F, t))),
            ),
        ),
        tries=Tries(frame_cases, use=as_numbers),
    ),
    Exercise(
        id="11.2",
        question="A clip of 300 frames of 1920 × 1080 pixels goes to the preset gpu: 16 frames of 64 × 64, kernel 8, "
        "stride 6, padding 2. How many tokens N?",
        answer=1936,
        why="Length and size of the video do not matter: it is sampled to 16 frames and cut to 64 × 64. Along a side "
        "⌊(64 + 2 · 2 − 8) / 6⌋ + 1 = 11 windows, 121 in a frame, 16 · 121 = 1,936 in the clip.",
        hints=(
            "What is left of 300 frames and of 1920 × 1080 pixels when the model sees them?",
            "Windows along a side, by (1.2): ⌊(a + 2z − k) / s⌋ + 1 with a = 64.",
            "11 along a side. Now square it, and multiply by the number of frames.",
        ),
        mistakes=(
            Mistake("the model sees 16 of the 300 frames", 300 * 121),
            Mistake("the video is resized and cut to 64 × 64 before it becomes tokens", 16 * 320 * 180),
            Mistake("that is one frame: there are 16", 121),
            Mistake("10 steps are 11 windows, and the padding adds 4 pixels to a side", 16 * 100),
            Mistake("those are patches that do not overlap: here a window of 8 moves by 6", 16 * 64),
            Mistake("11 windows along a side are 11 · 11 in a frame", 16 * 11),
            Mistake("that is N², the weights of a map of all tokens", 1936**2),
            Mistake("those are the tokens of the full-size model", 16 * 289),
            Mistake("those are 8 frames: the preset takes 16", 8 * 121),
        ),
    ),
    Exercise(
        id="11.3",
        question="Write reference_name(name): the reference's name of a weight of an attention layer, where queries "
        "and keys have layers of their own.",
        answer=reference_name,
        why="Five replacements: blocks gets base_model in front, attention.time becomes temporal_attn and "
        "attention.space attn, projection becomes proj, mechanism.fixation.query becomes q_gate and "
        "mechanism.fixation.key k_gate. qkv keeps its name.",
        hints=(
            "Compare the two columns of the table part by part, from the left.",
            "The attention over space has the plain name attn, that over time the longer one. qkv keeps its name.",
            'name.replace("blocks.", "base_model.blocks.").replace("attention.time", "temporal_attn") and so on, with '
            '"attention.space", "projection", "mechanism.fixation.query" and "mechanism.fixation.key".',
        ),
        mistakes=(
            Mistake("base_model. is missing in front", _after(lambda name: name.removeprefix("base_model."))),
            Mistake(
                "time and space are exchanged: attn is the one over space",
                _after(lambda name: _exchanged(name, ".attn.", ".temporal_attn.")),
            ),
            Mistake(
                "the gates of query and key are exchanged, and nothing but the numbers would tell",
                _after(lambda name: _exchanged(name, "q_gate", "k_gate")),
            ),
            Mistake(
                "pgate is for one shared layer: here query and key have their own",
                _after(lambda name: name.replace("q_gate", "pgate").replace("k_gate", "pgate")),
            ),
            Mistake("the projection is called proj", _after(lambda name: name.replace("proj.", "projection."))),
            Mistake(
                "the layer of the gate is not inside a mechanism: mechanism.fixation.query as a whole becomes q_gate",
                _after(lambda name: name.replace("q_gate", "mechanism.q_gate").replace("k_gate", "mechanism.k_gate")),
            ),
            Mistake(
                "the attention over space is called attn, without a word before it",
                _after(lambda name: name.replace(".attn.", ".spatial_attn.")),
            ),
            Mistake("that is our own name: the reference has another", lambda name: name),
        ),
        tries=Tries(name_cases),
    ),
)
