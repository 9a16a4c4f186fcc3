"""Folders of classes and label files: the clips that are found, and errors."""

import json

import pytest

from linvid_edu.video.clip_folder.labeled_clips import LabeledClip, names_direction
from linvid_edu.video.clip_folder.layouts import read_layout


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def folders(tmp_path):
    """Two classes, two splits, and what is no clip."""
    for split in ("train", "val"):
        for name in ("jump", "swim"):
            touch(*(tmp_path / split / name / f"{split}_{index}.MP4" for index in range(2)))
    touch(tmp_path / "train/jump/.hidden.mp4", tmp_path / "train/jump/notes.txt", tmp_path / "train/.cache/x.mp4")
    touch(tmp_path / "train/readme.mp4", tmp_path / "annotations/jump.mp4")
    return tmp_path


@pytest.fixture
def something(tmp_path):
    """Label files of the published form, with their prefix, and clips by id."""
    prefix = tmp_path / "labels" / "something-something-v2"
    touch(*(tmp_path / "20bn-something-something-v2" / f"{each}.webm" for each in (7, 8, 9, 10)))
    prefix.parent.mkdir()
    write(f"{prefix}-labels.json", {"Turning something": "1", "Pushing something from left to right": "0"})
    write(f"{prefix}-train.json", [entry("7", "Turning [something]"), entry("8"), entry("11")])
    write(f"{prefix}-validation.json", [entry("9"), entry("10", "Turning [something]")])
    write(f"{prefix}-test.json", [{"id": "12"}])
    return tmp_path


def entry(each, template="Pushing [something] from left to right"):
    return {"id": each, "label": "pushing a cup", "template": template, "placeholders": ["a cup"]}


def write(path, content):
    with open(path, "w") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))


def test_folders_of_classes(folders):
    layout = read_layout(folders)
    assert layout.classes == ("jump", "swim")
    assert sorted(layout.splits) == ["train", "val"]
    assert [(clip.path.name, clip.label) for clip in layout.splits["train"]] == [
        ("train_0.MP4", 0), ("train_1.MP4", 0), ("train_0.MP4", 1), ("train_1.MP4", 1),
    ]  # fmt: skip
    assert layout.flip_keeps_label


def test_a_class_named_after_a_direction_forbids_flips(folders):
    for split in ("train", "val"):
        (folders / split / "jump").rename(folders / split / "TurnLeft")
    assert not read_layout(folders).flip_keeps_label


@pytest.mark.parametrize(
    "name",
    ["left", "TurnLeft", "turn_right", "Pushing something from left to right", "rotates counterclockwise", "LEFT-Turn",
     "counter-clockwise", "moving rightwards", "Right2Left"],
)  # fmt: skip
def test_directions(name):
    assert names_direction(name)


@pytest.mark.parametrize("name", ["BrightLight", "copyright", "cleft", "HandstandPushups", "up", "42", ""])
def test_no_directions(name):
    assert not names_direction(name)


def test_label_files(something):
    layout = read_layout(something)
    clips = something / "20bn-something-something-v2"
    assert layout.classes == ("Pushing something from left to right", "Turning something")
    assert layout.splits == {
        "train": (LabeledClip(clips / "11", 0), LabeledClip(clips / "8.webm", 0), LabeledClip(clips / "7.webm", 1)),
        "val": (LabeledClip(clips / "9.webm", 0), LabeledClip(clips / "10.webm", 1)),
    }
    assert not layout.flip_keeps_label


def test_a_labeled_test_split_counts_and_flips_are_off_without_directions(something):
    labels = something / "labels"
    write(labels / "something-something-v2-labels.json", {"Turning something": 0})
    for split, each in (("train", 7), ("validation", 8), ("test", 9)):
        write(labels / f"something-something-v2-{split}.json", [entry(each, "Turning [something]")])
    layout = read_layout(something)
    assert sorted(layout.splits) == ["test", "train", "val"]
    assert not layout.flip_keeps_label


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda root: (root / "train").rename(root / "other"), "no split 'train'"),
        (lambda root: (root / "val").rename(root / "other"), "no split to test on"),
        (lambda root: touch(root / "validation/jump/a.mp4"), "val and validation in .* are the same split"),
        (lambda root: (root / "train/fly").mkdir(), "class 'fly' has no clips in split 'train'"),
        (lambda root: [path.unlink() for path in (root / "val/swim").iterdir()], "'swim' has no clips in split 'val'"),
        (lambda root: touch(root / "val/fly/a.mp4"), "class 'fly', which .*train lacks"),
        (lambda root: [(root / "train" / name).rename(root / name) for name in ("jump", "swim")], "no class folders"),
    ],
)  # fmt: skip
def test_invalid_folders_raise(folders, break_it, words):
    break_it(folders)
    with pytest.raises(ValueError, match=words):
        read_layout(folders)


def test_not_a_folder(tmp_path):
    with pytest.raises(ValueError, match="missing is not a folder"):
        read_layout(tmp_path / "missing")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("labels", ["Turning something"], "labels.json holds a list, it should be a mapping"),
        ("labels", {"Turning something": "one"}, "index that is no number"),
        ("labels", {"Turning something": "1", "Pushing something from left to right": "2"}, "its classes 0 to 1"),
        ("labels", "{", "labels.json is not JSON"),
        ("train", {"id": "7"}, "train.json holds a dict, it should be a list"),
        ("train", [{"template": "Turning [something]"}], "an entry without an id"),
        ("train", [entry("7"), {"id": "8", "label": "a cup"}], "id '8' has no label"),
        ("train", [entry("7"), entry(7)], "id '7' twice"),
        ("train", [entry("9")], "id '9' of .* is in another split"),
        ("train", [entry("7", "Breaking [something]")], "the label 'Breaking something', which is no class"),
        ("train", [entry("7")], "class 'Turning something' has no clips in split 'train'"),
        ("train", [entry("8"), entry("77", "Turning [something]")], "'Turning something' has no clips in split"),
        ("train", [], "no split 'train'"),
        ("validation", [{"id": "9"}], "id '9' has no label"),
        ("test", [{"id": "12"}, entry("13")], "id '12' has no label"),
    ],
)
def test_invalid_label_files_raise(something, file, content, words):
    write(something / "labels" / f"something-something-v2-{file}.json", content)
    with pytest.raises(ValueError, match=words):
        read_layout(something)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("labels.json", "both label files for 'labels'"),
        ("train/7.webm", "must have one folder of clips .*, it has 20bn-something-something-v2, train"),
        ("20bn-something-something-v2/7.mp4", "7.mp4 and 7.webm have the same id"),
    ],
)  # fmt: skip
def test_ambiguous_files_raise(something, more, words):
    touch(something / more)
    with pytest.raises(ValueError, match=words):
        read_layout(something)


def test_what_is_no_clip_is_left_out_with_the_reason(folders):
    place = next(path for path in (folders / "train").iterdir() if path.is_dir() and path.name[0] != ".")
    for name in ("a.gif", "b.VOB", "c.f4v", "notes.txt"):
        (place / name).write_bytes(b"x")
    (place / "gone.mp4").symlink_to(folders / "nowhere.mp4")
    (place / "frames").mkdir()
    (place / "frames/img_00001.jpg").write_bytes(b"x")
    (place / "empty").mkdir()
    layout = read_layout(folders)
    names = {clip.path.name for clip in layout.splits["train"]}
    assert {"a.gif", "b.VOB", "c.f4v", "frames"} <= names
    left_out = {name.rpartition("/")[2]: reason for name, reason in layout.left_out.items()}
    assert sorted(left_out) == ["empty", "gone.mp4", "notes.txt"]
    assert "link to a file that does not exist" in left_out["gone.mp4"]


def test_two_unicode_forms_of_a_class_are_one(tmp_path):
    for folder in ("train/caf\u00e9", "train/b", "val/cafe\u0301", "val/b"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(2):
            (tmp_path / folder / f"{number}.mp4").write_bytes(b"x")
    layout = read_layout(tmp_path)
    assert layout.classes == ("b", "caf\u00e9")
    assert [clip.label for clip in layout.splits["val"]] == [0, 0, 1, 1]


@pytest.mark.parametrize("clips", [".", "UCF-101"])
def test_official_split_files(tmp_path, clips):
    for name in ("B/v_B_1.avi", "B/v_B_2.avi", "A/v_A_1.avi", "A/v_A_2.avi"):
        (tmp_path / clips / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / clips / name).write_bytes(b"x")
    (tmp_path / "classInd.txt").write_text("1 B\n2 A\n", encoding="utf-8-sig")
    (tmp_path / "trainlist01.txt").write_text("B/v_B_1.avi 1\r\nA/v_A_1.avi 2\r\n\n")
    (tmp_path / "testlist01.txt").write_text("B/v_B_2.avi\nA/v_A_2.avi\n")
    layout = read_layout(tmp_path)
    assert layout.classes == ("B", "A")
    assert [(clip.path.name, clip.label) for clip in layout.splits["train"]] == [("v_B_1.avi", 0), ("v_A_1.avi", 1)]
    assert [clip.path.name for clip in layout.splits["test"]] == ["v_B_2.avi", "v_A_2.avi"]
    assert all(clip.path.exists() for clip in layout.splits["train"])
    (tmp_path / "testlist01.txt").unlink()
    with pytest.raises(ValueError, match=r"no testlist01\.txt: add it"):
        read_layout(tmp_path)


def test_json_with_a_byte_order_mark_is_read(something):
    before = read_layout(something)
    for path in something.rglob("*.json"):
        path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read_layout(something) == before
