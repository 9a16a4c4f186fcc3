"""The figures of the page: thumbnails, curves along the stream, and the attention at some moments."""

import numpy as np

from linvid_edu.figures.plots import Picture, attention_strip, curves, film_strip

from .watched import Moment, Watched

CURVES = {
    "concentration": ("own frame", "share, or entropy, 0 to 1"),
    "ratios": ("ratio", "mean fixation ratio, 0 to 1"),
}  # figure to the last words of its series' names and the label of the y axis
MOST_MARKERS = 40


def watched_pictures(watched: Watched) -> dict[str, Picture]:
    """Draw the figures of the page.

    Args:
        watched: What ``watch`` returned.

    Returns:
        "film", "concentration", and with fixation "ratios".
    """
    times, frames = zip(*watched.film.entries, strict=True)
    columns = 4 if len(frames) <= 8 else 8
    pictures = {"film": film_strip(np.stack(frames), times=np.array(times), columns=columns)}
    at = np.array([time for time, _ in watched.curves.entries])
    names = list(watched.curves.entries[0][1])
    for figure, (ending, label) in CURVES.items():
        series = {
            name: np.array([measures[name] for _, measures in watched.curves.entries])
            for name in names
            if name.endswith(ending)
        }
        if series:
            pictures[figure] = curves(at, series, xlabel="time, s", ylabel=label, markers=len(at) < MOST_MARKERS)
    return pictures


def moment_picture(watched: Watched, moment: Moment) -> Picture:
    """Draw where the query attends at one moment, on the frame of that moment."""
    return attention_strip(
        moment.pixels[None],
        moment.weights[None],
        query=(0, *watched.query),
        times=np.array([moment.time]),
        title=f"requested: {moment.requested:g} s",
    )
