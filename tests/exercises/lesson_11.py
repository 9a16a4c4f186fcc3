"""Right and wrong answers to the exercises of lesson 11; a wrong one stands under words of its message."""

import re

import numpy as np
import torch

# 11.1


def by_tensor(F, t):
    return (2 * torch.arange(t) + 1) * F // (2 * t)


def by_search(F, t):
    centers = (np.arange(t) + 0.5) * F / t
    return np.searchsorted(np.arange(F), centers, side="right") - 1


def by_counting(F, t):
    return tuple(sum(frame * 2 * t <= (2 * i + 1) * F for frame in range(F)) - 1 for i in range(t))


# 11.3


def by_pattern(name):
    block, span, layer = re.fullmatch(r"blocks\.(\d+)\.attention\.(time|space)\.(.+)", name).groups()
    layer = re.sub(r"^mechanism\.fixation\.(q|k)\w+", r"\1_gate", layer).replace("projection", "proj")
    return f"base_model.blocks.{block}.{'temporal_' * (span == 'time')}attn.{layer}"


def by_parts(name):
    _, block, _, span, *rest, kind = name.split(".")
    layer = {"qkv": "qkv", "projection": "proj", "query": "q_gate", "key": "k_gate"}[rest[-1]]
    return ".".join(["base_model", "blocks", block, {"time": "temporal_attn", "space": "attn"}[span], layer, kind])


RIGHT = {
    "11.1": [by_tensor, by_search, by_counting],
    "11.2": [1936, 16 * 11**2, torch.tensor(1936), 1936.0],
    "11.3": [by_pattern, by_parts],
}
WRONG = {
    "11.1": {
        "where the segments begin": lambda F, t: [i * F // t for i in range(t)],
        "from the first to the last one: take": lambda F, t: np.linspace(0, F - 1, t).round(),
        "from the first to the last one, rounded down": lambda F, t: np.linspace(0, F - 1, t).astype(int),
        "the last frames of the segments": lambda F, t: [max((i + 1) * F // t - 1, 0) for i in range(t)],
        "rounded to the nearest": lambda F, t: ((torch.arange(t) + 0.5) * F / t).round(),
        "one too high": lambda F, t: by_tensor(F, t) + 1,
        "one too low": lambda F, t: (by_tensor(F, t) - 1).clamp(min=0),
        "rounded the length": lambda F, t: [F // t // 2 + i * (F // t) for i in range(t)],
        "from the first: the end": lambda F, t: [F // t * i for i in range(t)],
        "not F − 1": lambda F, t: (torch.arange(t) + 0.5) * (F - 1) // t,
        "the first t frames": lambda F, t: range(t),
        "frames come twice": lambda F, t: by_tensor(F, t).unique(),
        "≤, not <": lambda F, t: [-(-(2 * i + 1) * F // (2 * t)) - 1 for i in range(t)],
        "should be": lambda F, t: [str(number) for number in by_tensor(F, t).tolist()],
        "returns something that cannot be used": lambda F, t: F // t,
    },
    "11.2": {
        "16 of the 300": 36300,
        "resized and cropped": 921600,
        "one frame": 121,
        "10 steps are 11 windows": 1600,
        "do not overlap": 1024,
        "11 · 11 in a frame": 176,
        "the number of weights in a map": 1936 * 1936,
        "none of the usual mistakes": 1937,
    },
    "11.3": {
        "base_model. is missing": lambda name: by_parts(name)[len("base_model.") :],
        "attn is attention over space": lambda name: by_parts(
            name.replace("time", "other").replace("space", "time").replace("other", "space")
        ),
        "query and key are swapped": lambda name: by_parts(
            name.replace("query", "other").replace("key", "query").replace("other", "key")
        ),
        "pgate is the name of one shared layer": lambda name: re.sub("[qk]_gate", "pgate", by_pattern(name)),
        "called proj": lambda name: by_pattern(name).replace("proj", "projection"),
        "no mechanism around the gate": lambda name: re.sub("([qk]_gate)", r"mechanism.\1", by_pattern(name)),
        "without a prefix": lambda name: by_pattern(name).replace(".attn", ".spatial_attn"),
        "the name in this library": lambda name: name,
        "your function is off": lambda name: by_parts(name).upper(),
    },
}
