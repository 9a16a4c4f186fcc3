"""The AttentionExplorer without a notebook: its rows are the library's, in Python and in the browser's JavaScript."""

import base64
import json
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from color_models import color_model
from javascript import run_javascript
from PIL import Image

from linvid_edu.attention.measures import (
    effective_tokens,
    mass_on,
    negative_share,
    normalized_entropy,
    top_mass,
)
from linvid_edu.attention.rivals import RIVALS
from linvid_edu.figures.explain_page import answering_models
from linvid_edu.models.clip_trace import recolor_clip
from linvid_edu.models.color_measures import ClipColors, mean_color_errors, measure_colors
from linvid_edu.models.config import KERNELS, ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import find_variant
from linvid_edu.shapes import Grid
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.clip import Clip, normalize
from linvid_edu.video.sample_objects import known_objects

pytest.importorskip("anywidget")

from linvid_edu.widgets import AttentionExplorer
from linvid_edu.widgets.frontend import front_end
from linvid_edu.widgets.packing import feature_numbers, pack
from linvid_edu.widgets.views import COLUMN, ROW, VIEW_DIRECTIONS, View, token_weights, trace_models, untrained

SAMPLES = Path(__file__).parents[1] / "data_samples"
# 3 frames of 4 × 5 tokens
SIZE = ModelConfig.compact(num_frames=3, image_size=(16, 20), kernel=4, stride=4, padding=0, width=12, heads=3)
VARIANTS = {
    "softmax": replace(SIZE, attention="softmax"),
    "linear": SIZE,
    "fixation": replace(SIZE, fixation="cooperative", association=True),
    "sana": replace(SIZE, attention="sana_video_attention", fixation="cooperative"),  # with negative weights
}
EVERY = {  # rivals, with features wider than the head and with negative weights among them
    name: replace(
        SIZE,
        width=32,
        heads=4,
        attention=name,
        fixation="cooperative" if name in KERNELS else "none",
        settings={"window": 1} if name == "shuffle_window" else {},  # which must divide 4 × 5
    )
    for name in RIVALS
}
TOKENS = ((0, 0, 0), (2, 3, 4), (1, 2, 1))


def models(variants=VARIANTS, **changes):
    torch.manual_seed(0)
    made = {name: VideoTransformer(replace(config, **changes)) for name, config in variants.items()}
    for model in made.values():  # sharper than at the start, so that rows differ
        for name, weight in model.named_parameters():
            if "qkv" in name:
                weight.data *= 3
    return made


def clip(t=3, h=16, w=20, source="clip.mp4"):
    frames = torch.randint(0, 256, (t, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Clip(normalize(frames), frames, torch.arange(t) / 4, source)


@pytest.fixture(scope="module", params=["divided", "joint", "every rival"])
def traced(request):
    if request.param == "every rival":
        return [trace_models(clip(), {name: model})[0] for name, model in models(EVERY).items()]
    return trace_models(clip(), models(space_time=request.param))


def views(traced):
    spans = ["clip"] if "joint" in traced[0].trace.blocks[0] else ["clip", "time", "space"]
    return [
        View(block, span, head, direction)
        for block, head in ((0, None), (1, 2))
        for span in spans
        for direction in VIEW_DIRECTIONS
    ]


def test_a_row_is_the_trace_s(traced):
    for each in traced:
        for frame, row, column in TOKENS:
            expected = each.trace.row(1, frame, each.grid.token(row, column))[0].mean(0)
            found = token_weights(each, View(1), (frame, row, column))
            torch.testing.assert_close(found.flatten(1), expected)


def test_a_column_collects_what_the_rows_give(traced):
    for each in traced:
        for view in views(traced):
            if view.direction != COLUMN:
                continue
            received = token_weights(each, view, (1, 2, 1)).nan_to_num(0)
            for token in ((1, 0, 3), (0, 2, 1), (2, 3, 4)):
                gives = token_weights(each, view._replace(direction=ROW), token).nan_to_num(0)
                torch.testing.assert_close(received[token], gives[1, 2, 1])


def test_weights_outside_a_map_are_not_numbers():
    each = trace_models(clip(), models())[0]
    space, time = (token_weights(each, View(0, span), (1, 2, 3)) for span in ("space", "time"))
    assert space[1].isfinite().all()
    assert space[[0, 2]].isnan().all()
    assert time[:, 2, 3].isfinite().all()
    assert int(time.isfinite().sum()) == 3


def in_javascript(traced, asked, masks, kind):
    """Compute weights and measures as the widget does: unpack the bytes, then rows."""
    meta, data = pack(clip(), traced, objects=masks, kind=kind)
    places = [[*view[:3], view.direction == COLUMN, frame, 5 * row + col] for view, frame, row, col in asked]
    return run_javascript(
        f"""
        {front_end("attention.js")}
        const meta = {json.dumps(meta)};
        const bytes = fromBase64("{base64.b64encode(b"---" + data).decode()}").subarray(3);
        const masks = Object.fromEntries(meta.objects.map(([name, part]) => [name, unpack(bytes, part)]));
        const asked = {json.dumps(places)};
        const result = meta.models.map((model) => asked.map(([block, span, head, inward, frame, place]) => {{
          const weights = tokenWeights(layersOf(model.blocks[block], bytes), span, head, [frame, place], inward);
          return {{ weights: Array.from(weights), ...measures(weights, masks) }};
        }}));
        """
    )


def test_the_browser_s_rows_and_measures_are_the_library_s(traced):
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[:, 1:3, 1:4] = True
    asked = [(view, *token) for view in views(traced) for token in TOKENS]
    found = in_javascript(traced, asked, {"<b>": mask}, "float32")
    assert len(found) == len(traced) >= 4
    negative = 0.0
    for model, answers in zip(traced, found, strict=True):
        for (view, *token), answer in zip(asked, answers, strict=True):
            weights = token_weights(model, view, tuple(token)).flatten()
            reached = ~weights.isnan()
            in_browser = torch.tensor(
                [np.nan if weight is None else weight for weight in answer["weights"]], dtype=torch.float32
            )
            torch.testing.assert_close(in_browser, weights, atol=1e-5, rtol=1e-5, equal_nan=True)
            inside = weights[reached].double()
            if not inside.any():  # such as a key that no query of another window reaches
                assert (answer["size"], answer["sum"], answer["negative"]) == (0, 0, 0)
                continue
            expected = {
                "entropy": normalized_entropy(inside),
                "effective": effective_tokens(inside),
                "top": top_mass(inside),
                "sum": inside.sum(),
                "negative": negative_share(inside),
            }
            for name, value in expected.items():
                assert answer[name] == pytest.approx(value.item(), rel=1e-5, abs=1e-5), (name, view)
            negative = max(negative, answer["negative"])
            on = answer["on"]["<b>"]
            assert on["mass"] == pytest.approx(mass_on(inside, mask.flatten()[reached]).item(), abs=1e-5)
            assert on["share"] == pytest.approx(mask.flatten()[reached].double().mean().item(), abs=1e-5)
    assert negative > 0.05


@pytest.mark.parametrize(("kind", "error"), [("float16", 2e-3), ("scaled", 0.05)])
def test_rounded_features_give_nearly_the_same_rows(kind, error):
    kept = {name: model for name, model in models().items() if name != "sana"}  # its weights may be huge
    traced = trace_models(clip(), kept)
    asked = [(View(1, head=head), *token) for head in (None, 1) for token in TOKENS]
    for model, answers in zip(traced, in_javascript(traced, asked, {}, kind), strict=True):
        for (view, *token), answer in zip(asked, answers, strict=True):
            weights = token_weights(model, view, tuple(token)).flatten().numpy()
            assert 0 < np.abs(np.array(answer["weights"]) - weights).sum() < error * np.abs(weights).sum()


def test_normalizers_are_the_sums_of_their_rows(traced):
    for each in traced:
        for layer in each.trace.blocks[0].values():
            similarity = (layer.input_q[0, 1, 2, 3] * layer.input_k[0, 1]).sum(-1)
            group = {"space": similarity[2], "time": similarity[:, 3], "joint": similarity}[layer.span]
            z = layer.normalizer[0, 1, 2, 3]
            expected = {
                "linear": group.sum() + 1e-6,
                "softmax": (group * layer.q.shape[-1] ** -0.5).exp().sum().log(),
                "product": torch.ones(()),
            }
            torch.testing.assert_close(z, expected[layer.similarity])


def test_a_model_that_was_never_trained_is_called_so():
    model = VideoTransformer(SIZE)
    assert untrained(model)
    explorer = AttentionExplorer(clip(), {"mine": model})
    assert explorer.packed.meta["models"][0]["status"] == "untrained: random weights"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(clip().video.unsqueeze(0)).square().sum().backward()
    optimizer.step()
    assert not untrained(model)
    assert AttentionExplorer(clip(), {"mine": model}).packed.meta["models"][0]["status"] == ""


def test_the_widget_reports_what_does_not_fit():
    some = models()
    joint = VideoTransformer(replace(SIZE, space_time="joint"))
    small = {"dog": torch.ones(3, 2, 2, dtype=torch.bool)}
    for explorer, words in (
        (AttentionExplorer(clip(t=4), some), "the clip has 4 frames, softmax expects 3: load it with num_frames=3"),
        (AttentionExplorer(clip(h=20), some), "the clip has 20×20 pixels, softmax expects 16×20"),
        (AttentionExplorer(clip(), {}), "models has 0 entries: pass 1 to 4"),
        (AttentionExplorer(clip(), {"linear": some["linear"], "joint": joint}), "4×5 divided and 4×5 joint"),
        (AttentionExplorer(clip(), some, objects=small), "mask of 'dog' has shape (3, 2, 2), expected (3, 4, 5)"),
    ):
        assert words in explorer.problem
        assert explorer.packed is None
        assert explorer.snapshot() is None
        assert explorer._repr_mimebundle_()[0]["text/plain"] == explorer.problem
        with pytest.raises(ValueError, match="is not shown"):
            explorer.rows()
    with pytest.raises(ValueError, match="where='gpu' is unknown"):
        AttentionExplorer(clip(), some, where="gpu")


def test_a_clip_that_fits_is_shown_after_one_that_did_not():
    explorer = AttentionExplorer(clip(t=4), models())
    explorer.show(clip())
    assert explorer.problem == ""
    assert explorer.snapshot() is not None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("block", 2, "block=2 does not exist: choose 0 to 1"),
        ("head", 3, "head=3 does not exist: choose 0 to 2"),
        ("span", "joint", "span='joint' does not exist: choose one of 'clip', 'time', 'space'"),
        ("query", (3, 0, 0), "frame=3 does not exist: choose 0 to 2"),
        ("compared", (0, 0, 5), "column=5 does not exist: choose 0 to 4"),
    ],
)
def test_an_unknown_layer_or_token_raises(name, value, words):
    explorer = AttentionExplorer(clip(), models())
    with pytest.raises(ValueError, match=words):
        setattr(explorer, name, value)


def test_a_clip_that_does_not_fit_is_reported_and_the_next_one_is_shown():
    explorer = AttentionExplorer(clip(), models())
    before = explorer.packed
    explorer.show(clip(t=5, source="folder/<img onerror=alert(1)>.mp4"))
    assert explorer.problem.startswith("<img onerror=alert(1)>.mp4 is not shown: the clip has 5 frames")
    assert explorer.packed is before
    explorer.compared = (2, 1, 1)
    explorer.show(clip(source="folder/next.mp4"))
    assert explorer.problem == ""
    assert explorer.packed.meta["source"] == "next.mp4"
    assert explorer.compared is None


def test_any_variants_stand_side_by_side_on_one_set_of_weights():
    names = ["cosformer-cooperative", "nystrom-association", "elu_linear", "softmax", "performer"]
    labels = [find_variant(name).label for name in names]
    explorer = AttentionExplorer(clip(), answering_models(clip(), mechanisms=names))
    assert explorer.problem == ""
    assert explorer.offered == labels
    assert explorer.shown == [each["name"] for each in explorer.packed.meta["models"]] == labels[:4]
    assert {each["status"] for each in explorer.packed.meta["models"]} == {"random weights"}
    first, *_ = explorer._models.values()
    for model in explorer._models.values():
        assert torch.equal(model.blocks[0].attention["space"].qkv.weight, first.blocks[0].attention["space"].qkv.weight)


def test_other_models_are_shown_and_the_rest_stays_as_it_was():
    given = {**models(), "another": models()["linear"], "joint": VideoTransformer(replace(SIZE, space_time="joint"))}
    explorer = AttentionExplorer(clip(), given)
    explorer.query, explorer.block, explorer.head = (1, 2, 3), 0, 2
    before = explorer.packed
    explorer.shown = ["another", "softmax"]
    assert explorer.packed is not before
    assert [each["name"] for each in explorer.packed.meta["models"]] == ["another", "softmax"]
    assert (explorer.query, explorer.block, explorer.head) == ((1, 2, 3), 0, 2)
    assert explorer.rows().shape == (2, 1, 3, 4, 5)
    assert "another" in explorer.snapshot().alt
    before = explorer.packed
    explorer.shown = ["softmax", "joint"]
    assert "not shown together: softmax and joint differ" in explorer.problem
    assert (explorer.packed, explorer.shown) == (before, ["another", "softmax"])
    explorer.shown = ["joint"]
    assert (explorer.problem, explorer.packed.meta["choices"]["joint"]) == ("", True)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (["linaer"], "model 'linaer' was not given: choose from 'softmax', 'linear'"),
        ([], "name 1 to 4 different models"),
        (["linear", "linear"], "name 1 to 4 different models"),
        (["softmax", "linear", "fixation", "sana", "fifth"], "name 1 to 4 different models"),
    ],
)
def test_models_that_cannot_be_shown_raise(shown, words):
    explorer = AttentionExplorer(clip(), {**models(), "fifth": models()["linear"]})
    with pytest.raises(ValueError, match=words):
        explorer.shown = shown


def test_features_wider_than_the_head_count_where_rows_are_computed():
    config = replace(SIZE, attention="cosformer")
    (model,) = trace_models(clip(), {"cosformer": VideoTransformer(config)})
    widths = {layer.input_q.shape[-1] for layers in model.trace.blocks for layer in layers.values()}
    assert widths == {8}  # of heads that are 4 wide
    assert feature_numbers([model]) == 2 * 2 * 2 * 3 * 60 * 8  # blocks, layers, q and k, heads, tokens, features


def test_rows_from_python_are_one_for_each_model_and_token():
    explorer = AttentionExplorer(clip(), models(), where="kernel")
    assert not explorer.packed.meta["inBrowser"]
    assert len(explorer.packed.data) < 4000  # the pixels alone
    explorer.compared = (0, 1, 2)
    assert explorer.rows().shape == (4, 2, 3, 4, 5)
    sent = []
    explorer.send = lambda content, buffers: sent.append((content, buffers))
    state = {"query": [2, 1, 0], "compared": None, "block": 0, "span": "space", "head": 1, "direction": "query → keys"}
    explorer._send_rows(explorer, {"client": 7, "state": state}, [])
    explorer._send_rows(explorer, {"client": 7, "state": state | {"block": 9}}, [])
    (good, buffers), (bad, none) = sent
    expected = token_weights(explorer._traced[1], View(0, "space", 1), (2, 1, 0))
    found = np.frombuffer(buffers[0], np.float32).reshape(4, 1, 3, 4, 5)
    assert good == {"client": 7, "problem": ""}
    np.testing.assert_array_equal(found[1, 0], expected.numpy())
    assert (bad["problem"], none) == ("block=9 does not exist: choose 0 to 1", [])


def test_the_picture_shows_the_state():
    explorer = AttentionExplorer(clip(), models())
    explorer.query, explorer.span, explorer.head = (1, 2, 3), "space", 0
    bundle, metadata = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(bundle["image/png"]) > 10_000
    assert "query token in frame 1, row 2, column 3" in metadata["image/png"]["alt"]
    assert "space, block 1, head 0" in bundle["text/plain"]
    explorer.direction = "key ← queries"
    assert "key ← queries" in explorer.snapshot().alt


def test_a_token_that_gives_no_weight_is_still_drawn():
    model = VideoTransformer(replace(SIZE, feature_map="relu"))
    model.blocks[1].attention["space"].qkv.bias.data.fill_(-100)
    explorer = AttentionExplorer(clip(), {"relu": model})
    explorer.span = "space"
    assert float(explorer.rows().nansum()) == 0
    assert "no weight on any token" in explorer.snapshot().alt


def test_the_shipped_checkpoints_stand_in_where_no_model_is_given():
    pytest.importorskip("av")
    from linvid_edu.video.reading import load_clip

    path = SAMPLES / "motion_left_photo.mp4"
    explorer = AttentionExplorer(load_clip(path, num_frames=8, size=32))
    shown = [each["name"] for each in explorer.packed.meta["models"]]
    assert shown == ["softmax", "linear", "cooperative fixation", "cooperative fixation + association"]
    assert [name for name, _ in explorer.packed.meta["objects"]] == ["target", "distractor"]
    longer = AttentionExplorer(load_clip(path, num_frames=16, size=32))
    assert "the clip has 16 frames, softmax expects 8" in longer.problem


def test_known_objects_are_where_the_scene_has_them(tmp_path):
    pytest.importorskip("av")
    from linvid_edu.video.reading import load_clip
    from linvid_edu.video.samples import SAMPLES as MADE
    from linvid_edu.video.scenes import render, role_mask

    sample = next(each for each in MADE if each.name == "motion_right_plain")
    scenes = render(sample.scene, count=1, seed=sample.seed)
    loaded = load_clip(SAMPLES / "motion_right_plain.mp4", num_frames=24, size=128)
    masks = known_objects(loaded, Grid(8, 8))
    assert set(masks) == {"target", "distractor"}
    for role, mask in masks.items():
        assert torch.equal(mask.flatten(1), role_mask(scenes, role, grid=(8, 8))[0])
    copied = tmp_path / "motion_right_plain.mp4"
    shutil.copy(SAMPLES / "motion_left_photo.mp4", copied)
    shutil.copy(SAMPLES / "manifest.json", tmp_path)
    assert known_objects(replace(loaded, source=str(copied)), Grid(8, 8)) == {}  # another file under that name
    assert known_objects(clip(), Grid(4, 5)) == {}


def test_the_color_models_stand_in_for_a_clip_of_their_size():
    frames = torch.randint(0, 255, (3, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    explorer = AttentionExplorer(Clip(normalize(frames), frames, torch.arange(3.0), "film"))
    assert explorer.problem == ""
    assert explorer.shown == ["softmax", "linear", "separate fixation", "cooperative fixation"]
    explorer.query = (2, 5, 5)
    rows = explorer.rows()
    assert rows[:, 0, 1:].isnan().all()  # only the known frame is reached
    assert "the uniform 1/144" in explorer.snapshot().alt
    torch.testing.assert_close(rows[:, 0, 0].sum(dim=(1, 2)), torch.ones(4), atol=1e-3, rtol=0)


def a_clip_in_color(t=4, size=24):
    frames = torch.randint(0, 256, (t, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    return Clip(normalize(frames), frames, torch.arange(t) / 4, "film.mp4")


def test_the_browser_computes_the_rows_of_color_models_over_the_known_frame():
    shown = a_clip_in_color()
    traced = trace_models(shown, {name: color_model(name) for name in ("softmax", "cooperative", "nystrom")})
    meta, data = pack(shown, traced)
    places = [(frame, 14, inward) for frame in (0, 2) for inward in (False, True)]
    answers = run_javascript(
        f"""
        {front_end("attention.js")}
        const meta = {json.dumps(meta)};
        const bytes = fromBase64("{base64.b64encode(data).decode()}");
        const result = meta.models.map((model) => {json.dumps(places)}.map(([frame, place, inward]) => {{
          const block = layersOf(model.blocks[0], bytes);
          const weights = tokenWeights(block, "clip", null, [frame, place], inward, model.recolored.known);
          return {{ weights: Array.from(weights), tokens: measures(weights).tokens }};
        }}));
        """
    )
    for model, of_model in zip(traced, answers, strict=True):
        for (frame, place, inward), answer in zip(places, of_model, strict=True):
            token = (frame, place // 6, place % 6)
            expected = token_weights(model, View(0, direction=COLUMN if inward else ROW), token).flatten()
            numbers = [float("nan") if value is None else value for value in answer["weights"]]
            found = torch.tensor(numbers, dtype=torch.float32)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4, equal_nan=True)
            assert answer["tokens"] == (4 * 36 if inward else 36)


def test_recolored_frames_are_those_of_the_copy_map():
    model, shown = color_model("softmax"), a_clip_in_color()
    recolored = recolor_clip(model, shown)
    lab = to_lab(shown.frames[None])
    measures, _ = measure_colors(model, lab, (0,))
    colors = ClipColors.of(lab, model.config.grid, (0,))
    shares = mean_color_errors(colors).sum(-1)[0]
    expected = (torch.tensor(recolored.errors[1:]) * shares).sum() / shares.sum()
    assert measures.relative_error == pytest.approx(expected.item(), rel=1e-4)
    assert recolored.errors[0] == 0
    assert torch.equal(recolored.frames[0], shown.frames[0])
    assert not torch.equal(recolored.frames[1], shown.frames[1])

    (packed,) = pack(shown, trace_models(shown, {"softmax": model})).meta["models"]
    picture = Image.open(BytesIO(base64.b64decode(packed["recolored"]["pictures"][2].partition(",")[2])))
    assert picture.size == (24, 24)
    assert packed["recolored"]["known"] == 0
    assert pack(clip(), trace_models(clip(), models())).meta["models"][0]["recolored"] is None
