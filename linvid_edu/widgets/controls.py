"""Controls that redraw a figure in a notebook, without a network."""

from collections.abc import Callable, Mapping
from html import escape

import ipywidgets

from linvid_edu.figures.html import image_element
from linvid_edu.figures.plots import Picture


def controlled(draw: Callable[..., Picture | str], **controls: ipywidgets.Widget) -> ipywidgets.VBox:
    """Show what `draw` returns for the values of some controls, and draw again whenever one changes.

    The result goes into one HTML widget: a figure as an image with its alt text, a string as preformatted text. (An
    Output widget would work as well in JupyterLab, but images in it stall nbclient, and with it papermill and nbval.)

    Args:
        draw: Function that takes the controls' values by name.
        controls: Name to an ipywidgets control such as FloatSlider.

    Returns:
        The controls above the result.
    """
    view = ipywidgets.HTML()

    def update(_: object = None) -> None:
        result = draw(**{name: control.value for name, control in controls.items()})
        view.value = image_element(result) if isinstance(result, Picture) else f"<pre>{escape(result)}</pre>"

    for name, control in controls.items():
        control.description = control.description or name
        control.observe(update, names="value")
    update()
    return ipywidgets.VBox([*controls.values(), view])


class LiveFigure(ipywidgets.HTML):
    """A figure that a running cell redraws: display it once, then call ``draw`` as often as needed.

    The last figure stays if the cell is interrupted.
    """

    def draw(self, picture: Picture) -> None:
        """Show another figure, with its alt text."""
        self.value = image_element(picture)


def clickable(texts: Mapping[str, Mapping[str, str]], draw: Callable[[str, str], Picture]) -> ipywidgets.VBox:
    """Show a table whose cells are buttons; a click draws the figure of that cell below it.

    Args:
        texts: Row to column to the text of the cell; a column that a row lacks stays empty.
        draw: Function that takes the names of row and column.

    Returns:
        The table above the figure, at first that of the first cell.
    """
    columns = list(dict.fromkeys(column for row in texts.values() for column in row))
    figure = LiveFigure()
    children: list[ipywidgets.Widget] = [ipywidgets.Label(name) for name in ("", *columns)]
    for row, cells in texts.items():
        children.append(ipywidgets.Label(row))
        for column in columns:
            if column not in cells:
                children.append(ipywidgets.Label(""))
                continue
            button = ipywidgets.Button(
                description=cells[column], tooltip=f"{row}, {column}", layout=ipywidgets.Layout(width="auto")
            )
            button.on_click(lambda _, row=row, column=column: figure.draw(draw(row, column)))
            children.append(button)
    layout = ipywidgets.Layout(grid_template_columns=f"12em repeat({len(columns)}, 6em)")
    first = next(iter(texts))
    figure.draw(draw(first, next(iter(texts[first]))))
    return ipywidgets.VBox([ipywidgets.GridBox(children, layout=layout), figure])
