"""What every figure of the course shares: its container with alt text, its style, and how it writes numbers."""

import base64
import json
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import matplotlib.style
import plotly.graph_objects as go
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

INK = "#1f2328"
SOFT_INK = "#57606a"
FAINT = "#d0d7de"
GRID = "#e3e7eb"
MISSING = "#c9ced3"  # cells without a finite value
ACCENT = "#d55e00"
ACCENT_INK = "#a84300"  # ACCENT, darkened until text in it reaches a contrast of 4.5 on white
DPI = 110
WEBP_QUALITY = 90  # of 100: text stays sharp
PAGE_INCHES = 7.6  # 836 pixels, so that JupyterLab shows it uncut in a window of 1280
MARGIN_INCHES = 0.14  # white around every figure, so that it reads as a card on a dark page
LINE_INCHES = 0.24  # of the title
SERIES_CHARACTERS, ROW_CHARACTERS, X_CHARACTERS, Y_CHARACTERS = 24, 28, 60, 36  # in a line of a label
LARGEST_OWN_TICKS = 9  # values of a logarithmic axis, such as 64, 128, 256, that are all written as its ticks
LARGEST_FINE_RANGE = 50  # ratio up to which a logarithmic axis has ticks at 1, 2, 5 of each decade

# text.parse_math off: a title or label with stray dollar signs is text, not a formula
STYLE = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.titlesize": 13,
    "axes.labelpad": 6,
    "axes.edgecolor": SOFT_INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.parse_math": False,
    "figure.constrained_layout.w_pad": MARGIN_INCHES,
    "figure.constrained_layout.h_pad": 0.1,
}

Function = TypeVar("Function", bound=Callable[..., Any])


def styled(function: Function) -> Function:
    """Draw in the course's style, whatever style the notebook has set, and leave that style as it was."""
    return matplotlib.style.context(["default", STYLE])(function)  # type: ignore[no-any-return, operator]


class Words(NamedTuple):
    """The texts of a figure, shown as they are.

    Args:
        title: Title of the figure, or None.
        x, y: Names of the axes.
        value: What the colors show.
    """

    title: str | None
    x: str
    y: str = ""
    value: str = ""


class Picture(NamedTuple):
    """A figure with its description: show it as the last expression of a cell, or with ``display``.

    Args:
        figure: The static figure; pyplot does not know it, so that it need not be closed.
        alt: What the figure shows, in plain words with its key numbers.
        interactive: The same data as a plotly figure, or None.
    """

    figure: Figure
    alt: str
    interactive: go.Figure | None = None

    def png(self) -> bytes:
        """Render the static figure with a palette of at most 256 colors.

        Returns:
            A PNG file on a white card, with the alt text as its Description; the same figure gives the same bytes.
        """
        image, compressed, metadata = self._image(), BytesIO(), PngInfo()
        metadata.add_text("Description", self.alt)
        # k-means keeps photographs smooth; it stops when less than 1 % of the pixels change their color
        few = image.width * image.height // 100
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=few, dither=Image.Dither.NONE)
        image.save(compressed, "PNG", optimize=True, pnginfo=metadata, dpi=(DPI, DPI))
        return compressed.getvalue()

    def webp(self) -> tuple[bytes, tuple[int, int]]:
        """Render the static figure for a page, which takes a tenth of the time of ``png``.

        Returns:
            A WebP file on a white card, and its width and height in pixels.
        """
        image, compressed = self._image(), BytesIO()
        image.save(compressed, "WEBP", quality=WEBP_QUALITY, method=2)
        return compressed.getvalue(), image.size

    def _image(self) -> Image.Image:
        if layout := self.figure.get_layout_engine():
            styled(layout.execute)(self.figure)
            self.figure.set_layout_engine("none")  # a second layout of the same figure would differ by a pixel
        rendered = BytesIO()
        styled(self.figure.savefig)(rendered, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
        return Image.open(rendered).convert("RGB")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the static figure as a PNG file with its alt text inside.

        Args:
            path: Path of the file; its name ends in .png.

        Raises:
            ValueError: the name does not end in .png.
        """
        if Path(path).suffix.lower() != ".png":
            raise ValueError(f"a picture is saved as .png, the path ends in {Path(path).suffix!r}")
        Path(path).write_bytes(self.png())

    def __repr__(self) -> str:
        return self.alt  # IPython prefers this to the bundle's text/plain

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        data: dict[str, Any] = {"text/plain": self.alt, "image/png": base64.b64encode(self.png()).decode()}
        if self.interactive is not None:
            config = {"displaylogo": False, "responsive": True}
            data["application/vnd.plotly.v1+json"] = {**json.loads(self.interactive.to_json()), "config": config}
        return data, {"image/png": {"alt": self.alt}}


def number(value: int | float) -> str:
    """Write a number to be read or heard: three digits, commas between thousands, powers of ten far from 1.

    Args:
        value: Any number.

    Returns:
        For example 0.0123, 4,624, 1.2×10⁻⁵ or −∞.
    """
    value = float(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
        return text.replace("-", "−")
    mantissa, exponent = f"{value:.2e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    factor = f"{float(mantissa):g}".replace("-", "−")
    return power if factor == "1" else f"{factor}×{power}"


def numbers(values: Sequence[float]) -> list[str]:
    """Write numbers that stand together with the same count of decimals, if that stays short.

    Args:
        values: Any numbers.

    Returns:
        One text for each.
    """
    texts = [number(value) for value in values]
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    if decimals > 3 or any("10" in text and not text[-1].isascii() for text in texts):
        return texts
    return [
        f"{value:,.{decimals}f}".replace("-", "−") if math.isfinite(value) else text
        for value, text in zip(values, texts, strict=True)
    ]


class NumberFormatter(Formatter):
    """Write the ticks of an axis as ``numbers`` does."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return number(x)

    def format_ticks(self, values: Iterable[float]) -> list[str]:
        return numbers(list(values))


def wrap(text: str, characters: int) -> str:
    """Break a text into lines of at most `characters` characters."""
    return textwrap.fill(text, characters)


def wrap_title(title: str | None, width: float) -> str:
    """Break a title into lines that fit a figure.

    Args:
        title: One line of text, or None.
        width: Width of the figure in inches.

    Returns:
        The lines joined by newlines; "" for None.
    """
    return wrap(title or "", max(10, int(width * 9.5)))


def title_inches(lines: str) -> float:
    """Return the height of a wrapped title; 0 for ""."""
    return LINE_INCHES * (lines.count("\n") + 1) if lines else 0.0


def sentence(*parts: str | None) -> str:
    """Join the parts of an alt text, the empty ones left out, each ended with a period.

    Args:
        parts: Phrases or sentences.

    Returns:
        One paragraph.
    """
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


def luminance(color: Any) -> float:
    """Relative luminance of a color, as WCAG 2 defines it.

    Args:
        color: Anything matplotlib takes as a color.

    Returns:
        0 (black) to 1 (white).
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(background: Any) -> str:
    """Choose black or white text, whichever stands out more; the better of the two reaches 4.5 on any color.

    Args:
        background: Anything matplotlib takes as a color.

    Returns:
        "black" or "white".
    """
    shade = luminance(background)
    return "black" if (shade + 0.05) / 0.05 >= 1.05 / (shade + 0.05) else "white"
