"""linvid_edu: linear attention for video, built step by step."""

__version__ = "0.1.0"
