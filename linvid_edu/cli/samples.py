"""`linvid samples`: render the sample clips."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .progress import step_bar


@app.command("samples")
def render_samples(
    folder: Annotated[Path, typer.Argument(help="Folder to write them to; created if it is missing.")] = Path(
        "data_samples"
    ),
) -> None:
    """Render the twelve sample clips and their manifest; files of the same names are replaced.

    Some clips show photographs from scikit-image, which you install with: pip install 'linvid-edu[test]'

    Example: linvid samples data_samples
    """
    from linvid_edu.video.samples import SAMPLES, write_samples

    with step_bar(len(SAMPLES) + 1) as step:
        paths = write_samples(folder, lambda path: step(path.name))
    typer.echo(f"{len(paths) - 1} clips and their manifest in {folder}")
