"""One self-contained page about a stream: its film strip, curves along it, and where a token looked at some moments."""

from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from linvid_edu.figures.plots import Picture, attention_strip, curves, film_strip
from linvid_edu.files import atomic_path
from linvid_edu.models.transformer import VideoTransformer

from .watch import Moment, Watched

RANDOM = "Weights are random: this shows what streaming does, not what a trained model looks at."


def pictures(watched: Watched) -> dict[str, Picture]:
    """Draw the figures of the page: "film", "concentration", and "ratios" with fixation."""
    times, frames = (list(each) for each in zip(*watched.film.entries, strict=True))
    columns = 4 if len(frames) <= 8 else 8
    drawn = {"film": film_strip(np.stack(frames), times=np.array(times), columns=columns)}
    at = np.array([time for time, _ in watched.curves.entries])
    series = {
        name: np.array([measures[name] for _, measures in watched.curves.entries])
        for name in watched.curves.entries[0][1]
    }
    parts = {
        "concentration": ("share, or entropy, 0 to 1", [name for name in series if name.endswith("own frame")]),
        "ratios": ("mean fixation ratio, 0 to 1", [name for name in series if name.endswith("ratio")]),
    }
    for part, (label, names) in parts.items():
        if names:
            chosen = {name: series[name] for name in names}
            drawn[part] = curves(at, chosen, xlabel="time, s", ylabel=label, markers=len(at) < 40)
    return drawn


def moment_picture(watched: Watched, moment: Moment) -> Picture:
    """Draw where the query looks at one moment, on the frame of that moment."""
    return attention_strip(
        moment.pixels[None],
        moment.weights[None],
        query=(0, *watched.query),
        times=np.array([moment.time]),
        title=f"asked for: {moment.asked:g} s",
    )


def save(
    watched: Watched, path: str | Path, *, name: str, model: VideoTransformer, weights: str | int, command: str
) -> Path:
    """Write the page, atomically; it needs nothing else: no script, no network, no other file.

    Args:
        watched: what ``watch`` returned.
        path: of the page; missing folders are made.
        name: of the video file, without its folder.
        model: that watched it.
        weights: name of the file that they come from, or the seed of random ones.
        command: the line that makes this page again.

    Returns:
        the path.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_text(page(watched, name=name, model=model, weights=weights, command=command), encoding="utf-8")
    return path


def page(watched: Watched, *, name: str, model: VideoTransformer, weights: str | int, command: str) -> str:
    """Return the page; every text from outside is escaped. The arguments are those of ``save``."""
    config, drawn, random = model.config, pictures(watched), isinstance(weights, int)
    row, column = watched.query
    words = {
        "name": name,
        "frames": f"{watched.frames:,}, to {watched.seconds:.2f} s",
        "tokens": "{} × {} a frame, {:,} in all".format(*watched.grid, watched.frames * watched.grid.tokens),
        "state": f"{watched.state:,} numbers",
        "softmax": f"{_keys(watched, model):,}",
        "query": f"row {row}, column {column}",
        "model": f"{config.variant}, {config.space_time} attention, {config.depth} blocks of width {config.width}",
        "embedded": f"the model has embeddings for {config.num_frames}; later frames get the last of them",
        "weights": f"random, seed {weights}" if random else str(weights),
        "notice": RANDOM if random else "Curves and maps are those of the last block.",
        "command": command,
    }
    figures = {part: _figure(drawn[part], words_) for part, words_ in CAPTIONS.items() if part in drawn}
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    parts = {"figures": "\n".join(figures.values()), "trouble": _trouble(watched), "moments": _moments(watched)}
    return template.substitute({key: escape(text) for key, text in words.items()} | parts)


MOMENTS = (
    "At the moments that were asked for: its weights on the tokens of its own frame, as multiples of even weights. "
    "Each picture has its own scale."
)
CAPTIONS = {
    "film": ("The film", "Some of the frames, evenly spread over what was seen."),
    "concentration": (
        "Concentration along it",
        "Entropy of the weights within the frame, 1 for even attention, mean over queries and heads; and the share of "
        "all weights that lies on the own frame: the rest lies on what has passed. Even weights give 1/m at frame m.",
    ),
    "ratios": ("Fixation ratios along it", "Means over tokens, heads and channels: 1 keeps a feature, 0 shuts it."),
}


def _figure(picture: Picture, words: tuple[str, str]) -> str:
    title, caption = (escape(each) for each in words)
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{_image(picture)}</div>'
    return f"<section><h2>{title}</h2><figure>{scroll}<figcaption>{caption}</figcaption></figure></section>"


def _image(picture: Picture) -> str:
    source = f"data:image/png;base64,{b64encode(picture.png()).decode()}"
    return f'<img src="{source}" alt="{escape(picture.alt)}">'


def _moments(watched: Watched) -> str:
    if not watched.moments:
        return ""
    cards = "".join(
        f"<figure>{_image(moment_picture(watched, each))}<figcaption>Frame at {each.time:.2f} s; "
        f"{100 * each.own:.1f} % of all its weight lies on this frame.</figcaption></figure>"
        for each in watched.moments
    )
    return f'<section><h2>Where the query looks</h2><p>{MOMENTS}</p><div class="moments">{cards}</div></section>'


def _trouble(watched: Watched) -> str:
    notes = [watched.trouble] if watched.trouble else []
    notes += [f"{each:g} s lies beyond the last frame, at {watched.seconds:.2f} s." for each in watched.missed]
    return "".join(f'<p class="notice" role="note">{escape(note)}</p>' for note in notes)


def _keys(watched: Watched, model: VideoTransformer) -> int:
    """Count the numbers of keys and values that softmax attention over time would keep by now."""
    layers = model.config.depth
    return 2 * layers * watched.frames * watched.grid.tokens * model.config.width
