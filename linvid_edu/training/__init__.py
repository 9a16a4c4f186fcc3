"""One training run: its task, its loop, its folder and its evaluation, on any device."""

from linvid_edu.lazy import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
