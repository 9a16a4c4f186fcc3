"""The rendered scenes: their labels and boxes are checked against the pixels, by arithmetic that knows no renderer."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from linvid_edu.video.scenes import PALETTE, CueMatch, Motion, box_coverage, render, role_mask

SCENES = [CueMatch, Motion]
GRAY = 128


def clean(scene, **knobs):
    return scene(**{"noise": 0.0, "size": 64, **knobs})


def digest(scenes):
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in scenes[:3])).hexdigest()


def read_dots(frames, boxes):
    """The event of every square, from the pixel in its middle in the first and the last frame."""
    x, y = (boxes[:, 0, :-1, :2] + boxes[:, 0, :-1, 2:]).div(2).long().unbind(-1)
    middle = frames[torch.arange(len(frames))[:, None], :, y, x].long()  # (b squares t 3)
    first, last = middle[:, :, 0], middle[:, :, -1]
    white, black = [(end == 255).all(-1) for end in (first, last)], [(end == 0).all(-1) for end in (first, last)]
    assert ((white[0] | black[0]) ^ (white[1] | black[1])).all()
    return torch.where(white[0] | white[1], 0, 2) + (white[0] | black[0]).long()


def squares_of_cue_color(frames, boxes):
    """For every square, whether its color near a corner is the color in the middle of the cue."""
    corner = (boxes[:, 0] + 1).long()
    middle = boxes[:, 0, -1].unflatten(-1, (2, 2)).mean(1).long()
    clip = torch.arange(len(frames))
    cue = frames[clip, 0, middle[:, 1], middle[:, 0]]
    return (frames[clip[:, None], 0, corner[:, :-1, 1], corner[:, :-1, 0]] == cue[:, None]).all(-1)


def read_motion(frames):
    """The motion of the white border, from the moments of its pixels: area, center, and angle of the longer axis."""
    white = (frames.float().amin(-1) > 235).double()  # (b t h w)
    pixel = torch.arange(frames.shape[2], dtype=torch.double)
    z = torch.complex(pixel[None, :].expand(len(pixel), -1), pixel[:, None].expand(-1, len(pixel)))
    area = white.sum((-1, -2))
    center = (white * z).sum((-1, -2)) / area
    spread = (white * (z - center[..., None, None]) ** 2).sum((-1, -2))
    steps = torch.angle(spread[:, 1:] / spread[:, :-1]) / 2
    travel, growth, turn = (center[:, -1] - center[:, 0]) / len(pixel), (area[:, -1] / area[:, 0]).log(), steps.sum(1)
    scores = torch.stack([travel.real.abs() / 0.2, travel.imag.abs() / 0.2, growth.abs() / 0.3, turn.abs() / 1.5], 1)
    kind = scores.argmax(1)
    falls = torch.stack([travel.real > 0, travel.imag > 0, growth < 0, turn < 0], 1)[torch.arange(len(kind)), kind]
    return 2 * kind + falls.long()


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("frames", "size"), [(2, 17), (3, 33), (5, 50), (9, 130)])
def test_shapes_and_kinds_at_odd_sizes(scene, frames, size):
    config = scene(frames=frames, size=size, clutter=0.5, distractors=1)
    scenes = render(config, count=3, seed=0)
    assert scenes.frames.shape == (3, frames, size, size, 3)
    assert scenes.frames.dtype == torch.uint8
    assert scenes.label.shape == (3,)
    assert scenes.label.dtype == torch.int64
    assert scenes.boxes.shape == (3, frames, len(scenes.roles), 4)
    assert scenes.boxes.dtype == torch.float32
    assert scenes.roles == config.roles
    assert scenes.roles[0] == "target"
    assert scenes.video.shape == (3, 3, frames, size, size)
    assert scenes.video.abs().max() <= 1


@pytest.mark.parametrize("scene", SCENES)
def test_same_seed_same_bytes_and_other_seeds_other_clips(scene):
    config = scene(size=24, clutter=0.5)
    first = render(config, count=70, seed=(3, 1))
    assert digest(first) == digest(render(config, count=70, seed=(3, 1)))
    others = [render(config, count=70, seed=seed) for seed in ((3, 2), (4, 1), 3)]
    assert len({digest(scenes) for scenes in [first, *others]}) == 4
    assert len({clip.numpy().tobytes() for clip in first.frames}) == 70


@pytest.mark.slow
def test_same_bytes_in_another_process():
    imports = "\n".join(f"from {scene.__module__} import {scene.__name__}" for scene in SCENES)
    program = (
        f"import hashlib; from linvid_edu.video.scenes import render\n{imports}\n"
        f"for scene in ({', '.join(scene.__name__ for scene in SCENES)}):\n"
        "    parts = render(scene(clutter=0.5), count=5, seed=(1, 2))[:3]\n"
        "    print(hashlib.sha256(b''.join(part.numpy().tobytes() for part in parts)).hexdigest())"
    )
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert lines == [digest(render(scene(clutter=0.5), count=5, seed=(1, 2))) for scene in SCENES]


@pytest.mark.parametrize("scene", SCENES)
def test_objects_do_not_change_with_clutter_and_noise(scene):
    plain = render(scene(noise=0.0), count=8, seed=5)
    full = render(scene(noise=0.2, clutter=1.0), count=8, seed=5)
    assert torch.equal(plain.label, full.label)
    assert torch.equal(plain.boxes, full.boxes)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("size", [32, 64])
def test_boxes_contain_the_pixels_of_the_objects(scene, size):
    scenes = render(clean(scene, size=size), count=100, seed=1)
    drawn = (scenes.frames != GRAY).any(-1)
    grown = scenes.boxes + torch.tensor([-1.0, -1.0, 1.0, 1.0])
    inside = (box_coverage(grown, size=size, grid=(size, size)) > 0).any(2)
    assert not (drawn & ~inside).any()


@pytest.mark.parametrize("size", [32, 64])
def test_boxes_are_tight(size):
    scenes = render(clean(Motion, size=size, distractors=0), count=200, seed=2)
    drawn = (scenes.frames != GRAY).any(-1)
    for low, high, line in ((0, 2, drawn.any(2)), (1, 3, drawn.any(3))):
        first, last = line.int().argmax(-1), size - line.flip(-1).int().argmax(-1)
        assert (scenes.boxes[:, :, 0, low] - first).abs().max() <= 1.5
        assert (scenes.boxes[:, :, 0, high] - last).abs().max() <= 1.5


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("size", [32, 64])
def test_cue_match_labels_are_true(size, hard):
    scenes = render(clean(CueMatch, size=size, hard=hard, distractors=5), count=300, seed=3)
    match = squares_of_cue_color(scenes.frames, scenes.boxes)
    assert match[:, 0].all()
    assert not match[:, 1:].any()
    events = read_dots(scenes.frames, scenes.boxes)
    assert torch.equal(events[:, 0], scenes.label)
    assert (events[:, 1:] == scenes.label[:, None]).any() != hard
    assert set(events[:, 1:].flatten().tolist()) == {0, 1, 2, 3}


def test_cue_match_events_happen_at_every_time():
    scenes = render(clean(CueMatch, size=32, frames=5, distractors=0), count=400, seed=4)
    changed = (scenes.frames[:, 1:] != scenes.frames[:, :-1]).flatten(2).any(-1)
    assert (changed.sum(1) == 1).all()
    assert (changed.sum(0) > 60).all()


@pytest.mark.parametrize("size", [16, 32, 128])
def test_cue_match_objects_do_not_overlap(size):
    boxes = render(clean(CueMatch, frames=2, size=size, distractors=5), count=100, seed=5).boxes[:, 0]
    apart = torch.maximum(boxes[:, :, None, :2] - boxes[:, None, :, 2:], boxes[:, None, :, :2] - boxes[:, :, None, 2:])
    gap = apart.amax(-1) + 1e9 * torch.eye(7)
    assert gap.min() > 0
    assert boxes.min() >= 0
    assert boxes.max() <= size


@pytest.mark.slow
@pytest.mark.parametrize("distractors", [0, 3])
def test_motion_labels_are_true(distractors):
    scenes = render(clean(Motion, size=96, distractors=distractors), count=200, seed=6)
    assert torch.equal(read_motion(scenes.frames), scenes.label)


def test_motion_is_seen_in_two_frames_of_the_default_size():
    scenes = render(Motion(frames=2, noise=0.0, distractors=0), count=300, seed=7)
    center = scenes.boxes[:, :, 0].unflatten(-1, (2, 2)).mean(2)
    travel = (center[:, 1] - center[:, 0])[scenes.label < 4]
    assert travel.abs().amax(1).min() > 0.15 * 32
    assert (scenes.frames[:, 0] != scenes.frames[:, 1]).flatten(1).any(1).all()


def test_motion_target_stays_mostly_inside():
    scenes = render(clean(Motion, distractors=0), count=400, seed=8)
    area = (scenes.frames != GRAY).any(-1).sum((-1, -2))
    still = area[scenes.label < 4].float()
    assert (still.amin(1) / still.amax(1)).min() > 0.75
    turned = area[scenes.label >= 6].float()
    assert (turned.amin(1) / turned.amax(1)).min() > 0.75


def test_motion_distractors_move_otherwise():
    scenes = render(clean(Motion, distractors=3), count=300, seed=9)
    center = scenes.boxes.unflatten(-1, (2, 2)).mean(-2)
    travel = (center[:, -1, 1:] - center[:, 0, 1:]) / 64  # (b distractors 2)
    for label, (axis, sign) in enumerate([(0, -1), (0, 1), (1, -1), (1, 1)]):
        mine, others = travel[scenes.label == label], travel[scenes.label != label]
        assert (sign * mine[..., axis]).max() < 0.15
        assert (sign * others[..., axis]).max() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_flips_and_reversals_have_the_stated_labels(scene):
    config = clean(scene, size=96)
    scenes = render(config, count=100, seed=10)
    mirrored, backwards = (torch.tensor(table)[scenes.label] for table in (config.mirrored, config.backwards))
    flipped = scenes.frames.flip(3)
    x0, y0, x1, y1 = scenes.boxes.unbind(-1)
    boxes = torch.stack([96 - x1, y0, 96 - x0, y1], dim=-1)
    if scene is Motion:
        assert torch.equal(read_motion(flipped), mirrored)
        assert torch.equal(read_motion(scenes.frames.flip(1)), backwards)
    else:
        assert torch.equal(read_dots(flipped, boxes)[:, 0], mirrored)
        assert torch.equal(read_dots(scenes.frames.flip(1), scenes.boxes)[:, 0], backwards)
    assert config.flip_keeps_label == torch.equal(mirrored, scenes.label)


def guess_from_one_frame(boxes, label):
    """Accuracy of a table over coarse center and size, filled with one half of the clips and read with the other."""
    center, side = boxes.unflatten(-1, (2, 2)).mean(1) / 16, (boxes[:, 2:] - boxes[:, :2]).amax(1) / 16
    place = ((center - 0.16) / 0.68 * 4).long().clamp(0, 3)
    cell = place[:, 0] * 24 + place[:, 1] * 6 + ((side - 0.19) / 0.3 * 6).long().clamp(0, 5)
    half = len(label) // 2
    table = torch.zeros(96, 8).index_put_((cell[:half], label[:half]), torch.tensor(1.0), accumulate=True)
    return (table[cell[half:]].argmax(1) == label[half:]).double().mean()


def test_one_frame_hardly_tells_the_motion():
    scenes = render(Motion(frames=3, size=16, distractors=0, noise=0.0), count=12000, seed=11)
    boxes = scenes.boxes[:, :, 0]
    assert guess_from_one_frame(boxes[:, 0], scenes.label) < 0.28  # the best guess from exact values reaches 0.26
    assert guess_from_one_frame(boxes[:, 2], scenes.label) < 0.28
    assert guess_from_one_frame(boxes[:, 1], scenes.label) < 0.25  # here the classes differ in their range alone
    assert torch.allclose(boxes[:, 0].mean(0), boxes[:, 2].mean(0), atol=0.1)


@pytest.mark.parametrize("scene", SCENES)
def test_labels_are_uniform(scene):
    config = scene(size=16, frames=2, distractors=0, noise=0.0)
    label = render(config, count=8000, seed=12).label
    share = np.bincount(label.numpy(), minlength=len(config.classes)) / 8000
    assert np.abs(share - 1 / len(config.classes)).max() < 0.02


def test_photographs_are_blended_and_stand_still():
    photographs = np.stack([np.full((40, 50, 3), level, dtype=np.uint8) for level in (28, 228)])
    scenes = render(clean(Motion, clutter=0.5, size=32), count=40, seed=13, photographs=photographs)
    corners = set(scenes.frames[:, :, 0, 0].flatten().tolist())
    assert {78, 178} <= corners
    pictures = np.random.default_rng(0).integers(0, 256, (1, 200, 100, 3), dtype=np.uint8)
    scenes = render(clean(CueMatch, clutter=1.0), count=4, seed=14, photographs=pictures)
    inside = (box_coverage(scenes.boxes, size=64, grid=(64, 64)) > 0).any(2)
    assert ((scenes.frames == scenes.frames[:, :1]).all(-1) | inside).all()
    assert len(scenes.frames[:, 0, 0].unique()) > 50


def test_texture_fills_the_range_without_being_cut_off():
    frames = render(Motion(size=64, clutter=1.0, distractors=0, noise=0.0), count=50, seed=15).frames
    assert 25 < frames.float().std() < 60
    assert ((frames == 0) | (frames == 255)).float().mean() < 0.1


def test_noise_has_the_stated_deviation():
    frames = render(Motion(noise=0.1, distractors=0), count=200, seed=16).frames[:, :, 0, :2].double()
    assert frames.std() == pytest.approx(25.5, rel=0.02)
    assert frames.mean() == pytest.approx(GRAY, abs=0.5)


def test_colors_are_told_apart():
    distance = np.linalg.norm(PALETTE[:, None] - PALETTE[None], axis=-1) + 1e9 * np.eye(len(PALETTE))
    assert distance.min() > 60
    assert np.linalg.norm(PALETTE - GRAY, axis=-1).min() > 60


def test_coverage_of_boxes():
    boxes = torch.tensor([[0.0, 0.0, 8.0, 4.0], [2.0, 1.0, 3.0, 3.0], [8.0, 8.0, 16.0, 16.0]])
    coverage = box_coverage(boxes, size=16, grid=(4, 2))
    assert coverage.shape == (3, 4, 2)
    assert coverage[0].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]
    assert coverage[1, 0, 0] == 2 / 32
    assert coverage[2].tolist() == [[0, 0], [0, 0], [0, 1], [0, 1]]
    scenes = render(Motion(distractors=2), count=4, seed=17)
    grid = box_coverage(scenes.boxes, size=32, grid=(7, 5))
    area = (scenes.boxes[..., 2:] - scenes.boxes[..., :2]).prod(-1)
    assert torch.allclose(grid.sum((-1, -2)) * 32 * 32 / 35, area, rtol=1e-4)
    with pytest.raises(ValueError, match="grid is"):
        box_coverage(boxes, size=16, grid=(0, 2))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("grid", [(8, 8), (4, 16)])
def test_a_role_mask_has_the_tokens_that_lie_half_inside(scene, grid):
    """Counted on a canvas with 8 × 8 points a pixel."""
    scenes = render(scene(frames=2), count=6, seed=18)
    point = (torch.arange(32 * 8) + 0.5) / 8
    for role in dict.fromkeys(scenes.roles):
        masks = torch.zeros(6, 2, grid[0] * grid[1], dtype=torch.bool)
        edges = torch.zeros_like(masks)
        for index in [index for index, each in enumerate(scenes.roles) if each == role]:
            x0, y0, x1, y1 = scenes.boxes[:, :, index, :, None].unbind(2)
            inside = ((point > y0) & (point < y1))[..., :, None] & ((point > x0) & (point < x1))[..., None, :]
            cells = inside.double().unflatten(3, (grid[1], -1)).unflatten(2, (grid[0], -1))
            share = cells.mean((3, 5)).flatten(2)
            masks |= share >= 0.5
            edges |= (share - 0.5).abs() < 0.05
        found = role_mask(scenes, role, grid=grid)
        assert (found == masks)[~edges].all()
        assert found.any()
        assert edges.double().mean() < 0.05


@pytest.mark.parametrize("scene", SCENES)
def test_query_and_answer_have_a_token_in_every_clip_of_the_compact_model(scene):
    scenes = render(scene(frames=2), count=500, seed=19)
    for role in (scene.query, scene.answer):
        assert role_mask(scenes, role, grid=(8, 8)).flatten(1).any(1).all()


def test_a_role_that_is_not_there_is_named_with_those_that_are():
    scenes = render(CueMatch(), count=1, seed=0)
    with pytest.raises(ValueError, match="has the role 'flash': choose one of target, distractor, cue"):
        role_mask(scenes, "flash", grid=(8, 8))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"frames": 1}, "frames is 1, it must be at least 2"),
        ({"size": 15}, "size is 15, it must be at least 16"),
        ({"clutter": 1.5}, "clutter is 1.5, it must be 0 to 1"),
        ({"distractors": 6}, "distractors is 6, it must be 0 to 5"),
        ({"distractors": -1}, "distractors is -1, it must be 0 to 5"),
        ({"noise": -0.1}, "noise is -0.1, it must be 0 to 1"),
        ({"noise": float("nan")}, "noise is nan, it must be 0 to 1"),
    ],
)
def test_knobs_are_checked_when_set(scene, knobs, words):
    with pytest.raises(ValueError, match=words):
        scene(**knobs)
    with pytest.raises(ValueError, match=words):
        replace(scene(), **knobs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 0}, "count is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": ()}, "seed is"),
        ({"photographs": np.zeros((1, 20, 64, 3), np.uint8)}, "20×64 pixels, size is 32"),
        ({"photographs": np.zeros((64, 64, 3), np.uint8)}, "expected uint8"),
        ({"photographs": np.zeros((0, 64, 64, 3), np.uint8)}, "expected uint8"),
    ],
)
def test_arguments_of_render_are_checked(arguments, words):
    with pytest.raises(ValueError, match=words):
        render(Motion(), **{"count": 1, "seed": 0, **arguments})
