"""The FixationExplorer without a browser: ratios and answers follow the slider, and what does not fit is reported."""

import json

import pytest
import torch
from javascript import run_javascript

from linvid_edu.figures.plots import fixation_ratios
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.interventions import changed_ratios, forced
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.loop import initialize
from linvid_edu.training.tasks import TASKS
from linvid_edu.video.clip import Clip, denormalize
from linvid_edu.widgets import FixationExplorer
from linvid_edu.widgets.fixation import run_forced
from linvid_edu.widgets.frontend import front_end

FRAMES = 4


def made(frames=FRAMES, **changes):
    settings = {"num_frames": FRAMES, "fixation": "cooperative", "width": 16, "heads": 2} | changes
    model = initialize(VideoTransformer(ModelConfig.compact(**settings)), seed=0, gain=1.5).eval()
    video = torch.rand(3, frames, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Clip(video, denormalize(video), torch.arange(frames) / 4, "<img src=x onerror=alert(1)>.mp4"), model


def test_the_slider_runs_from_shut_over_learned_to_open():
    clip, model = made()
    explorer = FixationExplorer(clip, model)
    explorer.layer = (0, "time")  # the first: its input does not depend on ratios
    q, k = explorer.ratios()
    learned = model(clip.video.unsqueeze(0))[0]
    torch.testing.assert_close(explorer.logits(), learned.detach())
    explorer.position = 1.0
    assert all((ratio == 1).all() for ratio in explorer.ratios())
    with changed_ratios(model, forced(1.0)):
        torch.testing.assert_close(explorer.logits(), model(clip.video.unsqueeze(0))[0].detach())
    explorer.position = 0.5
    torch.testing.assert_close(explorer.ratios()[0], (q + 1) / 2)
    explorer.position = -1.0
    assert all((ratio == 0).all() for ratio in explorer.ratios())
    explorer.position = 0.0
    torch.testing.assert_close(explorer.ratios()[1], k)
    torch.testing.assert_close(explorer.logits(), learned.detach())


def test_half_of_every_ratio_changes_nothing_because_rows_are_normalized():
    clip, model = made()
    explorer = FixationExplorer(clip, model)
    before = explorer.logits()
    explorer.position = -0.5
    torch.testing.assert_close(explorer.logits(), before, rtol=1e-3, atol=1e-4)


def test_one_layer_can_be_forced_alone():
    clip, model = made()
    explorer = FixationExplorer(clip, model)
    explorer.layer, explorer.alone, explorer.position = (0, "time"), True, 1.0
    assert (explorer.ratios()[0] == 1).all()
    explorer.layer = (1, "space")
    assert (explorer.ratios()[0] == 1).all()  # the layer that is looked at is the one that is forced
    others = run_forced(clip, model, 1.0, (1, "space")).traced.trace.blocks
    assert (others[0]["time"].ratios.q < 1).all()


def test_the_browser_gets_features_ratios_and_answers():
    clip, model = made()
    explorer = FixationExplorer(clip, model, classes=["a", "b", "<b>c</b>", "d"])
    meta, data = explorer.packed.meta, explorer.packed.data
    assert meta["classes"][2] == "<b>c</b>"
    assert meta["layers"] == [[0, "time"], [0, "space"], [1, "time"], [1, "space"]]
    size = 2 * FRAMES * 64 * 8
    assert len(data) == meta["ratiosAt"] + 4 * 2 * size
    levels = torch.frombuffer(bytearray(data[meta["ratiosAt"] + 6 * size :]), dtype=torch.uint8).float() / 255
    q, k = explorer.ratios()
    torch.testing.assert_close(levels[:size], q.flatten(), rtol=0, atol=0.5 / 255 + 1e-6)
    torch.testing.assert_close(levels[size:], k.flatten(), rtol=0, atol=0.5 / 255 + 1e-6)
    assert sum(meta["learned"]) == pytest.approx(1)
    before = explorer.packed
    explorer.position = 1.0
    assert explorer.packed is not before
    assert explorer.packed.meta["now"] != explorer.packed.meta["learned"]


def test_channels_that_no_token_opens_are_counted():
    clip, model = made()
    explorer = FixationExplorer(clip, model)
    assert explorer.shut() == (0, 0)
    explorer.position = -1.0
    assert explorer.shut() == (16, 16)


def test_the_widget_reports_what_does_not_fit():
    clip, _ = made()
    plain = VideoTransformer(ModelConfig.compact(num_frames=FRAMES)).eval()
    explorer = FixationExplorer(clip, plain)
    assert "has no fixation ratios: take one with fixation" in explorer.problem
    assert explorer.snapshot() is None
    data, _ = explorer._repr_mimebundle_()
    assert data["text/plain"] == explorer.problem
    longer, model = made(frames=5)
    explorer = FixationExplorer(clip, model)
    explorer.show(longer)
    assert "the clip has 5 frames" in explorer.problem
    assert "num_frames=4" in explorer.problem
    assert explorer.snapshot() is not None
    explorer.show(clip)
    assert explorer.problem == ""


def test_places_that_do_not_exist_raise():
    clip, model = made()
    explorer = FixationExplorer(clip, model)
    for name, value, words in (
        ("query", (4, 0, 0), "frame=4 does not exist: choose 0 to 3"),
        ("layer", (2, "time"), "block=2 does not exist"),
        ("layer", (0, "joint"), "span='joint' does not exist: choose one of time, space"),
        ("head", 2, "head=2 does not exist: choose 0 to 1"),
        ("channel", 8, "channel=8 does not exist: choose 0 to 7"),
    ):
        with pytest.raises(ValueError, match=words):
            setattr(explorer, name, value)


def test_the_snapshot_describes_the_ratios():
    clip, model = made()
    explorer = FixationExplorer(clip, model)
    explorer.position = 1.0
    alt = explorer.snapshot().alt
    assert "forced to +1.00" in alt
    assert "Query ratios of the token average 1, from 1 to 1" in alt
    with pytest.raises(ValueError, match="they must lie in 0 to 1"):
        fixation_ratios(torch.full((2, 3, 4, 5), 1.5), torch.zeros(2, 3, 4, 5), token=(0, 0))


def test_the_shipped_model_answers_its_sample_clip_right_and_the_browser_knows_the_truth():
    explorer = FixationExplorer()
    meta = explorer.packed.meta
    assert meta["classes"][meta["truth"]] == "recedes"
    assert explorer.logits().argmax() == meta["truth"]
    clip, model = made()
    assert FixationExplorer(clip, model, classes=["recedes", "b", "c", "d"]).packed.meta["truth"] is None


@pytest.mark.parametrize(
    ("now", "truth", "expected"),
    [
        ([0.2, 0.3, 0.5], 1, "answer: turns 50 % ✗ (truth: right)"),
        ([0.2, 0.7, 0.1], 1, "answer: right 70 % ✓ (the truth)"),
        ([0.6, 0.3, 0.1], None, "answer: left 60 %"),
    ],
)
def test_the_answer_is_marked_if_the_truth_is_known(now, truth, expected):
    meta = json.dumps({"classes": ["left", "right", "turns"], "now": now, "truth": truth})
    assert run_javascript(f"{front_end('fixation.js')}\nconst result = answerInWords({meta});") == expected


def test_the_scale_of_the_ratios_reaches_over_the_learned_ones():
    source = front_end("fixation.js")
    calls = "SCALES.map((scale) => rangeOf([0.25, 0.5], scale)).concat([rangeOf([0.5, 0.5], SCALES[0])])"
    assert run_javascript(f"{source}\nconst result = {calls};") == [[0.25, 0.5], [0, 1], [0, 1]]


def test_the_shipped_checkpoint_comes_with_the_names_of_its_classes():
    clip, _ = made(frames=8)
    explorer = FixationExplorer(clip)
    assert explorer.problem == ""
    assert explorer.packed.meta["classes"][0] == TASKS["motion"].classes[0]
