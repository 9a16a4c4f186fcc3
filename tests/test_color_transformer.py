"""Tests of the model that copies colors: what it may see, what its map is, and that it can be traced and changed."""

import pytest
import torch
from color_models import N, T, color_config, color_model, copying_variants, lab_clips

from linvid_edu.models.checkpoint import load_model, save_model
from linvid_edu.models.color_transformer import (
    copied_colors,
    gray_video,
    make_model,
    target_frames,
    token_colors,
)
from linvid_edu.models.interventions import sharpened
from linvid_edu.models.trace import record
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.loop import initialize

GRID = color_config().grid
SIGNED = ("sana_", "nystrom", "orthoformer")  # rivals whose weights may be negative or reach into later frames only


def colored(model, lab, references=(0,)):
    with torch.no_grad():
        return model(gray_video(lab), token_colors(lab, GRID)[:, list(references)], references)


@pytest.mark.parametrize("variant", copying_variants())
def test_colors_of_target_frames_change_nothing(variant):
    model, lab = color_model(variant), lab_clips()
    other = lab.clone()
    other[:, 1:, 1:] = lab_clips(seed=1)[:, 1:, 1:]  # a and b of all frames but the first
    assert torch.equal(colored(model, lab), colored(model, other))


@pytest.mark.parametrize("variant", copying_variants())
def test_turning_the_known_colors_turns_the_copied_colors(variant):
    model, lab = color_model(variant), lab_clips()
    turned = torch.stack([lab[:, 0], -lab[:, 2], lab[:, 1]], dim=1)
    copied = colored(model, lab)
    expected = torch.stack([-copied[..., 1], copied[..., 0]], dim=-1)
    torch.testing.assert_close(colored(model, turned), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", [name for name in copying_variants() if not name.startswith(SIGNED)])
def test_rows_sum_to_one_or_are_zero(variant):
    with torch.no_grad():
        sums = color_model(variant).copy_map(gray_video(lab_clips()), (0, 2)).sum(dim=(-1, -2))
    dead = sums == 0
    assert variant.endswith("-relu") or not dead.any()
    torch.testing.assert_close(sums[~dead], torch.ones_like(sums[~dead]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("variant", copying_variants())
def test_the_trace_has_the_copy_map_as_its_last_block(variant):
    model, targets = color_model(variant), [1, 3]
    with torch.no_grad(), record(model) as trace:
        weights = model.copy_map(gray_video(lab_clips()), (0, 2))
    layer = trace.blocks[-1]["joint"]
    whole = layer.map()[:, 0].unflatten(1, (T, N)).unflatten(-1, (T, N))
    torch.testing.assert_close(whole[:, targets][..., [0, 2], :], weights, atol=1e-5, rtol=1e-4)
    assert whole[..., targets, :].abs().max() == 0
    torch.testing.assert_close(trace.row(-1, 1, 5)[:, 0], whole[:, 1, 5], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(trace.column(-1, 2, 7)[:, 0], whole[..., 2, 7], atol=1e-5, rtol=1e-4)
    assert trace.column(-1, 1, 7).abs().max() == 0


def test_the_trace_of_a_block_stays_inside_the_frame():
    model = color_model("softmax")
    with torch.no_grad(), record(model) as trace:
        model.copy_map(gray_video(lab_clips()), (0,))
    row, column = trace.row(0, 1, 5), trace.column(0, 1, 7)
    assert row.shape == (2, 2, T, N)
    assert row[:, :, [0, 2, 3]].abs().max() == 0
    torch.testing.assert_close(row[:, :, 1, 7], column[:, :, 1, 5])


def test_sharpening_the_copy_head_sharpens_the_map_alone():
    model, video = color_model("linear"), gray_video(lab_clips())
    with torch.no_grad():
        weights = model.copy_map(video, (0,)).flatten(-2)
        with sharpened(model.head, 2.0):
            sharper = model.copy_map(video, (0,)).flatten(-2)
    squared = weights**2
    torch.testing.assert_close(sharper, squared / squared.sum(dim=-1, keepdim=True), atol=1e-6, rtol=1e-3)


def test_one_reference_token_with_all_weight_gives_its_color():
    weights = torch.zeros(1, 1, 2, 1, 3)
    weights[0, 0, 0, 0, 2] = weights[0, 0, 1, 0, 1] = 1
    known = torch.arange(6.0).reshape(1, 1, 3, 2)
    assert copied_colors(weights, known).tolist() == [[[[4, 5], [2, 3]]]]


def test_a_token_has_the_mean_color_of_its_cell():
    lab = lab_clips()
    cell = lab[0, 1:, 2, 4:8, 8:12].mean(dim=(1, 2))  # row 1 and column 2 of the 6 × 6 cells
    torch.testing.assert_close(token_colors(lab, GRID)[0, 2, 1 * 6 + 2], cell)


def test_queries_and_keys_start_equal():
    head = initialize(make_model(color_config("cooperative")), seed=3).head
    assert torch.equal(head.query.weight, head.key.weight)
    assert not torch.equal(head.query.weight, head.gray_value.weight)


def test_any_number_of_frames_can_be_colored():
    model, lab = color_model(), lab_clips()
    torch.testing.assert_close(colored(model, lab[:, :, :2]), colored(model, lab)[:, :1])


@pytest.mark.parametrize("variant", ["softmax", "cooperative", "performer"])
def test_a_saved_model_colors_alike(tmp_path, variant):
    model, lab = color_model(variant), lab_clips()
    read = load_model(save_model(model, tmp_path / "model.safetensors"))
    assert read.config == model.config
    assert torch.equal(colored(read, lab), colored(model, lab))


def test_a_model_of_classes_is_no_color_model():
    config = color_config(output="classes", num_classes=4)
    assert type(make_model(config)) is VideoTransformer
    assert config.blocks is config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 4}, "num_classes=4 must be 2 for colors"),
        ({"space_time": "joint"}, 'must be "space" for colors'),
        ({"gate": "value"}, "would change the colors that are copied"),
        (
            {"attention": "shuffle_window", "settings": {"window": 3}},
            "'shuffle_window' cannot copy colors from another frame",
        ),
    ],
)
def test_what_a_color_model_cannot_be_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        color_config(**change)


@pytest.mark.parametrize("references", [(), (0, 0), (4,), (-1,), (0, 1, 2, 3)])
def test_impossible_references_are_named(references):
    with pytest.raises(ValueError, match="references"):
        target_frames(T, references)
