"""What widgets built from ipywidgets' controls and charts share: their style, and messages for the learner."""

from collections.abc import Sequence
from html import escape

import ipywidgets

from .frontend import Pictured, style


class Panel(Pictured, ipywidgets.VBox):
    """Controls, text and charts below each other, in the colors of the theme, and a message once the kernel is gone.

    Args:
        children: Widgets from top to bottom; the message of ``report`` stands below them.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget]) -> None:
        sheet = ipywidgets.HTML(f"<style>{style('panel.css')}</style>", layout=ipywidgets.Layout(display="none"))
        self._alert = ipywidgets.HTML()
        super().__init__([sheet, *children, self._alert])
        self.add_class("linvid-panel")

    @property
    def trouble(self) -> str:
        """The message about what is wrong, as HTML; "" if nothing is."""
        return self._alert.value

    def report(self, trouble: str) -> None:
        """Show what is wrong, in a way that a screen reader reads aloud; "" removes the message."""
        self._alert.value = f'<p role="alert">{escape(trouble)}</p>' if trouble else ""


def side_by_side(*children: ipywidgets.Widget) -> ipywidgets.Box:
    """Put widgets beside each other, and below each other if there is no room."""
    box = ipywidgets.Box(children)
    box.add_class("linvid-row")
    return box


def html_list(lines: Sequence[str]) -> str:
    """Write lines of text as a list in HTML."""
    return '<ul class="linvid-words">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
