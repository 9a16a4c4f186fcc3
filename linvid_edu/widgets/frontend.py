"""What every widget with a front end of its own shares: its ES modules, and a picture where no widget can run."""

import re
from base64 import b64decode, b64encode
from html import escape
from importlib.resources import files
from typing import Any

from IPython.display import display

from linvid_edu.figures.html import STAND_IN
from linvid_edu.figures.plots import Picture

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
    """Write the picture that JupyterLab shows in the place of the widget above it where that has no kernel.

    JupyterLab shows a saved widget as a sentence, and not the picture beside it. Elsewhere, such as on GitHub, that
    picture is seen and this one is not: it is hidden, and an empty element without its style sheet.

    Args:
        png: the picture.
        alt: what it shows, in words.

    Returns:
        HTML for the output that follows the widget's.
    """
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of the PNG header
    size = f"width: min(100%, {width}px); aspect-ratio: {width} / {height}"
    image = f"background-image: url(data:image/png;base64,{b64encode(png).decode()})"
    return (
        f"<style>{style('stand_in.css')}</style>"
        f'<span class="{STAND_IN}" hidden role="img" aria-label="{escape(alt)}" style="{size}; {image}"></span>'
    )


class Pictured:
    """A widget that shows a static picture with alt text wherever widgets do not run, such as GitHub or a PDF.

    Put it before the widget's class: ``class Explorer(Pictured, anywidget.AnyWidget)``. In a notebook it is followed by
    its ``stand_in``.
    """

    def _ipython_display_(self) -> None:
        self.shown_as()

    def shown_as(self: Any, name: str | None = None, *, update: bool = False) -> None:
        """Show the widget in the cell that runs, and below it what stands in for it.

        Args:
            name: of these outputs, so that they can be shown anew.
            update: show anew what was shown under this name.
        """
        data, metadata = self._repr_mimebundle_()
        outputs = [(data, metadata)]
        if "image/png" in data:
            html = stand_in(b64decode(data["image/png"]), metadata["image/png"]["alt"])
            outputs.append(({"text/html": html}, {}))
        for index, (shown, about) in enumerate(outputs):
            named = {} if name is None else {"display_id": f"{name}-{index}", "update": update}
            display(shown, metadata=about, raw=True, **named)

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
