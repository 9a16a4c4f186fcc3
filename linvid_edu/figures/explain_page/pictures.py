"""The figures of the page: the clip, and where each mechanism attends."""

from functools import partial

from linvid_edu.figures.plots import Picture, attention_strips, film_strip
from linvid_edu.models.clip_trace import KNOWN_FRAME

from .answers import Explanation, attended_part


def explanation_pictures(explanation: Explanation) -> dict[str, Picture]:
    """Draw the figures of the page.

    Args:
        explanation: What ``explain`` returned.

    Returns:
        "film", the frames with the query; "attention", all mechanisms on one color scale; "attention_own_scales", each
        mechanism on a scale of its own. Mechanisms that give no token any weight are left out.
    """
    clip, query = explanation.clip, explanation.query[:3]
    weights = {f"{answer.label}: {answer.status}": answer.weights for answer in explanation.answers if answer.drawn}
    strips = partial(attention_strips, clip.frames, weights, query=query, times=clip.times, signed=True)
    if explanation.config.output == "colors":  # only the known frame gets weight
        shown = sorted({KNOWN_FRAME, query[0]})
        strips = partial(
            strips, show=shown, keys=attended_part(explanation.answers[0].weights, explanation.config).numel()
        )
    columns = 4 if len(clip.frames) <= 8 else 8
    return {
        "film": film_strip(clip.frames, grid=explanation.grid, times=clip.times, query=query, columns=columns),
        "attention": strips(scale="common"),
        "attention_own_scales": strips(scale="separate"),
    }
