"""CIE Lab agrees with its published values and with scikit-image, and comes back to the same pixels."""

import numpy as np
import pytest
import torch

from linvid_edu.shapes import Grid
from linvid_edu.video import from_lab, paint, to_lab
from linvid_edu.video.clip import denormalize, normalize

# Lab under D65 of the primaries of sRGB, of their mixtures and of two grays, to two decimals as published
PUBLISHED = {
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (255, 255, 0): (97.14, -21.55, 94.48),
    (0, 255, 255): (91.11, -48.09, -14.13),
    (255, 0, 255): (60.32, 98.23, -60.82),
    (255, 255, 255): (100, 0, 0),
    (119, 119, 119): (50.03, 0, 0),
    (0, 0, 0): (0, 0, 0),
}


def all_colors(step):
    """Return a clip of one frame with every step-th level of red, green and blue, (1 h w 3)."""
    levels = torch.arange(0, 256, step, dtype=torch.uint8)
    return torch.cartesian_prod(levels, levels, levels).reshape(1, len(levels), -1, 3)


@pytest.mark.parametrize("rgb", PUBLISHED)
def test_primaries_have_their_published_values(rgb):
    lab = to_lab(torch.tensor(rgb, dtype=torch.uint8).reshape(1, 1, 1, 3)).flatten()
    torch.testing.assert_close(lab, torch.tensor(PUBLISHED[rgb]).float(), atol=0.02, rtol=0)


def test_every_color_agrees_with_scikit_image():
    color = pytest.importorskip("skimage.color")
    frames = all_colors(5)
    theirs = torch.from_numpy(color.rgb2lab(frames.numpy())).float().permute(3, 0, 1, 2)
    torch.testing.assert_close(to_lab(frames), theirs, atol=0.02, rtol=0)


def test_a_clip_comes_back_within_one_level():
    frames = all_colors(5)
    assert (from_lab(to_lab(frames)).int() - frames.int()).abs().max() <= 1


def test_gray_has_no_color():
    gray = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3)
    assert to_lab(gray)[1:].abs().max() < 1e-3


def test_colors_that_no_screen_shows_are_clamped():
    lab = torch.tensor([[50.0, 150, 0], [120, 0, 0], [-5, 0, 0], [50, -150, -150]]).T.reshape(3, 1, 2, 2)
    frames = from_lab(lab)
    assert frames[0, 0, 1].tolist() == [255, 255, 255]
    assert frames[0, 1, 0].tolist() == [0, 0, 0]
    assert frames[0, 0, 0, 0] == 255
    assert frames[0, 1, 1, 0] == 0


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_axes_are_those_of_normalize(batch):
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (*batch, 4, 5, 6, 3), dtype=np.uint8))
    assert to_lab(frames).shape == normalize(frames).shape
    assert from_lab(to_lab(frames)).shape == denormalize(normalize(frames)).shape


def test_both_run_on_meta():
    frames = torch.empty(2, 4, 5, 6, 3, dtype=torch.uint8, device="meta")
    assert to_lab(frames).is_meta
    assert from_lab(to_lab(frames)).is_meta


def test_painting_keeps_the_lightness_and_interpolates_between_the_centers_of_tokens():
    lab = torch.full((3, 1, 8, 8), 60.0)  # its a and b are not used
    colors = torch.zeros(1, 4, 2)
    colors[0, 1::2, 0] = 20.0  # the right column of a grid of 2 × 2 tokens is red
    painted = to_lab(paint(lab, colors, Grid(2, 2)))
    expected = torch.tensor([0, 0, 2.5, 7.5, 12.5, 17.5, 20, 20]).expand(8, 8)
    assert (painted[0, 0] - 60).abs().max() < 0.5
    assert (painted[1, 0] - expected).abs().max() < 0.6
    assert painted[2, 0].abs().max() < 0.6
