"""A plotly chart that Python can change while it is shown, in the colors of the theme, without a network."""

import json

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from .frontend import front_end


class Chart(anywidget.AnyWidget):
    """Show a figure of plotly, and another one whenever ``draw`` is called.

    It stands in for plotly's FigureWidget, which stays empty where a browser needs more than two seconds to load it.
    What is shown is kept whole in `figure`, so that a page that is loaded anew shows it, too.

    Args:
        figure: at the start; its colors of page, text and grid give way to those of the theme.
        label: what the chart shows, for assistive technology.
    """

    _esm = front_end("chart.js")
    figure = traitlets.Dict().tag(sync=True)
    library = traitlets.Bytes().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure | None = None, *, label: str = "chart") -> None:
        super().__init__(figure=_plain(figure or go.Figure()), library=get_plotlyjs().encode(), label=label)

    def draw(self, figure: go.Figure) -> None:
        """Show another figure."""
        self.figure = _plain(figure)


def _plain(figure: go.Figure) -> dict:
    """Return a figure as plain values for JSON, without plotly's template, which is larger than a chart."""
    figure.update_layout(template="none")
    plain = json.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return plain
