"""Patches and tubelets come back exactly, grids count right, and every token knows its pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linvid_edu.shapes import Grid
from linvid_edu.video.tokens import (
    PatchEmbedding,
    from_patches,
    from_tubelets,
    patch_boxes,
    patch_grid,
    to_patches,
    to_tubelets,
)

sizes = st.integers(1, 4)


@given(b=sizes, t=sizes, rows=sizes, columns=sizes, frames=sizes, patch=sizes, c=sizes)
@settings(max_examples=40, deadline=None)
def test_tubelets_are_invertible(b, t, rows, columns, frames, patch, c):
    video = torch.randn(b, c, t * frames, rows * patch, columns * patch)
    tubelets = to_tubelets(video, frames=frames, patch=patch)
    assert tubelets.shape == (b, t, rows * columns, c * frames * patch * patch)
    back = from_tubelets(tubelets, frames=frames, patch=patch, grid=Grid(rows, columns))
    torch.testing.assert_close(back, video, rtol=0, atol=0)


def test_a_patch_holds_its_own_pixels():
    video = torch.randn(1, 3, 2, 6, 8)
    patches = to_patches(video, patch=2)
    token = Grid(3, 4).token(2, 1)
    torch.testing.assert_close(patches[0, 1, token].reshape(3, 2, 2), video[0, :, 1, 4:6, 2:4])
    torch.testing.assert_close(from_patches(patches, patch=2, grid=Grid(3, 4)), video, rtol=0, atol=0)


def test_what_does_not_tile_is_named():
    with pytest.raises(ValueError, match=r"5 × 6 × 8 .* cannot be divided into blocks of 2 × 2 × 2"):
        to_tubelets(torch.zeros(1, 3, 5, 6, 8), frames=2, patch=2)
    with pytest.raises(ValueError, match="12 tubelets of 12 values do not fill a 3×3 grid"):
        from_patches(torch.zeros(1, 2, 12, 12), patch=2, grid=Grid(3, 3))


@pytest.mark.parametrize(
    ("size", "window", "expected"),
    [(224, (16, 14, 8), (17, 17)), (56, (16, 14, 8), (5, 5)), (32, (6, 4, 1), (8, 8)), ((32, 64), (16, 16, 0), (2, 4))],
)
def test_grid_counts_and_the_embedding_agree(size, window, expected):
    kernel, stride, padding = window
    grid = patch_grid(size, kernel=kernel, stride=stride, padding=padding)
    assert grid == expected
    height, width = (size, size) if isinstance(size, int) else size
    embedding = PatchEmbedding(4, kernel=kernel, stride=stride, padding=padding)
    tokens, found = embedding(torch.randn(2, 3, 3, height, width))
    assert found == grid
    assert tokens.shape == (2, 3, grid.tokens, 4)


def test_a_frame_smaller_than_a_patch_is_named():
    with pytest.raises(ValueError, match=r"4×4 frame .* smaller than the 16-pixel patch"):
        patch_grid(4, kernel=16, stride=14)


def test_positions_and_tokens_are_inverse():
    grid = Grid(3, 5)
    assert [grid.token(*grid.position(token)) for token in range(15)] == list(range(15))
    for call in (lambda: grid.position(15), lambda: grid.token(3, 0), lambda: grid.token(0, -1)):
        with pytest.raises(IndexError, match="3×5 grid"):
            call()


def test_a_token_depends_on_its_box_and_on_nothing_else():
    """Changing the pixels of one patch box changes its token; changing all others does not."""
    embedding = PatchEmbedding(4, kernel=6, stride=4, padding=1)
    video = torch.randn(1, 3, 1, 32, 32)
    grid = patch_grid(32, kernel=6, stride=4, padding=1)
    token = grid.token(2, 5)
    x0, y0, x1, y1 = patch_boxes(grid, kernel=6, stride=4, padding=1)[token].int().tolist()
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[y0:y1, x0:x1] = True
    before = embedding(video)[0][0, 0, token]
    outside_changed = embedding(torch.where(inside, video, 9.0))[0][0, 0, token]
    inside_changed = embedding(torch.where(inside, 9.0, video))[0][0, 0, token]
    torch.testing.assert_close(outside_changed, before)
    assert not torch.allclose(inside_changed, before)
