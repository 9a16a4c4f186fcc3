"""One self-contained HTML page of a recolored clip: its frames, where colors came from, and how far off they are."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from linvid_edu import __version__
from linvid_edu.figures.html import PAGE_STYLE, html_page, image_element
from linvid_edu.files import atomic_path

from .coloring import Coloring, Painted, color_numbers
from .packing import page_state

MOST_PAGE_BYTES = 3_000_000
WEBP_QUALITIES = (80, 60, 40)  # the first with which the page is small enough
RELOAD_SECONDS = 4
ASSETS = Path(__file__).parent
MOST_BAR_REM = 6.0  # length of the bar of an error of 1
BASELINES = {
    "mean color": "one color for everything",
    "same place": "no training",
    "nearest gray patch": "no training",
    "soft gray match": "no training",
    "best reference": "knows the answer",
}


class Training(NamedTuple):
    """The state of a training that the page shows.

    step, steps: number of steps taken, and of all steps
    points: for some steps, the relative error of each mechanism on the page's clip, by label
    film: which part of the film the models are trained on, in words
    running: whether the training goes on, so that the page reloads itself
    """

    step: int
    steps: int
    points: Sequence[tuple[int, dict[str, float]]]
    film: str
    running: bool


def save_color_page(
    coloring: Coloring, path: str | Path, *, command: str = "", training: Training | None = None
) -> Path:
    """Write the page atomically; missing folders are made.

    Args:
        coloring: What ``paint_clip`` returned.
        path: Path of the page.
        command, training: As for ``color_html``.

    Returns:
        The path.
    """
    text = color_html(coloring, command=command, training=training)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def color_html(coloring: Coloring, *, command: str = "", training: Training | None = None) -> str:
    """Write a recolored clip as one HTML page of at most 3 MB, which loads nothing from elsewhere.

    Args:
        coloring: What ``paint_clip`` returned.
        command: Command line that makes this page again; "" states that a program made it.
        training: State of the training of the models, if they are trained on this film; the page reloads itself
            while it is running.

    Returns:
        The page. All texts are escaped, and of the clip's source only the file name is shown.

    Raises:
        ValueError: The page would be larger.
    """
    for quality in WEBP_QUALITIES:
        page = _page_of(coloring, page_state(coloring, quality), command, training)
        if (size := len(page.encode())) <= MOST_PAGE_BYTES:
            return page
    raise ValueError(
        f"the page would have {size / 1e6:.1f} MB, more than {MOST_PAGE_BYTES / 1e6:.0f}: choose fewer --frames than "
        f"{coloring.lab.shape[1]}, or fewer mechanisms than {len(coloring.painted)}"
    )


def _page_of(coloring: Coloring, state: dict[str, Any], command: str, training: Training | None) -> str:
    if training and training.running:
        state["reload"] = RELOAD_SECONDS
    script = [(ASSETS / file).read_text(encoding="utf-8") for file in ("weights.js", "page.js")]
    style = [PAGE_STYLE, ASSETS / "page.css"]
    texts = _texts(coloring, state, command)
    elements = {
        "notices": "".join(f'<p class="notice" role="note">{escape(note)}</p>' for note in coloring.clip.notes),
        "training": "" if training is None else _training_section(training),
        "curves": "" if training is None else _learning_curves(training),
        "panels": "\n".join(_panels(coloring, state)),
        "origins": "\n".join(_origin(painted, coloring, state) for painted in coloring.painted),
        "rows": "\n".join(_rows(coloring)),
        "state": json.dumps(state, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "script": "\n".join(script),
    }
    return html_page(
        ASSETS / "page.html",
        title=f"Copy a color: {texts['name']}",
        style="\n".join(path.read_text(encoding="utf-8") for path in style),
        texts=texts,
        elements=elements,
        scripts=True,
    )


def _texts(coloring: Coloring, state: dict[str, Any], command: str) -> dict[str, str]:
    known = len(coloring.known)
    return {
        "name": Path(coloring.clip.source).name,
        "known": "one frame" if known == 1 else f"{known} frames",
        "last": str(len(state["times"]) - 1),
        "frame": str(state["frame"]),
        "targets": str(len(coloring.targets)),
        "grid": f"{coloring.grid.rows} × {coloring.grid.columns}",
        "moving": f"{100 * coloring.colors.moving.float().mean().item():.0f}",
        "sources": str(known * coloring.grid.tokens),
        "command": command or "made by a program that called linvid_edu.figures.color_page",
        "versions": f"linvid_edu {__version__}, torch {torch.__version__}",
    }


def _panels(coloring: Coloring, state: dict[str, Any]) -> list[str]:
    """Write gray, truth, and what each mechanism made of the frame that the page begins with."""
    frame, numbers = state["frame"], color_numbers(coloring)
    panels = [
        _panel("gray", "what the models see", state["pictures"]["gray"][frame]),
        _panel("truth", "what it should be", state["pictures"]["truth"][frame]),
    ]
    for painted, mechanism in zip(coloring.painted, state["mechanisms"], strict=True):
        measures = numbers["mechanisms"][painted.name]
        caption = (
            f'error <span class="number">{_text(measures["relative_error"])}</span><br>'
            f'moving tokens {_text(measures["relative_error_moving"])}<br><span class="now"></span>'
        )
        panels.append(_panel(painted.label, caption, mechanism["pictures"][frame]))
    return panels


def _panel(label: str, caption: str, picture: str) -> str:
    """Write one picture; the caption is HTML."""
    image = f'<img src="{picture}" alt="{escape(label)}" draggable="false">'
    return (
        f'<figure><div class="stage">{image}<i class="token"></i></div><figcaption><strong>{escape(label)}</strong> '
        f"{caption}</figcaption></figure>"
    )


def _origin(painted: Painted, coloring: Coloring, state: dict[str, Any]) -> str:
    """Write the place where the script draws which known tokens a color came from."""
    rows, columns = coloring.grid
    frames = []
    for index in coloring.known:
        picture = f'<img src="{state["pictures"]["truth"][index]}" alt="known frame at {state["times"][index]:.2f} s">'
        canvas = f'<canvas width="{columns}" height="{rows}"></canvas>'
        time = f"<small>{state['times'][index]:.2f} s</small>"
        frames.append(f'<div><div class="stage">{picture}{canvas}</div>{time}</div>')
    swatches = '<div class="swatches"><span></span><span></span><small>true color</small><small>copied</small></div>'
    return (
        f"<article><h3>{escape(painted.label)}</h3>{swatches}"
        f'<div class="sources">{"".join(frames)}</div><p></p></article>'
    )


def _rows(coloring: Coloring) -> list[str]:
    """Write the rows of the table: mechanisms, then baselines."""
    numbers = color_numbers(coloring)
    rows = [
        _row(painted.label, painted.origin, numbers["mechanisms"][painted.name], "mechanism")
        for painted in coloring.painted
    ]
    return rows + [_row(name, BASELINES[name], row, "baseline") for name, row in numbers["baselines"].items()]


def _row(name: str, details: str, row: dict[str, float | None], kind: str) -> str:
    cells = [
        _error_cell("error", row["relative_error"]),
        _error_cell("error, moving tokens", row["relative_error_moving"]),
    ]
    if kind == "mechanism":
        selectivity = row["selectivity"]
        cells += [
            _cell("right color", "—" if selectivity is None else f"{100 * selectivity:.0f} %"),
            _cell("effective tokens", _text(row["effective_tokens"], 1)),
            _cell("entropy", _text(row["entropy"])),
        ]
    else:
        cells += 3 * ['<td role="cell" class="none">—</td>']
    head = f'<th scope="row" role="rowheader">{escape(name)} <small>{escape(details)}</small></th>'
    return f'<tr role="row" class="{kind}">{head}{"".join(cells)}</tr>'


def _error_cell(label: str, value: float | None) -> str:
    width = 0.0 if value is None else MOST_BAR_REM * min(value, 1.5) / 1.5
    return _cell(label, f'{_text(value)}<i class="bar" style="width: {width:.2f}rem"></i>')


def _cell(label: str, html: str) -> str:
    return f'<td role="cell" data-label="{label}">{html}</td>'


def _text(value: float | None, decimals: int = 3) -> str:
    return "—" if value is None else f"{value:.{decimals}f}"


def _training_section(training: Training) -> str:
    """Write how far the training is."""
    if training.running:
        text = f"Step {training.step} of {training.steps}. This page reloads itself until the training ends."
    elif training.step < training.steps:
        text = f"The training was stopped after step {training.step} of {training.steps}."
    else:
        text = f"The training is finished: {training.steps} steps."
    bar = f'<progress max="{training.steps}" value="{training.step}"></progress>' if training.running else ""
    return (
        f'<section class="training"><h2>Trained on this film</h2><p role="status">{escape(training.film)} {text}</p>'
        f"{bar}</section>"
    )


def _learning_curves(training: Training) -> str:
    """Draw the error of each mechanism after some of the steps."""
    from linvid_edu.figures.plots import curves

    if len(training.points) < 2:
        return ""
    steps, errors = zip(*training.points, strict=True)
    series = {label: np.array([row[label] for row in errors]) for label in errors[0]}
    drawn = curves(np.array(steps), series, xlabel="step of training", ylabel="error on the unseen part", markers=False)
    return (
        '<section class="training"><h2>Learning curves</h2><figure><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Learning curves">{image_element(drawn)}</div></figure></section>'
    )
