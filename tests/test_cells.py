"""Scenes made of cells: labels are read off the pixels by arithmetic without a renderer; shortcuts have ceilings."""

import hashlib
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor

from linvid_edu.video.scenes import CELL, CueLookup, Flash, box_coverage, render, role_mask

GRAY = 128


class Cells(NamedTuple):
    """What the cells of frames show, each (b t n)."""

    shown: Tensor  # anything at all
    framed: Tensor
    flashed: Tensor
    side: Tensor  # of the bar; −1 without one
    color: Tensor  # of the pixels neither white nor black, (b t n 3)
    white: Tensor  # how many pixels


def read(frames):
    cells = rearrange(frames, "b t (row y) (column x) rgb -> b t (row column) y x rgb", y=CELL, x=CELL)
    white, black = (cells == 255).all(-1), (cells == 0).all(-1)
    inked = white | black
    edges = torch.stack([inked[..., 0], inked[..., -1], inked[..., 0, :], inked[..., -1, :]], dim=-2).all(-1)
    side = torch.where(edges.sum(-1) == 1, edges.int().argmax(-1), -1)
    least = cells.masked_fill(inked[..., None], 255).amin((3, 4))
    color = cells.masked_fill(inked[..., None], 0).amax((3, 4))
    assert torch.equal(least, color), "a cell shows two colors"
    count = white.sum((-1, -2))
    shown = (color != GRAY).any(-1) | (count > 0)
    return Cells(shown, edges.all(-1), black.any((-1, -2)), side, color, count)


def clean(scene, **knobs):
    return scene(**{"noise": 0.0, **knobs})


def digest(scenes):
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in scenes[:3])).hexdigest()


def lookup_label(cells):
    """The bar of the one object of the color that the framed cell shows; objects are what has a bar."""
    cue = cells.color[:, 0][cells.framed[:, 0]]
    match = (cells.color[:, 0] == cue[:, None]).all(-1) & (cells.side[:, 0] >= 0)
    assert (match.sum(1) == 1).all()
    return cells.side[:, 0][match]


def flash_label(cells):
    """The bar that the flashed object, known by its color, has in the frame after."""
    clip, frame, cell = cells.flashed.nonzero(as_tuple=True)
    assert torch.equal(clip, torch.arange(len(cells.side))), "one flash in every clip"
    color = cells.color[clip, frame, cell]
    after, side = cells.color[clip, frame + 1], cells.side[clip, frame + 1]
    match = (after == color[:, None]).all(-1) & (side >= 0)
    assert (match.sum(1) == 1).all()
    return side[match]


class Look(NamedTuple):
    """What tells a scene apart from the others."""

    read_label: Callable  # the label from the cells
    colors: int
    cues: int  # framed cells in each frame


LOOKS = {CueLookup: Look(lookup_label, colors=8, cues=1), Flash: Look(flash_label, colors=16, cues=0)}
SCENES = list(LOOKS)


def read_label(config, cells):
    return LOOKS[type(config)].read_label(cells)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("objects", [1, 2, 4, 8])
@pytest.mark.parametrize("clutter", [0, 7])
def test_labels_are_true(scene, objects, clutter):
    config = clean(scene, objects=objects, clutter=clutter)
    scenes = render(config, count=300, seed=(objects, clutter))
    cells = read(scenes.frames)
    assert torch.equal(read_label(config, cells), scenes.label)
    assert (cells.framed.sum(-1) == LOOKS[scene].cues).all()
    bars = cells.side >= 0
    assert (bars.sum(-1) == objects).all()
    for clip in range(0, 300, 50):
        colors = [set(map(tuple, each[bar].tolist())) for each, bar in zip(cells.color[clip], bars[clip], strict=True)]
        assert len(colors[0]) == objects
        assert all(each == colors[0] for each in colors)


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_a_flash_has_a_next_frame_and_lies_in_a_corner(frames):
    scenes = render(clean(Flash, frames=frames, objects=16), count=400, seed=1)
    cells = read(scenes.frames)
    assert torch.equal(flash_label(cells), scenes.label)
    times = cells.flashed.any(-1).sum(0)
    assert times[-1] == 0
    assert (times[:-1] > 0.6 * 400 / (frames - 1)).all()
    _, _, y, x = (scenes.frames == 0).all(-1).nonzero(as_tuple=True)
    corner = 2 * (y % CELL) // (CELL - 1) + (x % CELL) // (CELL - 1)
    assert set((y % CELL).tolist()) | set((x % CELL).tolist()) == {0, CELL - 1}
    assert (corner.bincount(minlength=4) > 60).all()


@pytest.mark.parametrize("objects", [1, 2, 3, 4, 6, 8, 16])
def test_flash_deals_the_sides_out_evenly_in_every_frame(objects):
    side = read(render(clean(Flash, objects=objects), count=100, seed=2).frames).side
    each = (side[..., None] == torch.arange(4)).sum(2)  # (b t sides)
    assert (each.amax(-1) - each.amin(-1) <= 1).all()
    assert each.sum() == 100 * 4 * objects


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("clutter", [0, 9])
def test_boxes_and_masks_are_exactly_the_cells(scene, clutter):
    config = clean(scene, clutter=clutter, objects=3, grid=5)
    scenes = render(config, count=100, seed=3)
    cells = read(scenes.frames)
    masks = {role: role_mask(scenes, role, grid=(5, 5)) for role in set(scenes.roles)}
    assert torch.equal(masks["target"] | masks["distractor"], cells.side >= 0)
    assert (masks["target"].sum(-1) == 1).all()
    assert (masks["distractor"].sum(-1) == 2).all()
    if "cue" in masks:
        assert torch.equal(masks["cue"], cells.framed)
        assert torch.equal(cells.side[masks["target"]], scenes.label)
    else:
        assert torch.equal(masks["flash"], cells.flashed)
        assert torch.equal(cells.side[masks["answer"]], scenes.label)
        assert torch.equal(masks["answer"][:, 1:].any(-1), masks["flash"][:, :-1].any(-1))
        assert not (masks["answer"] & ~masks["target"]).any()
    coverage = box_coverage(scenes.boxes, size=config.size, grid=(5, 5))
    assert set(coverage.unique().tolist()) == {0.0, 1.0}


def test_roles_name_the_query_and_the_answer():
    assert CueLookup(objects=3).roles == ("target", "distractor", "distractor", "cue")
    assert Flash(objects=2).roles == ("target", "distractor", "flash", "answer")
    for config in (CueLookup(), Flash()):
        assert {config.query, config.answer} <= set(config.roles)


@pytest.mark.parametrize("scene", SCENES)
def test_every_cell_is_shown_once_up_to_a_full_grid(scene):
    fixed = 2 + LOOKS[scene].cues  # two objects, and the cue
    for grid, clutter in ((4, 16 - fixed), (7, 10)):
        config = clean(scene, grid=grid, objects=2, clutter=clutter)
        cells = read(render(config, count=300, seed=4).frames)
        assert (cells.shown.sum(-1) == fixed + clutter).all()
        assert config.occupied == fixed + clutter
        if grid == 7:  # every place is used
            assert cells.shown.any(0).all()
            assert (cells.side >= 0).any(0).any(0).all()


@pytest.mark.parametrize("scene", SCENES)
def test_clutter_has_the_colors_and_the_white_pixels_of_objects_but_no_bar(scene):
    config = clean(scene, objects=LOOKS[scene].colors, clutter=20, grid=8)
    scenes = render(config, count=300, seed=5)
    cells = read(scenes.frames)
    clutter = cells.shown & (cells.side < 0) & ~cells.framed
    assert (clutter.sum(-1) == 20).all()
    assert (cells.white[clutter] == CELL).all()
    of_objects, of_clutter = (
        cells.color[which].unique(dim=0, return_counts=True) for which in (cells.side >= 0, clutter)
    )
    assert len(of_objects[0]) == LOOKS[scene].colors
    assert torch.equal(of_objects[0], of_clutter[0])
    assert (of_clutter[1] > 0.8 * of_clutter[1].sum() / LOOKS[scene].colors).all()
    white = rearrange((scenes.frames == 255).all(-1), "b t (r y) (c x) -> b t (r c) (y x)", y=CELL, x=CELL)[clutter]
    assert (white.double().mean(0) - 0.25).abs().max() < 0.03  # each of the 16 pixels is white as often


@pytest.mark.parametrize("scene", SCENES)
def test_colors_are_told_apart_and_are_none_of_gray_white_and_black(scene):
    cells = read(render(clean(scene, objects=LOOKS[scene].colors, grid=5), count=1, seed=6).frames)
    colors = torch.cat(
        [cells.color[0, 0][cells.side[0, 0] >= 0], torch.tensor([[0] * 3, [GRAY] * 3, [255] * 3], dtype=torch.uint8)]
    )
    distance = torch.cdist(*[colors.double()] * 2) + 1e9 * torch.eye(len(colors))
    assert distance.min() > 60


@pytest.mark.parametrize("scene", SCENES)
def test_same_seed_same_bytes_and_other_seeds_other_clips(scene):
    config = scene(clutter=5)
    first = render(config, count=200, seed=(3, 1))
    assert digest(first) == digest(render(config, count=200, seed=(3, 1)))
    assert len({digest(render(config, count=200, seed=seed)) for seed in ((3, 1), (3, 2), (4, 1), 3)}) == 4
    assert len({clip.numpy().tobytes() for clip in first.frames}) == 200


@pytest.mark.slow
def test_same_bytes_in_another_process():
    imports = "\n".join(f"from {scene.__module__} import {scene.__name__}" for scene in SCENES)
    program = (
        f"import hashlib; from linvid_edu.video.scenes import render\n{imports}\n"
        f"for scene in ({', '.join(scene.__name__ for scene in SCENES)}):\n"
        "    parts = render(scene(clutter=5), count=200, seed=(1, 2))[:3]\n"
        "    print(hashlib.sha256(b''.join(part.numpy().tobytes() for part in parts)).hexdigest())"
    )
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert lines == [digest(render(scene(clutter=5), count=200, seed=(1, 2))) for scene in SCENES]


@pytest.mark.parametrize("scene", SCENES)
def test_objects_do_not_change_with_noise_and_clutter(scene):
    """Also beyond the clips that are painted at once."""
    plain, noisy, cluttered = (
        render(clean(scene, **knobs), count=400, seed=7) for knobs in ({}, {"noise": 0.3}, {"clutter": 9})
    )
    for other in (noisy, cluttered):
        assert torch.equal(other.label, plain.label)
        assert torch.equal(other.boxes, plain.boxes)
    shown = read(plain.frames).shown.unflatten(-1, [plain.frames.shape[2] // CELL] * 2)
    pixels = shown.repeat_interleave(CELL, -1).repeat_interleave(CELL, -2)
    assert torch.equal(plain.frames[pixels], cluttered.frames[pixels])
    assert not torch.equal(plain.frames, cluttered.frames)


@pytest.mark.parametrize("scene", SCENES)
def test_objects_do_not_change_with_the_grid(scene):
    """Blank cells alone are added: every object keeps its color, its bar and, with its cell, its flash."""

    def objects(grid):
        scenes = render(clean(scene, grid=grid), count=400, seed=8)
        cells = read(scenes.frames)
        masks = box_coverage(scenes.boxes, size=CELL * grid, grid=(grid, grid)).flatten(-2).bool().unbind(2)
        return scenes.label, [(cells.color[mask], cells.side[mask], mask.any(-1)) for mask in masks]

    small, large = objects(4), objects(11)
    assert torch.equal(small[0], large[0])
    for mine, others in zip(small[1], large[1], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))


def test_noise_has_the_stated_deviation():
    frames = render(CueLookup(noise=0.1, objects=1), count=100, seed=9).frames
    blank = read(render(clean(CueLookup, objects=1), count=100, seed=9).frames).shown.logical_not()
    pixels = rearrange(frames, "b t (r y) (c x) rgb -> b t (r c) (y x rgb)", y=CELL, x=CELL)[blank].double()
    assert pixels.std() == pytest.approx(25.5, rel=0.02)
    assert pixels.mean() == pytest.approx(GRAY, abs=0.5)


@pytest.mark.parametrize("scene", SCENES)
def test_mirrored_clips_have_the_stated_labels(scene):
    config = clean(scene, clutter=4, objects=4)
    scenes = render(config, count=200, seed=10)
    mirrored = torch.tensor(config.mirrored)[scenes.label]
    assert torch.equal(read_label(config, read(scenes.frames.flip(3))), mirrored)
    assert not config.flip_keeps_label


@pytest.mark.parametrize("scene", SCENES)
def test_shapes_and_kinds(scene):
    config = scene(grid=6, objects=3, clutter=2)
    scenes = render(config, count=3, seed=0)
    assert scenes.frames.shape == (3, config.frames, 24, 24, 3)
    assert scenes.frames.dtype == torch.uint8
    assert scenes.label.dtype == torch.int64
    assert scenes.boxes.shape == (3, config.frames, len(config.roles), 4)
    assert scenes.boxes.dtype == torch.float32
    assert scenes.roles == config.roles


@pytest.mark.parametrize(
    ("scene", "knobs", "words"),
    [
        (CueLookup, {"objects": 0}, "objects is 0, it must be 1 to 8"),
        (CueLookup, {"objects": 9}, "objects is 9, it must be 1 to 8"),
        (CueLookup, {"grid": 3, "objects": 1}, "grid is 3, it must be at least 4"),
        (CueLookup, {"clutter": 62}, "grid is 8, it must be at least 9: 65 cells are occupied"),
        (Flash, {"objects": 17}, "objects is 17, it must be 1 to 16"),
        (Flash, {"clutter": 13}, "grid is 4, it must be at least 5: 17 cells are occupied"),
        (Flash, {"frames": 1}, "frames is 1, it must be at least 2: the label is in the frame after the flash"),
        *[(scene, {"clutter": -1}, "clutter is -1, it must be at least 0") for scene in SCENES],
        *[(scene, {"noise": 1.5}, "noise is 1.5, it must be 0 to 1") for scene in SCENES],
        *[(scene, {"noise": math.nan}, "noise is nan, it must be 0 to 1") for scene in SCENES],
    ],
)
def test_knobs_are_checked_when_set(scene, knobs, words):
    with pytest.raises(ValueError, match=words):
        scene(**knobs)
    with pytest.raises(ValueError, match=words):
        replace(scene(), **knobs)


@pytest.mark.parametrize("scene", SCENES)
def test_photographs_are_refused(scene):
    photographs = np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match=f"{scene.__name__} takes no photographs"):
        render(scene(), count=1, seed=0, photographs=photographs)


CLIPS = 4_000


def close(share, expected):
    """Whether a share of CLIPS lies within 4.5 standard errors of what it should be."""
    return abs(share - expected) <= 4.5 * math.sqrt(max(expected * (1 - expected), 1e-9) / CLIPS) + 1e-9


class Solver:
    """The objects of many clips as their boxes and bars: index 0 is the target, but no solver knows that."""

    def __init__(self, config, seed):
        self.scenes = render(config, count=CLIPS, seed=seed)
        self.label, self.clip = self.scenes.label, torch.arange(CLIPS)
        cells = read(self.scenes.frames)
        corner = self.scenes.boxes[..., :2] / CELL
        place = (corner[..., 1] * config.grid + corner[..., 0]).long()  # (b t objects)
        self.side = cells.side.gather(2, place[:, :, : config.objects])
        self.corner, self.place = corner, place
        self.random = torch.Generator().manual_seed(seed)

    def accuracy(self, guess):
        return (guess == self.label).double().mean().item()

    def most_frequent(self, side):
        """The most frequent of the sides, one of them where several are, (b many) → (b)."""
        count = (side[..., None] == torch.arange(4)).sum(1).double()
        return (count + torch.rand(count.shape, generator=self.random) / 2).argmax(1)

    def of_nearest(self, side, places, here):
        """The bar of the object nearest to a place."""
        distance = (places - here[:, None]).norm(dim=-1)
        tie = torch.rand(distance.shape, generator=self.random) / 1e3
        return side[self.clip, (distance + tie).argmin(1)]

    def of_random(self, side):
        return side[self.clip, torch.rand(side.shape, generator=self.random).argmax(1)]


@pytest.mark.parametrize(("objects", "clutter"), [(1, 7), (2, 0), (2, 7), (4, 7), (8, 0)])
def test_no_shortcut_of_the_lookup_beats_its_ceiling(objects, clutter):
    solver = Solver(clean(CueLookup, objects=objects, clutter=clutter, grid=5), seed=objects)
    side, corner = solver.side[:, 0], solver.corner[:, 0]
    some_object = 1 / objects + (1 - 1 / objects) / 4
    frequent = np.mean([max(map(sides.count, range(4))) / objects for sides in product(range(4), repeat=objects)])
    reached = {
        "one class": (solver.label.bincount(minlength=4).max().item() / CLIPS, 0.25),
        "a random object": (solver.accuracy(solver.of_random(side)), some_object),
        "the object nearest to the cue": (
            solver.accuracy(solver.of_nearest(side, corner[:, :-1], corner[:, -1])),
            some_object,
        ),
        "the first object": (solver.accuracy(side[solver.clip, solver.place[:, 0, :-1].argmin(1)]), some_object),
        "the most frequent bar": (solver.accuracy(solver.most_frequent(side)), frequent),
    }
    for shortcut, (share, expected) in reached.items():
        assert close(share, expected), (shortcut, share, expected)
        assert share <= frequent + 0.03, shortcut


def test_the_stated_ceilings_of_the_lookup():
    stated = {2: 0.625, 4: 0.531, 8: 0.442}
    for objects, ceiling in stated.items():
        sides = product(range(4), repeat=objects)
        assert np.mean([max(map(each.count, range(4))) for each in sides]) / objects == pytest.approx(ceiling, abs=5e-4)
        assert f"{ceiling}".removeprefix("0") in CueLookup.__doc__


@pytest.mark.slow
@pytest.mark.parametrize(("objects", "clutter"), [(1, 7), (2, 0), (4, 0), (4, 7), (6, 0), (8, 7)])
def test_no_shortcut_of_the_flash_beats_a_solver_that_ignores_which_object_flashes(objects, clutter):
    solver = Solver(clean(Flash, objects=objects, clutter=clutter), seed=objects)
    clip, (_, frame, cell) = solver.clip, read(solver.scenes.frames).flashed.nonzero(as_tuple=True)
    here = solver.corner[clip, frame, -2]
    now, after = solver.side[clip, frame], solver.side[clip, frame + 1]
    corners = solver.corner[clip, frame + 1, :-2]
    same_place = solver.place[clip, frame + 1, :-2] == cell[:, None]
    any_object = solver.of_random(after)
    in_place = torch.where(same_place.any(1), after[clip, same_place.int().argmax(1)], any_object)
    ceiling = math.ceil(objects / 4) / objects
    pairs = sum(n * (n - 1) for n in (len(range(first, objects, 4)) for first in range(4)))
    some_object = (objects + pairs) / objects**2  # the target itself, or another object with the same bar
    reached = {
        "one class": (solver.label.bincount(minlength=4).max().item() / CLIPS, 0.25),
        "the flashed object's bar at the flash": (solver.accuracy(now[:, 0]), 0.25),
        "the most frequent bar after the flash": (solver.accuracy(solver.most_frequent(after)), ceiling),
        "a random object after the flash": (solver.accuracy(any_object), some_object),
        "the object nearest to the flash": (solver.accuracy(solver.of_nearest(after, corners, here)), some_object),
        "the object in the flash's cell": (solver.accuracy(in_place), some_object),
        "the first object": (solver.accuracy(after[clip, solver.place[clip, frame + 1, :-2].argmin(1)]), some_object),
    }
    for shortcut, (share, expected) in reached.items():
        assert close(share, expected), (shortcut, share, expected)
        assert share <= ceiling + 0.03, shortcut
    blind = solver.accuracy(solver.most_frequent(solver.side.flatten(1)))  # nor does it know when
    assert blind <= ceiling + 0.03
    assert objects % 4 or close(blind, 0.25)


def test_the_color_without_the_time_is_not_enough():
    """A solver that follows the flashed object, but not when it flashed, guesses among its bars in the other frames."""
    solver = Solver(clean(Flash, frames=4), seed=1)
    of_target = solver.side[:, 1:, 0]
    sides = product(range(4), repeat=3)
    expected = np.mean([max(map(each.count, range(4))) / 3 for each in sides])
    assert expected == 0.5625
    assert close(solver.accuracy(solver.most_frequent(of_target)), expected)
