"""The AssociationExplorer without a browser: every channel is followed to its source, at borders too."""

import pytest
import torch
from traitlets import TraitError

from linvid_edu.attention.association import NEIGHBORS
from linvid_edu.figures.plots import channel_sources
from linvid_edu.models.config import ModelConfig
from linvid_edu.shapes import Grid
from linvid_edu.widgets import AssociationExplorer
from linvid_edu.widgets.association import in_words, rule, sources
from linvid_edu.widgets.shared_table import NOTHING


def test_attention_over_space_borrows_from_frames():
    found = sources("space", frames=3, grid=Grid(2, 5), width=32, shift_div=4)
    middle = found[1, 0, 2].tolist()
    assert middle == [10 + 10 + 2] * 8 + [0 + 2] * 8 + [10 + 2] * 16
    assert found[2, 1, 1, :8].tolist() == [NOTHING] * 8  # no frame follows
    assert found[0, 1, 1, 8:16].tolist() == [NOTHING] * 8


def test_attention_over_time_borrows_from_the_eight_places_around():
    offsets = rule("time", width=64, shift_div=4)
    assert offsets[:32:4].tolist() == [[0, *neighbor] for neighbor in NEIGHBORS]
    assert (offsets[32:] == 0).all()


def test_at_the_border_the_first_groups_are_zero_and_the_diagonal_ones_stay():
    corner = sources("time", frames=1, grid=Grid(3, 3), width=16, shift_div=4)[0, 0, 0].tolist()
    below, above, right, left = corner[:4]
    assert (below, above, right, left) == (3, NOTHING, 1, NOTHING)
    assert corner[4:8] == [0, 4, 0, 0]  # only the one below and to the right exists


def test_joint_attention_borrows_from_frames_then_from_places():
    offsets = rule("joint", width=64, shift_div=4).tolist()
    assert offsets[0] == [1, 1, 0]
    assert offsets[16] == [-1, -1, -1]
    assert offsets[63] == [0, 0, 0]


def test_shares_count_channels_both_ways():
    explorer = AssociationExplorer()
    assert explorer.query == (2, 4, 4)
    assert explorer.shares().sum() == pytest.approx(1)
    assert explorer.shares()[3, 4, 4] == explorer.shares()[1, 4, 4] == 0.25
    explorer.direction = "leaves"
    assert explorer.shares()[3, 4, 4] == 0.25
    explorer.query, explorer.direction = (0, 0, 0), "arrives"
    assert explorer.shares().sum() == pytest.approx(0.75)  # nothing comes from before the clip
    explorer.shift_div = 8
    assert explorer.shares()[1, 0, 0] == 0.125


def test_channels_are_described_in_words():
    explorer = AssociationExplorer()
    assert explorer.channels()[0] == "next frame"
    explorer.span, explorer.query = "time", (0, 0, 0)
    words = explorer.channels()
    assert (words[0], words[4], words[16], words[63]) == ("below", "zero", "itself, kept", "itself")
    assert in_words([-1, 0, 1]) == "previous frame, right"


def test_the_browser_gets_every_span_and_divisor_once():
    explorer = AssociationExplorer(ModelConfig.compact(association=True, shift_div=16, num_frames=2))
    settings, size = explorer.meta["settings"], 2 * 64 * 64
    assert "joint 16" in settings
    assert len(explorer.data) == 4 * size * len(settings) == 4 * size * 12
    at = settings.index("time 4") * size
    numbers = torch.frombuffer(bytearray(explorer.data), dtype=torch.int32)[at : at + size]
    expected = sources("time", frames=2, grid=Grid(8, 8), width=64, shift_div=4)
    assert torch.equal(numbers.long(), expected.flatten())


def test_what_does_not_exist_raises():
    with pytest.raises(ValueError, match="no association to show: pass a ModelConfig with association=True"):
        AssociationExplorer(ModelConfig.compact())
    explorer = AssociationExplorer()
    with pytest.raises(ValueError, match="frame=4 does not exist: choose 0 to 3"):
        explorer.query = (4, 0, 0)
    with pytest.raises(ValueError, match="shift_div=3 was not computed"):
        explorer.shift_div = 3
    with pytest.raises(TraitError):
        explorer.span = "nowhere"


def test_the_snapshot_describes_what_is_shown():
    explorer = AssociationExplorer()
    explorer.span, explorer.query = "time", (0, 0, 0)
    alt = explorer.snapshot().alt
    assert "attention over time" in alt
    assert "12 zero" not in alt
    assert "8 zero" in alt
    assert "12 itself, kept" in alt
    with pytest.raises(ValueError, match=r"expected \(t r c\) and \(heads d\)"):
        channel_sources(torch.zeros(2, 2), [["itself"]])
