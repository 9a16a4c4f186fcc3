"""The video transformer: its configuration, layers and checkpoints, and how to look inside and intervene."""

from linvid_edu.lazy import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
