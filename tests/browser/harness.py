"""One notebook of a real JupyterLab, open in a real browser, as a person sees and moves it."""

import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from server import ROOT, SECONDS, Lab

if TYPE_CHECKING:  # the tests are skipped, not broken, where Playwright is missing
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Request

SCREENSHOTS = ROOT / "build" / "screenshots"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

# no sandbox, as tests run as root in CI; names lead nowhere but to this machine, so nothing is fetched
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
# two errors of JupyterLab itself: the debugger asks a kernel for its state while the kernel restarts, and the server
# cannot list the kernels, for which the page asks every few seconds, while one of them starts
NOISE = re.compile(
    r"^Could not restore the debugger state: Canceled future for debug_request"
    r"|^Failed to load resource: .* 500 .*/api/kernels\?\d+$"
)
HERE = re.compile(r"^(https?|wss?)://127\.0\.0\.1[:/]|^(data|blob|about|file):")

# a figure that is drawn later says so by aria-busy; a picture has pixels once it is decoded
PICTURES_READY = """async (element) => {
    const images = element.matches("img") ? [element] : [...element.querySelectorAll("img")];
    await Promise.all(images.map((image) => image.decode().catch(() => {})));
}"""
FINISHED = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    const prompts = all(".jp-CodeCell .jp-InputPrompt").map((prompt) => prompt.textContent);
    const idle = document.querySelector('.jp-Notebook-ExecutionIndicator[data-status="idle"]');
    const failed = all(".jp-OutputArea-output").some((output) => output.textContent.includes("Traceback (m"));
    return idle && !prompts.some((text) => text.includes("*"))
        && (failed || prompts.every((text) => /\\d/.test(text)));
}"""
TOO_WIDE = """() => [...document.querySelectorAll(".jp-Notebook, .jp-OutputArea-output, .linvid-chart")]
    .filter((element) => element.scrollWidth > element.clientWidth + 1)
    .map((element) => `${element.className}: ${element.scrollWidth} px in ${element.clientWidth} px`)"""


def find_chromium() -> str | None:
    """Return the program that ``LINVID_CHROMIUM`` names, or else a Chromium or Chrome on the path."""
    named = os.environ.get("LINVID_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("google-chrome")


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of pixels that differ, 1 if the size does."""
    return float((before != after).any(axis=-1).mean()) if before.shape == after.shape else 1.0


class Notebook:
    """One notebook, open in a page of the browser.

    `page` is Playwright's: ``notebook.page.get_by_role("button", name="play").click()``. `console` records the errors
    of the page, `outside` its requests to other machines.

    A widget may redraw at any time. A test therefore asserts by Playwright's ``expect``, which waits for what it
    asserts, or by ``wait_until``. It never asserts what it has read before.
    """

    def __init__(self, browser: "Browser", lab: Lab, name: str, *, theme: str = "light", width: int = 1280) -> None:
        self.lab, self.name, self.theme = lab, name, theme
        self.console: list[str] = []
        self.outside: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 900}, accept_downloads=True)
        self.page.set_default_timeout(1e3 * SECONDS)
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", self._ask)
        raw = json.dumps({"theme": THEMES[theme]})
        lab.request("PUT", "lab/api/settings/@jupyterlab/apputils-extension:themes", {"raw": raw})
        self.page.goto(f"http://127.0.0.1:{lab.port}/lab/tree/notebooks/{name}?reset&token={lab.token}")
        self.wait_until_idle()
        self.page.keyboard.press("Control+b")  # the file browser away

    def _log(self, message: "ConsoleMessage") -> None:
        failed = message.text.startswith("Failed to load resource")
        text = f"{message.text} {message.location['url']}" if failed else message.text
        if message.type == "error" and not NOISE.search(text):
            self.console.append(text)

    def _ask(self, request: "Request") -> None:
        if not HERE.search(request.url):
            self.outside.append(request.url)

    def menu(self, *names: str) -> None:
        """Choose from the menu, such as ``menu("Kernel", "Restart Kernel…")``."""
        self.page.locator(f".lm-MenuBar-itemLabel:text-is('{names[0]}')").click()
        for name in names[1:]:
            self.page.locator(f".lm-Menu-itemLabel:text-is('{name}')").click()

    def run_all(self) -> None:
        """Clear all outputs, run all cells in the kernel, which is new, and wait until they have run or one fails."""
        self.menu("Edit", "Clear Outputs of All Cells")
        self.menu("Run", "Run All Cells")
        self.page.wait_for_function(FINISHED)

    def restart_kernel(self) -> None:
        """Restart the kernel; what the cells showed stays."""
        self.menu("Kernel", "Restart Kernel…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until the page is connected to a kernel that has nothing to do."""
        self.wait_until(lambda: self.lab.has_idle_kernel(self.name), "an idle kernel")
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached")

    def save(self) -> None:
        """Save the notebook."""
        self.menu("File", "Save Notebook")
        self.page.wait_for_selector(".jp-mod-current.jp-mod-dirty", state="detached")

    def reload(self) -> None:
        """Load the page again, as with F5."""
        self.page.reload()
        self.wait_until_idle()

    def errors(self) -> list[str]:
        """Return the tracebacks that cells show."""
        return self.page.locator(".jp-OutputArea-output:has-text('Traceback (m')").all_inner_texts()

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until a condition holds that Playwright's ``expect`` does not know.

        Args:
            condition: Function that is called again and again until it returns something true.
            what: Description of what is expected, for the message.
        """
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"expected {what} within {SECONDS:.0f} s"
            self.page.wait_for_timeout(50)

    def pixels(self, locator: "Locator") -> np.ndarray:
        """Return the pixels of an element, such as a canvas, its pictures decoded: (rows columns 3), 0 to 255."""
        locator.evaluate(PICTURES_READY)
        return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"))

    def wait_for_pixels(self, locator: "Locator", condition: Callable[[np.ndarray], Any], what: str) -> None:
        """Wait until a condition on an element's pixels holds."""
        from playwright.sync_api import Error

        def holds() -> Any:
            try:
                return condition(self.pixels(locator))
            except Error as error:  # a redraw may remove the element during the screenshot
                if "not attached" not in str(error):
                    raise
                return False

        self.wait_until(holds, what)

    def wait_for_change(self, locator: "Locator", before: np.ndarray, *, share: float = 0.001) -> None:
        """Wait until at least a share of an element's pixels differs from before."""
        changed = f"{share:.1%} of the pixels to change"
        self.wait_for_pixels(locator, lambda after: difference(before, after) >= share, changed)

    def switch_theme(self, theme: str) -> None:
        """Switch to "light" or "dark" by the menu."""
        self.menu("Settings", "Theme", THEMES[theme])
        light = "true" if theme == "light" else "false"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")  # covers the page while the theme loads
        self.theme = theme

    def resize(self, width: int) -> None:
        """Give the page another width, and wait until it has it."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.wait_for_function("(width) => innerWidth === width", arg=width)

    def too_wide(self) -> list[str]:
        """Return what needs a horizontal scroll bar now."""
        return self.page.evaluate(TOO_WIDE)

    def expect_to_fit(self, *widths: int) -> None:
        """Give the page one width after another, and wait until nothing needs a horizontal scroll bar."""
        for width in widths:
            self.resize(width)
            self.wait_until(lambda: not self.too_wide(), f"nothing wider than a page of {width} pixels")

    def screenshot(self, name: str, locator: "Locator | None" = None) -> None:
        """Write the visible page, or all of an element, to build/screenshots/NAME-THEME.png."""
        size = self.page.viewport_size
        if locator:
            self.page.set_viewport_size({**size, "height": int(locator.bounding_box()["height"]) + 200})
        (locator or self.page).screenshot(path=SCREENSHOTS / f"{name}-{self.theme}.png")
        self.page.set_viewport_size(size)
