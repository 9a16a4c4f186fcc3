"""What every widget with a front end of its own shares: its ES modules, and a picture where no widget can run."""

import base64
import re
from importlib.resources import files
from typing import Any

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


class Pictured:
    """A widget that shows a static picture with alt text wherever widgets do not run, such as GitHub or a PDF.

    Put it before the widget's class: ``class Explorer(Pictured, anywidget.AnyWidget)``.
    """

    def snapshot(self) -> Picture | None:
        """Draw what is seen now, without a browser; None where there is nothing but a problem."""
        raise NotImplementedError

    def _repr_mimebundle_(self: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data = dict(shown[0] if isinstance(shown, tuple) else shown or {})
        picture = self.snapshot()
        if picture is None:
            return {**data, "text/plain": self.problem}, {}
        image = base64.b64encode(picture.png()).decode()
        return {**data, "text/plain": picture.alt, "image/png": image}, {"image/png": {"alt": picture.alt}}
