"""Exercises of lesson 11: your own clip, and the paper."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsFloat

import torch
from torch import Generator

from linvid_edu.models.reference_weights import official_name

from .exercise import Case, Exercise, Mistake, Trial

# 11.1 which frames are seen


def frame_cases(generator: Generator) -> Iterator[Case]:
    """Yield numbers of frames for which no center falls exactly on the beginning of a frame, and edge cases."""
    count = 0
    while count < 4:
        frames = int(torch.randint(20, 400, (), generator=generator))
        t = int(torch.randint(5, 17, (), generator=generator))
        if frames % t and all((2 * i + 1) * frames % (2 * t) for i in range(t)):
            count += 1
            yield Case((frames, t))
    yield Case((16, 8), "a frame begins at each center")
    yield Case((3, 8), "fewer frames than t")
    yield Case((12, 12), "as many frames as t")
    yield Case((31, 1), "a clip of one frame")


def as_numbers(answer: Callable[[int, int], Iterable[Any]], F: int, t: int) -> Any:
    """Return numbers as a tensor, whatever holds them; other objects stay as they are and count as wrong."""
    values = list(answer(F, t))
    are_numbers = all(isinstance(value, SupportsFloat) and not getattr(value, "ndim", 0) for value in values)
    return torch.tensor([float(value) for value in values]) if are_numbers else values


def my_frames(F: int, t: int) -> list[int]:
    return [int((i + 0.5) * F / t) for i in range(t)]


def _in(t: int, number: Callable[[int], float]) -> list[int]:
    return [int(number(i)) for i in range(t)]


# 11.3 names of the reference


def name_cases(generator: Generator) -> Iterator[Case]:
    """Yield this library's names of the weights of an attention layer, in random blocks."""
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


def _swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


EXERCISES = (
    Exercise(
        id="11.1",
        question="Write my_frames(F, t), which returns which of F frames, numbered from 0, are in a clip of t frames.",
        answer=my_frames,
        why="The center of segment i is at (i + 1/2) · F / t, counted in frames. The frame on screen is the last one "
        "that has begun, so round down. Half a segment is left out at each end, so neither the first nor the last "
        "frame is taken unless F is small. Then some frames are taken twice.",
        hints=(
            "Cut F frames into t equal segments. How long is one, in frames? It need not be a whole number.",
            "Where is the center of segment i? Which frame is on screen there: the nearest, or the last one that has "
            "begun?",
            "[int((i + 0.5) * F / t) for i in range(t)]",
        ),
        mistakes=(
            Mistake(
                "this is where the segments begin: their centers are half a segment later",
                lambda F, t: _in(t, lambda i: i * F / t),
            ),
            Mistake(
                "you spread the frames from the first to the last one: take the centers of segments, not their ends",
                lambda F, t: _in(t, lambda i: round(i * (F - 1) / max(1, t - 1))),
            ),
            Mistake(
                "you spread the frames from the first to the last one, rounded down: take the centers of segments",
                lambda F, t: _in(t, lambda i: i * (F - 1) / max(1, t - 1)),
            ),
            Mistake(
                "these are the last frames of the segments: their centers are half a segment earlier",
                lambda F, t: _in(t, lambda i: max(0, (i + 1) * F // t - 1)),
            ),
            Mistake(
                "you rounded to the nearest frame: the frame on screen is the last one that has begun, so round down",
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
                "you rounded the length of a segment: F / t need not be a whole number, so the end of the clip is lost",
                lambda F, t: _in(t, lambda i: i * (F // t) + (F // t) // 2),
            ),
            Mistake(
                "you take every ⌊F / t⌋-th frame from the first: the end of the clip is lost",
                lambda F, t: _in(t, lambda i: i * (F // t)),
            ),
            Mistake(
                "there are F frames, not F − 1: the last one is on screen for as long as the others",
                lambda F, t: _in(t, lambda i: (i + 0.5) * (F - 1) / t),
            ),
            Mistake("these are the first t frames: spread them over the whole clip", lambda F, t: list(range(t))),
            Mistake(
                "if a frame begins exactly at a center, it is on screen there: the test is ≤, not <",
                lambda F, t: _in(t, lambda i: math.ceil((i + 0.5) * F / t) - 1),
            ),
            Mistake(
                "if F is less than t, the same formula holds: some frames come twice, and there are always t numbers",
                lambda F, t: sorted(set(my_frames(F, t))),
            ),
        ),
        trial=Trial(frame_cases, use=as_numbers),
    ),
    Exercise(
        id="11.2",
        question="A clip of 300 frames of 1920 × 1080 pixels is the input of the preset gpu: 16 frames of 64 × 64, "
        "kernel 8, stride 6, padding 2. How many tokens N does the model see?",
        answer=1936,
        why="Length and size of the video do not matter: it is sampled to 16 frames and cropped to 64 × 64. A side has "
        "⌊(64 + 2 · 2 − 8) / 6⌋ + 1 = 11 windows, a frame 121, and the clip 16 · 121 = 1,936.",
        hints=(
            "How many of the 300 frames, and of the 1920 × 1080 pixels, does the model see?",
            "The number of windows along a side is (1.2): ⌊(a + 2 · padding − kernel) / stride⌋ + 1 with a = 64.",
            "It is 11. Now square it, and multiply by the number of frames.",
        ),
        mistakes=(
            Mistake("the model sees only 16 of the 300 frames", 300 * 121),
            Mistake("the video is resized and cropped to 64 × 64 before it becomes tokens", 16 * 320 * 180),
            Mistake("this is one frame: there are 16", 121),
            Mistake("10 steps are 11 windows, and the padding adds 4 pixels to a side", 16 * 100),
            Mistake("these are patches that do not overlap: here a window of 8 moves by 6", 16 * 64),
            Mistake("11 windows along a side are 11 · 11 in a frame", 16 * 11),
            Mistake("this is N², the number of weights in a map of all tokens", 1936**2),
            Mistake("these are the tokens of the full-size model", 16 * 289),
            Mistake("this is 8 frames: the preset takes 16", 8 * 121),
        ),
    ),
    Exercise(
        id="11.3",
        question="Write reference_name(name), which returns the reference implementation's name of a weight of an "
        "attention layer. Queries and keys have their own fixation layers.",
        answer=reference_name,
        why="The replacements are: base_model. in front of blocks, temporal_attn for attention.time, attn for "
        "attention.space, proj for projection, q_gate for mechanism.fixation.query, and k_gate for "
        "mechanism.fixation.key. qkv keeps its name.",
        hints=(
            "Compare the two columns of the table part by part, from the left.",
            "Attention over space is called attn, attention over time has the longer name. qkv keeps its name.",
            'name.replace("blocks.", "base_model.blocks.").replace("attention.time", "temporal_attn") and so on, with '
            '"attention.space", "projection", "mechanism.fixation.query" and "mechanism.fixation.key".',
        ),
        mistakes=(
            Mistake("base_model. is missing in front", _after(lambda name: name.removeprefix("base_model."))),
            Mistake(
                "time and space are swapped: attn is attention over space",
                _after(lambda name: _swapped(name, ".attn.", ".temporal_attn.")),
            ),
            Mistake(
                "the gates of query and key are swapped: such a model loads without an error, but computes something "
                "else",
                _after(lambda name: _swapped(name, "q_gate", "k_gate")),
            ),
            Mistake(
                "pgate is the name of one shared layer: here query and key have their own",
                _after(lambda name: name.replace("q_gate", "pgate").replace("k_gate", "pgate")),
            ),
            Mistake("the projection is called proj", _after(lambda name: name.replace("proj.", "projection."))),
            Mistake(
                "the reference has no mechanism around the gate: replace all of mechanism.fixation.query by q_gate",
                _after(lambda name: name.replace("q_gate", "mechanism.q_gate").replace("k_gate", "mechanism.k_gate")),
            ),
            Mistake(
                "attention over space is called attn, without a prefix",
                _after(lambda name: name.replace(".attn.", ".spatial_attn.")),
            ),
            Mistake("this is the name in this library: the reference has another", lambda name: name),
        ),
        trial=Trial(name_cases),
    ),
)
