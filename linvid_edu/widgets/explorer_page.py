"""The AttentionExplorer as one self-contained HTML page, which works offline in any browser and can be mailed."""

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from linvid_edu import __version__
from linvid_edu.figures.explain_page import Checkpoint, answering_models, at_most_four, choose_query, index_of
from linvid_edu.figures.html import html_page, image_element
from linvid_edu.files import atomic_path
from linvid_edu.models.clip_trace import traced_blocks
from linvid_edu.video.clip import Clip

from .attention import AttentionExplorer
from .frontend import front_end, style
from .packing import Kind
from .shared_table import ATTENTION_STATE
from .views import MOST_MODELS

PAGE_BYTES = 8_000_000
RESERVED_BYTES = 200_000  # for code, words and the static picture
ROUNDED = {
    "float16": "Queries and keys are rounded to 11 bits: numbers may differ from exact ones in the fourth digit.",
    "scaled": "Queries and keys are rounded to 8 bits: numbers may differ from exact ones in the third digit.",
}


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

    If checkpoints add mechanisms to the four, those that a checkpoint was trained for are preferred.

    Args:
        clip, checkpoints, query, block, head, seed, mechanisms: As for ``explain``.

    Raises:
        ValueError: Checkpoints disagree, the clip does not fit them, a mechanism is unknown or does not fit, or there
            is no such token, block or head.
    """
    at_most_four(mechanisms)
    answering = list(answering_models(clip, checkpoints=checkpoints, seed=seed, mechanisms=mechanisms))
    preferred = sorted(answering, key=lambda answer: answer.status != "trained")[:MOST_MODELS]
    names = {answer.label for answer in preferred}
    explorer = AttentionExplorer(clip, [answer for answer in answering if answer.label in names], where="kernel")
    if explorer.problem:
        raise ValueError(explorer.problem)
    config = answering[0].model.config
    explorer.query = choose_query(clip, config, query)[:3]
    blocks = traced_blocks(config)
    explorer.block = index_of("block", block, blocks, lowest=-blocks) % blocks
    explorer.head = head
    return explorer


def explorer_html(explorer: AttentionExplorer, *, command: str = "") -> str:
    """Write an explorer, in its present state, as one HTML page of at most 8 MB.

    All blocks are in the page if they fit, else only the one that is shown.

    Args:
        explorer: Explorer of any models and clip.
        command: Command line that makes this page again; "" states that a program made it.

    Returns:
        The page. Every text from outside is escaped, and only the file name of the clip's source is in it.

    Raises:
        ValueError: Even one block is too large.
    """
    for kind, blocks in _attempts(explorer.block):
        packed = explorer.pack(kind, blocks)
        arrays = b64encode(packed.data).decode()
        if len(arrays) + RESERVED_BYTES <= PAGE_BYTES:
            break
    else:
        raise ValueError(
            f"the page would have {len(arrays) / 1e6:.0f} MB, more than {PAGE_BYTES // 10**6}: "
            "take fewer frames or smaller ones"
        )
    state = {"state": {name: getattr(explorer, name) for name in ATTENTION_STATE}, "meta": packed.meta}
    picture = explorer.snapshot()
    assert picture is not None  # pack would have raised
    texts = {
        "rounded": ROUNDED[kind],
        "weights": "; ".join(f"{model['name']}: {model['status'] or 'trained'}" for model in packed.meta["models"]),
        "command": command or "made by a program that called linvid_edu.widgets.explorer_page",
        "version": __version__,
    }
    elements = {
        "picture": image_element(picture),
        "state": json.dumps(state, ensure_ascii=False).replace("<", "\\u003c"),
        "arrays": arrays,
        "script": front_end("page.js"),
    }
    return html_page(
        Path(__file__).with_suffix(".html"),
        title=f"Where a token looks: {packed.meta['source']}",
        style=style("explorer.css") + style("page.css"),
        texts=texts,
        elements=elements,
        scripts=True,
    )


def save_explorer(explorer: AttentionExplorer, path: str | Path, *, command: str = "") -> Path:
    """Write the page of an explorer atomically; missing folders are made.

    Args:
        explorer, command: As for ``explorer_html``.
        path: Path of the page.

    Returns:
        The path.
    """
    text = explorer_html(explorer, command=command)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _attempts(block: int) -> list[tuple[Kind, list[int] | None]]:
    """List the ways to pack an explorer, the most complete and most precise first."""
    return [("float16", None), ("scaled", None), ("float16", [block]), ("scaled", [block])]
