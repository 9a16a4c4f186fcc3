"""Inline code that names something of the library becomes a link to its entry in the reference.

`linear_attention` and `linvid_edu.attention.functions.linear_attention` become links if only one public function or
class has that name, or if the package itself exports it. sphinx-codeautolink makes the links in the code of lessons.
"""

import re
from functools import partial
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from .reference import is_package, modules

Place = tuple[str, str]  # page, anchor
LINKED_BY_LAST_NAME = ("function", "class", "exception")  # a method needs its class, a module needs its package


def setup(app: Sphinx) -> None:
    """Register the function that makes the links."""
    places: dict[str, Place] = {}
    app.connect("env-updated", partial(_collect, places))
    app.connect("doctree-resolved", partial(_link_inline_code, places))


def link_places(env: BuildEnvironment) -> dict[str, Place]:
    """Return name → place of everything in the reference, under its full name and every shorter one.

    A short name that several objects share leads nowhere, unless linvid_edu exports one of them. A room and one of its
    public names, such as `attention.linear_attention`, lead to the module that defines it.
    """
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]
    places = {name: (entry.docname, entry.node_id) for name, entry in objects.items()}
    owners: dict[str, set[str]] = {}
    for name, entry in objects.items():
        names = name.split(".")
        stop = len(names) if entry.objtype in LINKED_BY_LAST_NAME else len(names) - 1
        for index in range(1, stop):
            owners.setdefault(".".join(names[index:]), set()).add(name)
    places |= {short: places[min(full)] for short, full in owners.items() if len(full) == 1}
    rooms = [f"linvid_edu.{name}" for name in modules() if "." not in name and is_package(name)] if places else []
    for package in [*rooms, "linvid_edu"]:
        prefix = f"{package}.".removeprefix("linvid_edu.")
        for name in import_module(package).__all__:
            module = getattr(getattr(import_module(package), name), "__module__", package)
            if f"{module}.{name}" in places:
                places[prefix + name] = places[f"{package}.{name}"] = places[f"{module}.{name}"]
    return places


def _collect(places: dict[str, Place], app: Sphinx, env: BuildEnvironment) -> list[str]:
    places.clear()
    places.update(link_places(env))
    return []  # no page has to be written again


def _link_inline_code(places: dict[str, Place], app: Sphinx, document: nodes.document, page: str) -> None:
    for literal in list(document.findall(nodes.literal)):
        place = places.get(re.sub(r"\(.*\)$", "", literal.astext()))
        if place is not None and not isinstance(literal.parent, nodes.reference):
            uri = f"{app.builder.get_relative_uri(page, place[0])}#{place[1]}"
            link: Any = nodes.reference("", "", internal=True, refuri=uri)
            literal.replace_self(link)
            link += literal
