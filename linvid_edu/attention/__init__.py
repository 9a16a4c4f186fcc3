"""Attention as pure functions, and as the mechanisms that a layer of a model can hold. No model and no video here."""

from linvid_edu.lazy import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
