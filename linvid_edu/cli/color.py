"""`linvid color`: a clip in gray, colored again by attention, as an HTML page and a video file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app
from .command_line import command_line
from .options import Numbers, Page, Video, check_moments, numeric, write_numbers
from .progress import progress_bar, step_bar

if TYPE_CHECKING:
    from linvid_edu.experiments.film_training import FilmTraining
    from linvid_edu.figures.color_page import Coloring, Painter, Training

USUAL_MECHANISMS = ("softmax", "linear", "cooperative")
USUAL_STEPS = 800


@app.command("color", no_args_is_help=True)
def color_clip(
    video: Video,
    output: Page = Path("color.html"),
    mechanism: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Variant to show; repeatable, at most six.  [default: softmax, linear, cooperative]",
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Color model of `linvid train --task color`; repeatable."),
    ] = None,
    reference: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SECONDS",
            help="Time of a frame whose colors are known; repeatable.  [default: the first frame of each scene, and "
            "every 2 seconds]",
            callback=check_moments,
        ),
    ] = None,
    start: Annotated[float | None, typer.Option(metavar="SECONDS", help="Start time.  [default: 0]")] = None,
    stop: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End time.  [default: 10 seconds after the start]")
    ] = None,
    frames: Annotated[int | None, numeric("Number of frames on the page.  [default: 24]", min=2)] = None,
    train_on: Annotated[
        bool,
        typer.Option(
            "--train-on", help="Train on the first half of the video, and color the second half; about two minutes."
        ),
    ] = False,
    steps: Annotated[int, numeric("Number of steps of --train-on.", min=2)] = USUAL_STEPS,
    seed: Annotated[int, numeric("Seed of --train-on.", max=2**32 - 1)] = 0,
    numbers: Numbers = None,
) -> None:
    """Take the colors from a clip, and let attention copy them back from a frame whose colors are known.

    The page shows the clip in gray, in its true colors, and as each mechanism colors it. Click a token to see where its
    color came from. A video file beside the page shows the clips side by side.

    With --train-on, the models learn from the first half of your video alone. Open the page while they do: it reloads
    itself, and the colors come back.

    Example: linvid color clip.mp4

    Example: linvid color clip.mp4 --reference 0 --reference 6 --mechanism softmax --mechanism separate

    Example: linvid color --train-on clip.mp4
    """
    _check_usage(train_on, checkpoint, start, stop)
    film = output.with_name(f"{output.stem}_side_by_side.mp4")
    if film.exists() and video.exists() and film.samefile(video):
        raise ValueError(f"{film} is the video itself and would be overwritten: choose another --output")
    options = {
        "--mechanism": mechanism,
        "--checkpoint": [path.name for path in checkpoint or []],
        "--reference": reference,
        "--start": start,
        "--stop": stop,
        "--frames": frames,
        "--train-on": train_on,
        "--steps": steps if train_on and steps != USUAL_STEPS else None,
        "--seed": seed if train_on and seed else None,
    }
    from linvid_edu.video.opening import printable

    command = command_line("color", options, printable(video.name))
    names = list(dict.fromkeys(mechanism or ([] if checkpoint else USUAL_MECHANISMS)))
    chosen = {"frames": frames, "references": reference or (), "mechanisms": len(names) + len(checkpoint or [])}
    paths = output, film
    import torch

    torch.set_num_threads(1)  # the models are small: more threads wait more than they compute
    if train_on:
        from linvid_edu.experiments.film_training import FilmTraining

        film_training = FilmTraining(video, names, steps=steps, seed=seed)
        coloring, training = _train(film_training, video, chosen, paths, command)
    else:
        painters, training = _painters(names, checkpoint or []), None
        coloring = _color(video, painters, {**chosen, "start": start, "stop": stop}, paths, command)
    from linvid_edu.figures.color_page import color_numbers

    results = color_numbers(coloring)
    if training:
        results["training"] = {"step": training.step, "steps": training.steps, "seed": seed}
    if numbers:
        write_numbers(results, numbers)
    typer.echo("\n".join(_table(results)))
    for note in coloring.clip.notes:
        typer.echo(f"linvid: {note}", err=True)
    typer.echo("\n".join(map(str, paths)))


def _check_usage(train_on: bool, checkpoint: list[Path] | None, start: float | None, stop: float | None) -> None:
    if not train_on:
        return
    if checkpoint:
        raise ValueError("--checkpoint does not go with --train-on, which starts from random weights: omit one")
    if start is not None or stop is not None:
        option = "--start" if start is not None else "--stop"
        raise ValueError(f"{option} does not go with --train-on, which halves the whole video: omit one")


def _painters(names: Sequence[str], checkpoints: Sequence[Path]) -> "list[Painter]":
    """Load the shipped color models of these names, and those in files."""
    from linvid_edu.figures.color_page import Painter, check_painters
    from linvid_edu.models.checkpoint import load_model
    from linvid_edu.models.shipped import color_checkpoints

    shipped = color_checkpoints()
    painters = []
    for name in names:
        if name not in shipped:
            choice = f"choose one of {', '.join(shipped)}, " if shipped else ""
            raise ValueError(
                f"no color model of {name!r} is shipped: {choice}train it on your video by --train-on, or train one "
                f"with `linvid train --task color --variant {name}` and name its file by --checkpoint"
            )
        painters.append(Painter(load_model(shipped[name]), "shipped, trained on photographs"))
    painters += [Painter(load_model(path), path.name) for path in checkpoints]
    check_painters(painters)
    return painters


def _color(
    video: Path, painters: "list[Painter]", chosen: dict[str, Any], paths: tuple[Path, Path], command: str
) -> "Coloring":
    """Color a clip by models that are trained, and write page and film."""
    from linvid_edu.figures.color_page import load_color_clip, paint_clip, save_color_page, save_film

    with step_bar(4) as step:
        step("video")
        clip = load_color_clip(video, **chosen)
        step("colors")
        coloring = paint_clip(clip, painters)
        step("page")
        save_color_page(coloring, paths[0], command=command)
        step("film")
        save_film(clip, painters, paths[1])
    return coloring


def _train(
    film_training: "FilmTraining", video: Path, chosen: dict[str, Any], paths: tuple[Path, Path], command: str
) -> "tuple[Coloring, Training]":
    """Train on the first half of a video; write the page again and again, and the film at the end."""
    from linvid_edu.experiments.live_color_page import LiveColorPage
    from linvid_edu.figures.color_page import load_color_clip, save_film

    clip = load_color_clip(video, **chosen, start=float(film_training.test_film.times[0]))
    page = LiveColorPage(film_training, clip, paths[0], command)
    step = 0
    with progress_bar(film_training.steps) as show:
        page.write(step, running=True)
        typer.echo(f"{paths[0]} shows the training: open it now", err=True)
        try:
            for records in film_training.run():
                step = records[0].step
                due = page.is_due(step) and step < film_training.steps
                if due:
                    page.write(step, running=True)
                show(_progress_text(page.points, step, film_training.steps), step, line=due)
        except KeyboardInterrupt:
            typer.echo(f"linvid: stopped after step {step}: the page shows the models as they are", err=True)
        finally:  # a page that goes on reloading itself would wait forever
            coloring, training = page.write(step, running=False)
    save_film(clip, page.painters, paths[1])
    return coloring, training


def _progress_text(points: Sequence[tuple[int, dict[str, float]]], step: int, steps: int) -> str:
    errors = ", ".join(f"{label} {error:.3f}" for label, error in points[-1][1].items())
    return f"step {step}/{steps}  error on the unseen half: {errors}"


def _table(numbers: dict[str, Any]) -> list[str]:
    """Write the errors of mechanisms and baselines, one per line."""
    rows = {**numbers["mechanisms"], **numbers["baselines"]}
    width = max(len("relative error"), *map(len, rows))
    lines = [f"{'relative error':<{width}}  all tokens  moving tokens"]
    for name, row in rows.items():
        values = ["—" if row[key] is None else f"{row[key]:.3f}" for key in ("relative_error", "relative_error_moving")]
        lines.append(f"{name:<{width}}  {values[0]:<10}  {values[1]}")
    return lines
