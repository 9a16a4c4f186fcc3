"""The page of `linvid explain --interactive`: self-contained, small enough to mail, interactive offline."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.clip import Clip, normalize

pytest.importorskip("anywidget")

from linvid_edu.widgets import AttentionExplorer
from linvid_edu.widgets.explorer_page import explorer_html, explorer_of, save_explorer

pytestmark = pytest.mark.slow

EVIL = "</script><img src=x onerror=alert(1)>"
# 3 frames of 4 × 5 tokens
SIZE = ModelConfig.compact(num_frames=3, image_size=(16, 20), kernel=4, stride=4, padding=0, width=12, heads=3)


def clip(t=3, h=16, w=20, source="clip.mp4"):
    frames = torch.randint(0, 256, (t, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Clip(normalize(frames), frames, torch.arange(t) / 4, source)


def explorer(**options):
    torch.manual_seed(0)
    return AttentionExplorer(clip(source=f"/home/me/{EVIL}.mp4"), {EVIL: VideoTransformer(SIZE)}, **options)


def part(text, name):
    return re.search(rf'<script type="[a-z/]+" id="explorer-{name}">(.*?)</script>', text, re.DOTALL).group(1)


def test_a_page_is_whole_and_everything_from_outside_is_data_in_it():
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[:, 0, 0] = True
    text = explorer_html(explorer(objects={EVIL: mask}), command=f"linvid explain -- '{EVIL}'")
    assert not re.search(r"https?://|<link|<script[^>]* src|@import|\burl\(", text)
    assert "default-src 'none'" in text
    assert "<img src=x" not in text
    assert "/home/me" not in text
    assert text.count("</script>") == 3
    content = json.loads(part(text, "state"))
    assert content["state"]["query"] == list(explorer().query)
    assert content["meta"]["models"][0]["name"] == EVIL
    assert content["meta"]["objects"][0][0] == EVIL
    assert "untrained: random weights" in text
    assert "rounded to 11 bits" in text
    assert re.search(r'<noscript>.*<img src="data:image/webp;base64,[^"]{1000,}" alt="Attention over', text, re.DOTALL)


def test_sixteen_frames_of_the_default_size_fit_into_8_megabytes(tmp_path):
    made = explorer_of(clip(16, 112, 112), query=(3, 4, None), block=0, head=2)
    path = save_explorer(made, tmp_path / "new" / "page.html")
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size <= 8_000_000
    content = json.loads(part(text, "state"))
    assert [each["name"] for each in content["meta"]["models"]] == [
        "softmax",
        "linear",
        "cooperative fixation",
        "cooperative fixation + association",
    ]
    assert {each["status"] for each in content["meta"]["models"]} == {"random weights"}
    assert content["state"]["query"][:2] == [3, 4]
    assert (content["state"]["block"], content["state"]["head"]) == (0, 2)
    assert content["meta"]["choices"]["blocks"] == [0, 1]
    assert "rounded to 8 bits" in text


def test_where_not_all_blocks_fit_only_the_chosen_one_is_in_the_page(monkeypatch):
    whole = len(explorer_html(explorer()))
    one = explorer()
    one.block = 0
    arrays = {blocks: len(one.pack("scaled", blocks).data) for blocks in (None, (0,))}
    limit = "linvid_edu.widgets.explorer_page.PAGE_BYTES"
    monkeypatch.setattr(limit, 200_000 + arrays[None])  # base64 takes a third more
    text = explorer_html(one)
    assert len(text) < whole
    assert json.loads(part(text, "state"))["meta"]["choices"]["blocks"] == [0]
    monkeypatch.setattr(limit, 200_000 + arrays[0,])
    with pytest.raises(ValueError, match="take fewer frames or smaller ones"):
        explorer_html(one)


def test_trained_mechanisms_come_first_where_there_are_more_than_four(tmp_path):
    torch.manual_seed(0)
    config = ModelConfig.compact(num_frames=3, fixation="separate")
    made = explorer_of(clip(3, 32, 32), checkpoints=[("separate.safetensors", VideoTransformer(config))])
    shown = {each["name"]: each["status"] for each in made.packed.meta["models"]}
    assert len(shown) == 4
    assert shown["separate fixation"] == "trained"


def test_the_command_writes_the_page(tmp_path):
    pytest.importorskip("av")
    from typer.testing import CliRunner

    from linvid_edu.cli import app

    sample = Path(__file__).parents[1] / "data_samples" / "motion_left_photo.mp4"
    target = tmp_path / "page.html"
    small = ["--random", "--frames", "2", "--size", "32"]
    options = ["explain", str(sample), "--interactive", *small, "--output", str(target)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    text = target.read_text(encoding="utf-8")
    assert "linvid explain --interactive --random --frames 2 --size 32" in text
    assert [name for name, _ in json.loads(part(text, "state"))["meta"]["objects"]] == ["distractor"]
    named = [word for name in ("nystrom", "cosformer-cooperative") for word in ("--mechanism", name)]
    done = CliRunner().invoke(app, [*options, *named])
    assert done.exit_code == 0, done.output
    text = target.read_text(encoding="utf-8")
    assert "--mechanism nystrom --mechanism cosformer-cooperative" in text
    meta = json.loads(part(text, "state"))["meta"]
    assert [each["name"] for each in meta["models"]] == ["Nyströmformer", "cosFormer + cooperative fixation"]
    few = CliRunner().invoke(app, [*options, *(5 * ["--mechanism", "softmax"])])
    assert (few.exit_code, "5 mechanisms: ask for at most 4" in few.output) == (1, True)
    refused = CliRunner().invoke(app, [*options, "--png"])
    assert refused.exit_code == 1
    assert "--png" in refused.output


def test_the_page_works_in_a_browser_without_a_network(tmp_path):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("NO CHROMIUM HERE: the interactive page is not opened")
    playwright = pytest.importorskip("playwright.sync_api")
    path = save_explorer(explorer(), tmp_path / "page.html")
    wrong, asked = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        sheet = browser.new_context(offline=True).new_page()
        sheet.on("console", lambda message: wrong.append(message.text))
        sheet.on("pageerror", lambda error: wrong.append(str(error)))
        sheet.on("request", lambda request: asked.append(request.url))
        sheet.goto(path.as_uri())
        tints = sheet.locator(".lv-of-query canvas").first
        before = tints.evaluate("canvas => canvas.toDataURL()")
        sheet.get_by_role("application", name="the clip").click(position={"x": 20, "y": 20})
        clicked = tints.evaluate("canvas => canvas.toDataURL()")
        assert clicked != before
        sheet.keyboard.press("ArrowDown")
        assert tints.evaluate("canvas => canvas.toDataURL()") != clicked
        sheet.get_by_label("Direction").select_option(label="key ← queries")
        sheet.get_by_text("sum (uniform: 1)").wait_for()
        words = sheet.inner_text("main")
        browser.close()
    assert EVIL in words
    assert re.search(r"query frame 0, row \d, column \d at 0.00 s", words)
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
