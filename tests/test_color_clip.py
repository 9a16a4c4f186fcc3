"""The clip of `linvid color`: which frames are known and shown, and what is said of input that cannot be colored."""

import pytest
import torch

pytest.importorskip("av")

from videos import write

from linvid_edu.figures.color_page import load_color_clip

GROUNDS = {"red": (200, 60, 40), "blue": (40, 70, 200), "gray": (120, 120, 120), "black": (0, 0, 0)}


def pictures(*scenes, frames=15):
    """Return pictures of scenes: a ground of one color with a moving stripe that has another."""
    shown = []
    for scene in scenes:
        for index in range(frames):
            picture = torch.tensor(GROUNDS[scene], dtype=torch.uint8).repeat(48, 64, 1)
            if scene in ("red", "blue"):
                picture[:, 3 * index : 3 * index + 16] = torch.tensor([230, 220, 60], dtype=torch.uint8)
            shown.append(picture.numpy())
    return shown


@pytest.fixture(scope="module")
def one_scene(tmp_path_factory):
    return write(tmp_path_factory.mktemp("one") / "one.mp4", pictures("red", frames=20))


@pytest.fixture(scope="module")
def two_scenes(tmp_path_factory):
    return write(tmp_path_factory.mktemp("two") / "two.mp4", pictures("red", "blue"))


def test_the_first_frame_is_known_and_the_others_are_spread_evenly(one_scene):
    clip = load_color_clip(one_scene, frames=7)
    assert clip.frames.shape == (20, 192, 192, 3)
    assert (clip.known, clip.cuts, clip.notes) == ((0,), (), ())
    assert clip.shown[0] == 0
    assert clip.shown[-1] == 19
    assert len(clip.shown) == 7
    assert set(torch.tensor(clip.shown[1:]).diff().tolist()) <= {3, 4}
    assert clip.rate == pytest.approx(10)


def test_a_clip_shows_24_frames_and_fewer_if_it_is_short_or_if_many_mechanisms_share_the_page(one_scene, two_scenes):
    assert len(load_color_clip(one_scene).shown) == 20
    assert len(load_color_clip(two_scenes).shown) == 24
    assert len(load_color_clip(two_scenes, mechanisms=6).shown) == 16


def test_references_are_the_nearest_frames_and_all_of_them_are_shown(one_scene):
    clip = load_color_clip(one_scene, frames=5, references=(1.52, 0.31, 0.33))
    assert clip.known == (3, 15)
    assert set(clip.known) < set(clip.shown)


def test_each_scene_has_a_known_frame_and_the_reader_is_told(two_scenes):
    clip = load_color_clip(two_scenes)
    assert clip.cuts == (15,)
    assert clip.known == (0, 15)
    (note,) = clip.notes
    assert "a scene cut at 1.50 s: colors are known on both sides, at 0.00 s and 1.50 s" in note


@pytest.fixture
def fading(tmp_path):
    shown = pictures("red", frames=30)
    return write(tmp_path / "fading.mp4", [(shown[i] * min(i / 20, 1)).astype("uint8") for i in range(30)])


def test_a_scene_that_fades_in_is_known_where_it_has_color(fading):
    known, *_ = load_color_clip(fading).known
    assert 5 <= known <= 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"references": (0,)}, r"scene cut at 1.50 s .* --reference 0.00 --reference 1.60, or .* --stop 1.50"),
        ({"references": (2.5,)}, r"scene cut at 1.50 s .* --reference 0.10 --reference 2.50, or .* --start 1.50"),
        ({"references": (7,)}, r"--reference 7 lies outside of the clip, 0.00 to 2.90 s: choose a time in it"),
        ({"start": 1, "references": (0.2,)}, r"--reference 0.2 lies outside of the clip, 1.00 to 2.90 s"),
        ({"frames": 40}, r"too few frames from 0 to 3.00 s: about 30, and 40 are needed: choose fewer --frames"),
        ({"start": 2.95}, r"too few frames from 2.95 to 3.00 s: about 1, and 2 are needed"),
        ({"start": 3.5}, r"start=3.5 s lies outside of the video, 0 to 3.00 s"),
        ({"stop": 20}, r"stop=20 s lies after the end of the video, 3.00 s"),
        ({"start": 2, "stop": 1}, r"stop=1 s is not after start=2 s"),
        ({"stop": 1.4, "frames": 3, "references": (0, 0.5, 1)}, r"3 of 3 frames are known: choose more --frames"),
        ({"references": [0.1 * index for index in range(13)]}, r"13 references, at most 12 are possible"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_with_its_limit(two_scenes, options, message):
    with pytest.raises(ValueError, match=message):
        load_color_clip(two_scenes, **options)


@pytest.mark.parametrize(
    ("shown", "options", "message"),
    [
        (pictures("gray"), {}, r"the clip is gray or has one color: .* by 0.\d\d Lab units from their mean, and 1 are"),
        (pictures("red", frames=1), {}, r"too few frames from 0 to .* s: about 1, and 2 are needed"),
        (pictures(*4 * ("red", "blue"), frames=6), {}, r"8 scenes .*, at most 6 are possible: .* --start .* --stop"),
        (
            [*pictures("black", frames=3), *pictures("red", frames=3)],
            {"stop": 0.3},
            r"the clip is gray",
        ),
    ],
    ids=["gray", "one frame", "many scenes", "black part"],
)
def test_films_without_colors_to_copy_are_named(tmp_path, shown, options, message):
    path = write(tmp_path / "film.mp4", shown)
    with pytest.raises(ValueError, match=message):
        load_color_clip(path, **options)


def test_a_known_frame_without_color_is_named(fading):
    with pytest.raises(ValueError, match=r"the known frame at 0.00 s is gray, .* such as --reference \d"):
        load_color_clip(fading, references=(0,))


def test_a_long_part_is_too_long(tmp_path):
    path = write(tmp_path / "long.mp4", pictures("red", frames=15) * 10, rate=1)
    with pytest.raises(ValueError, match=r"the clip would have 140 s, at most 60 are possible"):
        load_color_clip(path, stop=140)
