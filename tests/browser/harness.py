"""One notebook of a real JupyterLab, open in a real browser, as a person sees and moves it."""

import io
import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING

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
# what JupyterLab itself logs as an error when a kernel restarts while its debugger asks for the state
NOISE = re.compile(r"^Could not restore the debugger state: Canceled future for debug_request")
HERE = re.compile(r"^(https?|wss?)://127\.0\.0\.1[:/]|^(data|blob|about|file):")

FINISHED = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    const prompts = all(".jp-CodeCell .jp-InputPrompt").map((prompt) => prompt.textContent);
    const idle = document.querySelector('.jp-Notebook-ExecutionIndicator[data-status="idle"]');
    const failed = all(".jp-OutputArea-output").some((output) => output.textContent.includes("Traceback (m"));
    return idle && !prompts.some((text) => text.includes("*"))
        && (failed || prompts.every((text) => /\\d/.test(text)));
}"""
TOO_WIDE = """() => [...document.querySelectorAll(".jp-Notebook, .jp-OutputArea-output")]
    .filter((element) => element.scrollWidth > element.clientWidth + 1)
    .map((element) => `${element.className}: ${element.scrollWidth} px in ${element.clientWidth} px`)"""


def find_chromium() -> str | None:
    """Return the program that ``LINVID_CHROMIUM`` names, or else a Chromium or Chrome on the path."""
    named = os.environ.get("LINVID_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("google-chrome")


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of pixels that differ, 1 where the size does."""
    return float((before != after).any(axis=-1).mean()) if before.shape == after.shape else 1.0


class Notebook:
    """One notebook, open in a page of the browser.

    `page` is Playwright's: ``notebook.page.get_by_role("button", name="play").click()``. What goes wrong is recorded:
    `console` holds errors, `outside` requests to other machines.
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
        if message.type == "error" and not NOISE.search(message.text):
            self.console.append(message.text)

    def _ask(self, request: "Request") -> None:
        if not HERE.search(request.url):
            self.outside.append(request.url)

    def menu(self, *names: str) -> None:
        """Choose from the menu, such as ``menu("Kernel", "Restart Kernel…")``."""
        self.page.locator(f".lm-MenuBar-itemLabel:text-is('{names[0]}')").click()
        for name in names[1:]:
            self.page.locator(f".lm-Menu-itemLabel:text-is('{name}')").click()

    def run_all(self) -> None:
        """Clear all outputs, restart the kernel, run all cells, and wait until they have run or one fails."""
        self.menu("Edit", "Clear Outputs of All Cells")
        self.menu("Kernel", "Restart Kernel and Run All Cells…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_function(FINISHED)

    def restart_kernel(self) -> None:
        """Restart the kernel; what the cells showed stays."""
        self.menu("Kernel", "Restart Kernel…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until a kernel is there, the page is connected to it, and it has nothing to do."""
        deadline = time.monotonic() + SECONDS
        while not self.lab.has_idle_kernel(self.name):
            assert time.monotonic() < deadline, f"the kernel is not idle after {SECONDS:.0f} s"
            self.page.wait_for_timeout(100)
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached")

    def save(self) -> None:
        """Save the notebook."""
        self.menu("File", "Save Notebook")
        self.page.wait_for_selector(".jp-mod-current.jp-mod-dirty", state="detached")

    def reload(self) -> None:
        """Load the page again, as a person does with F5."""
        self.page.reload()
        self.wait_until_idle()

    def errors(self) -> list[str]:
        """Return the tracebacks that cells show."""
        return self.page.locator(".jp-OutputArea-output:has-text('Traceback (m')").all_inner_texts()

    def text(self) -> str:
        """Return all that the outputs say."""
        return "\n".join(self.page.locator(".jp-Cell-outputArea").all_inner_texts())

    def pixels(self, locator: "Locator") -> np.ndarray:
        """Return what is seen of an element, such as a canvas: (rows columns 3), 0 to 255."""
        return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"))

    def wait_for_change(self, locator: "Locator", before: np.ndarray, *, share: float = 0.001) -> np.ndarray:
        """Wait until at least a share of an element's pixels differs from before; return them."""
        from playwright.sync_api import Error

        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                after = self.pixels(locator)
            except Error as error:  # a redraw may take the element away while it is looked at
                if "not attached" not in str(error):
                    raise
                continue
            if difference(before, after) >= share:
                return after
        raise AssertionError(f"not {share:.1%} of the pixels changed within {SECONDS:.0f} s")

    def switch_theme(self, theme: str) -> None:
        """Switch to "light" or "dark" by the menu."""
        self.menu("Settings", "Theme", THEMES[theme])
        light = "true" if theme == "light" else "false"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")  # covers the page while the theme loads
        self.theme = theme

    def too_wide(self, width: int) -> list[str]:
        """Resize the page; return what then needs a horizontal scroll bar."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.wait_for_timeout(300)  # layout follows the resize within a few frames
        return self.page.evaluate(TOO_WIDE)

    def screenshot(self, name: str, locator: "Locator | None" = None) -> None:
        """Write what is seen, or all of an element, to build/screenshots/NAME-THEME.png."""
        size = self.page.viewport_size
        if locator:
            self.page.set_viewport_size({**size, "height": int(locator.bounding_box()["height"]) + 200})
        (locator or self.page).screenshot(path=SCREENSHOTS / f"{name}-{self.theme}.png")
        self.page.set_viewport_size(size)

    def close(self) -> None:
        """Close the page and shut down the kernel."""
        self.page.close()
        self.lab.shut_kernels()
