"""A control redraws; figures keep their alt text, and text is escaped."""

import io

import ipywidgets
import numpy as np
from PIL import Image

from linvid_edu.figures.plots import heatmap
from linvid_edu.widgets import LiveFigure, clickable, controlled
from linvid_edu.widgets.frontend import stand_in


def test_moving_a_control_draws_anew():
    slider = ipywidgets.IntSlider(value=2, min=0, max=5)
    box = controlled(lambda count: f"{count} tokens", count=slider)
    view = box.children[-1]
    assert view.value == "<pre>2 tokens</pre>"
    slider.value = 4
    assert view.value == "<pre>4 tokens</pre>"
    assert slider.description == "count"


def test_a_figure_is_an_image_with_its_alt_text():
    slider = ipywidgets.FloatSlider(value=1, max=3)
    box = controlled(lambda scale: heatmap(scale * np.eye(2), title='"quoted" <b>'), scale=slider)
    before = box.children[-1].value
    assert 'alt="&quot;quoted&quot; &lt;b&gt;' in before
    assert "data:image/webp;base64," in before
    slider.value = 3
    assert box.children[-1].value != before


def test_words_are_escaped():
    box = controlled(lambda: "<img src=x onerror=alert(1)>")
    assert "<img" not in box.children[-1].value


def test_what_stands_in_for_a_widget_has_the_size_and_the_words_of_its_picture():
    picture = heatmap(np.eye(2), title='"quoted" <b>')
    html = stand_in(picture.png(), picture.alt)
    width, height = Image.open(io.BytesIO(picture.png())).size
    assert f"aspect-ratio: {width} / {height};" in html
    assert 'aria-label="&quot;quoted&quot; &lt;b&gt;' in html
    assert "<b>" not in html


def test_a_live_figure_shows_what_was_drawn_last():
    figure = LiveFigure()
    for step in (1, 2):
        figure.draw(heatmap(np.eye(2), title=f"step {step}"))
    assert 'alt="step 2' in figure.value
    assert figure.value.count("<img") == 1


def test_a_click_on_a_cell_draws_its_figure():
    texts = {"linear": {"seed 0": "0.91", "seed 2": "0.74"}, "softmax": {"seed 0": "1.00"}}
    grid, figure = clickable(texts, lambda row, column: heatmap(np.eye(2), title=f"{row}, {column}")).children
    assert 'alt="linear, seed 0' in figure.value
    buttons = {each.tooltip: each for each in grid.children if isinstance(each, ipywidgets.Button)}
    assert {name: each.description for name, each in buttons.items()} == {
        "linear, seed 0": "0.91",
        "linear, seed 2": "0.74",
        "softmax, seed 0": "1.00",
    }
    assert len(grid.children) == 3 * 3
    buttons["linear, seed 2"].click()
    assert 'alt="linear, seed 2' in figure.value
    buttons["softmax, seed 0"].click()
    assert 'alt="softmax, seed 0' in figure.value
