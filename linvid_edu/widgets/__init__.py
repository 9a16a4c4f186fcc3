"""Widgets for a notebook, without a network: controls that redraw a figure, and the explorers."""

from .attention import AttentionExplorer, shipped_models
from .controls import LiveFigure, clickable, controlled
from .objects import known_objects

__all__ = ["AttentionExplorer", "LiveFigure", "clickable", "controlled", "known_objects", "shipped_models"]
