"""Names of the library, in prose and in code, become links to their place in the reference.

In prose, `linear_attention` and `linvid_edu.attention.functions.linear_attention` lead there if one public function or
class alone has that name, or the package itself exports it. In the code of a lesson, a name leads there if the lesson
imports it from linvid_edu.
"""

import ast
import re
from collections.abc import Iterable
from html import escape
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_CHAIN = re.compile(r'<span class="nn?">[\w.]+</span>(?:<span class="o">\.</span><span class="n">\w+</span>)*')
_TAG = re.compile(r"<[^>]+>")
ALONE = ("function", "class", "exception")  # found by their last word; a method needs its class, a module the package


def setup(app: Sphinx) -> None:
    """Connect the links in prose and in code."""
    app.connect("doctree-resolved", _link_prose)
    app.connect("html-page-context", _link_code)


def places(env: BuildEnvironment) -> dict[str, tuple[str, str]]:
    """Return name → (page, anchor) of everything in the reference, under its full name and every shorter one.

    A short name that several share leads nowhere, unless linvid_edu itself exports one of them.
    """
    known = env.get_domain("py").objects  # type: ignore[attr-defined]
    found = {name: (place.docname, place.node_id) for name, place in known.items()}
    owners: dict[str, set[str]] = {}
    for name, place in known.items():
        parts = name.split(".")
        stop = len(parts) if place.objtype in ALONE else len(parts) - 1
        for index in range(1, stop):
            owners.setdefault(".".join(parts[index:]), set()).add(name)
    found |= {short: found[min(names)] for short, names in owners.items() if len(names) == 1}
    core = import_module("linvid_edu")
    for name in core.__all__:
        full = _home(core, name)
        if full in found:
            found[name] = found[f"linvid_edu.{name}"] = found[full]
    return found


def _home(module: Any, name: str) -> str:
    """Return the full name of what a module exports, with the module that defines it."""
    value = getattr(module, name, None)
    return f"{getattr(value, '__module__', module.__name__)}.{name}"


def _link_prose(app: Sphinx, document: nodes.document, page: str) -> None:
    """Turn inline code of one page that names something of the library into a link."""
    known = places(app.env)
    for literal in list(document.findall(nodes.literal)):
        place = known.get(re.sub(r"\(.*\)$", "", literal.astext()))
        if place is not None and not isinstance(literal.parent, nodes.reference):
            link = nodes.reference("", "", internal=True, refuri=_uri(app, page, place))
            literal.replace_self(link)
            link += literal


def imported(sources: Iterable[str]) -> dict[str, str]:
    """Return the names that some cells import from linvid_edu, each with its full name; other text is passed over."""
    names: dict[str, str] = {}
    for source in sources:
        try:
            statements = list(ast.walk(ast.parse(source)))
        except SyntaxError:
            continue
        for statement in statements:
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").split(".")[0] == "linvid_edu":
                names |= {
                    alias.asname or alias.name: _home(import_module(statement.module), alias.name)
                    for alias in statement.names
                }
    return names


def _link_code(app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None) -> None:
    """Link the names in the highlighted code of one page."""
    if document is None:
        return
    names = imported(block.astext() for block in document.findall(nodes.literal_block))
    if not names:
        return
    names["linvid_edu"] = "linvid_edu"
    known = places(app.env)

    def linked(chain: re.Match[str]) -> str:
        first, *rest = _TAG.sub("", chain[0]).split(".")
        start = chain[0].index("</span>") + len("</span>")
        for html, name in ((chain[0], ".".join([names.get(first, ""), *rest])), (chain[0][:start], names.get(first))):
            if name in known:
                uri = escape(_uri(app, page, known[name]))
                return f'<a class="reference internal" href="{uri}">{html}</a>{chain[0][len(html) :]}'
        return chain[0]

    context["body"] = _CHAIN.sub(linked, context["body"])


def _uri(app: Sphinx, page: str, place: tuple[str, str]) -> str:
    return f"{app.builder.get_relative_uri(page, place[0])}#{place[1]}"
