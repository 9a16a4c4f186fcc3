"""The layouts of a clip folder that can be read: folders of classes, UCF101's split files, and label files."""

import re
import unicodedata
from pathlib import Path

from linvid_edu.video.picture_folders import picture_files

from .labeled_clips import (
    VIDEOS,
    LabeledClip,
    Layout,
    checked_layout,
    names_direction,
    paths_by_split,
    sorted_clips,
    video_files,
    visible_paths,
)
from .something_something import json_files_by_word, label_files


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
    if "labels" in json_files_by_word(root):
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
    folders = paths_by_split(root, ((path.name.lower(), path) for path in visible_paths(root) if path.is_dir()))
    classes = tuple(sorted({_class_name(path) for path in visible_paths(folders["train"]) if path.is_dir()}))
    if not classes:
        raise ValueError(f"{folders['train']} has no class folders: lay clips out as root/train/class/clip.mp4")
    labels = {name: label for label, name in enumerate(classes)}
    splits: dict[str, tuple[LabeledClip, ...]] = {}
    left_out: dict[str, str] = {}
    for split, folder in folders.items():
        class_paths = [path for path in visible_paths(folder) if path.is_dir()]
        if unknown := [_class_name(path) for path in class_paths if _class_name(path) not in labels]:
            raise ValueError(
                f"{folder} has class {unknown[0]!r}, which {folders['train']} lacks: add it there, or remove it"
            )
        splits[split] = sorted_clips(
            LabeledClip(clip, labels[_class_name(path)]) for path in class_paths for clip in _clips(path)
        )
        left_out |= {
            path.relative_to(root).as_posix(): reason
            for class_path in class_paths
            for path, reason in _left_out(class_path).items()
        }
    return checked_layout(Layout(root, classes, splits, not any(map(names_direction, classes)), left_out))


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
        splits[split] = sorted_clips(clips)
    return checked_layout(Layout(root, classes, splits, not any(map(names_direction, classes))))


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty, without a byte order mark."""
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _listed(root: Path, name: str) -> Path:
    """Return the path of a clip in a split file: in root, or in a folder in it."""
    folders = [root, *(path for path in visible_paths(root) if path.is_dir())]
    return next((folder / name for folder in folders if (folder / name).exists()), root / name)


def _class_name(path: Path) -> str:
    """Return the name of a class folder in one Unicode form, whatever system wrote it."""
    return unicodedata.normalize("NFC", path.name)


def _clips(folder: Path) -> list[Path]:
    """Return the video files of a class, and its folders of numbered pictures."""
    return video_files(folder) + [path for path in visible_paths(folder) if path.is_dir() and picture_files(path)]


def _left_out(folder: Path) -> dict[Path, str]:
    """Return what is in the folder of a class and is no clip, each with the reason."""
    reasons = {}
    taken = set(_clips(folder))
    for path in visible_paths(folder):
        if path in taken:
            continue
        if path.is_symlink() and not path.exists():
            reasons[path] = "a link to a file that does not exist"
        elif path.is_dir():
            reasons[path] = "a folder without numbered pictures such as 00001.jpg"
        else:
            reasons[path] = f"its name does not end like that of a video, such as {', '.join(sorted(VIDEOS)[:4])}"
    return reasons
