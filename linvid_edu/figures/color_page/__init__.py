"""One page about a recolored clip: what each mechanism made of it, and where the color of a token came from."""

from .color_clip import ColorClip, load_color_clip
from .coloring import Coloring, Painted, Painter, check_painters, color_numbers, paint_clip
from .film import save_film, tile_films
from .page import Training, color_html, save_color_page

__all__ = [
    "ColorClip",
    "Coloring",
    "Painted",
    "Painter",
    "Training",
    "check_painters",
    "color_html",
    "color_numbers",
    "load_color_clip",
    "paint_clip",
    "save_color_page",
    "save_film",
    "tile_films",
]
