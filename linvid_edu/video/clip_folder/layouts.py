"""How clips and their labels are stored: in folders of classes, or with label files as for Something-Something."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from linvid_edu.video.picture_folders import picture_files

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


def read_layout(root: str | Path) -> Layout:
    """Return the clips of a folder: read its label files, its split files, or else its folders of classes.

    Args:
        root: Path of a folder as ``class_folders``, ``label_files`` (it has a labels.json) or ``split_files`` (it has a
            classInd.txt) describes it.

    Raises:
        ValueError: A split is missing, a class has no clips, or a label file has another form.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder: give one with root/train/class/clip.mp4, or with labels.json")
    if "labels" in _json_files(root):
        return label_files(root)
    return split_files(root) if (root / "classInd.txt").is_file() else class_folders(root)


def class_folders(root: Path) -> Layout:
    """Read root/split/class/clip.mp4, as UCF101 and Kinetics are usually laid out.

    A split is a folder named train, val or test (or training, valid, validation); the folders in train name the
    classes. A folder of numbered pictures in a class is a clip too. Hidden files are skipped; other files without the
    extension of a video are named in ``left_out``.

    Args:
        root: Path of the folder.

    Raises:
        ValueError: There is no train split, there is neither val nor test, a class has no clips, or train lacks a
            class.
    """
    folders = _by_split(root, ((path.name.lower(), path) for path in _visible(root) if path.is_dir()))
    classes = tuple(sorted({_class_name(path) for path in _visible(folders["train"]) if path.is_dir()}))
    if not classes:
        raise ValueError(f"{folders['train']} has no class folders: lay clips out as root/train/class/clip.mp4")
    labels = {name: label for label, name in enumerate(classes)}
    splits: dict[str, tuple[LabeledClip, ...]] = {}
    left_out: dict[str, str] = {}
    for split, folder in folders.items():
        class_paths = [path for path in _visible(folder) if path.is_dir()]
        if unknown := [_class_name(path) for path in class_paths if _class_name(path) not in labels]:
            raise ValueError(
                f"{folder} has class {unknown[0]!r}, which {folders['train']} lacks: add it there, or remove it"
            )
        splits[split] = _sorted(
            LabeledClip(clip, labels[_class_name(path)]) for path in class_paths for clip in _clips(path)
        )
        left_out |= {
            path.relative_to(root).as_posix(): reason
            for class_path in class_paths
            for path, reason in _left_out(class_path).items()
        }
    return _checked(Layout(root, classes, splits, not any(map(names_direction, classes)), left_out))


def split_files(root: Path) -> Layout:
    """Read the official split files of UCF101, with the folders of classes next to them.

        classInd.txt      1 ApplyEyeMakeup
        trainlist01.txt   ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1
        testlist01.txt    ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi

    The clips are in root, or in one folder in it, such as UCF-101. Of several splits, the first one is read. A listed
    clip whose file is missing counts as unreadable.

    Args:
        root: Path of the folder.

    Raises:
        ValueError: A file is missing or has another form, or a class is unknown.
    """
    index = [line.split(maxsplit=1) for line in _lines(root / "classInd.txt")]
    if not all(len(words) == 2 and words[0].isdigit() for words in index):
        raise ValueError(f"{root / 'classInd.txt'} should have lines such as '1 ApplyEyeMakeup'")
    classes = tuple(name for _, name in sorted(index, key=lambda words: int(words[0])))
    labels = {name: label for label, name in enumerate(classes)}
    splits = {}
    for split, word in (("train", "trainlist"), ("test", "testlist")):
        lists = sorted(root.glob(f"{word}*.txt"))
        if not lists:
            raise ValueError(f"{root} has classInd.txt but no {word}01.txt: add it")
        clips = []
        for line in _lines(lists[0]):
            name = re.sub(r"\s+\d+$", "", line)
            class_name = name.partition("/")[0]
            if class_name not in labels:
                raise ValueError(f"{lists[0]}: {name!r} is of no class in classInd.txt: add it there")
            clips.append(LabeledClip(_listed(root, name), labels[class_name]))
        splits[split] = _sorted(clips)
    return _checked(Layout(root, classes, splits, not any(map(names_direction, classes))))


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty, without a byte order mark."""
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _listed(root: Path, name: str) -> Path:
    """Return the path of a clip in a split file: in root, or in a folder in it."""
    folders = [root, *(path for path in _visible(root) if path.is_dir())]
    return next((folder / name for folder in folders if (folder / name).exists()), root / name)


def _class_name(path: Path) -> str:
    """Return the name of a class folder in one Unicode form, whatever system wrote it."""
    return unicodedata.normalize("NFC", path.name)


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
    files = _json_files(root)
    labels = _class_indices(files["labels"])
    listed = {word: _templates(path, needed=word != "test") for word, path in files.items() if word in SPLITS}
    folder = _clip_folder(root)
    files_by_id = _clips_by_id(folder)
    splits, seen = {}, set[str]()
    labeled = ((word, files[word]) for word, templates in listed.items() if templates)
    for split, path in _by_split(root, labeled).items():
        templates = listed[_last_word(path)]
        if twice := sorted(seen.intersection(templates)):
            raise ValueError(f"id {twice[0]!r} of {path} is in another split too: keep it in one")
        seen.update(templates)
        splits[split] = _sorted(
            LabeledClip(files_by_id.get(clip_id, folder / clip_id), _label(path, clip_id, template, labels))
            for clip_id, template in templates.items()
        )
    return _checked(Layout(root, tuple(labels), splits, flip_keeps_label=False))


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


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name; paths themselves would be sorted without case on Windows."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _videos(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in VIDEOS and path.is_file()]


def _clips(folder: Path) -> list[Path]:
    """Return the video files of a class, and its folders of numbered pictures."""
    return _videos(folder) + [path for path in _visible(folder) if path.is_dir() and picture_files(path)]


def _left_out(folder: Path) -> dict[Path, str]:
    """Return what is in the folder of a class and is no clip, each with the reason."""
    reasons = {}
    taken = set(_clips(folder))
    for path in _visible(folder):
        if path in taken:
            continue
        if path.is_symlink() and not path.exists():
            reasons[path] = "a link to a file that does not exist"
        elif path.is_dir():
            reasons[path] = "a folder without numbered pictures such as 00001.jpg"
        else:
            reasons[path] = f"its name does not end like that of a video, such as {', '.join(sorted(VIDEOS)[:4])}"
    return reasons


def _sorted(clips: Iterable[LabeledClip]) -> tuple[LabeledClip, ...]:
    return tuple(sorted(clips, key=lambda clip: (clip.label, clip.path.name)))


def _by_split(root: Path, named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
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


def _checked(layout: Layout) -> Layout:
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


def _json_files(root: Path) -> dict[str, Path]:
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
