"""What the manifest of the sample clips knows about a clip: its class, and the tokens of its objects."""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from linvid_edu.shapes import Bool, Grid

from .clip import Clip
from .samples import MANIFEST, load_manifest
from .scenes import Scenes, role_mask


def known_objects(clip: Clip, grid: Grid) -> dict[str, Bool[Tensor, "t rows columns"]]:
    """Find the objects of a sample clip in the manifest next to its file; ``linvid samples`` writes both.

    Args:
        clip: Clip with square frames, loaded whole from its file.
        grid: Rows and columns of the tokens of one frame.

    Returns:
        Dictionary from each role, such as "cue", to the mask of the tokens that lie at least half inside one of its
        objects. It is empty if the clip is not a sample clip.
    """
    entry = _entry(Path(clip.source))
    if entry is None or clip.frames.shape[1] != clip.frames.shape[2]:
        return {}
    shown = (clip.times * entry["fps"]).round().long().clamp(0, entry["frames"] - 1)
    boxes = torch.tensor(entry["boxes"])[shown] * (clip.frames.shape[1] / entry["size"])
    scenes = Scenes(clip.frames[None], torch.tensor([entry["label"]]), boxes[None], tuple(entry["roles"]))
    masks = {role: role_mask(scenes, role, grid=grid)[0] for role in dict.fromkeys(entry["roles"])}
    return {role: mask.unflatten(-1, tuple(grid)) for role, mask in masks.items() if mask.any()}


def known_class(clip: Clip) -> str | None:
    """Return the class of a sample clip by the manifest next to its file; None if it is not a sample clip."""
    entry = _entry(Path(clip.source))
    return None if entry is None else entry["class"]


def _entry(path: Path) -> dict | None:
    """Return the file's entry in the manifest next to it; None if there is no entry or the file has changed."""
    if not (path.with_name(MANIFEST).is_file() and path.is_file()):
        return None
    try:
        clips = load_manifest(path.parent)["clips"]
        entry = next((clip for clip in clips if clip["file"] == path.name), None)
    except (ValueError, KeyError, TypeError, json.JSONDecodeError):
        return None  # not a manifest of sample clips
    same = entry is not None and entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    return entry if same else None
