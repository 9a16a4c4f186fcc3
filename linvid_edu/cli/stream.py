"""linvid stream: a video of any length, watched in constant memory."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .shared import app, number, plain_errors

SIZE = 64  # pixels, of a frame for the random model


@app.command(no_args_is_help=True)
def stream(
    video: Annotated[Path, typer.Argument(help="A video file, in any format that FFmpeg reads.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The page to write; it ends in .html.")] = Path("stream.html"),
    at: Annotated[
        list[float] | None,
        typer.Option(metavar="SECONDS", help="Show where the query looks at this moment; repeatable."),
    ] = None,
    rate: Annotated[float, typer.Option(metavar="N", help="Frames of each second to look at.")] = 4.0,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A model file with linear attention.  [default: random weights]")
    ] = None,
    size: Annotated[int | None, number("Side of a frame, pixels.  [default: the checkpoint's, else 64]", min=1)] = None,
    row: Annotated[int | None, number("Token row of the query, from 0.  [default: the middle]")] = None,
    column: Annotated[int | None, number("Token column of the query, from 0.  [default: the middle]")] = None,
    seed: Annotated[int, number("Seed of the weights that are random.", max=2**32 - 1)] = 0,
) -> None:
    """Watch a video of any length frame by frame, in constant memory, and tell about it on one HTML page.

    Linear attention with feature fixation keeps sums over what has passed. The page shows the film, concentration and
    fixation ratios along it, and where one token looks at the moments that you name.

    Example: linvid stream lecture.mp4 --at 12.5 --at 300 --output lecture.html
    """
    with plain_errors():
        if output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--output {output} does not end in .html: choose a name that does")
        if wrong := [each for each in at or [] if not each >= 0]:
            raise ValueError(f"--at {wrong[0]:g} lies before the film: choose seconds, 0 or more")
        import torch

        from linvid_edu.figures.stream_page import save, watch
        from linvid_edu.models.checkpoint import load_model
        from linvid_edu.models.config import ModelConfig
        from linvid_edu.models.transformer import VideoTransformer
        from linvid_edu.video.reading import declared_seconds, stream_frames
        from linvid_edu.video.tokens import pair

        if checkpoint is None:
            torch.manual_seed(seed)
            side = size or SIZE
            config = ModelConfig.compact(image_size=side, kernel=6, stride=4, padding=1, fixation="cooperative")
            model = VideoTransformer(config).eval()
        else:
            model = load_model(checkpoint)
            height, width = pair(model.config.image_size)
            if height != width:
                raise ValueError(f"{checkpoint.name} is made for frames of {height}×{width} pixels, videos are squared")
            side = size or height
        given: dict[str, Any] = {"--rate": rate, "--size": size, "--row": row, "--column": column, "--seed": seed}
        given |= {"--checkpoint": checkpoint and checkpoint.name}
        with _progress(declared_seconds(video)) as told:
            frames = stream_frames(video, rate=rate, size=side)
            watched = watch(frames, model, at=at or (), query=(row, column), progress=told)
        watched.trouble = watched.trouble.removeprefix(f"{video}: ")  # a page tells no folders
        weights = seed if checkpoint is None else checkpoint.name
        command = _command(video, given, at or [])
        path = save(watched, output, name=video.name, model=model, weights=weights, command=command)
        if watched.trouble:
            typer.echo(f"linvid: {video}: {watched.trouble}", err=True)
        for each in watched.missed:
            typer.echo(f"linvid: --at {each:g} lies beyond the last frame, at {watched.seconds:.2f} s", err=True)
        typer.echo(path)


@contextmanager
def _progress(seconds: float | None) -> Iterator[Callable[[float], object]]:
    """Show on stderr how much of the film has passed; without a length, how much it is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = BarColumn(), TextColumn("{task.completed:.0f} s of the film"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=seconds)
        yield lambda passed: bar.update(task, completed=passed)


def _command(video: Path, options: dict[str, Any], at: list[float]) -> str:
    """Write the line that makes the same page again, next to the file."""
    words = [word for each in at for word in ("--at", f"{each:g}")]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["linvid", "stream", *words, "--", video.name])
