"""A plotly chart that Python can change while it is shown, in the colors of the theme, without a network."""

import json
from typing import Any

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from .frontend import front_end, style


class Chart(anywidget.AnyWidget):
    """Show a figure of plotly, and another one whenever ``draw`` is called.

    It replaces plotly's FigureWidget. anywidget drops all later messages for a widget whose front end takes more than
    two seconds to start, and on a busy machine the 5 MB of plotly take longer, so a FigureWidget stays empty. Here
    plotly starts after the front end, and the figure comes through a widget of ipywidgets, which drops nothing.

    Args:
        figure: First figure. The theme decides the colors of its text, its grid and its background.
        label: What the chart shows, for assistive technology.
    """

    _esm = front_end("chart.js")
    _css = style("chart.css")
    feed = traitlets.Instance(ipywidgets.Label).tag(sync=True, **ipywidgets.widget_serialization)
    library = traitlets.Bytes().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure, *, label: str) -> None:
        super().__init__(feed=ipywidgets.Label(_to_json(figure)), library=get_plotlyjs().encode(), label=label)

    @property
    def figure(self) -> dict[str, Any]:
        """The figure as plain values, ``data`` and ``layout``; set it to show another one."""
        return json.loads(self.feed.value)

    @figure.setter
    def figure(self, figure: dict[str, Any]) -> None:
        self.feed.value = json.dumps(figure)

    def draw(self, figure: go.Figure) -> None:
        """Show another figure."""
        self.feed.value = _to_json(figure)


def _to_json(figure: go.Figure) -> str:
    """Return a figure as JSON without plotly's template, which is larger than a chart."""
    figure.update_layout(template="none")
    plain = json.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return json.dumps(plain)
