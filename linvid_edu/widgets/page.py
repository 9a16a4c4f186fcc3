"""The AttentionExplorer as one self-contained HTML page, which works offline in any browser: what a class is mailed."""

import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from linvid_edu import __version__
from linvid_edu.figures.explain_page import Checkpoint, answering_models, at_most_four, choose_query, index_of
from linvid_edu.files import atomic_path
from linvid_edu.video.clip import Clip

from .attention import AttentionExplorer
from .frontend import front_end, style
from .packing import Kind
from .recording import MOST_MODELS

LARGEST = 8_000_000  # bytes of a page
FRAME = 200_000  # of them for code, words and the static picture
ROUNDED = {
    "float16": "Queries and keys are rounded to 11 bits: numbers may differ from exact ones in the fourth digit.",
    "scaled": "Queries and keys are rounded to 8 bits: numbers may differ from exact ones in the third digit.",
}
STATE = ("query", "compared", "block", "span", "head", "direction", "scale")


def explorer_of(
    clip: Clip,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    query: tuple[int | None, int | None, int | None] = (None, None, None),
    block: int = -1,
    head: int | None = None,
    seed: int = 0,
    mechanisms: Sequence[str] = (),
) -> AttentionExplorer:
    """Make an explorer of the models that answer in ``explain``: four mechanisms, with one set of weights.

    Where checkpoints add mechanisms to the four, those that no checkpoint was trained for stand back.

    Args:
        clip, checkpoints, query, block, head, seed, mechanisms: as for ``explain``.

    Raises:
        ValueError: checkpoints disagree, the clip does not fit them, a mechanism is unknown or does not fit, or there
            is no such token, block or head.
    """
    at_most_four(mechanisms)
    answering = list(answering_models(clip, checkpoints=checkpoints, seed=seed, mechanisms=mechanisms))
    first = sorted(answering, key=lambda each: each.status != "trained")[:MOST_MODELS]
    shown = [each for each in answering if any(each is one for one in first)]
    explorer = AttentionExplorer(clip, shown, where="kernel")
    if explorer.problem:
        raise ValueError(explorer.problem)
    config = shown[0].model.config
    explorer.query = choose_query(clip, config, query)[:3]
    explorer.block = index_of("block", block, config.depth, lowest=-config.depth) % config.depth
    explorer.head = head
    return explorer


def page(explorer: AttentionExplorer, *, command: str = "") -> str:
    """Write an explorer, in the state it is in, as one HTML page of at most 8 MB.

    All blocks are in it where they fit, else the one that is shown.

    Args:
        explorer: of any models and clip.
        command: the line that makes this page again; "" says that a program made it.

    Returns:
        the page. Every text from outside is data in it, and of the clip's source only the file name is told.

    Raises:
        ValueError: even one block is too large.
    """
    for kind, blocks in _attempts(explorer.block):
        packed = explorer.pack(kind, blocks)
        arrays = b64encode(packed.data).decode()
        if len(arrays) + FRAME <= LARGEST:
            break
    else:
        raise ValueError(
            f"the page would have {len(arrays) / 1e6:.0f} MB, more than {LARGEST // 10**6}: "
            "take fewer frames or smaller ones"
        )
    state = {"state": {name: getattr(explorer, name) for name in STATE}, "meta": packed.meta}
    picture = explorer.snapshot()
    assert picture is not None  # packed above
    words = {
        "name": packed.meta["source"],
        "rounded": ROUNDED[kind],
        "weights": "; ".join(f"{each['name']}: {each['status'] or 'trained'}" for each in packed.meta["models"]),
        "command": command or "made by a program that called linvid_edu.widgets.page",
        "version": __version__,
        "alt": picture.alt,
    }
    return Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8")).substitute(
        {name: escape(text) for name, text in words.items()},
        style=style("explorer.css"),
        script=front_end("page.js"),
        state=json.dumps(state, ensure_ascii=False).replace("<", "\\u003c"),
        arrays=arrays,
        picture=b64encode(picture.png()).decode(),
    )


def save_page(explorer: AttentionExplorer, path: str | Path, *, command: str = "") -> Path:
    """Write the page atomically; missing folders are made.

    Args:
        explorer, command: as for ``page``.
        path: of the page.

    Returns:
        the path.
    """
    text = page(explorer, command=command)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _attempts(block: int) -> list[tuple[Kind, list[int] | None]]:
    """List what to try, the best first."""
    return [("float16", None), ("scaled", None), ("float16", [block]), ("scaled", [block])]
