"""The first page of the book: the question, one live figure, and the path through the lessons."""

import json
import posixpath
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

from linvid_edu.course.lessons import Lesson
from linvid_edu.files import materials
from linvid_edu.models.shipped import shipped_color_models
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets.attention import AttentionExplorer
from linvid_edu.widgets.frontend import front_end, style
from linvid_edu.widgets.shared_table import ATTENTION_STATE

STEPS = {  # the first lesson of each step of the path
    "00": "From a video to tokens",
    "02": "Attention, softmax and linear",
    "05": "The blur, and two remedies",
    "08": "Train, look, compare",
    "11": "Your clip, other methods, endless video",
}
QUESTION = """Softmax attention compares every token of a video with every other token, so its cost grows with the
square of their number. Linear attention does not, but it blurs and loses accuracy: **how does it work, why does it need
help, and does the help work?**"""
CAPTION = """Two models see this film in gray. They know only the colors of its first frame. Every other token copies
its color from there, by attention. **Click a token of a later frame:** the bright tokens of the first frame are those
that it takes its color from. Softmax attention looks at few tokens. Linear attention looks at many, and puts far less
of its weight on tokens of the right color. Each has its own color scale. Both were trained on photographs and have not
seen this film. Film: Big Buck Bunny, © Blender Foundation, CC BY 3.0."""
CLIP = "film/big_buck_bunny.mp4"
FRAMES, PIXELS = 4, 96
QUERY = (3, 3, 10)  # frame, row, column: on the blue wall


def first_page(
    lessons: Sequence[Lesson], note: str, failures: Sequence[str], trees: Mapping[str, Sequence[str]], folder: Path
) -> str:
    """Return the first page in Markdown, and write its figure beside it.

    Args:
        lessons: Lessons of the book, in their order.
        note: Sentence about where the outputs come from, in Markdown.
        failures: Messages of the lessons that stopped with an error.
        trees: Caption → names of the pages of each part of the book.
        folder: Folder of the page.
    """
    admonitions = [f"```{{admonition}} Stopped\n:class: error\n~~~text\n{failure}\n~~~\n```" for failure in failures]
    (folder / "figure.html").write_text(live_figure(), encoding="utf-8")
    start = f"[Start with the first lesson](<notebooks/{lessons[0].path.name}>)"
    paragraphs = [
        "# Linear attention for video, and why it needs help",
        QUESTION,
        *admonitions,
        CAPTION,
        "```{raw} html\n:file: figure.html\n```",
        "## The path",
        f"{start}, or open one that you need. {_total_time(lessons)}",
        *_path(lessons),
        "To change and run the lessons yourself: `linvid lab`, or `make lab` in a clone.",
        note,
        *(_toctree(caption, names) for caption, names in trees.items() if names),
    ]
    return "\n\n".join(paragraphs)


@cache
def live_figure() -> str:
    """Return an explorer of two trained models as HTML; without JavaScript it is a picture."""
    models = shipped_color_models()
    clip = load_clip(materials().data_samples / CLIP, num_frames=FRAMES, size=PIXELS)
    explorer = AttentionExplorer(clip, {name: models[name] for name in ("softmax", "linear")}, where="kernel")
    explorer.query, explorer.scale = QUERY, "separate"
    packed, picture = explorer.pack("float16"), explorer.snapshot()
    assert picture is not None  # pack would have raised
    state = {"state": {name: getattr(explorer, name) for name in ATTENTION_STATE}, "meta": packed.meta}
    return f"""<style>{style("explorer.css")}</style>
<div class="lv live-explorer"><div id="explorer"></div></div>
<noscript><img src="data:image/png;base64,{b64encode(picture.png()).decode()}" alt="{escape(picture.alt)}"></noscript>
<script type="application/json" id="explorer-state">{json.dumps(state).replace("<", chr(92) + "u003c")}</script>
<script type="text/plain" id="explorer-arrays">{b64encode(packed.data).decode()}</script>
<script type="module">
{front_end("page.js")}
</script>
"""


def _minutes(lesson: Lesson) -> int:
    match = re.match(r"(\d+) min", lesson.time)
    return int(match[1]) if match else 0


def _total_time(lessons: Sequence[Lesson]) -> str:
    hours, minutes = divmod(sum(map(_minutes, lessons)), 60)
    total = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"All of them take {total} to read, and each runs on a laptop in a minute or less."


def _path(lessons: Sequence[Lesson]) -> list[str]:
    paragraphs = []
    for lesson in lessons:
        page = f"notebooks/{lesson.path.name}"
        if lesson.number in STEPS:
            paragraphs.append(f"### {STEPS[lesson.number]}")
        times = "stopped, see above" if lesson.failure else f"{_minutes(lesson)} min"
        links = f'<span class="lesson-time">{times} · <a href="{page}" download>notebook</a></span>'
        question = f"  \n  {lesson.question}" if lesson.question else ""
        paragraphs.append(f"- **[](<{page}>)** {links}{question}")
    return paragraphs


def _toctree(caption: str, names: Sequence[str]) -> str:
    entries = "\n".join(f"/{posixpath.splitext(name)[0]}" for name in names)
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"
