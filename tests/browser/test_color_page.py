"""The page of `linvid color` in a browser: the slider, clicks, keys, and what it keeps when it reloads itself."""

import pytest

pytest.importorskip("av")
pytest.importorskip("playwright.sync_api")

from color_models import clip_of_colors, painters
from playwright.sync_api import expect

from linvid_edu.figures.color_page import Training, paint_clip, save_color_page

KNOWN = "The colors of this frame are known."


@pytest.fixture
def open_page(browser, tmp_path):
    """Return a function that opens the page of a clip from its file; at the end, check that it had no error."""
    problems = []

    def open_(training=None, **options):
        path = save_color_page(paint_clip(clip_of_colors(), painters()), tmp_path / "color.html", training=training)
        page = browser.new_page(**options)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda request: None if request.url[:4] in ("file", "data") else problems.append(request.url)
        )
        page.goto(path.as_uri())
        return page

    yield open_
    assert problems == []


def sources(page):
    """Return how dark the first mechanism's known frame is, one number for each token."""
    return page.evaluate(
        """() => {
            const canvas = document.querySelector(".origins canvas");
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return [...pixels].filter((_, index) => index % 4 === 3);
        }"""
    )


def test_the_slider_moves_all_pictures_and_a_click_shows_where_a_color_came_from(open_page):
    page = open_page(viewport={"width": 1280, "height": 900})
    pictures = page.locator(".panels img")
    expect(pictures).to_have_count(4)
    before = [picture.get_attribute("src") for picture in pictures.all()]
    page.get_by_label("Frame", exact=True).fill("5")
    expect(page.locator("#time")).to_have_text("0.50 s")
    assert all(picture.get_attribute("src") != old for picture, old in zip(pictures.all(), before, strict=True))
    stage = page.locator(".panels .stage").nth(2)
    box = stage.bounding_box()
    stage.click(position={"x": 0.6 * box["width"], "y": 0.45 * box["height"]})
    expect(page.locator("#said")).to_have_text("Frame 5 at 0.50 s, row 2, column 3")
    expect(page.locator(".origins p").first).to_contain_text("effective tokens of 36")
    weights = paint_clip(clip_of_colors(), painters()).painted[0].weights[4, 15].flatten()
    expected = (225 * (1 - weights / weights.max())).tolist()
    assert sources(page) == pytest.approx(expected, abs=2)
    page.get_by_label("Frame", exact=True).fill("0")
    expect(page.locator(".origins p").first).to_have_text(KNOWN)
    assert set(sources(page)) == {0}


def test_keys_move_the_token_and_the_frame_and_play(open_page):
    page = open_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".panels .stage").first.click(position={"x": 2, "y": 2})
    page.locator("#panels").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "PageDown"):
        page.keyboard.press(key)
    expect(page.locator("#said")).to_have_text("Frame 4 at 0.40 s, row 2, column 0")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.locator("#time")).to_have_text("0.00 s, known")
    page.get_by_role("button", name="Stop").click()


def test_a_page_of_a_running_training_reloads_and_keeps_the_place(open_page, tmp_path):
    page = open_page(Training(5, 10, [], "Half of it.", running=True), viewport={"width": 1280, "height": 900})
    page.get_by_label("Frame", exact=True).fill("2")
    expect(page.get_by_text("Step 5 of 10.")).to_be_visible()
    finished = Training(10, 10, [], "Half of it.", running=False)
    save_color_page(paint_clip(clip_of_colors(), painters()), tmp_path / "color.html", training=finished)
    expect(page.get_by_text("The training is finished: 10 steps.")).to_be_visible()
    expect(page.locator("#time")).to_have_text("0.20 s")
