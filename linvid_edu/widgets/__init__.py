"""Widgets for a notebook, without a network: controls that redraw a figure, and the explorers."""

from .controls import LiveFigure, clickable, controlled

__all__ = ["LiveFigure", "clickable", "controlled"]
