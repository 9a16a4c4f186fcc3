"""One self-contained HTML page about one token of a clip: where it looks, and how concentrated that is."""

import platform
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template

import torch

from linvid_edu import __version__
from linvid_edu.attention.measures import Concentration, concentration
from linvid_edu.figures.plots import Picture, attention_strips, film_strip
from linvid_edu.files import atomic_path

from .answers import Answer, Explanation

PACKAGES = ("torch", "numpy", "av", "matplotlib")
COUNTS = ("one mechanism", "two mechanisms", "three mechanisms", "four mechanisms", "five mechanisms", "six mechanisms")
FAINT = 4  # where the largest weights differ by this factor, one color scale leaves a row without contrast
RANDOM = "Weights are random: this shows the mechanisms, not what a trained model looks at."
SWITCHED = (
    "Only rows marked “trained” show a mechanism that its weights were trained for. The others use the same weights "
    "with the mechanism switched, and random ones for layers that no checkpoint has: they show what the switch does, "
    "not what a model trained with it looks at."
)
DIVIDED = """The query at frame <var>t</var> and location <var>n</var> collects from the locations <var>n′</var> of its
frame, which had collected from the frames <var>t′</var> of their own location:
<span class="equation"><var>p</var>(<var>t′</var>, <var>n′</var>) = <var>A</var><sub>space</sub>(<var>n</var>,
<var>n′</var>) · <var>A</var><sub>time</sub>[<var>n′</var>](<var>t</var>, <var>t′</var>)</span>"""
JOINT = "The query attends to all tokens of the clip at once, and its weights <var>p</var> are read as they are."


def pictures(explanation: Explanation) -> dict[str, Picture]:
    """Draw the figures of the page.

    Returns:
        "film", the frames with the query; "attention", every mechanism on one color scale; "attention_own_scales",
        each mechanism on its own. One that gives no token any weight is left out.
    """
    clip, query = explanation.clip, explanation.query[:3]
    columns = 4 if len(clip.frames) <= 8 else 8
    seeing = [answer for answer in explanation.answers if answer.concentration]
    weights = {f"{answer.label}: {answer.status}": answer.weights for answer in seeing}
    return {
        "film": film_strip(clip.frames, grid=explanation.grid, times=clip.times, query=query, columns=columns),
        "attention": attention_strips(clip.frames, weights, query=query, times=clip.times, signed=True),
        "attention_own_scales": attention_strips(
            clip.frames, weights, query=query, times=clip.times, scale="separate", signed=True
        ),
    }


def save(explanation: Explanation, path: str | Path, *, command: str = "", png: bool = False) -> list[Path]:
    """Write the page, each file atomically.

    Args:
        explanation: what ``explain`` returned.
        path: of the page; missing folders are made.
        command: as for ``page``.
        png: whether to write the figures beside it, named like the page with "_film" and so on.

    Returns:
        the written paths, the page first.
    """
    path, figures = Path(path), pictures(explanation)
    contents = {path: page(explanation, command=command, figures=figures).encode()}
    if png:
        contents |= {path.with_name(f"{path.stem}_{name}.png"): each.png() for name, each in figures.items()}
    for target, content in contents.items():
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
    return list(contents)


def page(explanation: Explanation, *, command: str = "", figures: Mapping[str, Picture] | None = None) -> str:
    """Write an explanation as one HTML page that needs nothing else: no script, no network, no other file.

    Args:
        explanation: what ``explain`` returned.
        command: the line that makes this page again; "" says that a program made it.
        figures: what ``pictures`` drew; None draws them.

    Returns:
        the page. Every text from outside is escaped, and of the clip's source only the file name is told.
    """
    images = {name: _image(picture) for name, picture in (figures or pictures(explanation)).items()}
    count = explanation.answers[0].weights.numel()
    uniform = concentration(torch.ones(count, dtype=torch.float64))
    rows = [_table_row(each.label, _about(each), each.concentration, each.rank) for each in explanation.answers]
    rows.append(_table_row("uniform attention", "the reference", uniform, 1.0))
    words = _clip_words(explanation) | _model_words(explanation)
    words |= {
        "notice": SWITCHED if explanation.files else RANDOM,
        "command": command or "made by a program that called linvid_edu.figures.explain_page",
    }
    words |= {"count": f"{count:,}", "top": str(-int(-0.05 * count // 1)), "versions": _versions()}
    words |= {"mechanisms": COUNTS[len(explanation.answers) - 1]}
    tops = [answer.weights.abs().max().item() for answer in explanation.answers if answer.concentration]
    opened = " open" if max(tops) > FAINT * min(tops) else ""
    composed = DIVIDED if explanation.config.space_time == "divided" else JOINT
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        {name: escape(text) for name, text in words.items()},
        rows="\n".join(rows),
        composed=composed,
        open=opened,
        **images,
    )


def _clip_words(explanation: Explanation) -> dict[str, str]:
    clip, grid, query = explanation.clip, explanation.grid, explanation.query
    t, h, w, _ = clip.frames.shape
    repeated = f"; {clip.repeated} of them repeat the one before, the video has too few" if clip.repeated else ""
    return {
        "name": Path(clip.source).name,
        "query": f"frame {query.frame}, row {query.row}, column {query.column}",
        "time": f"{clip.times[query.frame]:.2f} s",
        "reason": query.reason,
        "frames": f"{t} of {h} × {w} pixels, from {clip.times[0]:.2f} s to {clip.times[-1]:.2f} s{repeated}",
        "tokens": f"N = {t} · {grid.rows} · {grid.columns} = {t * grid.tokens:,}",
        "tokens_words": f"frames · rows · columns; one token sees {explanation.config.kernel} × "
        f"{explanation.config.kernel} pixels",
    }


def _model_words(explanation: Explanation) -> dict[str, str]:
    config, head = explanation.config, explanation.head
    one_set = "; all mechanisms share them" if len(explanation.files) < 2 else ""
    weights = (", ".join(explanation.files) or f"random, seed {explanation.seed}") + one_set
    blocks, width = f"block{'s' * (config.depth > 1)}", config.width // config.heads
    return {
        "model": f"{config.depth} {blocks} of width {config.width}, {config.heads} heads of width {width}, "
        f"{config.space_time} attention over space and time",
        "weights": weights,
        "layer": f"block {explanation.block} (of 0 to {config.depth - 1}), "
        + (f"mean over {config.heads} heads" if head is None else f"head {head} (of 0 to {config.heads - 1})"),
        "width": str(width),
        "seed": str(explanation.seed),
    }


def _about(answer: Answer) -> str:
    """Say where an answer's weights come from and, where its row is no average, what it is."""
    if answer.concentration is None:
        return f"{answer.origin}; this query gives no weight to any token, so the row is not drawn"
    signs = f"; {100 * answer.negative:.1f} % of its row is negative" if answer.negative >= 1e-4 else ""
    total = f"; its row sums to {answer.total:.3f}" if abs(answer.total - 1) > 1e-3 else ""
    return answer.origin + signs + total


def _table_row(name: str, origin: str, measures: Concentration | None, rank: float | None) -> str:
    cells = 4 * ["—"]
    if measures:
        cells = [
            f"{measures.normalized_entropy:.4f}",
            f"{measures.effective_tokens:,.1f}",
            f"{100 * measures.top_mass:.2f} %",
            f"{round(measures.gini, 4) + 0.0:.4f}",
        ]
    cells.append("—" if rank is None else f"{rank:.1f}".removesuffix(".0"))
    head = f'<th scope="row" role="rowheader">{escape(name)} <small>{escape(origin)}</small></th>'
    return f'<tr role="row">{head}' + "".join(f'<td role="cell">{cell}</td>' for cell in cells) + "</tr>"


def _image(picture: Picture) -> str:
    data = picture.png()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # of the PNG header
    source = f"data:image/png;base64,{b64encode(data).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(picture.alt)}">'


def _versions() -> str:
    found = [f"linvid_edu {__version__}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
