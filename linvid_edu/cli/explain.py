"""`linvid explain`: where one token of a clip looks, as an HTML page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .app import app
from .command_line import command_line
from .options import Numbers, Page, Video, WeightsSeed, numeric, write_numbers
from .progress import step_bar


@app.command("explain", no_args_is_help=True)
def explain_clip(
    video: Video,
    output: Page = Path("explain.html"),
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Write a clickable page for any token, block and head; up to 8 MB.")
    ] = False,
    png: Annotated[bool, typer.Option("--png", help="Also write the figures beside the page, as PNG files.")] = False,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Model file; repeatable.  [default: the shipped color models]"),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Show a small model with random weights instead of trained ones.")
    ] = False,
    mechanism: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Variant to show, such as performer or cosformer-cooperative; repeatable, at most four.  "
            "[default: softmax, linear, separate, cooperative]",
        ),
    ] = None,
    frames: Annotated[int | None, numeric("Number of frames.  [default: the checkpoint's, else 8]", min=1)] = None,
    size: Annotated[
        int | None, numeric("Side of a frame in pixels.  [default: the checkpoint's, else 112]", min=1)
    ] = None,
    start: Annotated[float | None, typer.Option(metavar="SECONDS", help="Start time.  [default: 0]")] = None,
    stop: Annotated[float | None, typer.Option(metavar="SECONDS", help="End time.  [default: the end]")] = None,
    frame: Annotated[int | None, numeric("Frame of the query, from 0.  [default: where most changes]")] = None,
    row: Annotated[int | None, numeric("Token row of the query, from 0.  [default: where most changes]")] = None,
    column: Annotated[int | None, numeric("Token column of the query, from 0.  [default: where most changes]")] = None,
    block: Annotated[int, numeric("Block to look at, from 0; -1 is the last.", min=None)] = -1,
    head: Annotated[int | None, numeric("Attention head, from 0.  [default: the mean over heads]")] = None,
    seed: WeightsSeed = 0,
    numbers: Numbers = None,
) -> None:
    """Show where one token of a video looks under four mechanisms, as one HTML page.

    By default, the models are shipped with the course: they color a gray clip from its first frame, and the page shows
    where a token takes its color from. They were trained on photographs, one for each mechanism. With --mechanism you
    can name others, including published rivals; those without a trained model take the weights of another one.

    With --random, all mechanisms share one set of random weights, and the usual four are softmax, linear, cooperative
    and cooperative-association.

    Example: linvid explain clip.mp4 --start 2 --stop 4 --output clip.html

    Example: linvid explain clip.mp4 --interactive --output clip.html

    Example: linvid explain clip.mp4 --mechanism softmax --mechanism performer --mechanism cosformer-cooperative
    """
    if random and checkpoint:
        raise ValueError("--random and --checkpoint name two kinds of weights: omit one")
    if interactive and png:
        raise ValueError("--png does not go with --interactive, whose page has a button that saves a PNG: omit one")
    if interactive and numbers:
        raise ValueError("--json does not go with --interactive, whose page computes its numbers itself: omit one")
    from linvid_edu.figures.explain_page import USUAL_ROWS, clip_size
    from linvid_edu.models.checkpoint import load_model
    from linvid_edu.models.shipped import color_models_for
    from linvid_edu.video.opening import printable
    from linvid_edu.video.reading import load_clip

    if checkpoint:
        models = [(path.name, load_model(path)) for path in checkpoint]
    else:
        models = [] if random else list(color_models_for(mechanism or ()).items())
    num_frames, side = clip_size(models, frames, size)
    options = {
        "--interactive": interactive,
        "--checkpoint": [path.name for path in checkpoint or []],
        "--random": random,
        "--mechanism": mechanism,
        "--frames": frames,
        "--size": size,
        "--start": start,
        "--stop": stop,
        "--frame": frame,
        "--row": row,
        "--column": column,
        "--block": block,
        "--head": head,
        "--seed": seed,
    }
    view: dict[str, Any] = {
        "checkpoints": models,
        "mechanisms": mechanism or (),
        "query": (frame, row, column),
        "block": block,
        "head": head,
        "seed": seed,
    }
    command = command_line("explain", options, printable(video.name))
    with step_bar(2 + len(USUAL_ROWS)) as step:
        step("video")
        clip = load_clip(video, num_frames=num_frames, size=side, start=start, stop=stop)
        if interactive:
            from linvid_edu.widgets.explorer_page import explorer_of, save_explorer

            step("models")
            explorer = explorer_of(clip, **view)
            step("page")
            paths = [save_explorer(explorer, output, command=command)]
        else:
            from linvid_edu.figures.explain_page import explain, explanation_numbers, save_explanation

            explanation = explain(clip, progress=step, **view)
            step("figures")
            paths = save_explanation(explanation, output, command=command, png=png)
            if numbers:
                write_numbers(explanation_numbers(explanation), numbers)
    typer.echo("\n".join(map(str, paths)))
