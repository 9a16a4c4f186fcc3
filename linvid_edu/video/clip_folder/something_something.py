"""Label files in the format of Something-Something v2, with the folder of clips next to them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .labeled_clips import (
    SPLITS,
    LabeledClip,
    Layout,
    checked_layout,
    paths_by_split,
    sorted_clips,
    video_files,
    visible_paths,
)


def label_files(root: Path) -> Layout:
    """Read label files in the format of Something-Something v2, with the folder of clips next to them.

        labels.json      {"Pushing something from left to right": "0", …}
        train.json       [{"id": "78687", "template": "Pushing [something] from left to right", …}, …]
        validation.json  the same
        test.json        the same; it is ignored if no clip in it has a template, as in the published file
        any_name/        78687.webm, …: the only other folder

    The files are in root or in root/labels; a prefix such as "something-something-v2-" is allowed. A listed clip whose
    file is missing counts as unreadable. Clips are not flipped, as in the paper, since left and right are labels.

    Args:
        root: Path of the folder.

    Raises:
        ValueError: A file is missing or has another form, a template is not a class, or an id occurs twice.
    """
    files = json_files_by_word(root)
    labels = _class_indices(files["labels"])
    listed = {word: _templates(path, needed=word != "test") for word, path in files.items() if word in SPLITS}
    folder = _clip_folder(root)
    files_by_id = _clips_by_id(folder)
    splits, seen = {}, set[str]()
    labeled = ((word, files[word]) for word, templates in listed.items() if templates)
    for split, path in paths_by_split(root, labeled).items():
        templates = listed[_last_word(path)]
        if twice := sorted(seen.intersection(templates)):
            raise ValueError(f"id {twice[0]!r} of {path} is in another split too: keep it in one")
        seen.update(templates)
        splits[split] = sorted_clips(
            LabeledClip(files_by_id.get(clip_id, folder / clip_id), _label(path, clip_id, template, labels))
            for clip_id, template in templates.items()
        )
    return checked_layout(Layout(root, tuple(labels), splits, flip_keeps_label=False))


def json_files_by_word(root: Path) -> dict[str, Path]:
    """Return the label files by the last word of their names."""
    paths = [*sorted(root.glob("*.json")), *sorted((root / "labels").glob("*.json"))]
    files: dict[str, Path] = {}
    for path in paths:
        word = _last_word(path)
        if word in files:
            raise ValueError(f"{files[word]} and {path} are both label files for {word!r}: keep one")
        files[word] = path
    return files


def _last_word(path: Path) -> str:
    return path.stem.lower().rsplit("-", 1)[-1]


def _clip_folder(root: Path) -> Path:
    folders = [path for path in visible_paths(root) if path.is_dir() and path.name != "labels"]
    if len(folders) != 1:
        names = ", ".join(path.name for path in folders) or "none"
        raise ValueError(f"{root} must have one folder of clips beside its label files, it has {names}")
    return folders[0]


def _clips_by_id(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in video_files(folder):
        if path.stem in files:
            raise ValueError(f"{files[path.stem].name} and {path.name} have the same id: keep one")
        files[path.stem] = path
    return files


def _read_json(path: Path, kind: type, form: str) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): it should be {form}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__}, it should be {form}")
    return content


def _class_indices(path: Path) -> dict[str, int]:
    """Read labels.json: class → index, in the order of the indices."""
    form = 'a mapping of classes to 0, 1, …, such as {"Pushing something": "0"}'
    content = _read_json(path, dict, form)
    try:
        labels = {name: int(index) for name, index in content.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} has an index that is no number ({error}): it should be {form}") from error
    if sorted(labels.values()) != list(range(len(labels))):
        raise ValueError(f"{path} does not number its classes 0 to {len(labels) - 1}: it should be {form}")
    return dict(sorted(labels.items(), key=lambda item: item[1]))


def _templates(path: Path, *, needed: bool) -> dict[str, str]:
    """Return the ids of a split and their templates; none if no template is needed and no entry has one."""
    form = 'a list such as [{"id": "78687", "template": "Pushing [something]"}]'
    entries = _read_json(path, list, form)
    if not all(isinstance(entry, dict) and "id" in entry for entry in entries):
        raise ValueError(f"{path} has an entry without an id: it should be {form}")
    if not needed and not any("template" in entry for entry in entries):
        return {}
    templates: dict[str, str] = {}
    for entry in entries:
        clip_id = str(entry["id"])
        if clip_id in templates:
            raise ValueError(f"{path} has id {clip_id!r} twice: keep one entry")
        if not isinstance(entry.get("template"), str):
            raise ValueError(f"{path}: id {clip_id!r} has no label: it should be {form}")
        templates[clip_id] = entry["template"]
    return templates


def _label(path: Path, clip_id: str, template: str, labels: Mapping[str, int]) -> int:
    name = template.replace("[", "").replace("]", "")
    if name not in labels:
        raise ValueError(
            f"{path}: id {clip_id!r} has the label {name!r}, which is no class of labels.json: add it there"
        )
    return labels[name]
