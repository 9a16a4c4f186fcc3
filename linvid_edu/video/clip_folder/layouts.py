"""Where clips and their labels lie on disk: folders of classes, and label files as of Something-Something."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# fmt: off
VIDEOS = frozenset((
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm",
    ".wmv",
))
# a clip that is flipped left to right shows another class where one of these is in the class's name
DIRECTIONS = frozenset((
    "left", "right", "leftward", "rightward", "leftwards", "rightwards",
    "clockwise", "anticlockwise", "counterclockwise",
))
# fmt: on


class LabeledClip(NamedTuple):
    """A video file and its label, an index into the classes."""

    path: Path
    label: int


class Layout(NamedTuple):
    """What a folder holds.

    root: the folder
    classes: names of the labels
    splits: "train", and "val" or "test" or both, each sorted by label, then by name
    flip_keeps_label: whether a clip may be flipped left to right with its label unchanged
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[LabeledClip, ...]]
    flip_keeps_label: bool


def read_layout(root: str | Path) -> Layout:
    """Find out what a folder holds: label files if there is a labels.json, else folders of classes.

    Args:
        root: as ``class_folders`` or ``label_files`` describes it.

    Raises:
        ValueError: a split is missing, a class has no clips, or a label file is not what it should be.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder: give one with root/train/class/clip.mp4, or with labels.json")
    return label_files(root) if "labels" in _json_files(root) else class_folders(root)


def class_folders(root: Path) -> Layout:
    """Read root/split/class/clip.mp4, as UCF101 and Kinetics are usually laid out.

    A split is a folder named train, val or test (or training, valid, validation); the folders in train name the
    classes. Hidden files, and files without the ending of a video, are skipped.

    Raises:
        ValueError: no train, neither val nor test, a class without clips, or one that train does not have.
    """
    folders = _by_split(root, ((path.name.lower(), path) for path in _visible(root) if path.is_dir()))
    classes = tuple(path.name for path in _visible(folders["train"]) if path.is_dir())
    if not classes:
        raise ValueError(f"{folders['train']} has no class folders: lay clips out as root/train/class/clip.mp4")
    labels = {name: label for label, name in enumerate(classes)}
    splits = {}
    for split, folder in folders.items():
        found = [path for path in _visible(folder) if path.is_dir()]
        if unknown := [path.name for path in found if path.name not in labels]:
            raise ValueError(
                f"{folder} has class {unknown[0]!r}, which {folders['train']} lacks: add it there, or remove it"
            )
        splits[split] = _sorted(LabeledClip(clip, labels[path.name]) for path in found for clip in _videos(path))
    return _checked(Layout(root, classes, splits, not any(map(names_direction, classes))))


def label_files(root: Path) -> Layout:
    """Read label files as of Something-Something v2, and the folder of clips beside them.

        labels.json      {"Pushing something from left to right": "0", …}
        train.json       [{"id": "78687", "template": "Pushing [something] from left to right", …}, …]
        validation.json  the same; test.json is left out where, as in the published one, no clip has a template
        any_name/        78687.webm, …: the only other folder

    The files lie in root or in root/labels; a prefix such as "something-something-v2-" is allowed. A listed clip whose
    file is missing counts as unreadable. Clips are never to be flipped, as in the paper: left and right are labels.

    Raises:
        ValueError: a file is missing or is not of this form, a template is not a class, or an id comes twice.
    """
    files = _json_files(root)
    labels = _class_indices(files["labels"])
    listed = {word: _templates(path, needed=word != "test") for word, path in files.items() if word in SPLITS}
    folder = _clip_folder(root)
    files_by_id = _clips_by_id(folder)
    splits, seen = {}, set[str]()
    for split, path in _by_split(root, ((word, files[word]) for word, found in listed.items() if found)).items():
        templates = listed[_last_word(path)]
        if twice := sorted(seen.intersection(templates)):
            raise ValueError(f"id {twice[0]!r} of {path} is in another split too: keep it in one")
        seen.update(templates)
        splits[split] = _sorted(
            LabeledClip(files_by_id.get(each, folder / each), _label(path, each, template, labels))
            for each, template in templates.items()
        )
    return _checked(Layout(root, tuple(labels), splits, flip_keeps_label=False))


def names_direction(name: str) -> bool:
    """Say whether a class's name has a word that a flip from left to right makes wrong, such as "TurnLeft".

    The words are left, right, leftward(s), rightward(s), clockwise, anticlockwise and counterclockwise, apart from
    their neighbors by other characters than letters or by a capital: "bright" and "copyright" are none of them.
    """
    return not DIRECTIONS.isdisjoint(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _videos(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in VIDEOS and path.is_file()]


def _sorted(clips: Iterable[LabeledClip]) -> tuple[LabeledClip, ...]:
    return tuple(sorted(clips, key=lambda clip: (clip.label, clip.path)))


def _by_split(root: Path, named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Keep what is named like a split, and refuse two for one split, and none for training or for testing."""
    found: dict[str, Path] = {}
    for name, path in named:
        if split := SPLITS.get(name):
            if split in found:
                raise ValueError(f"{found[split].name} and {path.name} in {root} are the same split: keep one")
            found[split] = path
    if "train" not in found:
        raise ValueError(f"{root} has no split 'train': lay clips out as root/train/class/clip.mp4, or add train.json")
    if len(found) == 1:
        raise ValueError(f"{root} has no split to test on: add 'val' or 'test' beside 'train'")
    return found


def _checked(layout: Layout) -> Layout:
    """Refuse a class that has no clip in one of the splits."""
    for split, clips in layout.splits.items():
        there = {clip.label for clip in clips if clip.path.is_file()}
        if empty := [name for label, name in enumerate(layout.classes) if label not in there]:
            more = f" (nor have {len(empty) - 1} others)" if empty[1:] else ""
            raise ValueError(
                f"class {empty[0]!r} has no clips in split {split!r} of {layout.root}{more}: "
                "add some, or remove the class"
            )
    return layout


def _json_files(root: Path) -> dict[str, Path]:
    """Find the label files, by the last word of their names."""
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
    folders = [path for path in _visible(root) if path.is_dir() and path.name != "labels"]
    if len(folders) != 1:
        names = ", ".join(path.name for path in folders) or "none"
        raise ValueError(f"{root} must have one folder of clips beside its label files, it has {names}")
    return folders[0]


def _clips_by_id(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in _videos(folder):
        if path.stem in files:
            raise ValueError(f"{files[path.stem].name} and {path.name} have the same id: keep one")
        files[path.stem] = path
    return files


def _read_json(path: Path, kind: type, form: str) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
    return dict(sorted(labels.items(), key=lambda each: each[1]))


def _templates(path: Path, *, needed: bool) -> dict[str, str]:
    """Read the ids of a split and their templates; nothing where none has a template and none is needed."""
    form = 'a list such as [{"id": "78687", "template": "Pushing [something]"}]'
    entries = _read_json(path, list, form)
    if not all(isinstance(entry, dict) and "id" in entry for entry in entries):
        raise ValueError(f"{path} has an entry without an id: it should be {form}")
    if not needed and not any("template" in entry for entry in entries):
        return {}
    templates: dict[str, str] = {}
    for entry in entries:
        each = str(entry["id"])
        if each in templates:
            raise ValueError(f"{path} has id {each!r} twice: keep one entry")
        if not isinstance(entry.get("template"), str):
            raise ValueError(f"{path}: id {each!r} has no label: it should be {form}")
        templates[each] = entry["template"]
    return templates


def _label(path: Path, each: str, template: str, labels: Mapping[str, int]) -> int:
    name = template.replace("[", "").replace("]", "")
    if name not in labels:
        raise ValueError(f"{path}: id {each!r} has the label {name!r}, which is no class of labels.json: add it there")
    return labels[name]
