"""What every layout of a clip folder shares: its clips, their splits and classes, and what must hold for them."""

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# fmt: off
VIDEOS = frozenset((
    ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpeg4", ".mpg", ".mts", ".mxf", ".nut", ".ogg", ".ogv", ".ts", ".vob", ".webm",
    ".wmv", ".y4m",
))
# a flip from left to right changes the class if its name contains one of these
DIRECTIONS = frozenset((
    "left", "right", "leftward", "rightward", "leftwards", "rightwards",
    "clockwise", "anticlockwise", "counterclockwise",
))
# fmt: on


class LabeledClip(NamedTuple):
    """A video file, or a folder of numbered pictures, and its label, an index into the classes."""

    path: Path
    label: int


class Layout(NamedTuple):
    """The clips of a folder.

    root: path of the folder
    classes: names of the labels
    splits: clips of "train", and of "val" or "test" or both, each sorted by label, then by name
    flip_keeps_label: whether a clip may be flipped left to right with its label unchanged
    left_out: files that are not taken as clips, relative to root, each with the reason
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[LabeledClip, ...]]
    flip_keeps_label: bool
    left_out: Mapping[str, str] = MappingProxyType({})


def names_direction(name: str) -> bool:
    """Return whether the name of a class contains a direction, which a flip from left to right makes wrong.

    The directions are left, right, leftward(s), rightward(s), clockwise, anticlockwise and counterclockwise. They count
    as words of their own: "TurnLeft" and "turn_right" contain one, "bright" and "copyright" do not.

    Args:
        name: Name of the class.
    """
    return not DIRECTIONS.isdisjoint(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))


def content_hash(layout: Layout) -> str:
    """Return a hash of a layout's classes, and of the name, label and size in bytes of every clip.

    It does not depend on where the folder is or how its path is written.

    Args:
        layout: Result of ``read_layout``.
    """
    clips = {
        split: [
            (clip.path.relative_to(layout.root).as_posix(), clip.label, _size(clip.path))
            for clip in layout.splits[split]
        ]
        for split in sorted(layout.splits)
    }
    return sha256(json.dumps([layout.classes, clips]).encode()).hexdigest()


def _size(path: Path) -> int | None:
    """Return the size of a file in bytes, None if it is missing."""
    return path.stat().st_size if path.is_file() else None


def visible_paths(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name; paths themselves would be sorted without case on Windows."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def video_files(folder: Path) -> list[Path]:
    return [path for path in visible_paths(folder) if path.suffix.lower() in VIDEOS and path.is_file()]


def sorted_clips(clips: Iterable[LabeledClip]) -> tuple[LabeledClip, ...]:
    return tuple(sorted(clips, key=lambda clip: (clip.label, clip.path.name)))


def paths_by_split(root: Path, named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return the path of each split; raise ValueError if two are the same, or none is for training or for tests."""
    paths: dict[str, Path] = {}
    for name, path in named:
        if split := SPLITS.get(name):
            if split in paths:
                raise ValueError(f"{paths[split].name} and {path.name} in {root} are the same split: keep one")
            paths[split] = path
    if "train" not in paths:
        raise ValueError(f"{root} has no split 'train': lay clips out as root/train/class/clip.mp4, or add train.json")
    if len(paths) == 1:
        raise ValueError(f"{root} has no split to test on: add 'val' or 'test' beside 'train'")
    return paths


def checked_layout(layout: Layout) -> Layout:
    """Return the layout; raise ValueError if a class has no clip in one of the splits."""
    for split, clips in layout.splits.items():
        present = {clip.label for clip in clips if clip.path.exists()}
        if empty := [name for label, name in enumerate(layout.classes) if label not in present]:
            more = f" (nor have {len(empty) - 1} others)" if empty[1:] else ""
            others = [f"{name} ({reason})" for name, reason in layout.left_out.items() if f"/{empty[0]}/" in name]
            skipped = f"; left out: {', '.join(others[:3])}" if others else ""
            raise ValueError(
                f"class {empty[0]!r} has no clips in split {split!r} of {layout.root}{more}: "
                f"add some, or remove the class{skipped}"
            )
    return layout
