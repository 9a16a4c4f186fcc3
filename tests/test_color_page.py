"""The page of `linvid color`: its numbers are the library's, its script computes the same maps, nothing leaks out."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from color_models import clip_of_colors as clip
from color_models import color_config, color_model, painters
from javascript import run_javascript
from page_reader import Reader

pytest.importorskip("av")
pytest.importorskip("matplotlib")

from linvid_edu.figures.color_page import (
    Painter,
    Training,
    color_html,
    color_numbers,
    paint_clip,
    save_film,
    tile_films,
)
from linvid_edu.figures.color_page import page as page_module
from linvid_edu.models.color_measures import baseline_errors, mean_color_errors, measure_colors, relative_error
from linvid_edu.models.color_transformer import make_model
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.reading import load_clip

EVIL = "<img src=x onerror=alert(1)>"
WEIGHTS = Path(page_module.__file__).with_name("weights.js").read_text(encoding="utf-8")


def state_of(text):
    return json.loads(re.search(r'<script type="application/json" id="state">(.*?)</script>', text, re.DOTALL)[1])


def test_the_numbers_are_those_of_the_library():
    coloring = paint_clip(clip(known=(0, 3)), painters("softmax", "cooperative"))
    numbers = color_numbers(coloring)
    small = torch.nn.functional.interpolate(clip().frames.permute(0, 3, 1, 2).float(), size=24, mode="area")
    lab = to_lab(small.round().to(torch.uint8).permute(0, 2, 3, 1))[None]
    for name in ("softmax", "cooperative"):
        measures, colors = measure_colors(color_model(name), lab, (0, 3))
        assert numbers["mechanisms"][name] == pytest.approx(measures._asdict(), rel=1e-5)
        (painted,) = [painted for painted in coloring.painted if painted.name == name]
        torch.testing.assert_close(painted.colors[coloring.targets], colors[0], atol=1e-4, rtol=1e-4)
    mean = mean_color_errors(coloring.colors)
    for name, errors in baseline_errors(lab, coloring.grid, (0, 3)).items():
        assert numbers["baselines"][name]["relative_error"] == pytest.approx(relative_error(errors, mean), rel=1e-5)
    assert numbers["references"] == [0, 0.3]
    assert (numbers["video"], numbers["frames"], numbers["grid"]) == ("clip.mp4", 6, [6, 6])


def test_the_page_shows_the_numbers():
    coloring = paint_clip(clip(), painters("softmax", "linear", "cooperative"))
    numbers = color_numbers(coloring)
    _, *rows = Reader(color_html(coloring)).rows
    assert len(rows) == 8
    named = {**numbers["mechanisms"], **numbers["baselines"]}
    for row, values in zip(rows, named.values(), strict=True):
        assert float(row[1]) == pytest.approx(values["relative_error"], abs=6e-4)
        assert float(row[2]) == pytest.approx(values["relative_error_moving"], abs=6e-4)
    for row, values in zip(rows, numbers["mechanisms"].values(), strict=False):
        assert float(row[3].removesuffix("%")) == pytest.approx(100 * values["selectivity"], abs=0.6)
        assert float(row[4]) == pytest.approx(values["effective_tokens"], abs=0.06)
        assert float(row[5]) == pytest.approx(values["entropy"], abs=6e-4)


def test_numbers_that_do_not_exist_are_none_and_a_dash():
    still = clip()
    still.frames[:] = still.frames[:1].clone()
    coloring = paint_clip(still, painters())
    numbers = color_numbers(coloring)
    assert numbers["mechanisms"]["softmax"]["relative_error_moving"] is None
    json.dumps(numbers, allow_nan=False)
    assert Reader(color_html(coloring)).rows[1][2] == "—"


def test_the_page_needs_nothing_and_everything_from_outside_is_text():
    coloring = paint_clip(
        clip(source=f"/home/me/{EVIL}.mp4", notes=(EVIL,)), [Painter(color_model("softmax"), f"{EVIL}.safetensors")]
    )
    text = color_html(coloring, command=f"linvid color -- '{EVIL}'")
    assert "<img src=x" not in text
    assert "/home/me" not in text
    assert text.count(page_module.escape(EVIL)) >= 4
    assert not re.search(r"https?://|<link|<script[^>]* src|@import|\burl\(", text)
    assert "default-src 'none'" in text
    links = [attrs["src"] for _, attrs in Reader(text).tags if "src" in attrs]
    assert links
    assert all(link.startswith("data:image/webp;base64,") for link in links)
    assert all(attrs["alt"] for tag, attrs in Reader(text).tags if tag == "img")


@pytest.mark.parametrize("variant", ["softmax", "linear", "cooperative", "nystrom", "performer", "sana_block_causal"])
def test_the_script_computes_the_same_map(variant):
    coloring = paint_clip(clip(known=(0, 4)), painters(variant))
    (mechanism,) = state_of(color_html(coloring))["mechanisms"]
    source = f"{WEIGHTS}\nconst row = rowsOf({json.dumps(mechanism['map'])}, 72);\n"
    rows = np.array(run_javascript(source + "const result = [0, 40, 143].map((index) => [...row(index)]);"))
    expected = coloring.painted[0].weights.reshape(144, 72)[[0, 40, 143]].numpy()
    np.testing.assert_allclose(rows, expected, atol=2e-3 * np.abs(expected).max(), rtol=0)


def test_a_page_that_is_too_large_gets_coarser_pictures_and_then_an_error(monkeypatch):
    coloring = paint_clip(clip(), painters())
    large = len(color_html(coloring).encode())
    monkeypatch.setattr(page_module, "MOST_PAGE_BYTES", large - 1)
    assert len(color_html(coloring).encode()) < large
    monkeypatch.setattr(page_module, "MOST_PAGE_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"choose fewer --frames than 6, or fewer mechanisms than 2"):
        color_html(coloring)


def test_only_a_page_of_a_running_training_reloads_itself():
    coloring = paint_clip(clip(), painters())
    points = [(0, {"softmax": 0.9, "linear": 0.9}), (5, {"softmax": 0.5, "linear": 0.8})]
    running = color_html(coloring, training=Training(5, 10, points, "Half of it.", running=True))
    finished = color_html(coloring, training=Training(10, 10, points, "Half of it.", running=False))
    stopped = color_html(coloring, training=Training(5, 10, points[:1], "Half of it.", running=False))
    assert state_of(running)["reload"] > 0
    assert "Step 5 of 10" in running
    assert "reload" not in state_of(finished)
    assert "finished: 10 steps" in finished
    assert "softmax goes from 0.9 at 0 to 0.5 at 5" in finished
    assert "stopped after step 5 of 10" in stopped


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([VideoTransformer(ModelConfig.compact())], r"b0 is no color model, it answers with 4 classes: train one"),
        ([color_model("linear"), color_model("linear")], r"b0 and b1 are both 'linear': choose one for each"),
        ([], r"0 mechanisms: choose 1 to 6"),
    ],
    ids=["no color model", "same mechanism", "none"],
)
def test_models_that_do_not_fit_are_named(models, message):
    with pytest.raises(ValueError, match=message):
        paint_clip(clip(), [Painter(model, f"b{index}") for index, model in enumerate(models)])


def test_models_of_two_sizes_are_named():
    other = make_model(color_config("softmax", image_size=32)).eval()
    with pytest.raises(ValueError, match=r"a and b see frames of 24 × 24 pixels and 6 × 6 tokens and 32 × 32 pixels"):
        paint_clip(clip(), [Painter(color_model("linear"), "a"), Painter(other, "b")])


def test_the_film_shows_all_clips_under_their_labels(tmp_path):
    names = ("softmax", "linear", "cooperative", "separate")
    made = save_film(clip(), painters(*names), tmp_path / "new" / "film.mp4")
    again = load_clip(made, num_frames=6, size=200)
    assert again.repeated == 0
    films = {str(index): torch.full((6, 48, 48, 3), 40 * index, dtype=torch.uint8) for index in range(6)}
    frames = tile_films(clip(known=(2,)), films)
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0
    rows, columns = 2, 5
    height, width = ((frames.shape[axis] - 8) // count for axis, count in ((1, rows), (2, columns)))
    for index in range(6):
        top, left = 8 + index // columns * height + 24, 8 + index % columns * width
        assert (frames[:, top : top + 48, left : left + 48] == 40 * index).all()
    assert not torch.equal(frames[1], frames[2])  # a known frame says so
    assert torch.equal(frames[1], frames[3])
