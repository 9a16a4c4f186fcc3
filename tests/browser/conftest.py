"""A JupyterLab and a Chromium for each test process, and a page for each test; nothing comes from the network."""

import shutil

import pytest
from harness import ARGUMENTS, Notebook, find_chromium
from server import ROOT, SECONDS, running_lab

INSTALL = "apt-get install -y --no-install-recommends chromium, or name a Chrome in LINVID_CHROMIUM"


@pytest.fixture(scope="session")
def browser():
    """Start Chromium, or skip."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: make setup")
    program = find_chromium()
    if program is None:
        pytest.skip(f"no Chromium: {INSTALL}")
    playwright.expect.set_options(timeout=1e3 * SECONDS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """Start a JupyterLab of this process, on a port of its own."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def open_notebook(browser, lab, request):
    """Return a function that opens a notebook of the given cells; at the end, check that no error was missed."""
    opened = []

    def open_(*cells, lesson=None, copy_of=None, **options):
        name = f"{lesson or request.node.name}.ipynb"
        if lesson:
            shutil.copy(ROOT / "notebooks" / name, lab.folder / "notebooks" / name)
        elif copy_of:
            name = lab.copy(copy_of.name)
        else:
            lab.write(name, cells)
        opened.append(Notebook(browser, lab, name, **options))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.page.close()
    lab.shut_kernels()
    for notebook in opened:
        assert notebook.console == []
        assert notebook.outside == []
