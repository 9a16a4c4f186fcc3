"""Right and wrong answers to the exercises of lesson 01; a wrong one stands under words of its message."""

from fractions import Fraction

import numpy as np
import torch
from einops import rearrange

from linvid_edu.video.tokens import patch_boxes, patch_grid, to_tubelets


def by_views(video, f, p):
    b, c, t, h, w = video.shape
    blocks = video.reshape(b, c, t // f, f, h // p, p, w // p, p)
    return blocks.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(b, t // f, (h // p) * (w // p), c * f * p * p)


def by_loop(video, f, p):
    """In numpy."""
    b, _, t, h, w = video.shape
    pixels = video.numpy()
    tokens = [
        [pixels[:, :, i : i + f, y : y + p, x : x + p].reshape(b, -1) for y in range(0, h, p) for x in range(0, w, p)]
        for i in range(0, t, f)
    ]
    return np.array(tokens).transpose(2, 0, 1, 3)


def arranged(pattern):
    return lambda video, f, p: rearrange(video, pattern, f=f, p=p, q=p)


def by_boxes(token, columns, stride, padding):
    kernel, rows = 2 * padding + stride, token // columns + 1
    size = ((rows - 1) * stride + kernel - 2 * padding, (columns - 1) * stride + kernel - 2 * padding)
    grid = patch_grid(size, kernel=kernel, stride=stride, padding=padding)
    return patch_boxes(grid, kernel=kernel, stride=stride, padding=padding)[token, :2]


def by_counting(padding, stride, columns, token):
    x, y = -padding, -padding
    for step in range(1, token + 1):
        x, y = (-padding, y + stride) if step % columns == 0 else (x + stride, y)
    return [x, y]


RIGHT = {
    "01.1": [(1, 8, 64, 768), [1, 8, 8 * 8, 3 * 16**2], torch.zeros(1, 8, 64, 768).shape],
    "01.2": [2592, 32 * 9.0**2, torch.tensor(2592), np.int64(2592), Fraction(5184, 2)],
    "01.3": [by_views, by_loop, lambda video, f, p: to_tubelets(video, frames=f, patch=p).double()],
    "01.4": [by_boxes, by_counting, lambda n, c, s, z: torch.tensor([n % c, n // c]) * s - z],
}
WRONG = {
    "01.1": {
        "8 in a row, 8 in a column": (1, 8, 8, 768),
        "3 times as many": (1, 8, 64, 256),
        "16 rows of 16 pixels": (1, 8, 64, 48),
        "t keeps its own axis": (1, 8, 512, 768),
        "are swapped": (1, 8, 768, 64),
        "on one axis": (1, 8, 8, 8, 768),
        "b comes before t": (8, 1, 64, 768),
        "you give 3 numbers": (8, 64, 768),
        "numbers 3 and 4 are wrong": (1, 8, 100, 300),
        "the answer is 4 numbers": "1, 8, 64, 768",
    },
    "01.2": {
        "8 × 8 per frame": 2048,
        "one frame, but the clip": 81,
        "one side of a frame": 9,
        "zeros on each side": 1568,
        "none of the usual mistakes": 2592.1,
        "the answer is a number": "2592",
        "not a finite number": float("nan"),
    },
    "01.3": {
        "your frames come before the colors": arranged("b c (t f) (h p) (w q) -> b t (h w) (f c p q)"),
        "colors come last": arranged("b c (t f) (h p) (w q) -> b t (h w) (f p q c)"),
        "down the columns": arranged("b c (t f) (h p) (w q) -> b t (w h) (c f p q)"),
        "all over the clip": arranged("b c (f t) (h p) (w q) -> b t (h w) (c f p q)"),
        "all over the frame": arranged("b c (t f) (p h) (q w) -> b t (h w) (c f p q)"),
        "reshape alone": lambda video, f, p: video.reshape(*by_views(video, f, p).shape),
        "into patches": lambda video, f, p: by_views(video, 1, p),
        "should have": arranged("b c (t f) (h p) (w q) -> b t h w (c f p q)"),
        "another order": lambda video, f, p: by_views(video, f, p).flip(-1),
        "everywhere it is 2 times": lambda video, f, p: by_views(video, f, p) * 2,
    },
    "01.4": {
        "are swapped": lambda token, columns, stride, padding: (
            token // columns * stride - padding,
            token % columns * stride - padding,
        ),
        "the padding is missing": lambda n, c, s, z: (n % c * s, n // c * s),
        "counted in tokens": lambda n, c, s, z: (n % c - z, n // c - z),
        "a tuple of 2": lambda n, c, s, z: n % c * s - z,
        "the largest difference": lambda n, c, s, z: (n % c * s - z, (n // c + 1) * s - z),
    },
}
