"""The book: what it makes of notebooks and docstrings, and how it reads in a browser without a network."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from linvid_edu.course.book import BookError, build_book
from linvid_edu.course.book.equations import equation_block
from linvid_edu.course.book.reference import marked_up
from linvid_edu.course.lessons import find_lessons
from linvid_edu.figures.plots import curves, heatmap

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),  # Sphinx's
]

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "build" / "screenshots"
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|farm|root|home|Users|tmp|opt)/|[A-Z]:\\\\")
RESOURCE = re.compile(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]+)|<link[^>]*\shref=\"([^\"]+)")
CHROMIUM = os.environ.get("LINVID_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

OPENING = "# 00 · First & last\n\n- **Time:** 1 min to read, 1 s to run on 2 cores\n\nWhy? *Does it work?* It does."
PROSE = """## Names and links

`linear_attention`, `attention.linear_attention(q, k, v)`, `linvid_edu.testing` and `assert_nothing`.
[The protocol](../results/PROTOCOL.md#what-counts), [the table](../results/table.csv),
[what is elsewhere](../LICENSE.md).

$$
y = \\frac{x'}{2} \\tag{7.1}
$$

Inline $x^2$. A zebra.

<details><summary>Solution</summary>

Because $a = b$.

</details>
"""
CODE = """from linvid_edu import linear_attention as attend, testing
from linvid_edu.figures.plots import curves

testing.assert_same(attend(q, k, v), other.linear_attention)"""


def picture(figure):
    """Return the output of a cell that ends with a figure, or with a widget that has it as its picture."""
    data, metadata = figure._repr_mimebundle_()
    return new_output("display_data", data, metadata=metadata)


def write_lesson(path, *cells, title=OPENING):
    path.parent.mkdir(parents=True, exist_ok=True)
    python = {"language_info": {"name": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell(title), *cells], metadata=python), path)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A course of one lesson, with everything that a lesson may hold."""
    root = tmp_path_factory.mktemp("course")
    line = picture(curves([1, 2, 3], {"<a>": [1, 4, 9]}, xlabel="x", ylabel="y"))
    square = picture(heatmap(np.eye(3), title="a map"))
    square.data["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}
    said = new_output("stream", text=f"clip {root}/mine.mp4\nother /private/clips/mine.mp4\n")
    cells = [new_markdown_cell(PROSE), new_code_cell(CODE, outputs=[line, square, said])]
    write_lesson(root / "notebooks" / "00_first.ipynb", *cells)
    write_lesson(root / "notebooks" / "experiments" / "report.ipynb", title="# The report")
    (root / "results").mkdir()
    (root / "results" / "PROTOCOL.md").write_text("# Protocol\n\n## What counts\n\nSeeds.\n")
    (root / "results" / "table.csv").write_text("a,b\n")
    return root


@pytest.fixture(scope="module")
def book(root):
    """The book of that course; its reference has few modules, so that it is quick to build."""
    with pytest.MonkeyPatch.context() as patch:
        names = ["attention", "attention.functions", "shapes", "testing"]
        patch.setattr("linvid_edu.course.book.reference.modules", lambda: names)
        lessons, private = find_lessons(root / "notebooks"), [Path("/private/clips")]
        return build_book(lessons, root / "site", root=root, note="A note.", private=private).parent


@pytest.fixture(scope="module")
def lesson(book):
    return (book / "notebooks" / "00_first.html").read_text()


def test_the_first_page_leads_to_every_part(book):
    index = (book / "index.html").read_text()
    for target in ("notebooks/00_first", "notebooks/experiments/report", "results/PROTOCOL", "reference/index"):
        assert f'href="{target}.html"' in index
        assert (book / f"{target}.html").exists()
    assert "A note." in index
    assert "1 min" in index
    assert "Does it work?" in index
    assert 'href="notebooks/00_first.ipynb" download' in index
    assert (book / "notebooks" / "00_first.ipynb").exists()


def test_figures_keep_their_own_alt_text_and_widgets_their_picture(lesson):
    texts = re.findall(r'<img[^>]*alt="([^"]*)"', lesson)
    assert len(texts) == len(re.findall("<img", lesson)) == 2
    assert texts[0].startswith("1 line: y over x")
    assert texts[1].startswith("a map. Matrix of 3 × 3 cells")
    assert "widget-view" not in lesson
    data = re.search(r'<script type="application/json">(.*?)</script>', lesson, re.DOTALL)[1]
    assert "<" not in data, "a label of the figure could end the script"


def test_names_lead_to_the_reference(lesson, book):
    place = "../reference/attention.functions.html#linvid_edu.attention.functions.linear_attention"
    reference = (book / "reference" / "attention.functions.html").read_text()
    assert 'id="linvid_edu.attention.functions.linear_attention"' in reference
    inline = re.findall(r'<a class="reference internal" href="([^"]+)"><code[^>]*>(.*?)</code>', lesson)
    found = [(target, re.sub("<.*?>", "", text)) for target, text in inline]
    assert found == [
        (place, "linear_attention"),
        (place, "attention.linear_attention(q, k, v)"),
        ("../reference/testing.html#module-linvid_edu.testing", "linvid_edu.testing"),
    ]
    code = re.findall(r'class="sphinx-codeautolink-a" href="([^"]+)"[^>]*>(.*?)</a>', lesson)
    assert [(target, re.sub("<.*?>", "", text)) for target, text in code] == [
        (place, "linear_attention"),
        ("../reference/testing.html#module-linvid_edu.testing", "testing"),
        ("../reference/testing.html#linvid_edu.testing.assert_same", "testing.assert_same"),
        (place, "attend"),
    ]


def test_links_reach_pages_and_files_and_what_is_elsewhere_is_plain_text(lesson, book):
    assert 'href="../results/PROTOCOL.html#what-counts"' in lesson
    table = re.search(r'href="\.\./(_downloads/[^"]+/table\.csv)"', lesson)
    assert (book / table[1]).read_text() == "a,b\n"
    assert "LICENSE" not in lesson
    assert "what is elsewhere" in lesson


def test_equations_are_mathml_and_a_tag_is_their_number(lesson):
    assert lesson.count("<math") == 3
    assert '<span class="number" id="eq-7.1">(7.1)</span>' in lesson
    assert "\\tag" not in lesson
    assert equation_block("x") == equation_block("x \\tag{1}").replace('<span class="number" id="eq-1">(1)</span>', "")


def test_docstrings_keep_their_equations_line_by_line():
    text = "Compute |x|.\n\nsoftmax: a = b * c\nout = d\n\nArgs:\n    x: of ``|x|``.\n\nEach a = b is one.\nTwo lines."
    summary, equations, arguments, prose = marked_up(text).split("\n\n")
    assert summary == "Compute \\|x\\|."
    assert equations == "| softmax: a = b \\* c\n| out = d"
    assert arguments == "Args:\n    x: of ``|x|``."
    assert prose == "Each a = b is one.\nTwo lines."


def test_the_reference_has_signatures_equations_and_no_field_numbers(book):
    page = (book / "reference" / "attention.functions.html").read_text()
    text = re.sub(r"\s+", " ", re.sub("<.*?>", "", page))
    assert "q: Float[Tensor, '*batch n d']" in text
    assert "feature_map: Callable[[Tensor], Tensor] = relu_offset" in text
    assert '<div class="line">linear: a_j = φ(q)·φ(k_j)' in page
    assert "Alias for field" not in page


def test_the_reference_lists_the_modules_of_each_room(book):
    index = (book / "reference" / "index.html").read_text()
    text = re.sub(r"\s+", " ", re.sub("<.*?>", "", index))
    assert import_module("linvid_edu.attention").__doc__.split("\n")[0] in text
    room = (book / "reference" / "attention.html").read_text()
    for page in (index, room):
        assert 'href="attention.functions.html"' in page


def test_paths_of_this_machine_are_cut_to_names(book, lesson):
    assert "clip mine.mp4\nother mine.mp4" in lesson
    for path in book.rglob("*"):
        if path.suffix in (".html", ".ipynb", ".js") and path.name != "plotly.min.js":
            assert not MACHINE_PATH.search(path.read_text()), path.name


def test_a_link_that_leads_nowhere_is_told_and_the_book_is_written(root, tmp_path, monkeypatch):
    monkeypatch.setattr("linvid_edu.course.book.reference.modules", lambda: ["shapes"])
    faulty = tmp_path / "notebooks" / "00_faulty.ipynb"
    write_lesson(faulty, new_markdown_cell("[nowhere](#no-such-heading)"))
    with pytest.raises(BookError, match=r"notebooks/00_faulty\.ipynb.*no-such-heading") as caught:
        build_book(find_lessons(faulty.parent), tmp_path / "site", root=tmp_path, note="")
    assert str(tmp_path / "site" / "index.html") in str(caught.value)
    assert (tmp_path / "site" / "notebooks" / "00_faulty.html").exists()


def test_the_real_book_has_no_faults(tmp_path):
    """All lessons and all docstrings: no warning, no resource from elsewhere, alt texts, no LaTeX left over.

    The command builds it in a process of its own: with shapes checked and lines counted, Sphinx takes twice as long.
    """
    command = [sys.executable, "-m", "linvid_edu.cli", "book", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'index.html'}\n"), done.stderr
    assert len(list(tmp_path.glob("notebooks/[0-9]*.html"))) == len(find_lessons())
    for path in tmp_path.rglob("*.html"):
        page = path.read_text()
        assert not [pair for pair in RESOURCE.findall(page) if re.match(r"(https?:)?//", "".join(pair))], path.name
        assert not MACHINE_PATH.search(page), path.name
        for image in re.findall(r"<img[^>]*>", page):
            assert re.search(r'alt="[^"]{40}', image), f"{path.name}: {image[:200]}"
        prose = re.sub(r"<pre>.*?</pre>|<script.*?</script>", "", page, flags=re.DOTALL)
        assert not re.search(r"\$\$|\\(?:frac|sum|text|varphi)\b", prose), path.name
    assert "<math" in (tmp_path / "notebooks" / f"{find_lessons()[-1].name}.html").read_text()


# in a browser, without a network


@pytest.fixture(scope="module")
def browser():
    """Chromium, which takes 1 s to start."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: make setup")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install -y --no-install-recommends chromium, or name it in LINVID_CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    """An offline page, light unless a test asks; at the end nothing was missing and nothing was complained about."""
    scheme = getattr(request, "param", "light")
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 720}, color_scheme=scheme)
    context.set_default_timeout(60_000)  # ms, on a busy machine
    page, wrong = context.new_page(), []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda asked: wrong.append(asked.url))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or wrong.append(asked.url))
    page.scheme = scheme
    yield page
    context.close()
    assert wrong == []


def reach(page, selector):
    """Press Tab until an element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_pages_are_whole_in_light_and_dark(page, book):
    for name in ("index", "notebooks/00_first", "results/PROTOCOL", "reference/attention.functions", "reference/index"):
        page.goto((book / f"{name}.html").as_uri())
        page.wait_for_load_state("networkidle")
        images = page.locator("img").all()
        assert all(image.evaluate("image => image.naturalWidth > 0 && image.alt.length > 40") for image in images)
        ink, paper = (brightness(page, name) for name in ("color", "backgroundColor"))
        assert (ink > paper) == (page.scheme == "dark")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"book-{Path(name).name}-{page.scheme}.png")


def brightness(page, name):
    color = page.evaluate(f"() => getComputedStyle(document.body).{name}")
    return sum(map(float, re.findall(r"[\d.]+", color)[:3]))


def test_search_by_keyboard_finds_a_word_of_a_lesson_and_a_function(page, book):
    page.goto((book / "index.html").as_uri())
    full = "linvid_edu.attention.functions.attention_map"
    for word, found in (("zebra", "00 · First & last"), ("attention_map", full)):
        reach(page, "input[name=q]")
        page.keyboard.type(word)
        page.keyboard.press("Enter")
        page.locator("ul.search li a", has_text=found).first.wait_for()


def test_the_theme_switches_by_keyboard(page, book):
    page.goto((book / "notebooks" / "00_first.html").as_uri())
    background = "() => getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    reach(page, ".theme-toggle")
    seen = set()
    for _ in range(3):  # light, dark, as the system has it
        page.keyboard.press("Enter")
        seen.add(page.evaluate(background))
    assert before in seen
    assert len(seen) == 2


def test_answers_unfold_and_figures_come_alive_by_keyboard(page, book):
    page.goto((book / "notebooks" / "00_first.html").as_uri())
    answer = page.get_by_text("Because")
    assert not answer.is_visible()
    reach(page, "summary")
    page.keyboard.press("Enter")
    assert answer.is_visible()
    reach(page, ".live-figure > button")
    still = page.locator(".cell_output img").first
    page.keyboard.press("Enter")
    page.locator(".live-figure .main-svg").first.wait_for()
    page.get_by_text("Show the picture").wait_for()
    assert not still.is_visible()
    page.keyboard.press("Enter")
    assert still.is_visible()
    assert not page.locator(".live-figure .main-svg").first.is_visible()


def test_a_name_in_code_leads_to_its_place(page, book):
    page.goto((book / "notebooks" / "00_first.html").as_uri())
    page.locator(".highlight a", has_text="attend").last.click()
    assert page.url.endswith("reference/attention.functions.html#linvid_edu.attention.functions.linear_attention")
