"""From a video file, or from a seed, to the tokens of a clip."""

from linvid_edu.lazy import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
