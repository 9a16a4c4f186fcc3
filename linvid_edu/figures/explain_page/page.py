"""One self-contained HTML page about one token of a clip: where it attends, and how concentrated that is."""

import math
import platform
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from linvid_edu import __version__
from linvid_edu.attention.measures import Concentration, concentration
from linvid_edu.figures.html import PAGE_STYLE, html_page, image_element
from linvid_edu.figures.plots import Picture
from linvid_edu.files import atomic_path

from .answers import Answer, Explanation, attended_part
from .pictures import explanation_pictures

LISTED_PACKAGES = ("torch", "numpy", "av", "matplotlib")
COUNTS = ("one mechanism", "two mechanisms", "three mechanisms", "four mechanisms", "five mechanisms", "six mechanisms")
LARGEST_COMMON_RATIO = 4  # of the rows' largest weights; above it, one color scale would leave a row without contrast
RANDOM_NOTICE = "Weights are random: this shows the mechanisms, not what a trained model looks at."
TRAINED_NOTICE = "Each mechanism is shown with weights that were trained for it."
SWITCHED_NOTICE = (
    "Only rows marked “trained” show a mechanism that its weights were trained for. The others use the same weights "
    "with the mechanism switched, and random ones for layers that no checkpoint has: they show what the switch does, "
    "not what a model trained with it looks at."
)
COMPOSED = {
    "divided": """The query at frame <var>t</var> and location <var>n</var> collects from the locations <var>n′</var>
of its frame, which had collected from the frames <var>t′</var> of their own location:
<span class="equation"><var>p</var>(<var>t′</var>, <var>n′</var>) = <var>A</var><sub>space</sub>(<var>n</var>,
<var>n′</var>) · <var>A</var><sub>time</sub>[<var>n′</var>](<var>t</var>, <var>t′</var>)</span>""",
    "joint": "The query attends to all tokens of the clip at once, and its weights <var>p</var> are read as they are.",
    "space": """The model is shown a gray clip, of which only the first frame is known in color. The query takes its
color from there: the mean of the known colors, weighted by <var>p</var>. No other token gets weight.""",
}


def save_explanation(explanation: Explanation, path: str | Path, *, command: str = "", png: bool = False) -> list[Path]:
    """Write the page, each file atomically.

    Args:
        explanation: What ``explain`` returned.
        path: Path of the page; missing folders are made.
        command: Command line that makes this page again; see ``explanation_html``.
        png: Whether to write the figures beside the page, named like it with "_film" and so on.

    Returns:
        The written paths, the page first.
    """
    path, pictures = Path(path), explanation_pictures(explanation)
    contents = {path: explanation_html(explanation, command=command, pictures=pictures).encode()}
    if png:
        contents |= {path.with_name(f"{path.stem}_{name}.png"): picture.png() for name, picture in pictures.items()}
    for target, content in contents.items():
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
    return list(contents)


def explanation_html(
    explanation: Explanation, *, command: str = "", pictures: Mapping[str, Picture] | None = None
) -> str:
    """Write an explanation as one HTML page without scripts, which loads nothing from elsewhere.

    Args:
        explanation: What ``explain`` returned.
        command: Command line that makes this page again; if "", the page says that a program made it.
        pictures: What ``explanation_pictures`` returned; None draws them.

    Returns:
        The page. All texts are escaped, and of the clip's source only the file name is shown.
    """
    pictures = explanation_pictures(explanation) if pictures is None else pictures
    name = Path(explanation.clip.source).name
    count = _attended_count(explanation)
    texts = _clip_texts(explanation) | _model_texts(explanation)
    texts |= {
        "name": name,
        "notice": _notice(explanation),
        "command": command or "made by a program that called linvid_edu.figures.explain_page",
        "count": f"{count:,}",
        "top": str(math.ceil(0.05 * count)),
        "versions": _versions(),
        "mechanisms": COUNTS[len(explanation.answers) - 1],
    }
    largest = [answer.weights.abs().max().item() for answer in explanation.answers if answer.drawn]
    elements = {picture_name: image_element(picture) for picture_name, picture in pictures.items()} | {
        "rows": _table(explanation),
        "composed": COMPOSED[explanation.config.space_time],
        "open": " open" if max(largest) > LARGEST_COMMON_RATIO * min(largest) else "",
    }
    return html_page(
        Path(__file__).with_suffix(".html"),
        title=f"Where one token looks: {name}",
        style=PAGE_STYLE.read_text(encoding="utf-8"),
        texts=texts,
        elements=elements,
    )


def _clip_texts(explanation: Explanation) -> dict[str, str]:
    clip, grid, query = explanation.clip, explanation.grid, explanation.query
    t, h, w, _ = clip.frames.shape
    repeated = f"; {clip.repeated} of them repeat the previous frame, the video has too few" if clip.repeated else ""
    kernel, copies = explanation.config.kernel, explanation.config.output == "colors"
    counted = f"N = {'' if copies else f'{t} · '}{grid.rows} · {grid.columns} = {_attended_count(explanation):,}"
    return {
        "query": f"frame {query.frame}, row {query.row}, column {query.column}",
        "time": f"{clip.times[query.frame]:.2f} s",
        "reason": query.reason,
        "frames": f"{t} of {h} × {w} pixels, from {clip.times[0]:.2f} s to {clip.times[-1]:.2f} s{repeated}",
        "tokens": f"{counted} of the first frame, of {t * grid.tokens:,} in all" if copies else counted,
        "token_size": f"{'' if copies else 'frames · '}rows · columns; one token sees {kernel} × {kernel} pixels",
    }


def _model_texts(explanation: Explanation) -> dict[str, str]:
    config, head = explanation.config, explanation.head
    shared = "; all mechanisms share them" if len(explanation.files) < 2 else ""
    blocks = "1 block" if config.depth == 1 else f"{config.depth} blocks"
    copies = config.output == "colors"
    head_width = config.head_hidden if copies else config.width // config.heads
    heads = f"mean over {config.heads} heads" if head is None else f"head {head} (of 0 to {config.heads - 1})"
    return {
        "model": f"{blocks} of width {config.width} and a copy head of width {head_width}"
        if copies
        else f"{blocks} of width {config.width}, {config.heads} heads of width {head_width}, {config.space_time} "
        "attention over space and time",
        "weights": (", ".join(explanation.files) or f"random, seed {explanation.seed}") + shared,
        "layer": "copy head" if copies else f"block {explanation.block} (of 0 to {config.depth - 1}), {heads}",
        "head_width": str(head_width),
        "seed": str(explanation.seed),
    }


def _attended_count(explanation: Explanation) -> int:
    """Return N, the number of tokens that the query may attend to."""
    return attended_part(explanation.answers[0].weights, explanation.config).numel()


def _notice(explanation: Explanation) -> str:
    if not explanation.files:
        return RANDOM_NOTICE
    return TRAINED_NOTICE if all(answer.status == "trained" for answer in explanation.answers) else SWITCHED_NOTICE


def _table(explanation: Explanation) -> str:
    uniform = concentration(torch.ones(_attended_count(explanation), dtype=torch.float64))
    rows = [
        _table_row(answer.label, _details(answer), answer.concentration, answer.rank) for answer in explanation.answers
    ]
    return "\n".join([*rows, _table_row("uniform attention", "the reference", uniform, 1.0)])


def _details(answer: Answer) -> str:
    """Describe where the model's weights come from and, if attention is not a weighted average, what it is."""
    if not answer.drawn:
        return f"{answer.origin}; this query gives no weight to any token, so the row is not drawn"
    negative = f"; {100 * answer.negative:.1f} % of its row is negative" if answer.negative >= 1e-4 else ""
    total = f"; its row sums to {answer.total:.3f}" if abs(answer.total - 1) > 1e-3 else ""
    return answer.origin + negative + total


def _table_row(name: str, details: str, measures: Concentration | None, rank: float | None) -> str:
    cells = 4 * ["—"]
    if measures:
        cells = [
            f"{measures.normalized_entropy:.4f}",
            f"{measures.effective_tokens:,.1f}",
            f"{100 * measures.top_mass:.2f} %",
            f"{round(measures.gini, 4) + 0.0:.4f}",
        ]
    cells.append("—" if rank is None else f"{rank:.1f}".removesuffix(".0"))
    head = f'<th scope="row" role="rowheader">{escape(name)} <small>{escape(details)}</small></th>'
    return f'<tr role="row">{head}' + "".join(f'<td role="cell">{cell}</td>' for cell in cells) + "</tr>"


def _versions() -> str:
    versions = [f"linvid_edu {__version__}", f"Python {platform.python_version()}"]
    for name in LISTED_PACKAGES:
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    return ", ".join(versions)
