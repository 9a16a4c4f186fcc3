"""Equations as MathML, which a browser shows without a script or a network."""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

_PRIMED = re.compile(r"<msup>(<m[io]>[^<]*</m[io]>)<mi>(&#x0203[2-4];)</mi></msup>")


def setup(app: Sphinx) -> None:
    """Let Sphinx write equations with this module."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))


def mathml(latex: str, display: str = "inline") -> str:
    """Return an equation as MathML. Primes are put beside their letter: raised twice, they are too small to see."""
    return _PRIMED.sub(r'<mrow>\1<mo lspace="0" rspace="0">\2</mo></mrow>', convert(latex, display=display))


def equation_block(latex: str) -> str:
    r"""Return an equation on its own line; ``\tag{7.1}`` becomes a number at the right, with the anchor eq-7.1."""
    tag = re.search(r"\\tag\{(.+?)\}", latex)
    equation = mathml(latex.replace(tag[0], "") if tag else latex, "block")
    number = f'<span class="number" id="eq-{tag[1]}">({tag[1]})</span>' if tag else ""
    return f'<div class="equation">{equation}{number}</div>\n'


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(equation_block(node.astext()))
    raise nodes.SkipNode
