"""Clips of the virtual camera: repeatable, without borders, moved as a camera moves, with soft cut-outs in front."""

import pytest
import torch

from linvid_edu.video import virtual_clips

COLOR = torch.tensor([60.0, 25.0, -40.0])


def plain(colors, side=36):
    """Return photographs of one color each."""
    return colors[:, :, None, None].expand(-1, -1, side, side).contiguous()


def ramps(side=48):
    """Return a photograph whose first two channels are x and y, and a third of zeros."""
    position = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(position, position, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])[None]


def test_equal_seeds_give_equal_bits_and_other_seeds_other_clips():
    photographs = torch.rand(4, 3, 36, 36)
    clips = virtual_clips(photographs, count=5, size=24, seed=3)
    assert clips.shape == (5, 3, 6, 24, 24)
    assert torch.equal(clips, virtual_clips(photographs, count=5, size=24, seed=3))
    assert not torch.equal(clips, virtual_clips(photographs, count=5, size=24, seed=4))


def test_a_clip_does_not_depend_on_how_many_are_made():
    photographs = torch.rand(4, 3, 36, 36)
    many = virtual_clips(photographs, count=40, size=24, seed=3)
    torch.testing.assert_close(virtual_clips(photographs, count=21, size=24, seed=3), many[:21])


@pytest.mark.parametrize("frames", [1, 6, 16])
@pytest.mark.parametrize("side", [24, 36, 60])
def test_over_photographs_of_one_color_nothing_else_is_seen(frames, side):
    clips = virtual_clips(plain(COLOR[None], side), count=50, frames=frames, size=24, seed=0)
    torch.testing.assert_close(clips, COLOR.reshape(1, 3, 1, 1, 1).expand_as(clips))


def test_a_camera_turns_and_zooms_and_never_mirrors():
    clips = virtual_clips(ramps(), count=30, size=24, seed=0, objects=0)
    assert clips.abs().max() <= 1
    assert clips[:, 2].eq(0).all()
    right = clips[:, :2].diff(dim=-1)
    down = clips[:, :2].diff(dim=-2)
    # the same step everywhere, and a step down is a step to the right turned by a quarter
    torch.testing.assert_close(right, right[..., :1, :1].expand_as(right), atol=1e-4, rtol=0)
    torch.testing.assert_close(down, down[..., :1, :1].expand_as(down), atol=1e-4, rtol=0)
    quarter = torch.stack([-right[:, 1, :, 0, 0], right[:, 0, :, 0, 0]], dim=1)
    torch.testing.assert_close(down[:, :, :, 0, 0], quarter, atol=1e-4, rtol=0)
    zoom = quarter.norm(dim=1) * 24 / 2
    assert 0.3 < zoom.min() < zoom.max() < 0.8


def test_one_camera_in_five_is_still_and_most_are_slow():
    clips = virtual_clips(ramps(), count=400, size=24, seed=0, objects=0)
    middle = clips[:, :2, :, 12, 12] * 48 / 2  # in pixels of the photograph
    speed = middle.diff(dim=-1).norm(dim=1).mean(dim=1)
    assert 0.15 < (speed == 0).float().mean() < 0.25
    assert speed.median() < 1
    assert speed.max() > 2


def test_cutouts_move_and_their_edges_are_soft():
    colors = torch.tensor([[0.0, 0, 0], [100, 0, 0]])  # black in front of white, or white in front of black, or unseen
    clips = virtual_clips(plain(colors, 96), count=60, size=64, seed=0, objects=1)[:, 0]
    behind = clips[:, :, :1, :1].mean(dim=1, keepdim=True).gt(50).float() * 100
    cover = (clips - behind).abs() / 100
    seen = cover.sum(dim=(2, 3)).amin(dim=1) > 20
    assert 0.15 < seen.float().mean() < 0.45  # half of the 60 % are of the color behind them
    cover = cover[seen]
    soft = ((cover > 0.02) & (cover < 0.98)).float().sum(dim=(2, 3)) / cover.sum(dim=(2, 3))
    assert soft.median() > 0.1
    assert soft.median() < 0.5
    pixel = torch.arange(64.0)
    across = (cover.sum(dim=2) * pixel).sum(dim=2) / cover.sum(dim=(2, 3))
    assert (across[:, -1] - across[:, 0]).abs().median() > 2


def test_fewer_objects_leave_the_camera_as_it_is():
    """The camera of a clip is drawn before its cut-outs: far from them, the picture is the same without them."""
    photographs = torch.rand(4, 3, 36, 36)
    bare = virtual_clips(photographs, count=1, size=24, seed=3, objects=0)
    full = virtual_clips(photographs, count=1, size=24, seed=3, objects=2)
    assert (bare == full).all(dim=1).float().mean() > 0.3


def test_clips_are_rendered_on_the_device_of_the_photographs():
    clips = virtual_clips(torch.empty(4, 3, 36, 36, device="meta"), count=20, size=24)
    assert clips.is_meta
    assert clips.shape == (20, 3, 6, 24, 24)


def test_photographs_smaller_than_a_frame_are_an_error():
    with pytest.raises(ValueError, match=r"photographs are 20×20, frames 24×24: load them with side=36"):
        virtual_clips(torch.rand(1, 3, 20, 20), count=1, size=24)
