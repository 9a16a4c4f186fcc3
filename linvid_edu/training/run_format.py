"""What the JSON files of a run have in common: their format, and the settings of the run that they belong to.

Format 1 has ``format``, ``config`` and ``clips``. Files without ``format`` are older. Their ``config`` may have
``workers`` and ``cache_mb`` among its ``scenes``, which are now part of ``Effort``, and they lack ``clips``.
"""

import json
from pathlib import Path
from typing import Any

from linvid_edu.models.checkpoint import CheckpointError
from linvid_edu.video.clip_folder.folder import ClipFolder

from .config import CLIPS, LOADING, TrainConfig

RUN_FORMAT = 1


def run_header(config: TrainConfig) -> dict[str, Any]:
    """Return what each JSON file of a run begins with.

    Args:
        config: Settings of the run.

    Returns:
        ``format``; ``config``, the settings; and ``clips``, the hash of the folder of clips, None for rendered clips.
    """
    return {"format": RUN_FORMAT, "config": config.to_dict(), "clips": _clips_hash(config)}


def read_run_file(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of a run, in the current format.

    Args:
        path: Path of metrics.json or of a checkpoint's run.json.

    Raises:
        CheckpointError: The file has a newer format than this version of the library reads.
        OSError, ValueError, KeyError, TypeError: The file is missing, or not the file of a run.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}, expected an object")
    written = int(content.get("format", 0))
    if written > RUN_FORMAT:
        raise CheckpointError(
            f"{path} has format {written}, this linvid-edu reads formats up to {RUN_FORMAT}: install a newer version"
        )
    config = dict(content["config"])
    if written < 1 and config.get("task") == CLIPS:
        config["scenes"] = {name: value for name, value in config["scenes"].items() if name not in LOADING}
    return {**content, "config": config}


def differing_settings(run_file: dict[str, Any], config: TrainConfig) -> list[str]:
    """Return the names of the settings in which a run on disk differs from a configuration.

    Folders of clips are compared by their content if it is known, otherwise by their path.

    Args:
        run_file: Content of a JSON file of the run, from ``read_run_file``.
        config: Settings to compare with.

    Raises:
        ValueError, TypeError: The settings in the file do not define a valid run.
    """
    before = TrainConfig.from_dict(run_file["config"])
    content_before, content = run_file.get("clips"), _clips_hash(config)
    if not (content_before and content):
        content_before = content = None
    old, new = _comparable(before, content_before), _comparable(config, content)
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _comparable(config: TrainConfig, content: str | None) -> dict[str, Any]:
    """Return the settings, with the content of the folder of clips, or else its path, under the key ``clips``."""
    settings = config.to_dict()
    if config.task == CLIPS:
        settings["clips"] = content or settings["scenes"]["root"]
        settings["scenes"] = {"flips": settings["scenes"].get("flips")}
    return settings


def _clips_hash(config: TrainConfig) -> str | None:
    """Return the hash of the folder of clips; None for rendered clips, and for a folder that cannot be read."""
    if config.task != CLIPS:
        return None
    try:
        data = config.data
    except (ValueError, OSError):
        return None
    return data.content_hash if isinstance(data, ClipFolder) else None
