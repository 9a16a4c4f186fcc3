"""What the widgets made of ready controls and charts share: their style, and words for the learner."""

from collections.abc import Sequence
from html import escape

import ipywidgets

from .frontend import Pictured, style


class Panel(Pictured, ipywidgets.VBox):
    """Controls, words and charts below each other, in the colors of the theme; it says so where the kernel is gone.

    Args:
        children: from top to bottom; what ``tell`` says stands below them.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget]) -> None:
        sheet = ipywidgets.HTML(f"<style>{style('panel.css')}</style>", layout=ipywidgets.Layout(display="none"))
        self._alert = ipywidgets.HTML()
        super().__init__([sheet, *children, self._alert])
        self.add_class("linvid-panel")

    @property
    def trouble(self) -> str:
        """What the learner was told is wrong, as HTML; "" where nothing is."""
        return self._alert.value

    def tell(self, words: str) -> None:
        """Say in words what is wrong, aloud for a screen reader; "" takes it back."""
        self._alert.value = f'<p role="alert">{escape(words)}</p>' if words else ""


def row(*children: ipywidgets.Widget) -> ipywidgets.Box:
    """Put widgets beside each other, and below each other where there is no room."""
    box = ipywidgets.Box(children)
    box.add_class("linvid-row")
    return box


def sentences(lines: Sequence[str]) -> str:
    """Write lines of text as a list in HTML."""
    return '<ul class="linvid-words">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
