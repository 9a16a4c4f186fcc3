"""A control redraws; figures keep their alt text, and words are shown as words."""

import ipywidgets
import numpy as np

from linvid_edu.plots import heatmap
from linvid_edu.widgets import LiveFigure, controlled


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
    assert "data:image/png;base64," in before
    slider.value = 3
    assert box.children[-1].value != before


def test_words_are_escaped():
    box = controlled(lambda: "<img src=x onerror=alert(1)>")
    assert "<img" not in box.children[-1].value


def test_a_live_figure_shows_what_was_drawn_last():
    figure = LiveFigure()
    for step in (1, 2):
        figure.draw(heatmap(np.eye(2), title=f"step {step}"))
    assert 'alt="step 2' in figure.value
    assert figure.value.count("<img") == 1
