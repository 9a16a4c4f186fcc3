"""Tests of the errors of colored clips, of the baselines, and of what is measured of a copy map."""

import pytest
import torch
from color_models import color_config, color_model, lab_clips

from linvid_edu.models.color_measures import (
    ClipColors,
    baseline_errors,
    color_distance,
    mean_color_errors,
    measure_colors,
    measures_of_map,
    nearest_references,
    relative_error,
)

GRID = color_config().grid


def perfect_map(colors):
    """Return the map of a model that copies the closest known color, and those colors."""
    distance = torch.cdist(colors.truth.flatten(1, 2), colors.known.flatten(1, 2))
    rows = torch.nn.functional.one_hot(distance.argmin(-1), distance.shape[-1]).float()
    copied = rows @ colors.known.flatten(1, 2)
    shape = (*colors.truth.shape[:3], *colors.known.shape[1:3])
    return rows.reshape(shape), copied.reshape(colors.truth.shape)


def test_the_distance_is_that_of_the_plane():
    assert color_distance(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])).item() == 5


def test_the_mean_color_has_a_relative_error_of_one():
    colors = ClipColors.of(lab_clips(), GRID, (0,))
    errors = mean_color_errors(colors)
    assert relative_error(errors, errors) == 1
    assert relative_error(errors / 2, errors, colors.moving) == pytest.approx(0.5)


def test_a_clip_that_repeats_its_first_frame_has_no_error_and_no_moving_token():
    lab = lab_clips()[:, :, :1].expand(-1, -1, 4, -1, -1)
    errors = baseline_errors(lab, GRID, (0,))
    assert not ClipColors.of(lab, GRID, (0,)).moving.any()
    for name in ("same place", "nearest gray patch", "best reference"):
        assert errors[name].max() < 1e-4


def test_no_copy_of_one_token_beats_the_best_reference():
    lab = lab_clips()
    errors = baseline_errors(lab, GRID, (0, 2))
    colors = ClipColors.of(lab, GRID, (0, 2))
    _, copied = perfect_map(colors)
    torch.testing.assert_close(errors["best reference"], color_distance(copied, colors.truth), atol=1e-3, rtol=1e-3)
    for name in ("same place", "nearest gray patch"):
        assert (errors[name] >= errors["best reference"] - 1e-3).all()


def test_a_moved_picture_is_found_by_its_gray_patches():
    lab = lab_clips(clips=1)
    lab[:, :, 1:] = lab[:, :, :1].roll(4, dims=-1)  # one cell to the right
    colors, errors = ClipColors.of(lab, GRID, (0,)), baseline_errors(lab, GRID, (0,))
    mean = mean_color_errors(colors)
    assert relative_error(errors["nearest gray patch"], mean) < 1e-3
    assert relative_error(errors["same place"], mean) > 0.8


def test_the_nearest_reference_is_the_earlier_one_of_two():
    assert nearest_references(6, (0, 4)) == [0, 0, 4, 4]


def test_selectivity_is_the_share_of_attention_on_right_colors():
    colors = ClipColors.of(lab_clips(), GRID, (0,))
    weights, copied = perfect_map(colors)
    measures = measures_of_map(weights, copied, colors)
    assert measures.selectivity == 1
    assert measures.effective_tokens == pytest.approx(1)
    uniform = torch.full_like(weights, 1 / weights.shape[-1])
    right = torch.cdist(colors.truth.flatten(1, 2), colors.known.flatten(1, 2)) < 5
    expected = right.float().mean(-1)[right.any(-1)].mean().item()
    assert measures_of_map(uniform, copied, colors).selectivity == pytest.approx(expected)


def test_the_measures_of_a_model_are_those_of_its_map():
    model, lab = color_model("softmax"), lab_clips()
    measures, copied = measure_colors(model, lab, (0, 2))
    colors = ClipColors.of(lab, GRID, (0, 2))
    errors = color_distance(copied, colors.truth).sum() / mean_color_errors(colors).sum()
    assert measures.relative_error == pytest.approx(errors.item(), rel=1e-5)
    assert 0 < measures.entropy <= 1
    assert 1 <= measures.effective_tokens <= 72
