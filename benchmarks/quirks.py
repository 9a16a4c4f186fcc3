"""Measure how much each quirk of the released code of the rivals changes the output, on one clip.

    python benchmarks/quirks.py results/rivals/quirks.csv

Queries, keys and values are those of the first layer over space of the shipped model with linear attention, on the
sample clip motion_right_plain: 8 frames of 8 × 8 tokens in a row, 4 heads of 16 channels, float64. If a second clip is
needed, it is motion_clockwise_plain. Learned weights are random, from seed 0. A difference is the largest difference of
two outputs, relative to the largest output of the plain way; other numbers are described in their row.
docs/reconciliation.md describes both ways. Each row has its seed, commit, date, machine and torch version.
"""

import argparse
from pathlib import Path

import pandas
import quirks_kernels
import quirks_others
import torch
from einops import rearrange
from quirks_kernels import FRAMES
from torch import Tensor

from linvid_edu.files import atomic_path
from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.trace import record
from linvid_edu.training.run_provenance import provenance
from linvid_edu.video.reading import load_clip

SAMPLES = Path(__file__).parents[1] / "data_samples"


def tokens(clip: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values of a sample clip, (1 heads N d) each."""
    video = load_clip(SAMPLES / f"{clip}.mp4", num_frames=FRAMES.t, size=32).video
    model = load_model(SAMPLES / "checkpoints" / "linear.safetensors")
    with torch.no_grad(), record(model) as trace:
        model(video.unsqueeze(0))
    layer = trace.blocks[0]["space"]
    q, k, v = (rearrange(x, "b heads t n d -> b heads (t n) d").double() for x in (layer.q, layer.k, layer.v))
    return q, k, v


def measure() -> pandas.DataFrame:
    """Return every row."""
    clips = [tokens("motion_right_plain"), tokens("motion_clockwise_plain")]
    return pandas.DataFrame([*quirks_kernels.measure(*clips[0]), *quirks_others.measure(clips)])


def main() -> None:
    """Print the table, and write it with its provenance if a file is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="a CSV file")
    output = parser.parse_args().output
    came_from = provenance()
    table = measure()
    print(table.to_string(index=False, float_format="%.3g"))
    if output:
        columns = {key: came_from[key] for key in ("commit", "date", "machine")}
        table = table.assign(seed=0, **columns, torch=came_from["versions"]["torch"])
        with atomic_path(output) as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
