"""What all widgets with a front end of their own share: their ES modules, and a picture where none can run."""

import json
import re
from base64 import b64decode, b64encode
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from IPython.display import display

from linvid_edu.figures.html import STAND_IN, png_size, png_url
from linvid_edu.figures.plots import Picture

from .shared_table import shared

_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:default .*;\n|(?=function|async function|class|const|let))", re.MULTILINE)
_TOP_LEVEL = re.compile(
    r"^(?:export )?(?:async )?(?:function|class|const|let|var) (?:(\w+)|[{\[]([^}\]]*)[}\]])", re.MULTILINE
)


@cache
def front_end(name: str) -> str:
    """Join an ES module of the folder ``static`` with the modules it imports, and with the table ``shared``.

    The browser gets the code of a widget as one text, in which ``import … from "./strip.js"`` would lead nowhere. So
    the text begins with ``const SHARED = {…}``. Each imported module follows once, without its default export. The
    module itself comes last. They all share one scope, which has two conditions, and this function checks both. Each
    import is one line, ``import { a, b } from "./file.js";``, with names that the file exports. No two modules declare
    the same name at the top level.

    Args:
        name: File name, such as "attention.js".

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A name is declared twice, or an import cannot be joined.
    """
    sources: dict[str, str] = {}
    owners = {"SHARED": "shared.py"}

    def add(module: str) -> None:
        if module in sources:
            return
        source = _read(module)
        for _, imported in _IMPORT.findall(source):
            add(imported)
        for names, imported in _IMPORT.findall(source):
            _check_import(module, names.split(", "), imported)
        sources[module] = _IMPORT.sub("", source)
        if re.search(r"^import\b", sources[module], re.MULTILINE):
            raise ValueError(f'{module} has an import that does not have the form import {{ a, b }} from "./file.js";')
        for declared in _declared(source):
            if declared in owners:
                raise ValueError(f"{module} and {owners[declared]} both declare {declared!r}: rename one of them")
            owners[declared] = module

    add(name)
    *imported, own = sources.values()
    table = f"const SHARED = {json.dumps(shared(), ensure_ascii=False)};"
    return "\n".join([table, *(_EXPORT.sub("", source) for source in imported), own])


def style(name: str) -> str:
    """Read a style sheet of the folder ``static``."""
    return _read(name)


def _read(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def _declared(source: str) -> list[str]:
    """List the names that a module declares at its top level, where no line is indented."""
    names = []
    for name, pattern in _TOP_LEVEL.findall(source):
        names += [name] if name else [item.split(":")[-1].strip() for item in pattern.split(",")]
    return names


def _check_import(module: str, names: list[str], imported: str) -> None:
    exported = re.findall(r"^export (?:async )?(?:function|class|const|let) (\w+)", _read(imported), re.MULTILINE)
    for name in names:
        if name not in exported:
            raise ValueError(f"{module} imports {name!r}, which {imported} does not export")


def stand_in(png: bytes, alt: str) -> str:
    """Write the picture that JupyterLab shows in place of the widget above it if there is no kernel.

    Without a kernel, JupyterLab shows a sentence for a saved widget, not the picture stored beside it. Other programs,
    such as GitHub's viewer, show that picture. There, this one is an empty element, because its style sheet is missing.

    Args:
        png: Bytes of the picture.
        alt: What the picture shows, in words.

    Returns:
        HTML for the output that follows the widget's.
    """
    width, height = png_size(png)
    size = f"width: min(100%, {width}px); aspect-ratio: {width} / {height}"
    image = f"background-image: url({png_url(png)})"
    return (
        f"<style>{style('stand_in.css')}</style>"
        f'<span class="{STAND_IN}" hidden role="img" aria-label="{escape(alt)}" style="{size}; {image}"></span>'
    )


class Pictured:
    """A widget that shows a static picture with alt text wherever widgets do not run, such as on GitHub or in a PDF.

    Put it before the widget's class: ``class Explorer(Pictured, anywidget.AnyWidget)``. In a notebook, its
    ``stand_in`` follows it.
    """

    def _ipython_display_(self) -> None:
        self.show_in_cell()

    def show_in_cell(self: Any, name: str | None = None, *, update: bool = False) -> None:
        """Show the widget as an output of the running cell, and its ``stand_in`` below it.

        Args:
            name: Name of these outputs, by which they can be updated; None leaves them unnamed.
            update: Replace the outputs that have this name.
        """
        data, metadata = self._repr_mimebundle_()
        outputs = [(data, metadata)]
        if "image/png" in data:
            html = stand_in(b64decode(data["image/png"]), metadata["image/png"]["alt"])
            outputs.append(({"text/html": html}, {}))
        for index, (content, about) in enumerate(outputs):
            identity = {} if name is None else {"display_id": f"{name}-{index}", "update": update}
            display(content, metadata=about, raw=True, **identity)

    def snapshot(self) -> Picture | None:
        """Draw what the widget shows, without a browser; None if it only reports a problem."""
        raise NotImplementedError

    def _repr_mimebundle_(self: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
        picture = self.snapshot()
        if picture is None:
            return {**data, "text/plain": self.problem}, {}
        image = b64encode(picture.png()).decode()
        return {**data, "text/plain": picture.alt, "image/png": image}, {"image/png": {"alt": picture.alt}}
