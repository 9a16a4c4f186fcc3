"""Every figure of the gallery below is drawn once; the tests look at it from several sides."""

import base64
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from PIL import Image

from linvid_edu.figures import plots
from linvid_edu.figures.plots import picture as shared
from linvid_edu.figures.plots.charts import BAR_COLORS, LOOKS
from linvid_edu.figures.plots.interactive import plotly_text
from linvid_edu.figures.plots.matrices import LARGEST_TWIN
from linvid_edu.figures.plots.sizes import PRODUCT_INK
from linvid_edu.figures.plots.strips import COLORS, NEGATIVE, OPACITY
from linvid_edu.widgets.shared_table import shared as shared_with_browser

HOSTILE = "<img src=x onerror=alert(1)> $x_1$ 100 % %{y} a_b \\frac{ $5 & &amp;"
GENERATOR = np.random.default_rng(0)
FRAMES = GENERATOR.integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
TIMES = np.arange(5) * 0.4


def weights(peak=(3, 1, 2), share=0.5):
    values = np.full((5, 4, 6), (1 - share) / 119)
    values[peak] = share
    return values


def signed_weights():
    values = np.where(weights() > 0.1, 0.5, 0.2 / 118)
    values[3, 0, 0] = -0.3
    return values


@pytest.fixture(scope="module")
def gallery():
    matplotlib.use("agg")
    n = np.array([64, 128, 256, 512])
    scores = np.array([[0.1, -0.5, 1.2, 3.0], [0.0, 0.25, -np.inf, 2.0], [1.0, 2.0, -3.0, 0.75], [0.5, 0.5, 0.5, 0.5]])
    attention = GENERATOR.random((17, 17 * 16))
    times = {"softmax attention": 1e-3 * n**2.0, "linear attention": 1e-2 * n}
    found = {"tokens that hold half": [37, 812, np.nan]}
    return {
        "film": plots.film_strip(
            FRAMES, grid=(4, 6), times=TIMES, query=(2, 1, 5), boxes=[[2, 2, 20, 30]] * 5, columns=3
        ),
        "film with captions": plots.film_strip(
            FRAMES[:3], captions=["gray", "truth", "<b> $x$"], frame_inches=1.5, title=HOSTILE
        ),
        "film without marks": plots.film_strip(torch.from_numpy(FRAMES), title="A clip"),
        "strip": plots.attention_strip(FRAMES, weights(), query=(2, 1, 5), times=TIMES, title="Attention"),
        "strip, separate": plots.attention_strip(FRAMES, torch.tensor(weights()), scale="separate"),
        "strips": plots.attention_strips(FRAMES, {"softmax": weights(), "linear": weights(share=0.1)}, query=(3, 0, 0)),
        "strips, separate": plots.attention_strips(FRAMES, {"softmax": weights()}, scale="separate", show=[0, 3]),
        "patches": plots.magnified_patch(FRAMES[0], 8, zoom=(1, 2), title="Patches"),
        "map": plots.attention_heatmap(attention / attention.sum(1, keepdims=True), tokens_per_frame=17, title="Map"),
        "heat map": plots.heatmap(scores, rows=["red", "green", "blue", "night"], label="score", title="Scores"),
        "heat map of whole numbers": plots.heatmap(torch.arange(16).reshape(4, 4)),
        "heat map without numbers": plots.heatmap(scores, annotate=False, columns=["a", "b", "c", "d"]),
        "curves": plots.curves(n, times, xlabel="tokens", ylabel="ms", log_x=True, log_y=True, title="Time of a pass"),
        "curves with a band": plots.curves(n, {"loss": n / 9}, bands={"loss": (n / 10, n / 8)}, xlabel="x", ylabel="y"),
        "curves with a span": plots.curves(
            [0, 8, 61], {"linear": [0.9, 0.8, 0.7]}, xlabel="clutter", ylabel="accuracy", spans={"beyond": (48, 61)}
        ),
        "dots": plots.dots(
            {"softmax": [0.99, 1.0, 0.98], "linear, same time": [0.8, np.nan, 0.9], "gate": [np.nan] * 3},
            xlabel="accuracy",
            intervals={"softmax": (0.98, 1.0), "gate": (np.nan, np.nan)},
            marks={"chance": 0.25},
            title="Accuracy",
        ),
        "scatter": plots.scatter(
            {"softmax": ([0.4, 0.5], [0.9, 1.0]), "linear": ([0.1], [0.8])}, xlabel="mass", ylabel="accuracy"
        ),
        "bars": plots.bars(["softmax", "linear", "fixation"], found, xlabel="tokens", title="Concentration"),
        "bars in groups": plots.bars(["a", "b"], {"still": [0.5, -0.25], "moving": [0.4, 0.1]}, xlabel="change"),
        "histograms": plots.histograms(
            {"step 0": torch.full((8,), 0.5), "step 40, a label of two lines": [0.0, 0.01, 1.0, 0.31]},
            xlabel="ratio",
            limits=(0, 1),
            title="Ratios",
        ),
        "sizes": plots.matrix_product_sizes(64, 16, title="Two orders"),
        "sizes, more channels": plots.matrix_product_sizes(16, 64),
        "sizes, many tokens": plots.matrix_product_sizes(4624, 64),
        "hostile curves": plots.curves(
            [1, 2], {HOSTILE: [1, 2], "b": [2, 1]}, xlabel=HOSTILE, ylabel="$", title=HOSTILE
        ),
        "hostile bars": plots.bars([HOSTILE, HOSTILE], {HOSTILE: [1, 2], "b": [1, 2]}, xlabel=HOSTILE, title=HOSTILE),
        "hostile dots": plots.dots(
            {HOSTILE: [1, 2], "b": [1, 2], "c": [1, 2]}, xlabel=HOSTILE, marks={HOSTILE: 1.5}, title=HOSTILE
        ),
        "hostile scatter": plots.scatter({HOSTILE: ([1], [2])}, xlabel=HOSTILE, ylabel="$", title=HOSTILE),
        "hostile heat map": plots.heatmap(
            np.eye(2), annotate=False, rows=["$a$", "_"], columns=["<b>", "%"], label=HOSTILE, title=HOSTILE
        ),
        "hostile histograms": plots.histograms(
            {HOSTILE: [0.5], "b": [0.1]}, xlabel=HOSTILE, limits=(0, 1), title=HOSTILE
        ),
        "signed strips": plots.attention_strips(FRAMES, {"signed": signed_weights(), "flat": weights()}, signed=True),
        "hostile strips": plots.attention_strips(FRAMES, {HOSTILE: weights()}, title=HOSTILE),
    }


@pytest.fixture(scope="module")
def cards(gallery):
    """What a notebook stores of each figure: data and metadata. To draw them takes most of the time of these tests."""
    return {name: picture._repr_mimebundle_() for name, picture in gallery.items()}


def png_of(card):
    return base64.b64decode(card[0]["image/png"])


def test_nothing_global_is_left_behind():
    import matplotlib.pyplot as plt

    before, settings = plt.get_fignums(), dict(matplotlib.rcParams)
    plots.heatmap(np.eye(3)).png()
    assert plt.get_fignums() == before
    assert dict(matplotlib.rcParams) == settings


def test_the_notebook_style_does_not_leak_in():
    with matplotlib.style.context("dark_background"):
        picture = plots.bars(["a"], {"x": [1]}, xlabel="x")
        pixels = np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))
    assert (pixels[0, 0] == 255).all()


def test_a_picture_unpacks_and_saves(gallery, tmp_path):
    figure, alt, interactive = gallery["map"]
    assert figure is gallery["map"].figure
    assert interactive is not None
    gallery["map"].save(tmp_path / "map.png")
    stored = Image.open(tmp_path / "map.png")
    assert stored.info["Description"] == alt
    with pytest.raises(ValueError, match=r"saved as \.png, the path ends in '\.svg'"):
        gallery["map"].save(tmp_path / "map.svg")


@pytest.mark.slow
def test_every_output_holds_an_opaque_card_and_its_description(gallery, cards):
    for name, picture in gallery.items():
        data, metadata = cards[name]
        assert metadata == {"image/png": {"alt": picture.alt}}, name
        assert data["text/plain"] == picture.alt
        assert len(picture.alt) > 30
        output = nbformat.v4.new_output("display_data", data, metadata=metadata)
        nbformat.validate(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])]))
        card = Image.open(io.BytesIO(png_of(cards[name])))
        assert "A" not in card.getbands(), name
        pixels = np.asarray(card.convert("RGB"))
        edges = np.concatenate([pixels[[0, 1, -2, -1]].ravel(), pixels[:, [0, 1, -2, -1]].ravel()])
        assert (edges == 255).all(), f"{name} touches the edge of its card"


@pytest.mark.slow
def test_the_palette_keeps_colors_and_the_bytes_stay_the_same(gallery):
    for name, largest in {"film": 10, "strip": 6, "map": 3, "curves": 1}.items():  # the frames are random noise
        picture = gallery[name]
        png = picture.png()
        assert png == picture.png(), name
        exact = io.BytesIO()
        shared.styled(picture.figure.savefig)(exact, format="png", dpi=shared.DPI)
        stored, drawn = (np.asarray(Image.open(file).convert("RGB")).astype(int) for file in (io.BytesIO(png), exact))
        assert np.sqrt(np.square(stored - drawn).mean()) < largest, name
        assert len(png) < 0.5 * len(exact.getvalue()), name


def test_exported_html_reads_the_alt_text(gallery, cards):
    from nbconvert import HTMLExporter

    data, metadata = cards["strip"]
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    html, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert f'alt="{gallery["strip"].alt}"' in html


@pytest.mark.slow
@pytest.mark.usefixtures("cards")  # they have drawn each figure in its own style
def test_nothing_is_clipped_and_all_text_is_legible(gallery):
    for name, picture in gallery.items():
        inches = picture.figure.get_tightbbox()
        width, height = picture.figure.get_size_inches()
        assert inches.x0 >= 0, name
        assert inches.y0 >= 0, name
        assert inches.x1 <= width, name
        assert inches.y1 <= height, name
        assert width <= shared.PAGE_INCHES + 0.01, name
        shown = [text for text in picture.figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in shown) >= 11, name
        assert not any(text.get_parse_math() for text in shown), name


def test_alt_texts_hold_the_true_numbers(gallery):
    for name, facts in {
        "film": ["5 frames of 32 × 48 pixels", "0.0 s to 1.6 s", "4 × 6 = 24 tokens", "frame 2, row 1, column 5"],
        "film with captions": ["3 frames of 32 × 48 pixels: gray, truth, <b>"],
        "strip": [
            "50 % in frame 3, row 1, column 2",
            "60 times the uniform 1/120",
            "half of all weight lies on 1 of 120",
        ],
        "strips": [
            "softmax: the largest weight is 50 %",
            "linear: the largest weight is 10 %",
            "frame 3, row 0, column 0",
        ],
        "strips, separate": ["Shown are 2 of 5 frames", "own color scale"],
        "patches": ["4 × 6 = 24 patches", "192 numbers"],
        "map": ["17 × 272 cells", "Each row sums to 1"],
        "heat map": ["smallest value is −3 at row 2, column 2", "Row 1: 0.00, 0.25, −∞, 2.00"],
        "heat map of whole numbers": ["largest value is 15 at row 3, column 3"],
        "curves": ["softmax attention goes from 4.1 at 64 to 262 at 512", "2 lines"],
        "curves with a span": ["accuracy over clutter; shaded from 48: beyond"],
        "dots": [
            "softmax: mean 0.99 of 3, from 0.98 to 1, interval 0.98 to 1",
            "linear, same time: mean 0.85 of 2, from 0.8 to 0.9.",
            "gate: no runs",
        ],
        "scatter": ["accuracy against mass", "softmax: 2, mass 0.4 to 0.5, accuracy 0.9 to 1. linear: 1,"],
        "bars": ["softmax: 37. linear: 812. fixation: no value"],
        "bars in groups": ["b: still −0.25, moving 0.10"],
        "histograms": [
            "20 bins from 0 to 1",
            "step 0: mean 0.5, 0 % in the lowest bin, 0 % in the highest",
            "two lines: mean 0.33, 50 % in the lowest bin, 25 % in the highest",
        ],
        "sizes": [
            "4,096 numbers and takes 2 N² d = 131,072",
            "256 numbers and takes 2 N d² = 32,768",
            "4 times as many",
        ],
    }.items():
        for fact in facts:
            assert fact in gallery[name].alt, name


def test_half_of_the_weight_of_uniform_attention_lies_on_half_of_the_tokens():
    assert "lies on 60 of 120 tokens" in plots.attention_strip(FRAMES, np.full((5, 4, 6), 1 / 120)).alt


def test_interactive_twins_hold_the_data_of_the_static_figure(gallery):
    for name in ("map", "heat map without numbers"):
        static = gallery[name].figure.axes[0].images[0].get_array()
        twin = np.array(gallery[name].interactive.data[0].z, dtype=float)
        assert np.allclose(static.filled(np.nan), twin, rtol=1e-3, equal_nan=True), name
    lines = gallery["curves"].figure.axes[0].get_lines()
    for line, trace in zip(lines, gallery["curves"].interactive.data, strict=True):
        assert trace.name == line.get_label()
        assert np.allclose(line.get_xdata(), trace.x)
        assert np.allclose(line.get_ydata(), trace.y, rtol=1e-3)
    dots = gallery["dots"].figure.axes[0].collections[1].get_offsets()
    assert gallery["dots"].interactive.data[2].x == (0.8, None, 0.9)
    assert np.allclose(dots.filled(np.nan)[[0, 2], 0], (0.8, 0.9))
    assert gallery["scatter"].interactive.data[0].y == (0.9, 1.0)


def test_bars_of_a_histogram_are_shares_of_its_row(gallery):
    first, second = (ax.patches[0].get_data().values for ax in gallery["histograms"].figure.axes)
    assert first.tolist() == [float(bin == 10) for bin in range(20)]
    assert {bin: share for bin, share in enumerate(second) if share} == {0: 0.5, 6: 0.25, 19: 0.25}


@pytest.mark.slow
def test_stored_outputs_stay_small(cards):
    full = plots.heatmap(GENERATOR.random((100, LARGEST_TWIN // 100)))
    for name, (data, _) in {**cards, "full": full._repr_mimebundle_()}.items():
        assert len(json.dumps(data.get("application/vnd.plotly.v1+json", {}))) < 100_000, name
    assert len(png_of(cards["map"])) < 60_000
    assert plots.heatmap(np.zeros((101, 100))).interactive is None


def test_labels_are_text_for_plotly_too(gallery):
    for name in ("hostile curves", "hostile dots", "hostile scatter", "hostile heat map"):
        stored = json.dumps(gallery[name].interactive.to_plotly_json(), ensure_ascii=False)
        ours = re.sub(r"<br>|<extra></extra>|%\{(x|y|z|hovertext)(:[^}]*)?\}", "", stored)
        assert not re.search(r"[<>$%]", ours), name
    assert plotly_text(HOSTILE).startswith("&lt;img src=x onerror=alert(1)&gt; &#36;x_1&#36; 100 &#37;")


def contrast(one, other):
    dark, light = sorted((shared.luminance(one), shared.luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_text_stands_out_from_its_background(gallery):
    for ink in (shared.INK, shared.SOFT_INK, shared.ACCENT_INK, PRODUCT_INK):
        assert contrast(ink, "white") >= 4.5
    for name in ("heat map", "heat map of whole numbers"):
        axes = gallery[name].figure.axes[0]
        cells = axes.images[0].to_rgba(axes.images[0].get_array())
        assert len(axes.texts) == 16
        for text in axes.texts:
            column, row = text.get_position()
            assert contrast(text.get_color(), cells[row, column, :3]) >= 4.5
    for name, picture in gallery.items():
        on_white = [text for axes in picture.figure.axes if not axes.images for text in axes.texts]
        for axes in picture.figure.axes:
            on_white += [
                axes.title,
                axes.xaxis.label,
                axes.yaxis.label,
                *axes.get_xticklabels(),
                *axes.get_yticklabels(),
            ]
        on_white += picture.figure.texts
        for text in on_white:
            assert contrast(text.get_color(), "white") >= 4.5, f"{name}: {text.get_text()}"
    assert all(contrast(shared.ink_on((r, g, b)), (r, g, b)) >= 4.5 for r, g, b in GENERATOR.random((500, 3)))


def test_lines_and_bars_differ_in_more_than_hue():
    assert len({look[1:] for look in LOOKS}) == len(LOOKS)
    lightness = [shared.luminance(to_rgba(color)) for color in BAR_COLORS]
    assert min(abs(a - b) for a, b in pairwise(lightness)) > 0.2


def test_the_color_scale_is_common_or_separate(gallery):
    def brightest(picture, axis):
        return picture.figure.axes[axis].images[0].get_array().max(axis=(0, 1))

    flat = weights(share=1 / 120)
    common = plots.attention_strips(FRAMES, {"peaked": weights(), "flat": flat}, show=[3])
    separate = plots.attention_strips(FRAMES, {"peaked": weights(), "flat": flat}, show=[3], scale="separate")
    assert np.allclose(brightest(common, 0), brightest(separate, 0))
    assert brightest(common, 1)[1] < 0.5 < brightest(separate, 1)[1]


def test_negative_weights_are_red_and_told():
    picture = plots.attention_strips(FRAMES, {"signed": signed_weights()}, show=[3], signed=True)
    image = picture.figure.axes[0].images[0].get_array()
    below, above = image[4, 4], image[12, 20]  # pixels in the middle of two tokens of 8 × 8
    assert below[0] > 2 * max(below[1:])
    assert min(above[:2]) > 2 * above[2]  # yellow
    assert "of the weight is negative" in picture.alt
    values = signed_weights()
    for place, word in ((values.argmax(), "largest weight"), (values.argmin(), "lowest")):
        frame, row, column = np.unravel_index(place, values.shape)
        value = f"{100 * values.flat[place] / np.abs(values).sum():.3g}".replace("-", "−")
        assert f"{word} is {value} % in frame {frame}, row {row}, column {column}" in picture.alt
    assert any("red: negative" in text.get_text() for text in picture.figure.texts)
    low, high = picture.figure.axes[-1].get_ylim()
    assert low == -high
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        plots.attention_strips(FRAMES, {"signed": signed_weights()})


def test_the_color_blind_tell_negative_weights_from_others():
    """Machado, Oliveira and Fernandes 2009, severity 1: red-blind, green-blind, blue-blind."""
    sights = (
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    )
    levels = np.linspace(0.5, 1, 26)
    for sight in (np.eye(3), *map(np.array, sights)):
        seen = [lab(colors[:, :3], sight) for colors in (COLORS(np.linspace(0, 1, 101)), NEGATIVE(levels))]
        assert np.linalg.norm(seen[0][:, None] - seen[1][None], axis=-1).min() > 15  # about 2 can just be told apart


def lab(colors, sight):
    """Return CIE L*a*b* of sRGB colors, (n 3), as an eye sees them."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear @ sight.T, 0, 1) @ to_xyz.T / (0.9505, 1, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


def test_the_browser_takes_its_tints_from_python():
    tint = shared_with_browser()["tint"]
    assert tint["opacity"] == OPACITY
    assert tint["negative"].endswith("".join(f"{round(255 * channel):02x}" for channel in NEGATIVE(1.0)[:3]))
    source = (Path(plots.__file__).parents[2] / "widgets" / "static" / "strip.js").read_text()
    assert {"SHARED.tint.opacity", "SHARED.tint.negative"} <= set(re.findall(r"SHARED\.tint\.\w+", source))


def test_numbers_are_written_for_the_eye():
    values = [0.0, 37.0, 999.6, 4624.0, 0.0123, 1.2e-5, 1e-5, 3.1e9, -0.5, -np.inf]
    texts = ["0", "37", "1,000", "4,624", "0.0123", "1.2×10⁻⁵", "10⁻⁵", "3.1×10⁹", "−0.5", "−∞"]
    assert [shared.number(value) for value in values] == texts
    assert shared.numbers([0.4, 0.55, 1.0]) == ["0.40", "0.55", "1.00"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.attention_strip(np.tile(FRAMES, (2, 1, 1, 1))[:8], weights()),
            "weights have 5 frames, frames has 8",
        ),
        (lambda: plots.attention_strip(FRAMES, 2 * weights()), "weights sum to 2, not 1"),
        (lambda: plots.attention_strip(FRAMES, -weights()), "at least 0, the smallest is −0.5"),
        (
            lambda: plots.attention_strip(FRAMES, weights(), query=(5, 0, 0)),
            r"query \(5, 0, 0\) lies outside \(5, 4, 6\)",
        ),
        (lambda: plots.attention_strip(FRAMES, weights(), times=[0.0, 1.0]), r"times have shape \(2,\), frames has 5"),
        (lambda: plots.attention_strips(FRAMES, {}), "mechanisms has 0 entries"),
        (lambda: plots.attention_strips(FRAMES, {"a": weights()[:4]}), "weights of 'a' have 4 frames, frames has 5"),
        (lambda: plots.attention_strips(FRAMES, {"a": weights()}, show=[7]), r"show is \[7\], frames has 5"),
        (lambda: plots.film_strip(FRAMES / 255), "frames are float64, expected uint8"),
        (lambda: plots.film_strip(FRAMES[0]), r"frames have shape \(32, 48, 3\)"),
        (lambda: plots.film_strip(FRAMES, captions=["a"]), "captions has 1 texts, frames has 5"),
        (lambda: plots.film_strip(FRAMES, query=(0, 0, 0)), "needs the token grid"),
        (lambda: plots.film_strip(FRAMES, boxes=[[0, 0, 1, 1]]), r"boxes have shape \(1, 4\), expected \(5, 4\)"),
        (lambda: plots.magnified_patch(FRAMES[0], 7), "frame is 32 × 48 pixels, which patches of 7 do not divide"),
        (lambda: plots.magnified_patch(FRAMES[0], 8, zoom=(4, 0)), r"patch \(4, 0\) lies outside the grid of 4 × 6"),
        (lambda: plots.attention_heatmap(np.zeros(3)), r"weights have shape \(3,\)"),
        (lambda: plots.attention_heatmap([[-1.0]]), "at least 0, the smallest is −1"),
        (lambda: plots.heatmap(np.eye(3), rows=["a"]), "rows has 1 labels, values has 3 rows"),
        (lambda: plots.heatmap(np.eye(11), annotate=True), r"shape \(11, 11\), numbers fit into at most 10 × 10"),
        (lambda: plots.curves([1, 2], {"a": [1]}, xlabel="", ylabel=""), r"'a' has shape \(1,\), x has \(2,\)"),
        (lambda: plots.curves([1], {}, xlabel="", ylabel=""), "series has 0 entries, 1 to 7"),
        (lambda: plots.curves([0], {"a": [1]}, xlabel="", ylabel="", log_x=True), "log_x needs positive values"),
        (
            lambda: plots.curves([1], {"a": [1]}, xlabel="", ylabel="", log_x=True, spans={"b": (1, 2)}),
            r"spans has \['b'\], which need an axis that is not logarithmic",
        ),
        (lambda: plots.dots({}, xlabel=""), "rows has 0 entries, 1 to 24"),
        (lambda: plots.dots({"a": []}, xlabel=""), r"'a' has shape \(0,\)"),
        (lambda: plots.dots({"a": [1]}, xlabel="", intervals={"b": (0, 1)}), r"intervals has \['b'\]"),
        (lambda: plots.scatter({}, xlabel="", ylabel=""), "groups has 0 entries, 1 to 7"),
        (lambda: plots.scatter({"a": ([1], [1, 2])}, xlabel="", ylabel=""), r"x of shape \(1,\) and y of shape \(2,\)"),
        (lambda: plots.bars(["a"], {"x": [0.0]}, xlabel="", log=True), "log needs positive values, the smallest is 0"),
        (lambda: plots.bars(["a"], {"x": [1, 2]}, xlabel=""), r"'x' has shape \(2,\), labels has \(1,\)"),
        (lambda: plots.histograms({}, xlabel="", limits=(0, 1)), "rows has 0 entries, 1 to 12"),
        (lambda: plots.histograms({"a": [1]}, xlabel="", limits=(0, 1), bins=1), "bins is 1: pass at least 2"),
        (lambda: plots.histograms({"a": [1]}, xlabel="", limits=(1, 1)), "limits are 1 and 1"),
        (lambda: plots.histograms({"a": []}, xlabel="", limits=(0, 1)), "'a' has no values"),
        (lambda: plots.histograms({"a": [0, 2]}, xlabel="", limits=(0, 1)), "from 0.0 to 2.0, the limits are 0 and 1"),
        (lambda: plots.histograms({"a": [np.nan]}, xlabel="", limits=(0, 1)), "values from nan to nan"),
        (lambda: plots.matrix_product_sizes(0, 4), "0 tokens of 4 channels"),
    ],
)
def test_errors_name_both_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_outline_at_the_border_leaves_the_frame_in_place():
    figure = plots.film_strip(FRAMES, grid=(4, 6), query=(2, 0, 5)).figure
    figure.draw_without_rendering()
    assert {(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes} == {((-0.5, 47.5), (31.5, -0.5))}


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.film_strip(FRAMES[:1], columns=0),
        lambda: plots.attention_strip(FRAMES[:1], np.ones((1, 1, 1))),
        lambda: plots.heatmap([[np.nan]]),
        lambda: plots.heatmap(np.zeros((2, 2))),
        lambda: plots.attention_heatmap([[0.0]]),
        lambda: plots.curves([3], {"a": [np.nan]}, xlabel="", ylabel="", log_y=True),
        lambda: plots.bars(["a"], {"x": [np.nan]}, xlabel="", log=True),
        lambda: plots.histograms({"a": 1.0}, xlabel="", limits=(0, 1), bins=2),
        lambda: plots.dots({"a": [1.0]}, xlabel=""),
        lambda: plots.matrix_product_sizes(1, 1),
    ],
)
def test_the_smallest_inputs_are_drawn(draw):
    picture = draw()
    pixels = np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))
    assert min(pixels.shape[:2]) > 40
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 2  # ink of several shades, not an empty page
    assert len(picture.alt) > 10
