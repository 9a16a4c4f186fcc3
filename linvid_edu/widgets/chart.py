"""A plotly chart that Python can change while it is shown, in the colors of the theme, without a network."""

import json
from typing import Any

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from .frontend import front_end


class Chart(anywidget.AnyWidget):
    """Show a figure of plotly, and another one whenever ``draw`` is called.

    It stands in for plotly's FigureWidget. anywidget drops all later messages of a widget whose front end takes more
    than two seconds to start, and the 5 MB of plotly do so on a busy machine: the FigureWidget then stays empty. Here
    they start afterwards, and the figure comes through a widget of ipywidgets' own, which waits for nothing.

    Args:
        figure: at the start; its colors of page, text and grid give way to those of the theme.
        label: what the chart shows, for assistive technology.
    """

    _esm = front_end("chart.js")
    feed = traitlets.Instance(ipywidgets.Label).tag(sync=True, **ipywidgets.widget_serialization)
    library = traitlets.Bytes().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure, *, label: str) -> None:
        super().__init__(feed=ipywidgets.Label(_plain(figure)), library=get_plotlyjs().encode(), label=label)

    @property
    def figure(self) -> dict[str, Any]:
        """What is shown: ``data`` and ``layout``; set it to show another figure, as plain values."""
        return json.loads(self.feed.value)

    @figure.setter
    def figure(self, figure: dict[str, Any]) -> None:
        self.feed.value = json.dumps(figure)

    def draw(self, figure: go.Figure) -> None:
        """Show another figure."""
        self.feed.value = _plain(figure)


def _plain(figure: go.Figure) -> str:
    """Return a figure as JSON, without plotly's template, which is larger than a chart."""
    figure.update_layout(template="none")
    plain = json.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return json.dumps(plain)
