"""One self-contained HTML page about a stream: its film strip, curves along it, and the attention at some moments."""

from html import escape
from pathlib import Path

from linvid_edu.figures.html import PAGE_STYLE, html_page, image_element
from linvid_edu.figures.plots import Picture
from linvid_edu.files import atomic_path
from linvid_edu.models.transformer import VideoTransformer

from .pictures import moment_picture, watched_pictures
from .watched import Watched

RANDOM_STREAM_NOTICE = "Weights are random: this shows what streaming does, not what a trained model attends to."
MOMENTS_NOTE = (
    "At the requested moments: its weights on the tokens of its own frame, as multiples of even weights. "
    "Each picture has its own scale."
)
CAPTIONS = {
    "film": ("The film", "Some of the frames, evenly spread over the stream."),
    "concentration": (
        "Concentration along it",
        "Entropy of the weights within the frame, 1 for even attention, mean over queries and heads; and the share of "
        "all weights that lies on the own frame: the rest lies on what has passed. Even weights give 1/m at frame m.",
    ),
    "ratios": ("Fixation ratios along it", "Means over tokens, heads and channels: 1 keeps a feature, 0 shuts it."),
}


def save_watched(
    watched: Watched, path: str | Path, *, name: str, model: VideoTransformer, weights: str | int, command: str
) -> Path:
    """Write the page, atomically.

    Args:
        watched: What ``watch`` returned.
        path: Path of the page; missing folders are made.
        name: Name of the video file, without its folder.
        model: Model that watched it.
        weights: Name of the checkpoint, or the seed of random weights.
        command: Command line that makes this page again.

    Returns:
        The path.
    """
    path = Path(path)
    text = watched_html(watched, name=name, model=model, weights=weights, command=command)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def watched_html(watched: Watched, *, name: str, model: VideoTransformer, weights: str | int, command: str) -> str:
    """Write the page, which has no scripts and loads nothing; the arguments are those of ``save_watched``."""
    config, pictures, random = model.config, watched_pictures(watched), isinstance(weights, int)
    row, column = watched.query
    tokens = watched.frames * watched.grid.tokens
    texts = {
        "name": name,
        "frames": f"{watched.frames:,}, to {watched.seconds:.2f} s",
        "tokens": f"{watched.grid.rows} × {watched.grid.columns} a frame, {tokens:,} in all",
        "state": f"{watched.state:,} numbers",
        # keys and values of every token in every layer
        "softmax": f"{2 * config.depth * tokens * config.width:,}",
        "query": f"row {row}, column {column}",
        "model": f"{config.variant}, {config.space_time} attention, {config.depth} blocks of width {config.width}",
        "embedded": f"the model has embeddings for {config.num_frames}; later frames get the last of them",
        "weights": f"random, seed {weights}" if random else str(weights),
        "notice": RANDOM_STREAM_NOTICE if random else "Curves and maps are those of the last block.",
        "command": command,
    }
    figures = [_figure(pictures[key], *CAPTIONS[key]) for key in CAPTIONS if key in pictures]
    elements = {"figures": "\n".join(figures), "trouble": _trouble(watched), "moments": _moments(watched)}
    return html_page(
        Path(__file__).with_suffix(".html"),
        title=f"A stream: {name}",
        style=PAGE_STYLE.read_text(encoding="utf-8"),
        texts=texts,
        elements=elements,
    )


def _figure(picture: Picture, title: str, caption: str) -> str:
    image = f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{image_element(picture)}</div>'
    return f"<section><h2>{title}</h2><figure>{image}<figcaption>{caption}</figcaption></figure></section>"


def _moments(watched: Watched) -> str:
    if not watched.moments:
        return ""
    cards = "".join(
        f"<figure>{image_element(moment_picture(watched, moment))}<figcaption>Frame at {moment.time:.2f} s; "
        f"{100 * moment.own:.1f} % of all its weight lies on this frame.</figcaption></figure>"
        for moment in watched.moments
    )
    return f'<section><h2>Where the query looks</h2><p>{MOMENTS_NOTE}</p><div class="moments">{cards}</div></section>'


def _trouble(watched: Watched) -> str:
    notes = [watched.trouble] if watched.trouble else []
    notes += [f"{time:g} s lies beyond the last frame, at {watched.seconds:.2f} s." for time in watched.missed]
    return "".join(f'<p class="notice" role="note">{escape(note)}</p>' for note in notes)
