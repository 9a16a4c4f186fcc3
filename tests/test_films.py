"""Tests of films without labels: their frames at a steady rate, scene cuts, and windows inside scenes."""

import pytest
import torch
from videos import write

from linvid_edu.video.films import Film, even_windows, random_windows, read_film, scene_cuts
from linvid_edu.video.opening import VideoError


def pictures(*colors, frames=10):
    """Return a film of flat scenes with a moving stripe."""
    scenes = []
    for color in colors:
        scene = torch.tensor(color, dtype=torch.uint8).repeat(frames, 32, 32, 1)
        for index in range(frames):
            scene[index, :, index % 32] = 128
        scenes.append(scene)
    return torch.cat(scenes)


def film(*colors, frames=10, cuts=None):
    shown = pictures(*colors, frames=frames)
    times = torch.arange(len(shown)) / 10
    return Film("film", shown, times, scene_cuts(shown) if cuts is None else cuts)


def test_a_cut_is_found_where_the_color_jumps():
    assert film((200, 30, 30), (30, 30, 200), (30, 200, 30)).cuts == (10, 20)


def test_motion_and_slow_changes_are_no_cuts():
    fading = torch.linspace(0, 255, 40).to(torch.uint8)[:, None, None, None].expand(-1, 32, 32, 3)
    assert scene_cuts(pictures((90, 60, 40))) == ()
    assert scene_cuts(fading) == ()


def test_windows_lie_in_one_scene_at_the_asked_spacing():
    shown = film((200, 30, 30), (30, 30, 200))
    windows = random_windows(shown, count=200, frames=3, spacing=(0.2, 0.4), generator=torch.Generator().manual_seed(0))
    assert set(windows.diff(dim=1).unique().tolist()) == {2, 3, 4}
    assert ((windows < 10).all(1) | (windows >= 10).all(1)).all()
    assert windows.min() == 0
    assert windows.max() == 19


def test_a_short_scene_gets_closer_frames():
    shown = film((200, 30, 30), frames=4)
    windows = random_windows(shown, count=20, frames=3, spacing=(0.5, 1.0), generator=torch.Generator().manual_seed(0))
    assert windows.unique(dim=0).tolist() == [[0, 1, 2], [1, 2, 3]]


def test_even_windows_cover_every_scene_and_no_cut():
    shown = film((200, 30, 30), (30, 30, 200), frames=40)
    windows = even_windows(shown, frames=6, most=8)
    assert windows.tolist()[0] == [0, 4, 8, 11, 15, 19]
    assert len(windows) == 4
    assert ((windows < 40).all(1) | (windows >= 40).all(1)).all()
    assert len(even_windows(shown, frames=6, most=2)) == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda film: even_windows(film, frames=6, most=8),
        lambda film: random_windows(film, count=1, frames=6, spacing=(0.2, 0.5), generator=torch.Generator()),
    ],
)
def test_a_film_of_short_scenes_is_refused_with_both_numbers(draw):
    shown = film((200, 30, 30), (30, 30, 200), frames=2)
    with pytest.raises(ValueError, match="its longest scene has 2 frames, a window has 6"):
        draw(shown)


def test_a_part_keeps_the_times_and_moves_the_cuts():
    part = film((200, 30, 30), (30, 30, 200), (30, 200, 30)).part(5, 18)
    assert part.cuts == (5,)
    assert part.scenes == [(0, 5), (5, 13)]
    assert part.times[0] == 0.5


def test_a_file_is_read_at_a_steady_rate(tmp_path):
    path = tmp_path / "film.mp4"
    write(path, list(pictures((200, 30, 30), frames=24).numpy()), rate=24)
    read = read_film(path, size=16, rate=8.0)
    assert read.frames.shape == (8, 16, 16, 3)
    assert read.times.tolist() == pytest.approx([index / 8 for index in range(8)])


def test_one_frame_is_no_film(tmp_path):
    path = tmp_path / "one.mp4"
    write(path, list(pictures((200, 30, 30), frames=1).numpy()), rate=24)
    with pytest.raises(VideoError, match="the video has 1 frame"):
        read_film(path, size=16)
