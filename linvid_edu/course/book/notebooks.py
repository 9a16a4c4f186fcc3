"""Notebooks for the book: without paths of this machine, with alt texts, and with live figures."""

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from nbformat.v4 import new_output
from sphinx.application import Sphinx

from linvid_edu.course.lessons import without_widgets

PLOTLY = "application/vnd.plotly.v1+json"
NO_ALT = "a figure without a description"
ERROR_NOTE = "papermill-error-cell-tag"  # papermill's note on a failed cell has links that lead nowhere here
METADATA = ("kernelspec", "language_info")


def setup(app: Sphinx) -> None:
    """Register the function that gives figures their alt text."""
    app.connect("doctree-read", _describe_figures)


def path_pattern(folders: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches the beginning of any path inside the folders, with the slash after the folder."""
    names = "|".join(map(re.escape, sorted(folders, key=len, reverse=True)))
    return re.compile(rf"(?<![\w.])(?:{names})/" if names else "(?!)")


def cleaned(notebook: NotebookNode, private: re.Pattern[str]) -> NotebookNode:
    """Return a copy without widgets, papermill's notes, and names of private folders.

    Args:
        notebook: Executed notebook.
        private: Pattern from ``path_pattern``; what it matches is removed from every text.
    """

    def public(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: inner if key.startswith("image/") else public(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [public(inner) for inner in value]
        return private.sub("", value) if isinstance(value, str) else value

    notebook = nbformat.from_dict(public(without_widgets(notebook)))
    notebook.metadata = {key: value for key, value in notebook.metadata.items() if key in METADATA}
    notebook.cells = [cell for cell in notebook.cells if ERROR_NOTE not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
    return notebook


def with_live_figures(notebook: NotebookNode) -> NotebookNode:
    """Return a copy with a button under the picture of each plotly figure; book.js then draws the figure."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [part for output in cell.outputs for part in _with_button(output)]
    return notebook


def _with_button(output: NotebookNode) -> Iterator[NotebookNode]:
    figure = output.get("data", {}).pop(PLOTLY, None)
    if figure is None or len(output.data) > 0:
        yield output
    if figure is not None:
        data = json.dumps(figure, ensure_ascii=False).replace("<", "\\u003c")
        html = (
            '<div class="live-figure"><button type="button">Show values on hover</button>'
            f'<script type="application/json">{data}</script></div>'
        )
        yield new_output("display_data", {"text/html": html})


def _describe_figures(app: Sphinx, document: nodes.document) -> None:
    """Give each picture the alt text of its output, which myst-nb drops. Picture files are named by their hash."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix == ".ipynb":
        texts = dict(_alt_texts(nbformat.read(path, as_version=4)))
        for image in document.findall(nodes.image):
            image.setdefault("alt", texts.get(Path(image["uri"]).stem, NO_ALT))


def _alt_texts(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, metadata in output.get("metadata", {}).items():
                if kind.startswith("image/") and isinstance(metadata, dict) and "alt" in metadata:
                    yield hashlib.sha256(b64decode(output.data[kind])).hexdigest(), metadata["alt"]
