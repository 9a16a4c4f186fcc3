"""Random changes of clips: each changes what it says and nothing else, clip by clip, and can be repeated."""

import pytest
import torch

from linvid_edu.video import augment, flip_frames, recolor, reverse_time, turn_colors, vary_lightness

STEPS = (flip_frames, reverse_time, vary_lightness, recolor, turn_colors)
SWITCHES = ("flips", "reversal", "lightness", "curves", "turns")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def clips():
    """Random clips in Lab, (16 3 4 6 6)."""
    scale, low = torch.tensor([[60.0, 80, 80], [20, -40, -40]])[:, :, None, None, None]
    return low + scale * torch.rand(16, 3, 4, 6, 6, generator=generator(1))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_can_be_repeated_and_leaves_its_argument_as_it_is(step, clips):
    before = clips.clone()
    changed = step(clips, generator())
    assert torch.equal(clips, before)
    assert torch.equal(changed, step(clips, generator()))
    assert not torch.equal(changed, step(clips, generator(5)))
    assert changed.shape == clips.shape
    assert changed.dtype == clips.dtype


@pytest.mark.parametrize("step", [recolor, turn_colors])
def test_colors_change_and_lightness_does_not(step, clips):
    changed = step(clips, generator())
    assert torch.equal(changed[:, 0], clips[:, 0])
    assert (changed[:, 1:] - clips[:, 1:]).abs().mean(dim=(1, 2, 3, 4)).min() > 1


def test_lightness_changes_and_colors_do_not(clips):
    changed = vary_lightness(clips, generator())
    assert torch.equal(changed[:, 1:], clips[:, 1:])
    assert (changed[:, 0] - clips[:, 0]).abs().mean(dim=(1, 2, 3)).min() > 0.5
    assert changed[:, 0].min() >= 0
    assert changed[:, 0].max() <= 100


def test_extreme_lightness_stays_within_its_range():
    clips = torch.full((16, 3, 4, 6, 6), 100.0)
    assert vary_lightness(clips, generator())[:, 0].max() == 100
    assert vary_lightness(0 * clips, generator())[:, 0].min() >= 0


def test_the_gain_is_about_middle_gray_and_frames_flicker():
    clips = torch.tensor([30.0, 50, 70]).repeat(400, 3, 4, 3, 1)
    dark, gray, bright = vary_lightness(clips, generator())[:, 0].mean(dim=2).unbind(-1)
    gain = (bright - dark).mean(dim=1) / 40
    assert 0.6 < gain.min() < 0.8 < 1.1 < gain.max() < 1.3
    assert gray.mean().sub(50).abs() < 1
    assert gray.mean(dim=1).std() > 4
    assert gray.std(dim=1).median() > 1


def test_turned_colors_keep_their_angles_to_each_other(clips):
    a, b = clips[:, 1].flatten(1), clips[:, 2].flatten(1)
    changed = turn_colors(clips, generator())
    ratio = torch.complex(changed[:, 1], changed[:, 2]).flatten(1) / torch.complex(a, b)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-3, rtol=0)
    assert 0.8 <= ratio[:, 0].abs().min() < ratio[:, 0].abs().max() <= 1.5
    assert ratio[:, 0].angle().std() > 1


def test_every_hue_is_as_likely_whatever_the_clip_shows():
    clips = torch.tensor([50.0, 40, 0]).reshape(1, 3, 1, 1, 1).expand(4000, -1, -1, -1, -1)
    colors = turn_colors(clips, generator())[:, 1:].flatten(1)
    assert colors.mean(dim=0).abs().max() < 3


def test_a_recolored_clip_has_one_color_where_it_had_one():
    colors = 80 * torch.rand(8, 3, 1, 1, 5, generator=generator(1)) - 40
    clips = colors.repeat(1, 1, 4, 3, 1)
    changed = recolor(clips, generator())
    torch.testing.assert_close(changed, changed[:, :, :1, :1].expand_as(changed))
    assert changed[:, 1:, 0, 0].std(dim=-1).min() > 1


def test_a_mixture_of_colors_is_no_longer_the_color_between():
    a, b = torch.tensor([30.0, 0]), torch.tensor([0.0, 40])
    colors = torch.stack([a, b, (a + b) / 2], dim=1)
    clips = torch.cat([torch.full((1, 3), 50.0), colors]).reshape(1, 3, 1, 1, 3).repeat(200, 1, 1, 1, 1)
    changed = recolor(clips, generator())[:, 1:, 0, 0]
    turned = turn_colors(clips, generator())[:, 1:, 0, 0]
    off = [(x[..., 0] + x[..., 1] - 2 * x[..., 2]).norm(dim=1) / 2 for x in (changed, turned)]
    assert off[0].median() > 10
    assert off[1].max() < 1e-3


def test_flipped_frames_take_all_eight_orders_and_keep_their_pixels():
    clips = torch.arange(12.0).reshape(1, 3, 1, 2, 2).repeat(200, 1, 2, 1, 1)
    changed = flip_frames(clips, generator())
    assert torch.equal(changed.flatten(3).sort(dim=3).values, clips.flatten(3))
    assert torch.equal(changed[:, :, 0], changed[:, :, 1])
    assert len({tuple(clip.flatten().tolist()) for clip in changed}) == 8


def test_frames_that_are_not_square_cannot_be_flipped():
    with pytest.raises(ValueError, match="frames are 4×6: crop them to squares"):
        flip_frames(torch.zeros(1, 3, 2, 4, 6), generator())


def test_time_runs_backward_in_half_of_the_clips():
    clips = torch.arange(4.0)[None, None, :, None, None].repeat(400, 3, 1, 1, 1)
    first = reverse_time(clips, generator())[:, 0, :, 0, 0]
    backward = first[:, 0] == 3
    assert 0.4 < backward.float().mean() < 0.6
    assert torch.equal(first[backward], clips[backward, 0, :, 0, 0].flip(1))
    assert torch.equal(first[~backward], clips[~backward, 0, :, 0, 0])


@pytest.mark.parametrize(("switch", "step"), list(zip(SWITCHES, STEPS, strict=True)))
def test_each_switch_is_for_its_step(switch, step, clips):
    off = dict.fromkeys(SWITCHES, False)
    assert torch.equal(augment(clips, generator(), **off), clips)
    assert torch.equal(augment(clips, generator(), **{**off, switch: True}), step(clips, generator()))


def test_all_steps_follow_each_other(clips):
    changed, source = clips, generator()
    for step in STEPS:
        changed = step(changed, source)
    assert torch.equal(augment(clips, generator(), curves=True), changed)


def test_clips_stay_on_their_device():
    clips = torch.empty(2, 3, 4, 6, 6, device="meta")
    assert augment(clips, generator(), curves=True).is_meta
