"""Exercises of lesson 01: video becomes tokens."""

from collections.abc import Iterator

import torch
from einops import rearrange
from torch import Generator, Tensor

from .exercise import Case, Exercise, Mistake, Trial, draw

# 01.3 tubelets


def tubelet_cases(generator: Generator) -> Iterator[Case]:
    """Yield videos with f and p; no two sizes are equal."""
    for b, c, t, h, w, f, p in ((1, 3, 8, 12, 20, 2, 4), (2, 3, 6, 8, 4, 3, 2), (3, 2, 4, 6, 9, 2, 3)):
        yield Case((*draw(generator, (b, c, t, h, w)), f, p))
    yield Case((*draw(generator, (1, 3, 4, 4, 6)), 4, 2), "all frames in one block")
    yield Case((*draw(generator, (2, 3, 3, 4, 6)), 1, 2), "blocks of one frame")
    yield Case((*draw(generator, (2, 1, 4, 2, 3)), 2, 1), "gray, and patches of one pixel")
    yield Case((*draw(generator, (1, 3, 4, 4, 8), dtype=torch.float64), 2, 4), "float64")


def my_tubelets(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (c f p q)", f=f, p=p, q=p)


def frame_before_color(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (f c p q)", f=f, p=p, q=p)


def color_last(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (f p q c)", f=f, p=p, q=p)


def frame_last(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (c p q f)", f=f, p=p, q=p)


def columns_first(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (w h) (c f p q)", f=f, p=p, q=p)


def turned_pixels(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b t (h w) (c f q p)", f=f, p=p, q=p)


def scattered_pixels(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (p h) (q w) -> b t (h w) (c f p q)", f=f, p=p, q=p)


def scattered_frames(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (f t) (h p) (w q) -> b t (h w) (c f p q)", f=f, p=p, q=p)


def place_before_time(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b (h w) t (c f p q)", f=f, p=p, q=p)


def time_with_place(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c (t f) (h p) (w q) -> b (t h w) (c f p q)", f=f, p=p, q=p)


def patches_of_frames(video: Tensor, f: int, p: int) -> Tensor:
    return rearrange(video, "b c t (h p) (w q) -> b t (h w) (c p q)", p=p, q=p)


def reshaped(video: Tensor, f: int, p: int) -> Tensor:
    b, c, t, h, w = video.shape
    return video.reshape(b, t // f, h * w // p**2, c * f * p * p)


# 01.4 where a token looks


def corner_cases(generator: Generator) -> Iterator[Case]:
    """Yield tokens of grids with their stride and padding."""
    for columns, stride, padding in ((17, 14, 8), (9, 14, 8), (8, 16, 0), (5, 4, 2)):
        token = int(torch.randint(2 * columns, 6 * columns, (1,), generator=generator))
        yield Case((token, columns, stride, padding))
    yield Case((23, 7, 14, 8))
    yield Case((27, 7, 14, 8))  # 27 / 7 is nearer to 4 than to 3
    yield Case((0, 17, 14, 8), "the first token")
    yield Case((5, 1, 14, 8), "a grid of one column")


def my_corner(token: int, columns: int, stride: int, padding: int) -> tuple[int, int]:
    row, column = divmod(token, columns)
    return column * stride - padding, row * stride - padding


def y_before_x(token: int, columns: int, stride: int, padding: int) -> tuple[int, int]:
    x, y = my_corner(token, columns, stride, padding)
    return y, x


def without_padding(token: int, columns: int, stride: int, padding: int) -> tuple[int, int]:
    return my_corner(token, columns, stride, 0)


def padding_added(token: int, columns: int, stride: int, padding: int) -> tuple[int, int]:
    return my_corner(token, columns, stride, -padding)


def without_stride(token: int, columns: int, stride: int, padding: int) -> tuple[int, int]:
    return my_corner(token, columns, 1, padding)


def padding_in_tokens(token: int, columns: int, stride: int, padding: int) -> tuple[int, int]:
    row, column = divmod(token, columns)
    return (column - padding) * stride, (row - padding) * stride


EXERCISES = (
    Exercise(
        id="01.1",
        question="8 frames of 128 × 128 pixels are cut into squares of 16 × 16. What is the shape (b, t, n, values)?",
        answer=(1, 8, 64, 768),
        why="A frame has 128 / 16 = 8 squares in a row and 8 in a column. A square has 16 · 16 pixels of 3 colors.",
        hints=(
            "b and t stay as they are: 1 clip of 8 frames.",
            "How many squares are there in a row of a frame, and how many rows?",
            "n = 8 · 8, and a square holds 3 · 16 · 16 numbers.",
        ),
        mistakes=(
            Mistake("this is the grid of 8 rows and 8 columns: on one axis it has n = 64 places", (1, 8, 8, 8, 768)),
            Mistake("n and t are swapped: the frames come first, b t n", (1, 64, 8, 768)),
            Mistake("the 3 colors belong to the values of a square: it has 3 · 16 · 16", (1, 3, 8, 64, 256)),
            Mistake("n counts the squares of a whole frame: 8 in a row, 8 in a column", lambda s: s[2] == 8),
            Mistake("each pixel has 3 colors, so a square holds 3 times as many numbers", lambda s: s[3] == 16 * 16),
            Mistake("a square holds 16 rows of 16 pixels, each with 3 colors", lambda s: s[3] in (16, 3 * 16, 3)),
            Mistake("n is the number of squares in one frame: t keeps its own axis", lambda s: s[2] == 8 * 64),
            Mistake("n and values are swapped: the numbers of one square come last", (1, 8, 768, 64)),
            Mistake("b comes before t: 1 clip of 8 frames", lambda s: s[:2] == (8, 1)),
        ),
    ),
    Exercise(
        id="01.2",
        question="A clip has 32 frames of 112 × 112 pixels. How many tokens does it have with kernel 16, stride 14, "
        "padding 8?",
        answer=2592,
        why="Along a side: ⌊(112 + 2·8 − 16) / 14⌋ + 1 = 8 + 1 = 9. A frame has 9 · 9 = 81 tokens, the clip 32 · 81 = "
        "2,592.",
        hints=(
            "Which of the two equations is for overlapping patches on a frame with zeros around it?",
            "Put a = 112, padding 8, kernel 16 and stride 14 into (1.2). This gives one side of one frame.",
            "A side has (112 + 16 − 16) / 14 + 1 = 9 places. A frame has two sides, and the clip has 32 frames.",
        ),
        mistakes=(
            Mistake(
                "this is 8 × 8 per frame: here patches overlap and the frame is padded on both sides, so use (1.2) "
                "with its + 1",
                32 * 8 * 8,
            ),
            Mistake("this is one frame, but the clip has 32", 81),
            Mistake("this is one side of a frame", 9),
            Mistake("this is one side of 32 frames: a frame has rows and columns", 32 * 9),
            Mistake(
                "the 8 zeros on each side are missing, 112 + 2·8 pixels; or you used (1.1), for patches that do not "
                "overlap",
                32 * 7 * 7,
            ),
            Mistake(
                "this is 10 × 10 per frame: the window itself takes 16 pixels, the − kernel in (1.2)", 32 * 10 * 10
            ),
        ),
    ),
    Exercise(
        id="01.3",
        question="Write my_tubelets(video, f, p): (b c t h w) → (b, t/f, n, c·f·p·p). The order inside a token is "
        "color, frame, row, column.",
        answer=my_tubelets,
        why="The last axis varies fastest. If the shapes agree but the numbers do not, the order inside the last "
        "parenthesis is wrong: a token holds the right pixels in the wrong order. A new embedding can learn any order, "
        "but a trained checkpoint works with its own order only.",
        hints=(
            "It is the line of `to_patches_einops`, with one more axis to split: the frames.",
            'On the left, time is t blocks of f frames, written "(t f)", as the height is "(h p)".',
            'On the right: "b t (h w) (c f p q)".',
        ),
        mistakes=(
            Mistake("inside a token, your frames come before the colors: color is first", frame_before_color),
            Mistake("inside a token, your colors come last: color is first", color_last),
            Mistake("inside a token, your frames come last: the order is color, frame, row, column", frame_last),
            Mistake("your tokens are numbered down the columns: number them along the rows", columns_first),
            Mistake("inside a token, your columns come before the rows: each patch is transposed", turned_pixels),
            Mistake(
                "your patches take pixels from all over the frame: (h p), not (p h), keeps neighbors together",
                scattered_pixels,
            ),
            Mistake(
                "your blocks take frames from all over the clip: (t f), not (f t), keeps neighbors together",
                scattered_frames,
            ),
            Mistake("your places come before time: in (b, t/f, n, values) time is first", place_before_time),
            Mistake("your tokens of all times are on one axis: time keeps its own axis", time_with_place),
            Mistake("you cut each frame into patches: a tubelet takes f frames at once", patches_of_frames),
            Mistake(
                "reshape alone keeps the numbers in the order of the video: split the axes, then move them",
                reshaped,
            ),
        ),
        trial=Trial(tubelet_cases),
    ),
    Exercise(
        id="01.4",
        question="Write my_corner(token, columns, stride, padding): the pixel (x, y) where the window of a token "
        "begins.",
        answer=my_corner,
        why="Tokens are numbered along the rows, so row and column are the quotient and the remainder of token / "
        "columns. Each step moves the window by the stride. The first window begins in the padding, at −padding. x "
        "counts columns.",
        hints=(
            "The cell above prints this corner for three tokens. Where does token 0 begin, and why not at 0?",
            "divmod(token, columns) gives row and column. Which of them is x?",
            "x = column · stride − padding, and y the same with the row.",
        ),
        mistakes=(
            Mistake("x and y are swapped: x goes along a row and counts columns", y_before_x),
            Mistake("the padding is missing: the first window begins outside the frame", without_padding),
            Mistake(
                "you add the padding: subtract it, because the first window begins outside the frame, at negative x "
                "and y",
                padding_added,
            ),
            Mistake(
                "this is counted in tokens: a step of one token moves the window by `stride` pixels", without_stride
            ),
            Mistake("the padding is already in pixels: multiply only row and column by the stride", padding_in_tokens),
        ),
        trial=Trial(corner_cases),
    ),
)
