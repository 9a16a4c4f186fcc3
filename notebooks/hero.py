"""Draw the picture at the top of README: a gray film, colored by three kinds of attention.

    python notebooks/hero.py

The models are those of data_samples/checkpoints/color. None of them has seen this film.
"""

from pathlib import Path

import torch

from linvid_edu import load_clip
from linvid_edu.figures.plots.frame_layout import frame_axes, show_frame
from linvid_edu.figures.plots.picture import Picture, styled
from linvid_edu.models import shipped_color_models
from linvid_edu.models.color_measures import measure_colors
from linvid_edu.models.color_transformer import token_colors
from linvid_edu.video.cielab import from_lab, paint, to_lab

ROOT = Path(__file__).parents[1]
FILM = ROOT / "data_samples" / "film" / "big_buck_bunny.mp4"
FRAMES, PIXELS, SHOWN = 6, 192, (0, 1, 2, 5)
MODELS = {"softmax": "softmax attention", "linear": "linear attention", "cooperative": "linear attention with fixation"}


def draw() -> None:
    """Write docs/copied_colors.png."""
    sharp, seen = (to_lab(load_clip(FILM, num_frames=FRAMES, size=size).frames[None]) for size in (PIXELS, 96))
    gray = torch.cat([sharp[:, :1], torch.zeros_like(sharp[:, 1:])], dim=1)
    rows = {"what a model sees: gray, and the colors of the first frame": from_lab(gray)[0]}
    for name, label in MODELS.items():
        model = shipped_color_models()[name]
        measures, copied = measure_colors(model, seen, (0,))
        grid = model.config.grid
        colors = torch.cat([token_colors(seen, grid)[:, :1], copied], dim=1)[0]  # t n 2
        rows[f"{label}: error {measures.relative_error:.2f}"] = paint(sharp[0], colors, grid)
    rows["the film"] = from_lab(sharp)[0]
    rows["what a model sees: gray, and the colors of the first frame"][0] = rows["the film"][0]
    _strips(rows).save(ROOT / "docs" / "copied_colors.png")


@styled
def _strips(rows: dict[str, torch.Tensor]) -> Picture:
    """Draw frames of one clip in one row for each name."""
    figure, axes = frame_axes(len(rows), len(SHOWN), 1.0, title=None, heading=1, caption=0)
    for row, (name, frames) in zip(axes, rows.items(), strict=True):
        row[0].annotate(name, (0, 1), (0, 5), textcoords="offset points", xycoords="axes fraction")
        for ax, index in zip(row, SHOWN, strict=True):
            show_frame(ax, frames[index].numpy())
    return Picture(figure, f"Frames of a film in rows: {'; '.join(rows)}.")


if __name__ == "__main__":
    draw()
