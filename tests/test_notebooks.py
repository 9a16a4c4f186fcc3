"""What nbval passes silently fails here, and the scratch definitions of the lessons hold on harder shapes."""

import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import nbformat
import pytest
import torch
from einops import rearrange
from torch.nn import functional as F

from linvid_edu import attention
from linvid_edu.attention import measures as concentration
from linvid_edu.attention.association import spatial_association, temporal_association
from linvid_edu.attention.causal import CausalAttention
from linvid_edu.attention.fixation import cooperative_fixation
from linvid_edu.attention.rivals.focused_linear_2023 import focused_features
from linvid_edu.course.lessons import find_lessons, without_widgets
from linvid_edu.models.color_transformer import copied_colors
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.shapes import Grid
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.loop import initialize, learning_rate, make_optimizer, train
from linvid_edu.video.cielab import from_lab, paint
from linvid_edu.video.tokens import from_patches, to_patches

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/**/*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|farm|root|home|Users|tmp|opt)/|[A-Z]:\\\\")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_the_lessons_are_numbered_without_a_gap():
    numbers = [lesson.number for lesson in find_lessons(ROOT / "notebooks")]
    assert numbers == sorted([*(f"{number:02}" for number in range(14)), "03b"])
    assert len(numbers) == sum(path.parent.name == "notebooks" for path in NOTEBOOKS)
    assert [path.stem for path in NOTEBOOKS if path.parent.name == "experiments"] == ["ablation", "train_one"]


@every_notebook
def test_every_cell_was_executed_in_order_without_error(path):
    notebook, cells = code_cells(path)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    errors = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert not errors
    assert not any("raises-exception" in tags(cell) for cell in cells), "show errors with try and except"


@every_notebook
def test_compared_cells_have_text_and_nothing_that_varies(path):
    _, cells = code_cells(path)
    compared = [cell for cell in cells if "nbval-check-output" in tags(cell)]
    assert compared, "no cell of this notebook is compared"
    for cell in compared:
        assert cell.outputs, f"tagged for comparison, but without output: {cell.source[:60]}"
        assert all(output.output_type == "stream" for output in cell.outputs), "compare printed text only"


@every_notebook
def test_cells_with_text_are_compared_or_measured(path):
    """Most text is compared; the rest depends on the clip, on the machine, or on the learner."""
    _, cells = code_cells(path)
    with_text = [cell for cell in cells if any(output.output_type == "stream" for output in cell.outputs)]
    compared = [cell for cell in with_text if "nbval-check-output" in tags(cell)]
    assert len(compared) >= 0.5 * len(with_text)


@every_notebook
def test_figures_have_alt_text_and_none_ends_in_a_semicolon(path):
    _, cells = code_cells(path)
    for cell in cells:
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert len(alt) > 40, f"no alt text: {cell.source[:60]}"
        last = cell.source.strip().splitlines()[-1] if cell.source.strip() else ""
        assert not last.endswith(";")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\]\(|<img(?![^>]*alt=)", cell.source)


@every_notebook
def test_nothing_of_this_machine_is_stored(path):
    notebook, _ = code_cells(path)
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text())
    assert not MACHINE_PATH.search(text)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook == without_widgets(notebook), "widget state or views are stored: run `make lessons`"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}


def test_the_notebooks_stay_light():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 6_000_000


@every_notebook
def test_imports_from_the_library_take_six_lines_at_most(path):
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    statements = re.findall(r"^from linvid_edu[\w.]* import (?:\([^)]*\)|.*)", source, re.MULTILINE)
    lines = "\n".join(statements).count("\n") + 1
    assert lines <= 6 or path.parent.name == "experiments"


@every_notebook
def test_prose_keeps_the_house_style(path):
    prose = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    without_code = re.sub(r"`[^`]*`|\$[^$]*\$|!=", "", prose)
    assert "!" not in without_code, "no exclamation marks"
    assert prose.count("<details>") == prose.count("</details>")


def formula_letters(path):
    """Return the single letters in the formulas of a lesson, without words and commands."""
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    text = re.sub(r"```.*?```|`[^`]*`", " ", text, flags=re.DOTALL)
    formulas = " ".join(re.findall(r"\$\$.+?\$\$|\$[^$]+\$", text, flags=re.DOTALL))
    formulas = re.sub(r"\\(text|mathrm|operatorname|begin|end|tag)\s*\{[^}]*\}|\\[A-Za-z]+", " ", formulas)
    return set(re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", formulas))


def test_a_letter_that_belongs_to_some_lessons_has_no_meaning_in_others():
    lessons = {lesson.number: lesson.path for lesson in find_lessons(ROOT / "notebooks")}
    start = nbformat.read(lessons.pop("00"), as_version=4)
    text = "\n".join(cell.source for cell in start.cells)
    rows = re.findall(r"^\| (\$.+?) \| .*\(lessons? ([\d, ]+)\) \|", text, re.MULTILINE)
    owners = {letter: set(numbers.split(", ")) for symbols, numbers in rows for letter in re.findall(r"\w", symbols)}
    assert {"S", "z", "s", "L"} <= set(owners)
    used = {number: formula_letters(path) for number, path in lessons.items()}
    for letter, numbers in owners.items():
        assert {number for number, letters in used.items() if letter in letters} == numbers, letter


def test_lessons_state_goals_time_and_parameters():
    for lesson in find_lessons(ROOT / "notebooks"):
        notebook, cells = code_cells(lesson.path)
        opening = notebook.cells[0].source
        assert re.fullmatch(r"\d\d[a-z]? · .+", lesson.title)
        assert re.fullmatch(r"\d+ min to read, \d+ s to run on 2 cores", lesson.time)
        assert lesson.question or lesson.path.name.startswith("00"), "the first cell needs a question in italics"
        assert "**Before this:**" in opening
        assert "**After this you can:**" in opening
        assert sum("parameters" in tags(cell) for cell in cells) == 1
        assert len(cells) <= 40
        assert "## Recap" in "\n".join(cell.source for cell in notebook.cells)


# the definitions of the lessons, on shapes that the lessons do not show


@pytest.fixture(scope="module")
def scratch():
    """Every definition in cells tagged "scratch", by name."""
    names = {"math": math, "torch": torch, "rearrange": rearrange, "linear_attention": attention.linear_attention}
    names |= {"F": F, "from_lab": from_lab}
    for path in NOTEBOOKS:
        for cell in code_cells(path)[1]:
            if "scratch" in tags(cell):
                exec(cell.source, names)
    return names


@pytest.mark.parametrize("shape", [(1, 3, 1, 4, 4, 4), (2, 1, 3, 6, 9, 3), (3, 2, 2, 5, 10, 5), (1, 4, 2, 1, 3, 1)])
def test_scratch_patches(scratch, shape):
    *sizes, patch = shape
    video = torch.randn(*sizes)
    expected = to_patches(video, patch=patch)
    assert torch.equal(scratch["to_patches_loop"](video, patch), expected)
    assert torch.equal(scratch["to_patches_einops"](video, patch), expected)
    rows, columns = sizes[3] // patch, sizes[4] // patch
    back = scratch["from_patches_einops"](expected, patch, rows)
    assert torch.equal(back, video)
    assert torch.equal(from_patches(expected, patch=patch, grid=Grid(rows, columns)), video)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 3, 2, 7), (3, 9, 8, 1), (12, 12, 16, 16)])
@pytest.mark.parametrize(
    ("names", "library"),
    [
        (["softmax_attention_loop", "softmax_attention_scratch"], attention.softmax_attention),
        (["linear_attention_loop", "linear_attention_scratch", "linear_attention_by_map"], attention.linear_attention),
    ],
)
def test_scratch_attention(scratch, shape, names, library):
    n, m, d, value_width = shape
    generator = torch.Generator().manual_seed(n)
    sizes = (n, d), (m, d), (m, value_width)
    q, k, v = (3 * torch.randn(*size, generator=generator, dtype=torch.float64) for size in sizes)
    for name in names:
        torch.testing.assert_close(scratch[name](q, k, v), library(q, k, v), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 3), (4, 4)])
def test_scratch_copy(scratch, n, m):
    A, known = torch.rand(n, m, dtype=torch.float64), torch.randn(m, 2, dtype=torch.float64)
    expected = copied_colors(A.reshape(1, 1, n, 1, m), known.reshape(1, 1, m, 2))[0, 0]
    torch.testing.assert_close(scratch["copy_loop"](A, known), expected)


@pytest.mark.parametrize("grid", [Grid(1, 1), Grid(3, 2)])
def test_scratch_paint(scratch, grid):
    lab, colors = 50 + 20 * torch.randn(3, 2, 12, 10), 20 * torch.randn(2, grid.rows * grid.columns, 2)
    assert torch.equal(scratch["paint_scratch"](lab, colors, grid), paint(lab, colors, grid))


def test_scratch_feature_map(scratch):
    x = torch.randn(3, 5, 7)
    assert torch.equal(scratch["feature_map"](x), attention.relu_offset(x))


def test_scratch_elu(scratch):
    x = 5 * torch.randn(3, 5, 7)
    torch.testing.assert_close(scratch["elu_plus_one_scratch"](x), attention.elu_plus_one(x))


@pytest.mark.parametrize(("shape", "offset"), [((1, 1, 1), 1.0), ((4, 7, 3), 0.01), ((6, 2, 16), 0.25)])
def test_scratch_uniform_share(scratch, shape, offset):
    """The share that is left when no key has a positive entry is 1, and else the map is the mixture of (4.5)."""
    n, m, d = shape
    q, k = torch.randn(n, d, dtype=torch.float64), torch.randn(m, d, dtype=torch.float64)
    k[0, 0] = 1.0
    u = scratch["uniform_share_scratch"](q, k, offset)
    torch.testing.assert_close(u, scratch["uniform_share_loop"](q, k, offset))
    phi_q, phi_k = torch.relu(q) + offset, torch.relu(k)
    rest = phi_q @ phi_k.mT / (phi_q @ phi_k.mT).sum(dim=1, keepdim=True)
    expected = phi_q @ (phi_k + offset).mT
    expected = expected / expected.sum(dim=1, keepdim=True)
    torch.testing.assert_close(u[:, None] / m + (1 - u[:, None]) * rest, expected)
    torch.testing.assert_close(scratch["uniform_share_scratch"](q, -k.abs(), offset), torch.ones_like(u))


def test_scratch_random_features(scratch):
    q, k = 0.3 * torch.randn(2, 6, 4, dtype=torch.float64)
    omega = torch.randn(200_000, 4, dtype=torch.float64)
    products = scratch["random_features"](q, omega) @ scratch["random_features"](k, omega).mT
    torch.testing.assert_close(products, (q @ k.mT).exp(), rtol=0.02, atol=0)


def test_scratch_shifted(scratch):
    q, k, v = torch.randn(3, 2, 6, 4, dtype=torch.float64)
    shifted = scratch["shifted"](q, k)
    assert max(x.max() for x in shifted) == 0
    plain = attention.linear_attention(q, k, v, feature_map=torch.exp, eps=0.0)
    torch.testing.assert_close(attention.linear_attention(*shifted, v, feature_map=torch.exp, eps=0.0), plain)


@pytest.mark.parametrize(("count", "t"), [(1, 1), (1, 3), (5, 8), (64, 64), (97, 16), (331, 7)])
def test_scratch_frames_seen(scratch, count, t):
    begins = [Fraction(j) for j in range(count)]
    result = scratch["frames_seen_scratch"](count, t).tolist()
    assert result == [math.floor((i + Fraction(1, 2)) * count / t) for i in range(t)]
    assert scratch["frames_seen_loop"](begins, Fraction(count), t) == result
    assert scratch["frames_seen_loop"]([0.0, 0.1, 5.0], 6.0, 3) == [1, 1, 2]  # begins are not evenly spaced


@pytest.mark.parametrize(("m", "share"), [(1, 0.05), (7, 0.5), (64, 0.05), (33, 1.0)])
def test_scratch_concentration(scratch, m, share):
    weights = torch.rand(3, m, dtype=torch.float64)
    weights[0, 1:] = 0
    for row, expected in zip(weights, concentration.entropy(weights), strict=True):
        assert scratch["entropy_loop"](row) == pytest.approx(expected.item(), abs=1e-12)
    rows = weights / weights.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(scratch["top_mass_scratch"](rows, share), concentration.top_mass(rows, share=share))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 3), (2, 9)])
def test_scratch_mass(scratch, n, m):
    A = torch.rand(n, m, dtype=torch.float64)
    A = A / A.sum(dim=-1, keepdim=True)
    mask = torch.arange(m) % 2 == 0
    for name in ("mass_loop", "mass_scratch"):
        torch.testing.assert_close(scratch[name](A, mask), concentration.mass_on(A, mask))


@pytest.mark.parametrize("variant", [{"attention": "softmax"}, {"fixation": "separate", "association": True}])
def test_scratch_received(scratch, variant):
    config = replace(ModelConfig.compact(2, **variant), num_frames=3, image_size=12)
    model = VideoTransformer(config).eval()
    with torch.no_grad(), record(model) as trace:
        model(torch.randn(2, 3, 3, 12, 12))
    for block, layers in enumerate(trace.blocks):
        result = scratch["received_scratch"](layers["space"].map(), layers["time"].map())
        torch.testing.assert_close(result, scratch["received_loop"](trace, block, 3, 9))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_scratch_deletion(scratch, share):
    score, video = torch.rand(2, 3, 16), torch.rand(2, 3, 3, 16, 16)
    tokens = scratch["chosen"](score, share)
    assert tokens.flatten(1).sum(dim=1).tolist() == [share * 48] * 2
    lowest = score.masked_fill(~tokens, math.inf).flatten(1).amin(dim=1)
    assert (lowest > score.masked_fill(tokens, -math.inf).flatten(1).amax(dim=1)).all()
    kept = to_patches(video, patch=4).masked_fill(tokens.unsqueeze(-1), 0.5)
    assert torch.equal(to_patches(scratch["deleted"](video, tokens, fill=0.5), patch=4), kept)


@pytest.mark.parametrize("power", [0.25, 1.0, 8.0, 400.0])
def test_scratch_sharpen(scratch, power):
    A = torch.rand(2, 5, 7, dtype=torch.float64) + 0.1
    expected = (power * A.log()).softmax(dim=-1)
    torch.testing.assert_close(scratch["sharpen_scratch"](A, power), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 4), (2, 9, 1)])
def test_scratch_reweighted(scratch, shape):
    n, d, value_width = shape
    phi_q, phi_k, r_q, r_k = torch.rand(4, n, d, dtype=torch.float64) + 0.1
    v = torch.randn(n, value_width, dtype=torch.float64)
    expected = attention.linear_attention(r_q * phi_q, r_k * phi_k, v, feature_map=attention.identity, eps=0.0)
    torch.testing.assert_close(scratch["reweighted_attention_loop"](phi_q, phi_k, v, r_q, r_k), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 3), (4, 1, 2)])
def test_scratch_cooperative(scratch, shape):
    heads, n, d = shape
    features = torch.randn(3, heads, n, d, dtype=torch.float64)
    weight_q, weight_k = torch.randn(2, d, 3 * d, dtype=torch.float64)
    bias_q, bias_k = torch.randn(2, d, dtype=torch.float64)
    inputs = *features, weight_q, bias_q, weight_k, bias_k
    torch.testing.assert_close(scratch["cooperative_loop"](*inputs), tuple(cooperative_fixation(*inputs)))


@pytest.mark.parametrize(("shape", "shift_div"), [((1, 1, 1, 4), 4), ((2, 3, 2, 9), 2), ((1, 5, 4, 7), 8)])
def test_scratch_temporal_association(scratch, shape, shift_div):
    x = torch.randn(shape)
    assert torch.equal(scratch["temporal_loop"](x, shift_div), temporal_association(x, shift_div=shift_div))


@pytest.mark.parametrize(("rows", "columns", "width"), [(1, 1, 16), (1, 5, 33), (4, 1, 48), (2, 3, 7)])
def test_scratch_spatial_association(scratch, rows, columns, width):
    x = torch.randn(2, 2, rows * columns, width)
    for name in ("spatial_loop", "spatial_scratch"):
        assert torch.equal(scratch[name](x, rows, columns), spatial_association(x, grid=Grid(rows, columns)))


def test_scratch_numeric_gradient(scratch):
    weight = torch.tensor([[0.5, -2.0], [1.0, 3.0]], dtype=torch.float64)
    before = weight.clone()
    result = scratch["numeric_gradient"](lambda: (weight**3).sum(), weight, (1, 1), 1e-5)
    assert result == pytest.approx(27.0, rel=1e-8)
    assert torch.equal(weight, before)


@pytest.mark.parametrize(("clips", "classes"), [(1, 2), (7, 3), (4, 174)])
def test_scratch_cross_entropy(scratch, clips, classes):
    logits = 50 * torch.randn(clips, classes)  # exp overflows unless the largest logit is taken off
    label = torch.randint(classes, (clips,))
    torch.testing.assert_close(
        scratch["cross_entropy_scratch"](logits, label), torch.nn.functional.cross_entropy(logits, label)
    )


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (10, 3), (10, 0), (5, 8)])
def test_scratch_learning_rate(scratch, steps, warmup):
    config = TrainConfig(steps=steps, warmup=warmup)
    for step in range(1, steps + 1):
        result = scratch["learning_rate_scratch"](step, config.learning_rate, warmup, steps)
        assert result == pytest.approx(learning_rate(config, step))


@pytest.mark.parametrize("limit", [0.1, 100.0])
def test_scratch_clip(scratch, limit):
    weights = [torch.randn(3, 4), torch.randn(5)]
    twins = [weight.clone() for weight in weights]
    for weight, twin in zip(weights, twins, strict=True):
        weight.grad = torch.randn_like(weight)
        twin.grad = weight.grad.clone()
    scratch["clip_scratch"](weights, limit)
    torch.nn.utils.clip_grad_norm_(twins, limit)
    for weight, twin in zip(weights, twins, strict=True):
        torch.testing.assert_close(weight.grad, twin.grad)


def test_scratch_train(scratch):
    """On the probe, with a readout and dropout-free: four steps have the library's losses."""
    config = TrainConfig(task="lookup", preset="probe", variant="separate", steps=4, warmup=1, batch=8, clip_norm=0.2)

    def fresh():
        model = initialize(VideoTransformer(config.model_config), seed=3)
        return model, make_optimizer(model, config)

    batches = list(config.data.batches(seed=3, batch=8, stop=4))
    expected = [record.loss for record in train(*fresh(), batches, config, plain_fabric())]
    assert list(scratch["train_scratch"](*fresh(), batches, config)) == pytest.approx(expected, rel=1e-4)
    other = replace(config, clip_norm=1e-3)
    assert list(scratch["train_scratch"](*fresh(), batches, other)) != pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("t", "n", "d"), [(1, 3, 2), (4, 1, 5), (3, 7, 4)])
def test_scratch_prefix_attention(scratch, t, n, d):
    q, k, v = torch.randn(3, t * n, d)
    stream = CausalAttention()
    blocks = zip(q.split(n), k.split(n), v.split(n), strict=True)
    expected = torch.cat([stream.update(*block) for block in blocks])
    torch.testing.assert_close(scratch["prefix_attention"](q, k, v, n), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "d", "power"), [(1, 1, 3), (5, 4, 1), (3, 7, 2.5)])
def test_scratch_focus(scratch, n, d, power):
    x = torch.randn(1, 1, n, d)
    scale = torch.full((1, d), math.log(math.e - 1))  # softplus makes 1 of it
    for features in focused_features(x, -x, scale, power):
        torch.testing.assert_close(scratch["focus_loop"](x[0, 0], power), features[0, 0], rtol=1e-4, atol=1e-6)
        x = -x
