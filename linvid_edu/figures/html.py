"""What the self-contained pages share."""

STAND_IN = "linvid-stand-in"  # the class of the picture that stands in for a saved widget without its kernel
