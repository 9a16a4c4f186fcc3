"""Many runs, and the verdicts that follow from them."""

from linvid_edu.lazy import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
