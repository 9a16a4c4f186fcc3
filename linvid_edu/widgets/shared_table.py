"""What Python and the browser must agree on, written once: ``front_end`` gives this table to JavaScript as ``SHARED``.

The ``state`` of an explorer lists the traits that its front end reads and sets. A new control is a trait of the
explorer and a name here, and JavaScript finds it in ``SHARED``.
"""

from typing import Any, get_args

import numpy as np
from matplotlib.colors import to_hex

from linvid_edu.attention.functions import EPS
from linvid_edu.attention.spans import Span
from linvid_edu.figures.plots.strips import COLORS, DIM, NEGATIVE, OPACITY, Scale
from linvid_edu.training.evaluation import SHUT

from .views import MOST_MODELS, VIEW_DIRECTIONS, View

ATTENTION_STATE = ("query", "compared", *View._fields, "scale")
SCALES = get_args(Scale)

FIXATION_STATE = ("query", "layer", "side", "head", "channel", "position", "alone", "scale")
RATIO_SIDES = ("query", "key")
RATIO_SCALES = ("range of learned ratios", "0 to 1")

ASSOCIATION_STATE = ("query", "span", "shift_div", "direction")
ASSOCIATION_SPANS: tuple[Span, ...] = ("space", "time", "joint")
FLOWS = ("arrives", "leaves")
NOTHING = -1  # source of a channel that is zero
# words for an offset of −1 and of +1 along frames, rows and columns
NEIGHBOR_WORDS = {-1: ("previous frame", "above", "left"), 1: ("next frame", "below", "right")}


def shared() -> dict[str, Any]:
    """Return the table as plain values for JSON."""
    return {
        "eps": EPS,
        "tint": {
            "colors": _colors(COLORS),
            "negative": _colors(NEGATIVE),
            "opacity": OPACITY,
            "dim": DIM,
        },
        "attention": {
            "state": ATTENTION_STATE,
            "directions": VIEW_DIRECTIONS,
            "scales": SCALES,
            "mostModels": MOST_MODELS,
        },
        "fixation": {"state": FIXATION_STATE, "sides": RATIO_SIDES, "scales": RATIO_SCALES, "shut": SHUT},
        "association": {
            "state": ASSOCIATION_STATE,
            "spans": ASSOCIATION_SPANS,
            "flows": FLOWS,
            "nothing": NOTHING,
            "neighborWords": NEIGHBOR_WORDS,
        },
    }


def _colors(colormap: Any) -> str:
    """Write the colors of the levels 0/255 to 255/255 as one string of hexadecimal digits, RGB."""
    return "".join(to_hex(color)[1:] for color in colormap(np.linspace(0, 1, 256)))
