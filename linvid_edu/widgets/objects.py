"""Where the known objects of a sample clip are, as masks over the tokens."""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from linvid_edu.shapes import Bool, Grid
from linvid_edu.video.clip import Clip
from linvid_edu.video.samples import MANIFEST, load_manifest
from linvid_edu.video.scenes import Scenes, role_mask


def known_objects(clip: Clip, grid: Grid) -> dict[str, Bool[Tensor, "t rows columns"]]:
    """Find the objects of a clip whose file is listed in the manifest beside it, as ``linvid samples`` writes both.

    Args:
        clip: square frames, loaded whole from the file.
        grid: of the tokens of one frame.

    Returns:
        role, such as "cue", to the tokens that lie at least half inside one of its objects; empty for any other clip.
    """
    entry = _entry(Path(clip.source))
    if entry is None or clip.frames.shape[1] != clip.frames.shape[2]:
        return {}
    shown = (clip.times * entry["fps"]).round().long().clamp(0, entry["frames"] - 1)
    boxes = torch.tensor(entry["boxes"])[shown] * (clip.frames.shape[1] / entry["size"])
    scenes = Scenes(clip.frames[None], torch.tensor([entry["label"]]), boxes[None], tuple(entry["roles"]))
    masks = {role: role_mask(scenes, role, grid=grid)[0] for role in dict.fromkeys(entry["roles"])}
    return {role: mask.unflatten(-1, tuple(grid)) for role, mask in masks.items() if mask.any()}


def _entry(path: Path) -> dict | None:
    """Return what the manifest beside a file says about it, if it is the very file."""
    if not (path.with_name(MANIFEST).is_file() and path.is_file()):
        return None
    try:
        clips = load_manifest(path.parent)["clips"]
        entry = next((clip for clip in clips if clip["file"] == path.name), None)
    except (ValueError, KeyError, TypeError, json.JSONDecodeError):
        return None  # a manifest of something else
    same = entry is not None and entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    return entry if same else None
