"""Widgets for a notebook, without a network: controls that redraw a figure, and the explorers."""

from .association import AssociationExplorer
from .attention import AttentionExplorer, shipped_models
from .clips import ClipPicker
from .controls import LiveFigure, clickable, controlled
from .cost import CostLab
from .fixation import FixationExplorer
from .monitor import TrainingMonitor
from .objects import known_objects

__all__ = [
    "AssociationExplorer",
    "AttentionExplorer",
    "ClipPicker",
    "CostLab",
    "FixationExplorer",
    "LiveFigure",
    "TrainingMonitor",
    "clickable",
    "controlled",
    "known_objects",
    "shipped_models",
]
