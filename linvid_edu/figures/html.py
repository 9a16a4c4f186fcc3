"""The frame that all self-contained HTML pages share, and pictures as HTML."""

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plots import Picture

STAND_IN = "linvid-stand-in"  # CSS class of the picture that replaces a saved widget without a kernel
FRAME = Path(__file__).with_name("page.html")
PAGE_STYLE = Path(__file__).with_name("page.css")
SCRIPTS_ALLOWED = "; script-src 'unsafe-inline'"


def html_page(
    body: Path,
    *,
    title: str,
    style: str,
    texts: Mapping[str, str],
    elements: Mapping[str, str],
    scripts: bool = False,
) -> str:
    """Fill a template of a page's body and put the common frame around it.

    Args:
        body: Path of the template, with placeholders such as ``$name``.
        title: Title of the page, as plain text.
        style: Style sheet.
        texts: Plain text of each placeholder; it is escaped.
        elements: HTML of each placeholder; it is inserted as it is.
        scripts: Whether the page may run the scripts in its body.

    Returns:
        The page, which loads nothing from elsewhere.
    """
    filled = _template(body).substitute({name: escape(text) for name, text in texts.items()}, **elements)
    allowed = SCRIPTS_ALLOWED if scripts else ""
    return _template(FRAME).substitute(title=escape(title), style=style.strip(), body=filled.strip(), scripts=allowed)


def image_element(picture: "Picture") -> str:
    """Write a picture as an ``<img>`` element that holds its pixels and its alt text."""
    webp, (width, height) = picture.webp()
    size = f'width="{width}" height="{height}" style="max-width: 100%; height: auto"'
    return f'<img src="data:image/webp;base64,{b64encode(webp).decode()}" alt="{escape(picture.alt)}" {size}>'


def png_url(png: bytes) -> str:
    """Write a PNG file as a data URL."""
    return f"data:image/png;base64,{b64encode(png).decode()}"


def png_size(png: bytes) -> tuple[int, int]:
    """Read width and height in pixels from the header of a PNG file."""
    width, height = (int.from_bytes(png[offset : offset + 4], "big") for offset in (16, 20))
    return width, height


def _template(path: Path) -> Template:
    return Template(path.read_text(encoding="utf-8"))
