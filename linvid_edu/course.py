"""Run the lessons with papermill on one clip, and write them as pages that need no network."""

import html
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import nbformat
import papermill
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from papermill.exceptions import PapermillExecutionError
from pygments.formatters import HtmlFormatter

from .files import atomic_path
from .materials import materials
from .video import load_clip

LESSONS = materials().notebooks
KERNEL = "python3"
CELL_SECONDS = 600  # a cell that hangs ends in an error


class CourseError(RuntimeError):
    """A lesson that did not run; it names the lesson, the cell and what went wrong."""


class Lesson(NamedTuple):
    """One lesson: its notebook, its title, and how long it says it takes."""

    path: Path
    title: str
    time: str

    @property
    def name(self) -> str:
        """The file's name without its ending, such as "03_linear_attention"."""
        return self.path.stem


def find_lessons(folder: str | Path = LESSONS) -> list[Lesson]:
    """Return the lessons of a folder in their order, which is that of their file names.

    A lesson's first cell holds its title as a heading, and its time as an item "**Time:** …".

    Raises:
        CourseError: there is no lesson in the folder.
    """
    lessons = []
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        opening = nbformat.read(path, as_version=4).cells[0].source
        title = re.search(r"^# (.+)", opening, re.MULTILINE)
        time = re.search(r"^- \*\*Time:\*\* *(.+)", opening, re.MULTILINE)
        lessons.append(Lesson(path, title[1] if title else path.stem, time[1] if time else ""))
    if not lessons:
        raise CourseError(f"no lessons in {folder}: install the wheel, which has them, or run from a clone")
    return lessons


def build_course(video: str | Path | None, output: str | Path, *, lessons: str | Path = LESSONS) -> Path:
    """Execute every lesson on a clip, with a progress bar for each, and write the pages.

    Args:
        video: a video file for the lessons that take one; None means each lesson's own sample clip.
        output: the folder for index.html, one page a lesson, and notebooks/ with the executed notebooks.
        lessons: the folder of the notebooks.

    Returns:
        The path of index.html.

    Raises:
        VideoError: the clip cannot be read; nothing was run.
        CourseError: a lesson did not run to its end. The pages of the lessons before it are there.
    """
    if video is not None:
        load_clip(video, num_frames=2, size=16)  # refused here, in words, rather than inside a lesson
    output, found = Path(output), find_lessons(lessons)
    for index, lesson in enumerate(found):
        executed = run_lesson(lesson, output / "notebooks" / lesson.path.name, video)
        _write(output / f"{lesson.name}.html", lesson.title, _navigation(found, index), render(executed))
    clip = "each lesson's own sample clip" if video is None else Path(video).name
    return _write(output / "index.html", "linvid-edu: the course", "", _index(found, clip))


def run_lesson(lesson: Lesson, target: Path, video: str | Path | None = None) -> nbformat.NotebookNode:
    """Execute one lesson into `target` and return the executed notebook; a lesson without `video` runs as it is.

    Raises:
        CourseError: a cell failed; `target` holds the notebook up to there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    takes_video = "video" in papermill.inspect_notebook(str(lesson.path))
    try:
        return papermill.execute_notebook(
            str(lesson.path),
            str(target),
            parameters={"video": str(Path(video).resolve())} if takes_video and video is not None else {},
            kernel_name=KERNEL,
            extra_arguments=["--IPKernelApp.log_level=40"],
            cwd=str(lesson.path.parent),
            execution_timeout=CELL_SECONDS,
            progress_bar={"desc": f"{lesson.name:28}"},
        )
    except PapermillExecutionError as error:
        raise CourseError(
            f"lesson {lesson.name} stopped in its cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"the notebook up to there: {target}"
        ) from error


class _MathML(IPythonRenderer):
    """Markdown to HTML with equations as MathML, which a browser draws without a script or a network."""

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        tag = re.search(r"\\tag\{(.+?)\}", body)
        equation = convert(body.replace(tag[0], "") if tag else body, display="block")
        number = f'<span class="number" id="eq-{tag[1]}">({tag[1]})</span>' if tag else ""
        return f'<div class="equation">{equation}{number}</div>\n'


def render(notebook: nbformat.NotebookNode) -> str:
    """Return an executed notebook as an HTML fragment: figures with alt text, MathML, no scripts."""
    exporter: Any = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    renderer = _MathML(escape=False, exclude_anchor_links=True)
    exporter.register_filter("markdown2html", lambda source: MarkdownWithMath(renderer=renderer).render(source))
    body, _ = exporter.from_notebook_node(without_widgets(notebook))
    return re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', body)


def without_widgets(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy without widget views and widget state, which show nothing where no kernel runs."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            ]
    return notebook


def _index(lessons: list[Lesson], clip: str) -> str:
    rows = "".join(
        f'<tr><td><a href="{lesson.name}.html">{html.escape(lesson.title)}</a></td>'
        f'<td>{html.escape(lesson.time)}</td><td><a href="notebooks/{lesson.path.name}">notebook</a></td></tr>'
        for lesson in lessons
    )
    return (
        "<h1>Linear attention for video, and why it needs help</h1>"
        "<p>The lessons below were executed just now on this machine; every number and figure in them comes from that "
        f"run. Clip: {html.escape(clip)}.</p>"
        f"<table><thead><tr><th>Lesson</th><th>Time</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
        '<p class="soft">To change and run them yourself: <code>make lab</code>.</p>'
    )


def _navigation(lessons: list[Lesson], index: int) -> str:
    links = ['<a href="index.html">All lessons</a>']
    for step, mark in ((-1, "prev"), (1, "next")):
        if 0 <= index + step < len(lessons):
            lesson = lessons[index + step]
            links.append(f'<a class="{mark}" rel="{mark}" href="{lesson.name}.html">{html.escape(lesson.title)}</a>')
    return "".join(links)


@cache
def _highlighting() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    light, dark = (re.sub(r"background: #\w+;? ?", "", style) for style in (light, dark))
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"


def _write(path: Path, title: str, navigation: str, body: str) -> Path:
    shell = Template((files("linvid_edu") / "course.html").read_text(encoding="utf-8"))
    page = shell.substitute(
        title=html.escape(title), highlighting=_highlighting(), navigation=navigation, body=body
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path
