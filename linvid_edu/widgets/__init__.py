"""Widgets for a notebook, without a network: controls that redraw a figure, and the explorers."""

from linvid_edu.lazy import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
