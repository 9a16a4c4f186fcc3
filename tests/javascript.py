"""Run the front end of the widgets without a notebook."""

import json
import shutil
import subprocess

import pytest


def run_javascript(source):
    """Run an ES module that sets `result`, in node, or else in Chromium, and return the result."""
    if node := shutil.which("node"):
        script = source + "\nconsole.log(JSON.stringify(result));"
        run = subprocess.run(
            [node, "--input-type=module", "-"], input=script, capture_output=True, text=True, check=True
        )
        return json.loads(run.stdout)
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("NEITHER node NOR chromium IS HERE: the browser's rows are not compared with Python's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_content("<!doctype html>")
        page.add_script_tag(content=source + "\nwindow.result = result;", type="module")
        page.wait_for_function("window.result !== undefined")
        result = page.evaluate("window.result")
        browser.close()
    return result
