"""Options and arguments that several commands have, defined once."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def numeric(help: str, min: int | None = 0, max: int | None = None) -> Any:
    """Return an option that is a number within limits."""
    return typer.Option(metavar="N", min=min, max=max, help=help)


def name_option(help: str, names: Sequence[str]) -> Any:
    """Return an option whose value is one of `names`; the help lists them, and another name is an error."""
    listed = ", ".join(names)

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise typer.BadParameter(f"{name!r} is unknown: choose one of {listed}")
        return name

    return typer.Option(metavar="NAME", help=f"{help}: {listed}.", callback=check)


def above_zero(value: float) -> float:
    """Raise an error unless `value` is above 0; the callback of an option."""
    if not value > 0:
        raise typer.BadParameter(f"{value} must be above 0")
    return value


def check_html(output: Path) -> Path:
    """Raise an error unless a page's name ends in .html; the callback of an option."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{output} does not end in .html: choose a name that does")
    return output


def check_moments(moments: list[float] | None) -> list[float] | None:
    """Raise an error if a moment lies before the film; the callback of an option."""
    for seconds in moments or []:
        if not seconds >= 0:
            raise typer.BadParameter(f"{seconds:g} lies before the film: choose seconds, 0 or more")
    return moments


def write_numbers(numbers: Mapping[str, Any], path: Path) -> None:
    """Write numbers as JSON, atomically."""
    from linvid_edu.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(numbers, indent=1, allow_nan=False), encoding="utf-8")


Video = Annotated[Path, typer.Argument(help="Video file, in any format that FFmpeg reads.", show_default=False)]
Page = Annotated[Path, typer.Option(help="Page to write; its name ends in .html.", callback=check_html)]
WeightsSeed = Annotated[int, numeric("Seed of the random weights.", max=2**32 - 1)]
Numbers = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="File to which the numbers are also written.", show_default=False),
]
Device = Annotated[str, name_option("Device to compute on", ("auto", "cpu", "cuda", "mps"))]
ClipsRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="ROOT",
        help="Folder of clips to use instead of a task: ROOT/train/CLASS/clip.mp4 with val or test beside train, or "
        "label files as in Something-Something.",
        show_default=False,
    ),
]
