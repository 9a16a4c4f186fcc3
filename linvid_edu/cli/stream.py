"""`linvid stream`: watch a video of any length in constant memory."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .command_line import command_line
from .options import Page, Video, WeightsSeed, above_zero, check_moments, numeric
from .progress import progress_bar

if TYPE_CHECKING:
    from linvid_edu.models.transformer import VideoTransformer

RANDOM_MODEL_PIXELS = 64  # side of a frame


@app.command("stream", no_args_is_help=True)
def stream_video(
    video: Video,
    output: Page = Path("stream.html"),
    at: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SECONDS", help="Moment at which to show where the query looks; repeatable.", callback=check_moments
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option(metavar="N", help="Number of frames per second to look at.", callback=above_zero)
    ] = 4.0,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Model file with linear attention.  [default: random weights]")
    ] = None,
    size: Annotated[
        int | None, numeric("Side of a frame in pixels.  [default: the checkpoint's, else 64]", min=1)
    ] = None,
    row: Annotated[int | None, numeric("Token row of the query, from 0.  [default: the middle]")] = None,
    column: Annotated[int | None, numeric("Token column of the query, from 0.  [default: the middle]")] = None,
    seed: WeightsSeed = 0,
) -> None:
    """Watch a video of any length frame by frame, in constant memory, and describe it on one HTML page.

    Linear attention with feature fixation keeps only sums over past frames. The page shows the film, how concentration
    and fixation ratios change along it, and where one token looks at the moments that you name.

    Example: linvid stream lecture.mp4 --at 12.5 --at 300 --output lecture.html
    """
    from linvid_edu.figures.stream_page import save_watched, watch
    from linvid_edu.video.opening import VideoWarning, printable
    from linvid_edu.video.reading import declared_seconds, stream_frames

    model, side = _model_and_side(checkpoint, size, seed)
    with progress_bar(declared_seconds(video)) as show, warnings.catch_warnings(record=True) as damage:
        warnings.simplefilter("always", VideoWarning)
        frames = stream_frames(video, rate=rate, size=side)
        watched = watch(
            frames,
            model,
            at=at or (),
            query=(row, column),
            progress=lambda seconds: show(f"{seconds:.0f} s of the film", seconds),
        )
    troubles = [watched.trouble, *(str(warning.message) for warning in damage)]
    name = printable(video)
    watched.trouble = "; ".join(text.removeprefix(f"{name}: ") for text in troubles if text)  # without folders
    options = {
        "--at": at,
        "--rate": rate,
        "--size": size,
        "--row": row,
        "--column": column,
        "--seed": seed,
        "--checkpoint": checkpoint and checkpoint.name,
    }
    weights = seed if checkpoint is None else checkpoint.name
    command = command_line("stream", options, printable(video.name))
    path = save_watched(watched, output, name=printable(video.name), model=model, weights=weights, command=command)
    if watched.trouble:
        typer.echo(f"linvid: {name}: {watched.trouble}", err=True)
    for seconds in watched.missed:
        typer.echo(f"linvid: --at {seconds:g} lies beyond the last frame, at {watched.seconds:.2f} s", err=True)
    typer.echo(path)


def _model_and_side(checkpoint: Path | None, size: int | None, seed: int) -> "tuple[VideoTransformer, int]":
    """Return the model, from a checkpoint or random, and the side in pixels of the frames to show it."""
    import torch

    from linvid_edu.models.checkpoint import load_model
    from linvid_edu.models.config import ModelConfig
    from linvid_edu.models.transformer import VideoTransformer
    from linvid_edu.video.tokens import pair

    if checkpoint is None:
        torch.manual_seed(seed)
        side = size or RANDOM_MODEL_PIXELS
        config = ModelConfig.compact(image_size=side, kernel=6, stride=4, padding=1, fixation="cooperative")
        return VideoTransformer(config).eval(), side
    model = load_model(checkpoint)
    height, width = pair(model.config.image_size)
    if height != width:
        raise ValueError(
            f"{checkpoint.name} is made for frames of {height}×{width} pixels, but videos are cropped to squares: "
            "choose a model for square frames"
        )
    return model, size or height
