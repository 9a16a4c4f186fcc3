"""How long an explorer takes in a real browser, from the pressed key to the changed pixel.

    python benchmarks/live.py [--repeats 30] [--models 1]

It opens a notebook in JupyterLab and Chromium (apt-get install chromium, or name a Chrome in LINVID_CHROMIUM) and shows
a clip of 16 frames of 17 × 17 tokens. Time runs from the browser's time stamp of the key to the animation frame in
which the canvas has other pixels than before. At 60 frames a second, half a frame of it, 8 ms, is waiting. Weights are
random, which cost as much as trained ones. It prints medians with quartiles, and the load of the machine, because a
busy machine takes longer.
"""

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Locator, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from harness import ARGUMENTS, Notebook, find_chromium  # noqa: E402
from server import running_lab  # noqa: E402

PREPARE = """
import torch
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.reading import load_clip
from linvid_edu.widgets import AttentionExplorer, FixationExplorer
clip = load_clip("../data_samples/motion_left_photo.mp4", num_frames=16, size=68)
size = dict(num_frames=16, image_size=68)  # 17 × 17 tokens
variants = ("linear", "softmax", "cooperative", "cooperative-association")
torch.manual_seed(0)
models = {name: VideoTransformer(ModelConfig.compact(**size).with_variant(name)) for name in variants}
"""
EXPLORER = "AttentionExplorer(clip, dict(list(models.items())[:{models}]), where={where!r})"

# the next key starts the clock; the first frame in which the canvas differs from now stops it
UNTIL_CHANGED = """(canvas) => {
    const pixels = () => new Uint32Array(
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const before = pixels();
    window.milliseconds = new Promise((resolve) => addEventListener("keydown", ({ timeStamp }) => {
        const watch = () => pixels().some((pixel, i) => pixel !== before[i])
            ? resolve(performance.now() - timeStamp) : requestAnimationFrame(watch);
        requestAnimationFrame(watch);
    }, { capture: true, once: true }));
}"""
# the next key starts the clock; the first frame with a new canvas in the cell's output that is not blank stops it
UNTIL_SHOWN = """(cell) => {
    for (const canvas of cell.querySelectorAll("canvas")) canvas.dataset.old = "";
    const shown = () => [...cell.querySelectorAll("canvas:not([data-old])")].some((canvas) => canvas.width > 300
        && canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte));
    window.milliseconds = new Promise((resolve) => addEventListener("keydown", ({ timeStamp }) => {
        const watch = () => shown() ? resolve(performance.now() - timeStamp) : requestAnimationFrame(watch);
        requestAnimationFrame(watch);
    }, { capture: true, once: true }));
}"""


def changes(
    notebook: Notebook, canvas: Locator, focus: Locator, keys: tuple[str, ...], repeats: int
) -> Iterator[float]:
    """Press keys in turn; yield the milliseconds until the canvas changes."""
    focus.focus()
    for index in range(repeats):
        notebook.page.wait_for_timeout(random.uniform(150, 250))  # at no fixed phase of the frames
        canvas.evaluate(UNTIL_CHANGED)
        notebook.page.keyboard.press(keys[index % len(keys)])
        yield notebook.page.evaluate("window.milliseconds")


def first_displays(notebook: Notebook, cell: Locator, repeats: int) -> Iterator[float]:
    """Run a cell again and again; yield the milliseconds until its explorer is visible."""
    for _ in range(repeats):
        cell.locator(".cm-content").click()
        notebook.page.keyboard.down("Control")
        cell.evaluate(UNTIL_SHOWN)
        notebook.page.keyboard.press("Enter")
        notebook.page.keyboard.up("Control")
        yield notebook.page.evaluate("window.milliseconds")
        notebook.wait_until_idle()


def measure(notebook: Notebook, repeats: int) -> Iterator[tuple[str, float, list[float]]]:
    """Yield the name of each measurement, its target in ms and its times in ms."""
    notebook.run_all()
    for error in notebook.errors():
        raise RuntimeError(error)
    in_browser, in_python, fixation = (
        notebook.page.locator(".jp-OutputArea-output:has(canvas)").nth(index) for index in range(3)
    )
    for name, target, explorer in (
        ("query moved, row in the browser", 16, in_browser),
        ("query moved, row from Python", 50, in_python),
    ):
        film, tinted = explorer.get_by_role("application", name="the clip"), explorer.locator("section canvas").first
        yield name, target, list(changes(notebook, tinted, film, ("]",), repeats))
    slider, ratios = fixation.get_by_role("slider"), fixation.get_by_role("application").first
    list(changes(notebook, ratios, slider, ("ArrowRight",), 1))  # away from the learned ratios, which rebuild the page
    forced = list(changes(notebook, ratios, slider, ("ArrowRight", "ArrowLeft"), repeats))
    yield "ratios forced, forward pass", 250, forced
    cell = notebook.page.locator(".jp-CodeCell").nth(1)
    yield "first display", 1500, list(first_displays(notebook, cell, repeats))


def main() -> None:
    """Print a row for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--models", type=int, default=1, choices=range(1, 5), help="Number of models side by side")
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        parser.error("there is no Chromium: apt-get install chromium, or name a Chrome in LINVID_CHROMIUM")
    explorers = [EXPLORER.format(models=arguments.models, where=where) for where in ("browser", "kernel")]
    cells = (PREPARE, *explorers, 'FixationExplorer(clip, models["cooperative"])')
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {arguments.models} model(s)")
    print(f"{'key to changed pixel':34} {'median':>9} {'quartiles':>15} {'target':>9}")
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        lab.write("live.ipynb", cells)
        notebook = Notebook(browser, lab, "live.ipynb")
        for name, target, times in measure(notebook, arguments.repeats):
            low, median, high = statistics.quantiles(times, n=4)
            met = "met" if median <= target else "missed"
            print(f"{name:34} {median:6.1f} ms {low:6.1f} – {high:6.1f} {target:6} ms  {met}", flush=True)
        notebook.close()
        browser.close()


if __name__ == "__main__":
    main()
