"""What comes with the course: explain a clip, convert a checkpoint, render the samples, run lessons, write the book."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from .shared import app, number, plain_errors, progress


@app.command(no_args_is_help=True)
def explain(
    video: Annotated[Path, typer.Argument(help="A video file, in any format that FFmpeg reads.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The page to write; it ends in .html.")] = Path("explain.html"),
    interactive: Annotated[
        bool, typer.Option("--interactive", help="A page to click in: any token, block and head. Up to 8 MB.")
    ] = False,
    png: Annotated[bool, typer.Option("--png", help="Also write the figures beside the page, as PNG files.")] = False,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A model file of `linvid convert`; repeatable.  [default: random weights]"),
    ] = None,
    mechanism: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help='Who answers, such as performer or "cosformer + fixation"; repeatable, four at most.  '
            "[default: softmax, linear, linear + fixation, linear + fixation + association]",
        ),
    ] = None,
    frames: Annotated[int | None, number("Frames to sample.  [default: the checkpoint's, else 8]", min=1)] = None,
    size: Annotated[
        int | None, number("Side of a frame, pixels.  [default: the checkpoint's, else 112]", min=1)
    ] = None,
    start: Annotated[float | None, typer.Option(metavar="SECONDS", help="Begin here.  [default: 0]")] = None,
    stop: Annotated[float | None, typer.Option(metavar="SECONDS", help="End here.  [default: the end]")] = None,
    frame: Annotated[int | None, number("Frame of the query, from 0.  [default: where most changes]")] = None,
    row: Annotated[int | None, number("Token row of the query, from 0.  [default: where most changes]")] = None,
    column: Annotated[int | None, number("Token column of the query, from 0.  [default: where most changes]")] = None,
    block: Annotated[int, number("Block to look at, from 0; -1 is the last.", min=None)] = -1,
    head: Annotated[int | None, number("Attention head, from 0.  [default: the mean over heads]")] = None,
    seed: Annotated[int, number("Seed of the weights that are random.", max=2**32 - 1)] = 0,
) -> None:
    """Show where one token of a video looks under four mechanisms, as one HTML page.

    The mechanisms are softmax attention, linear attention, linear attention with feature fixation, and that with
    neighborhood association, or those that you name, published rivals among them. All share one set of weights: random,
    or from checkpoints.

    Example: linvid explain clip.mp4 --start 2 --stop 4 --output clip.html
    Example: linvid explain clip.mp4 --interactive --output clip.html
    Example: linvid explain clip.mp4 --mechanism softmax --mechanism performer --mechanism "cosformer + fixation"
    """
    with plain_errors():
        if output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--output {output} does not end in .html: choose a name that does")
        if interactive and png:
            raise ValueError("--png goes without --interactive, whose page saves a PNG of what is seen: leave one out")
        from linvid_edu.figures import explain_page as explaining
        from linvid_edu.models.checkpoint import load_model
        from linvid_edu.video.reading import load_clip

        files, query = checkpoint or [], {"--frame": frame, "--row": row, "--column": column}
        models = [(path.name, load_model(path)) for path in files]
        num_frames, side = explaining.clip_size(models, frames, size)
        with progress(2 + len(explaining.MECHANISMS)) as step:
            step("video")
            clip = load_clip(video, num_frames=num_frames, size=side, start=start, stop=stop)
            given = {"--frames": frames, "--size": size, "--start": start, "--stop": stop}
            options = given | query | {"--block": block, "--head": head, "--seed": seed}
            command = _command(video, files, mechanism or [], options)
            asked: dict[str, Any] = {"query": (frame, row, column), "block": block, "head": head, "seed": seed}
            asked["mechanisms"] = mechanism or ()
            if interactive:
                from linvid_edu.widgets.page import explorer_of, save_page

                step("models")
                explorer = explorer_of(clip, checkpoints=models, **asked)
                step("page")
                paths = [save_page(explorer, output, command=command.replace("explain", "explain --interactive", 1))]
            else:
                explanation = explaining.explain(clip, checkpoints=models, progress=step, **asked)
                step("figures")
                paths = explaining.save(explanation, output, command=command, png=png)
        typer.echo("\n".join(map(str, paths)))


@app.command(no_args_is_help=True)
def convert(
    source: Annotated[
        Path, typer.Argument(help="The reference's weights: .safetensors, .npz, or of torch.save.", show_default=False)
    ],
    output: Annotated[Path, typer.Argument(help="The model file to write, .safetensors.", show_default=False)],
    heads: Annotated[int, number("Attention heads, which no weight tells; 8 in the paper.", min=1)],
    image_size: Annotated[int, number("Side of a frame, pixels; 224 in the paper.", min=1)],
    temporal_shift_div: Annotated[
        int | None,
        number(
            "Neighborhood association moves 1/N of the channels each way: 4 for Something-Something v2, "
            "8 for Kinetics.  [default: no association]",
            min=2,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUTPUT if it exists.")] = False,
) -> None:
    """Convert a checkpoint of the paper's reference implementation into a model file of this course.

    Frames, width, depth, classes and the kind of fixation are read off the weights. Nothing in SOURCE is run.

    Example: linvid convert ssv2.pth ssv2.safetensors --heads 8 --image-size 224 --temporal-shift-div 4
    """
    with plain_errors():
        if output.exists() and not force:
            raise ValueError(f"{output} exists: choose another name, or overwrite it with --force")
        if output.exists() and source.exists() and output.samefile(source):
            raise ValueError(f"{output} is the source itself: choose another name")
        from linvid_edu.models.checkpoint import read_state, save_model
        from linvid_edu.models.reference_weights import load_official

        state = read_state(source)
        model = load_official(state, heads=heads, image_size=image_size, temporal_shift_div=temporal_shift_div)
        save_model(model, output)
        count = sum(weight.numel() for weight in model.parameters())
        typer.echo(f"{output}: {model.config.variant}, {model.config.depth} blocks, {count:,} weights")


@app.command()
def samples(
    folder: Annotated[Path, typer.Argument(help="Where to write them; made if missing.")] = Path("data_samples"),
) -> None:
    """Render the twelve sample clips and their manifest; files of the same names are replaced.

    Needs scikit-image, whose photographs are behind some of them: pip install 'linvid-edu[test]'

    Example: linvid samples data_samples
    """
    with plain_errors():
        from linvid_edu.video.samples import SAMPLES, write_samples

        with progress(len(SAMPLES) + 1) as step:

            def tell(path: Path) -> None:
                step(path.name)

            paths = write_samples(folder, tell)
        typer.echo(f"{len(paths) - 1} clips and their manifest in {folder}")


@app.command()
def course(
    video: Annotated[
        Path | None, typer.Option(help="A video file that the lessons show instead.  [default: a sample clip]")
    ] = None,
    output: Annotated[Path, typer.Option(help="The folder to write the course to.")] = Path("build/course"),
) -> None:
    """Run all lessons and write them as a book of HTML pages that opens without a network.

    Example: linvid course --video clip.mp4 --output build/course
    """
    with plain_errors():
        from linvid_edu.course.book import build_course

        typer.echo(build_course(video, output))


@app.command()
def book(
    output: Annotated[Path, typer.Option(help="The folder to write the book to.")] = Path("build/book"),
) -> None:
    """Write the book from the lessons with their stored outputs, without running them.

    Example: linvid book --output build/book
    """
    with plain_errors():
        from linvid_edu.course.book import build_book
        from linvid_edu.course.lessons import LESSONS, find_lessons

        note = "The outputs are those stored with the lessons; `linvid course` runs them anew."
        typer.echo(build_book(find_lessons(), output, root=LESSONS.parent, note=note))


def _command(video: Path, files: list[Path], mechanisms: list[str], options: dict[str, Any]) -> str:
    """Write the line that makes the same page again, next to the files."""
    words = [word for path in files for word in ("--checkpoint", path.name)]
    words += [word for each in mechanisms for word in ("--mechanism", each)]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["linvid", "explain", *words, "--", video.name])
