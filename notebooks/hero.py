"""Draw the picture at the top of README: one query on a real clip, under softmax attention and linear attention.

    python notebooks/hero.py

Nothing is trained. The tokens are the mean colors of patches, as in lesson 03.
"""

from pathlib import Path

from einops import rearrange

from linvid_edu import attention_row, load_clip, relu_offset
from linvid_edu.figures.plots import attention_strips
from linvid_edu.video.tokens import color_tokens

ROOT = Path(__file__).parents[1]
FRAMES, SIZE, PATCH = 6, 192, 8  # 24 × 24 tokens per frame
SHARPNESS = 3.0  # scale of the query
QUERY = (3, 14, 8)  # frame, row, column: the belly of the rabbit


def draw() -> None:
    """Write docs/softmax_and_linear.png."""
    clip = load_clip(ROOT / "data_samples" / "film" / "big_buck_bunny.mp4", num_frames=FRAMES, size=SIZE)
    tokens = rearrange(color_tokens(clip.video.unsqueeze(0), patch=PATCH), "1 t n d -> (t n) d")
    side = SIZE // PATCH
    frame, row, column = QUERY
    query = SHARPNESS * tokens[(frame * side + row) * side + column]
    rows = {
        "softmax attention": attention_row(query, tokens),
        "linear attention": attention_row(query, tokens, feature_map=relu_offset),
    }
    maps = {name: weights.reshape(FRAMES, side, side) for name, weights in rows.items()}
    strips = attention_strips(clip.frames, maps, query=QUERY, times=clip.times, scale="separate")
    strips.save(ROOT / "docs" / "softmax_and_linear.png")


if __name__ == "__main__":
    draw()
