"""linvid_edu: linear attention for video, built step by step.

The rooms: ``attention``, ``video``, ``models``, ``training``, ``experiments``, ``figures``, ``widgets`` and ``course``.
The names that lessons teach can be imported from here. The core needs torch, einops and numpy alone.
"""

from linvid_edu.lazy import public_names

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = public_names(__name__, __file__)
