"""What every widget with a front end of its own shares: its ES modules, and a picture where no widget can run."""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from IPython.display import display

from ..materials import STAND_IN
from ..plots import Picture

_IMPORT = re.compile(r'^import .* from "\./(.+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:default .*;\n|(?=function|async function|class|const|let))", re.MULTILINE)


def front_end(name: str) -> str:
    """Join an ES module of this package with the modules it imports, so that a browser needs one file only.

    A browser gets a widget's code as one text and cannot follow ``import … from "./strip.js"`` from there. Each import
    is therefore replaced by the module itself, once, without its default export; modules share one scope, so their
    top-level names must differ.

    Args:
        name: a file of the folder ``static``, such as "attention.js".

    Raises:
        FileNotFoundError: there is no such file.
    """
    joined: dict[str, str] = {}

    def add(module: str) -> None:
        if module in joined:
            return
        source = _read(module)
        for imported in _IMPORT.findall(source):
            add(imported)
        joined[module] = _IMPORT.sub("", source)

    add(name)
    *shared, own = joined.values()
    return "\n".join([*(_EXPORT.sub("", source) for source in shared), own])


def style(name: str) -> str:
    """Read a style sheet of the folder ``static``."""
    return _read(name)


def _read(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def stand_in(png: bytes, alt: str) -> str:
    """Write a style sheet that paints a picture where JupyterLab says that the widget above it has no kernel.

    JupyterLab shows a saved widget and not the picture beside it, even where there is no kernel to make it live: there
    its place holds a sentence and no element. Elsewhere, such as on GitHub, the sheet does nothing, and the picture is
    seen.

    Args:
        png: the picture.
        alt: what it shows, in words, for screen readers.

    Returns:
        A ``style`` element for the output that follows the widget's, which it hides.
    """
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of the PNG header
    mark = f'{STAND_IN}="{sha256(png).hexdigest()[:12]}"'
    sheet = f"style[{mark}]"
    lost = f".jp-OutputArea-child:has(+ .jp-OutputArea-child {sheet}) > .jupyter-widgets:not(:has(*))"
    picture = f"url(data:image/png;base64,{b64encode(png).decode()}) left top / contain no-repeat"
    words = re.sub(r"[^\w .,:;%()–−→←-]", " ", alt)  # nothing that ends a string or an element
    rules = (
        f".jp-OutputArea-child:has({sheet}) {{ display: none; }}",
        f"{lost} {{ width: min(100%, {width}px); aspect-ratio: {width} / {height}; font-size: 0; }}",
        f"{lost} {{ background: {picture}; }}",
        f'{lost}::before {{ content: "{words}"; position: absolute; width: 1px; height: 1px; overflow: hidden; }}',
    )
    return "\n".join([f"<style {mark}>", *rules, "</style>"])


class Pictured:
    """A widget that shows a static picture with alt text wherever widgets do not run, such as GitHub or a PDF.

    Put it before the widget's class: ``class Explorer(Pictured, anywidget.AnyWidget)``. In a notebook it is followed by
    a style sheet, see ``stand_in``.
    """

    def _ipython_display_(self) -> None:
        self.shown_as()

    def shown_as(self: Any, name: str | None = None, *, update: bool = False) -> None:
        """Show the widget in the cell that runs, and the style sheet below it.

        Args:
            name: of the two outputs, so that they can be shown anew.
            update: show anew what was shown under this name.
        """
        data, metadata = self._repr_mimebundle_()
        sheet = ""
        if "image/png" in data:
            sheet = stand_in(b64decode(data["image/png"]), metadata["image/png"]["alt"])
        for part, shown in (("widget", data), ("picture", {"text/html": sheet, "text/plain": ""})):
            about = {} if name is None else {"display_id": f"{name}-{part}", "update": update}
            if shown is data or sheet or name:
                display(shown, metadata=metadata if shown is data else {}, raw=True, **about)

    def snapshot(self) -> Picture | None:
        """Draw what is seen now, without a browser; None where there is nothing but a problem."""
        raise NotImplementedError

    def _repr_mimebundle_(self: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data = dict(shown[0] if isinstance(shown, tuple) else shown or {})
        picture = self.snapshot()
        if picture is None:
            return {**data, "text/plain": self.problem}, {}
        image = b64encode(picture.png()).decode()
        return {**data, "text/plain": picture.alt, "image/png": image}, {"image/png": {"alt": picture.alt}}
