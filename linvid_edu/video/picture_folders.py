"""Folders whose numbered pictures are the frames of one clip."""

import re
from pathlib import Path

PICTURES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder whose names end in a number, such as img_00001.jpg, in the order of the numbers.

    Hidden files are skipped.
    """
    numbered = []
    for path in folder.iterdir():
        match = re.search(r"(\d+)$", path.stem)
        if match and path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file():
            numbered.append((int(match[1]), path.name, path))
    return [path for _, _, path in sorted(numbered)]
