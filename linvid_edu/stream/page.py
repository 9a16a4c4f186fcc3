"""One self-contained page about a stream: its film strip, curves along it, and where a token looked at some moments."""

from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from ..files import atomic_path
from ..model import VideoTransformer
from ..plots import Picture, attention_strips, curves, film_strip
from .watch import Watched

RANDOM = "Weights are random: this shows what streaming does, not what a trained model looks at."


def pictures(watched: Watched) -> dict[str, Picture]:
    """Draw the figures of the page: "film", "concentration", "ratios" with fixation, "moments" where there are any."""
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
    if watched.moments:
        shown = watched.moments[:8]
        weights = np.stack([each.weights / len(shown) for each in shown])
        drawn["moments"] = attention_strips(
            np.stack([each.pixels for each in shown]),
            {"weights within the frame": weights},
            times=np.array([each.time for each in shown]),
            show=list(range(len(shown))),
        )
    return drawn


def save(watched: Watched, path: str | Path, *, name: str, model: VideoTransformer, weights: str, command: str) -> Path:
    """Write the page, atomically; it needs nothing else: no script, no network, no other file.

    Args:
        watched: what ``watch`` returned.
        path: of the page; missing folders are made.
        name: of the video file, without its folder.
        model: that watched it.
        weights: where they come from, in words; "" says that they are random.
        command: the line that makes this page again.

    Returns:
        the path.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_text(page(watched, name=name, model=model, weights=weights, command=command), encoding="utf-8")
    return path


def page(watched: Watched, *, name: str, model: VideoTransformer, weights: str, command: str) -> str:
    """Return the page; every text from outside is escaped. The arguments are those of ``save``."""
    config, drawn = model.config, pictures(watched)
    row, column = watched.query
    words = {
        "name": name,
        "frames": f"{watched.frames:,}, to {watched.seconds:.2f} s",
        "tokens": "{} × {} a frame, {:,} in all".format(*watched.grid, watched.frames * watched.grid.tokens),
        "state": f"{watched.state:,} numbers",
        "softmax": f"{_keys(watched, model):,}",
        "query": f"row {row}, column {column}",
        "model": f"{config.variant}, {config.space_time} attention, {config.depth} blocks of width {config.width}",
        "weights": weights or "random",
        "notice": (weights and "Curves and maps are those of the last block.") or RANDOM,
        "command": command,
    }
    figures = {part: _figure(drawn[part], words_) for part, words_ in CAPTIONS.items() if part in drawn}
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    parts = {"figures": "\n".join(figures.values()), "trouble": _trouble(watched), "moments": _table(watched)}
    return template.substitute({key: escape(text) for key, text in words.items()} | parts)


CAPTIONS = {
    "film": ("The film", "Some of the frames, evenly spread over what was seen."),
    "concentration": (
        "Concentration along it",
        "Entropy of the weights within the frame, 1 for even attention, mean over queries and heads; and the share of "
        "all weights that lies on the own frame: the rest lies on what has passed.",
    ),
    "ratios": ("Fixation ratios along it", "Means over tokens, heads and channels: 1 keeps a feature, 0 shuts it."),
    "moments": (
        "Where the query looks",
        "At the moments that were asked for: its weights on the tokens of its own frame, as shares of their sum.",
    ),
}


def _figure(picture: Picture, words: tuple[str, str]) -> str:
    title, caption = (escape(each) for each in words)
    source = f"data:image/png;base64,{b64encode(picture.png()).decode()}"
    image = f'<img src="{source}" alt="{escape(picture.alt)}">'
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{image}</div>'
    return f"<section><h2>{title}</h2><figure>{scroll}<figcaption>{caption}</figcaption></figure></section>"


def _table(watched: Watched) -> str:
    if not watched.moments:
        return ""
    rows = "".join(
        f"<tr><td>{each.asked:g} s</td><td>{each.time:.2f} s</td><td>{100 * each.own:.1f} %</td></tr>"
        for each in watched.moments
    )
    head = "<tr><th>asked for</th><th>frame at</th><th>weight on the own frame</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _trouble(watched: Watched) -> str:
    notes = [watched.trouble] if watched.trouble else []
    notes += [f"{each:g} s lies beyond the last frame, at {watched.seconds:.2f} s." for each in watched.missed]
    return "".join(f'<p class="notice" role="note">{escape(note)}</p>' for note in notes)


def _keys(watched: Watched, model: VideoTransformer) -> int:
    """Count the numbers of keys and values that softmax attention over time would keep by now."""
    layers = model.config.depth
    return 2 * layers * watched.frames * watched.grid.tokens * model.config.width
