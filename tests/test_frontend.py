"""ES modules are joined safely, and Python and the browser agree on names, tints and numbers."""

import json
import re
from importlib.resources import files

import ipywidgets
import numpy as np
import pytest
from javascript import run_javascript

from linvid_edu.figures.plots.strips import _overlay

pytest.importorskip("anywidget")

from linvid_edu.widgets import AssociationExplorer, AttentionExplorer, FixationExplorer, frontend
from linvid_edu.widgets.frontend import front_end
from linvid_edu.widgets.shared_table import ASSOCIATION_STATE, ATTENTION_STATE, FIXATION_STATE, shared

STATIC = files("linvid_edu.widgets").joinpath("static")
SCRIPTS = sorted(file.name for file in STATIC.iterdir() if file.name.endswith(".js"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_front_end_is_one_text_with_the_shared_table(name):
    text = front_end(name)
    assert not re.search(r"^import ", text, re.MULTILINE)
    table = re.match("const SHARED = (.*);\n", text).group(1)
    assert json.loads(table) == json.loads(json.dumps(shared()))


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ({"a.js": 'import { f } from "./b.js";\nconst g = 1;\n', "b.js": "export function f() {}\nlet g;\n"}, "'g'"),
        ({"a.js": 'import { f } from "./b.js";\n', "b.js": "export function f() {}\nconst [x, f] = [];\n"}, "'f'"),
        (
            {"a.js": 'import { f } from "./b.js";\n', "b.js": "export const f = 1;\nconst { y: SHARED } = f;\n"},
            "'SHARED'",
        ),
        (
            {"a.js": 'import { h } from "./b.js";\n', "b.js": "export function f() {}\n"},
            "'h', which b.js does not export",
        ),
        ({"a.js": 'import * as b from "./b.js";\n', "b.js": "export function f() {}\n"}, "does not have the form"),
    ],
)
def test_modules_that_cannot_share_one_scope_raise(monkeypatch, modules, words):
    monkeypatch.setattr(frontend, "_read", modules.__getitem__)
    with pytest.raises(ValueError, match=words):
        front_end.__wrapped__("a.js")


def test_a_module_is_joined_once_and_before_those_that_import_it(monkeypatch):
    modules = {
        "a.js": 'import { b } from "./b.js";\nimport { c } from "./c.js";\nexport default { b, c };\n',
        "b.js": 'import { c } from "./c.js";\nexport const b = c;\n',
        "c.js": "const { x: hidden } = {};\nexport const c = hidden;\n",
    }
    monkeypatch.setattr(frontend, "_read", modules.__getitem__)
    lines = front_end.__wrapped__("a.js").split("\n")[1:]
    assert [line for line in lines if line] == [
        "const { x: hidden } = {};",
        "const c = hidden;",
        "const b = c;",
        "export default { b, c };",
    ]


@pytest.mark.parametrize(
    ("explorer", "state", "others"),
    [
        (AttentionExplorer, ATTENTION_STATE, {"packed", "problem", "offered", "shown"}),
        (FixationExplorer, FIXATION_STATE, {"packed", "problem"}),
        (AssociationExplorer, ASSOCIATION_STATE, {"meta", "data"}),
    ],
)
def test_the_state_in_the_table_is_the_state_of_the_explorer(explorer, state, others):
    own = set(explorer.class_trait_names(sync=True)) - set(ipywidgets.DOMWidget.class_trait_names())
    assert {name for name in own if not name.startswith("_")} == {*state, *others}


def test_the_browser_tints_tokens_as_the_static_figure_does():
    source = front_end("strip.js") + "\nconst result = [TINTS, NEGATIVE_TINTS].map((tints) => Array.from(tints));"
    tints = np.array(run_javascript(source)).reshape(2, 256, 4)
    level = np.linspace(0, 1, 256)
    for sign, in_browser in zip((1, -1), tints / 255, strict=True):
        for gray in (0.0, 1.0):  # tells color and opacity apart
            seen = in_browser[:, 3:] * in_browser[:, :3] + (1 - in_browser[:, 3:]) * gray
            signed = sign * np.maximum(level, 1e-9)  # below 0 at the lowest level, too
            np.testing.assert_allclose(seen, _overlay(signed, np.full(256, gray)), atol=2 / 255)
