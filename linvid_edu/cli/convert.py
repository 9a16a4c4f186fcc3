"""`linvid convert`: weights of the reference implementation as a model file."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import numeric


@app.command("convert", no_args_is_help=True)
def convert_checkpoint(
    source: Annotated[
        Path,
        typer.Argument(
            help="Weights of the reference implementation: .safetensors, .npz, or a file that torch.save wrote.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Argument(help="Model file to write, .safetensors.", show_default=False)],
    heads: Annotated[int, numeric("Number of attention heads, which the weights do not show; 8 in the paper.", min=1)],
    image_size: Annotated[int, numeric("Side of a frame in pixels; 224 in the paper.", min=1)],
    temporal_shift_div: Annotated[
        int | None,
        numeric(
            "Neighborhood association moves 1/N of the channels each way: 4 for Something-Something v2, "
            "8 for Kinetics.  [default: no association]",
            min=2,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUTPUT if it exists.")] = False,
) -> None:
    """Convert a checkpoint of the paper's reference implementation into a model file of this course.

    Frames, width, depth, classes and the kind of fixation are read from the weights. Nothing in SOURCE is executed.

    Example: linvid convert ssv2.pth ssv2.safetensors --heads 8 --image-size 224 --temporal-shift-div 4
    """
    if output.exists() and not force:
        raise ValueError(f"{output} exists: choose another name, or overwrite it with --force")
    if output.exists() and source.exists() and output.samefile(source):
        raise ValueError(f"{output} is the source itself: choose another name")
    from linvid_edu.models.checkpoint import read_state, save_model
    from linvid_edu.models.reference_weights import load_official

    model = load_official(read_state(source), heads=heads, image_size=image_size, temporal_shift_div=temporal_shift_div)
    save_model(model, output)
    count = sum(weight.numel() for weight in model.parameters())
    typer.echo(f"{output}: {model.config.variant}, {model.config.depth} blocks, {count:,} weights")
