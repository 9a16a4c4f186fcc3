"""The page of `linvid explain`: its numbers are the library's, its words say where the weights come from."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from color_models import color_model
from page_reader import Reader

from linvid_edu.attention.measures import concentration
from linvid_edu.models.checkpoint import load_model, save_model
from linvid_edu.models.color_transformer import gray_video
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.clip import Clip, normalize

pytest.importorskip("matplotlib")

from linvid_edu.figures.explain_page import (
    USUAL_ROWS,
    choose_query,
    explain,
    explanation_html,
    explanation_numbers,
    explanation_pictures,
)
from linvid_edu.figures.plots import magnified_patch

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[1] / "data_samples" / "motion_left_photo.mp4"
SIZE = ModelConfig.compact(num_frames=4)


def clip_of(frames, source="clip.mp4"):
    return Clip(normalize(frames), frames, torch.arange(len(frames)) / 4, source)


def moving(t=4, size=32, source="clip.mp4"):
    """A still picture in which one square of 4 pixels flickers, in the patch at row 5, column 2."""
    frames = torch.randint(0, 200, (1, size, size, 3), generator=torch.Generator().manual_seed(1)).repeat(t, 1, 1, 1)
    frames[::2, 20:24, 8:12] += 50
    return clip_of(frames.to(torch.uint8), source)


def checkpoint(folder, name, **changes):
    torch.manual_seed(len(name))
    return name, load_model(save_model(VideoTransformer(replace(SIZE, **changes)), folder / name))


def words_of(explanation, **options):
    """Write the page with one small figure in place of all: drawing takes most of the time."""
    figure = magnified_patch(torch.zeros(8, 8, 3, dtype=torch.uint8), 4)
    pictures = dict.fromkeys(("film", "attention", "attention_own_scales"), figure)
    return explanation_html(explanation, pictures=pictures, **options)


@pytest.fixture(scope="module")
def random_page():
    pytest.importorskip("av")
    from linvid_edu.video.reading import load_clip

    explanation = explain(load_clip(SAMPLE, num_frames=8, size=112))
    return explanation, explanation_html(explanation, command="linvid explain -- motion_left_photo.mp4")


def test_four_mechanisms_answer_with_distributions(random_page):
    explanation, _ = random_page
    names = ["softmax", "linear", "cooperative fixation", "cooperative fixation + association"]
    assert [answer.label for answer in explanation.answers] == names
    for answer in explanation.answers:
        assert answer.weights.shape == (8, 9, 9)
        assert answer.weights.sum().item() == pytest.approx(1, abs=1e-5)
        assert answer.concentration == concentration(answer.weights.flatten())
        assert (answer.rank <= 16) == (answer.label != "softmax")


def test_the_page_tells_the_numbers_of_the_library(random_page):
    explanation, text = random_page
    rows = Reader(text).rows
    uniform = concentration(torch.ones(648, dtype=torch.float64))
    assert len(rows) == 6
    for row, measures in zip(rows[1:], [*(a.concentration for a in explanation.answers), uniform], strict=True):
        entropy, effective, top, gini = (float(cell.strip().removesuffix("%").replace(",", "")) for cell in row[1:5])
        assert entropy == pytest.approx(measures.normalized_entropy, abs=6e-5)
        assert effective == pytest.approx(measures.effective_tokens, abs=0.06)
        assert top == pytest.approx(100 * measures.top_mass, abs=6e-3)
        assert gini == pytest.approx(measures.gini, abs=6e-5)
    assert rows[-1][0].startswith("uniform")


def test_the_numbers_for_json_are_those_of_the_answers(random_page):
    explanation, _ = random_page
    numbers = json.loads(json.dumps(explanation_numbers(explanation), allow_nan=False))
    assert list(numbers["mechanisms"]) == ["softmax", "linear", "cooperative", "cooperative-association"]
    for row, answer in zip(numbers["mechanisms"].values(), explanation.answers, strict=True):
        assert row["effective_tokens"] == answer.concentration.effective_tokens
        assert row["entropy"] == answer.concentration.normalized_entropy
        assert (row["rank"], row["weights"]) == (answer.rank, "random weights")
    assert (numbers["video"], numbers["tokens"]) == ("motion_left_photo.mp4", 648)
    assert numbers["query"] == list(explanation.query[:3])


def test_the_page_says_that_weights_are_random_and_how_the_query_was_chosen(random_page):
    _, text = random_page
    words = Reader(text).text
    assert words.count("Weights are random: this shows the mechanisms, not what a trained model looks at.") == 3
    assert "the token that changes most from frame to frame" in words
    assert "N = 8 · 9 · 9 = 648" in words
    assert "linvid explain -- motion_left_photo.mp4" in words
    assert "linvid_edu" in words
    assert f"torch {torch.__version__.split('+')[0]}" in words


def test_the_page_needs_nothing_and_tells_no_folder(random_page):
    _, text = random_page
    reader = Reader(text)
    links = [attrs[name] for _, attrs in reader.tags for name in ("src", "href", "srcset", "action") if name in attrs]
    assert len(links) == 3
    assert all(link.startswith("data:image/webp;base64,") for link in links)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"url\(|@import", text)
    assert str(SAMPLE.parent) not in text
    assert all(attrs["alt"] for tag, attrs in reader.tags if tag == "img")


def test_the_same_call_gives_the_same_page(random_page):
    explanation, text = random_page
    assert explanation_html(explain(explanation.clip), command="linvid explain -- motion_left_photo.mp4") == text


def test_explaining_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    explain(moving())
    assert torch.rand(1) == expected


def test_names_from_outside_are_escaped(tmp_path):
    model = checkpoint(tmp_path, "<script>.safetensors")
    text = words_of(explain(moving(source="/home/someone/<img onerror=x>.mp4"), checkpoints=[model]), command="<b>&")
    assert "onerror" not in str([attrs for _, attrs in Reader(text).tags])
    assert "&lt;img onerror=x&gt;.mp4" in text
    assert not {"script", "b"} & {tag for tag, _ in Reader(text).tags}
    assert "someone" not in text


def test_one_checkpoint_lends_its_weights(tmp_path):
    name, model = checkpoint(tmp_path, "linear.safetensors")
    answers = explain(moving(), checkpoints=[(name, model)]).answers
    random = "not trained so, random fixation"
    assert [answer.status for answer in answers] == ["not trained so", "trained", random, random]
    assert answers[1].origin == "trained: the weights of linear.safetensors"
    assert "linear.safetensors with the mechanism switched; not trained so" in answers[0].origin
    assert "fixation layers are random, seed 0" in answers[2].origin
    softmax = VideoTransformer(replace(SIZE, attention="softmax"))
    softmax.load_state_dict(model.state_dict())
    again = explain(moving(), checkpoints=[("softmax", softmax)]).answers
    torch.testing.assert_close(again[0].weights, answers[0].weights)


def test_each_checkpoint_takes_its_own_row(tmp_path):
    full = checkpoint(tmp_path, "full.safetensors", fixation="cooperative", association=True)
    softmax = checkpoint(tmp_path, "softmax.safetensors", attention="softmax")
    explanation = explain(moving(), checkpoints=[softmax, full])
    assert [answer.status for answer in explanation.answers] == [
        "trained",
        "not trained so",
        "not trained so",
        "trained",
    ]
    assert "softmax.safetensors" in explanation.answers[1].origin
    assert "full.safetensors" in explanation.answers[2].origin  # it has fixation layers, the first does not
    text = Reader(words_of(explanation)).text
    assert "Only rows marked “trained”" in text
    assert "Weights are random" not in text


@pytest.mark.parametrize(
    ("changes", "name", "place"),
    [
        ({"fixation": "cooperative", "shared_fixation": True}, "cooperative fixation, shared layer", 2),
        ({"fixation": "separate", "association": True}, "separate fixation + association", 3),
        ({"attention": "softmax", "association": True}, "softmax + association", 4),
        ({"space_time": "joint"}, "linear", 1),
        ({"fixation": "constant"}, "constant ratios", 2),
        ({"feature_map": "relu"}, "linear, φ = ReLU", 1),
        ({"feature_map": "elu + 1", "fixation": "cooperative"}, "cooperative fixation, φ = ELU + 1", 2),
        ({"gate": "both", "association": True}, "gate on value and output + association", 4),
    ],
)
def test_other_variants_are_shown_as_they_are(tmp_path, changes, name, place):
    explanation = explain(moving(), checkpoints=[checkpoint(tmp_path, "other.safetensors", **changes)])
    answer = explanation.answers[place]
    assert (answer.label, answer.status) == (name, "trained")
    assert answer.weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert (answer.rank is None) == ("space_time" in changes)
    assert len(Reader(words_of(explanation)).rows) == len(explanation.answers) + 2
    assert explanation.answers[0].label == "softmax"


def test_a_query_that_attends_to_nothing_is_told_in_words(tmp_path):
    name, model = checkpoint(tmp_path, "relu.safetensors", feature_map="relu", space_time="joint")
    with torch.no_grad():
        for block in model.blocks:
            block.attention["joint"].qkv.weight.zero_()
            block.attention["joint"].qkv.bias.fill_(-1.0)
    explanation = explain(moving(), checkpoints=[(name, model)], query=(1, 2, 3))
    softmax, linear = explanation.answers[:2]
    assert softmax.concentration is not None
    assert (linear.label, linear.concentration, linear.weights.any()) == ("linear, φ = ReLU", None, False)
    rows = Reader(explanation_html(explanation)).rows
    assert "this query gives no weight to any token, so the row is not drawn" in rows[2][0]
    assert [cell.strip() for cell in rows[2][1:5]] == 4 * ["—"]
    assert "linear, φ = ReLU" not in explanation_pictures(explanation)["attention"].alt
    with pytest.raises(ValueError, match="any weight of linear, φ = ReLU at frame 1, row 2, column 3: choose ano"):
        explain(moving(), checkpoints=[(name, model)], query=(1, 2, 3), mechanisms=["linear-relu"])


def test_checkpoints_must_agree_in_size_and_differ_in_mechanism(tmp_path):
    one = checkpoint(tmp_path, "one.safetensors")
    deep = checkpoint(tmp_path, "deep.safetensors", depth=3, attention="softmax")
    with pytest.raises(ValueError, match=r"one\.safetensors and deep\.safetensors differ in depth, 2 and 3"):
        explain(moving(), checkpoints=[one, deep])
    with pytest.raises(ValueError, match=r"one\.safetensors and twin\.safetensors both hold 'linear'"):
        explain(moving(), checkpoints=[one, checkpoint(tmp_path, "twin.safetensors")])
    with pytest.raises(ValueError, match="clip has 5 frames, the model expects 4"):
        explain(moving(5), checkpoints=[one])


def test_the_query_is_where_most_changes():
    assert choose_query(moving(), SIZE)[1:3] == (5, 2)
    assert choose_query(moving(), SIZE, (2, None, None)) == (
        2, 5, 2, "the token that changes most from frame to frame, with the frame given",
    )  # fmt: skip
    assert choose_query(moving(), SIZE, (1, 2, 3)) == (1, 2, 3, "given")
    for t in (1, 4):
        still = clip_of(torch.zeros(t, 32, 32, 3, dtype=torch.uint8))
        assert choose_query(still, SIZE) == (t // 2, 4, 4, "the token in the middle, because nothing changes")


def test_the_query_of_a_color_model_is_in_a_frame_like_the_known_one():
    frames = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frames[:3] = 0
    frames[2, 14, 9] = 50
    size = replace(SIZE, num_frames=5)
    assert choose_query(clip_of(frames), size).frame > 2
    colors = replace(size, output="colors", num_classes=2, space_time="space")
    assert choose_query(clip_of(frames), colors)[:3] == (2, 3, 2)
    assert choose_query(clip_of(frames), colors, (4, None, None)).frame == 4
    assert choose_query(clip_of(frames[:1]), colors).frame == 0


def test_the_query_is_inside_of_the_frames_if_something_changes_there():
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    frames[2, 0, 31] = 255  # a corner that no other window reaches
    assert choose_query(clip_of(frames), SIZE)[:3] == (2, 0, 7)
    frames[1, 14, 9] = 9  # less
    assert choose_query(clip_of(frames), SIZE)[:3] == (0, 3, 2)
    assert choose_query(clip_of(frames), SIZE, (None, 0, None))[:3] == (2, 0, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": (4, None, None)}, "frame=4 does not exist: choose 0 to 3"),
        ({"query": (None, -1, None)}, "row=-1 does not exist"),
        ({"query": (0, 0, 99)}, "column=99 does not exist"),
        ({"block": 2}, "block=2 does not exist: choose -2 to 1"),
        ({"head": 4}, "head=4 does not exist: choose 0 to 3"),
    ],
)
def test_what_does_not_exist_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        explain(moving(), **options)


def test_block_and_head_are_chosen():
    mean = explain(moving()).answers[0].weights
    heads = [explain(moving(), head=head, block=1).answers[0].weights for head in range(4)]
    torch.testing.assert_close(torch.stack(heads).mean(0), mean)
    assert not torch.allclose(explain(moving(), block=0).answers[0].weights, mean)


def test_one_frame_and_many_frames_are_drawn():
    assert len(USUAL_ROWS) == 4
    for t in (1, 11):
        figures = explanation_pictures(explain(moving(t)))
        assert list(figures) == ["film", "attention", "attention_own_scales"]
        assert all(figure.png().startswith(b"\x89PNG") for figure in figures.values())


def test_any_four_variants_answer_with_one_set_of_weights():
    names = ["performer", "cosformer-cooperative", "nystrom-association", "sana_video_attention"]
    explanation = explain(small_clip(), mechanisms=names)
    labels = ["Performer", "cosFormer + cooperative fixation", "Nyströmformer + association", "SANA-Video"]
    assert [answer.label for answer in explanation.answers] == labels
    for answer in explanation.answers:
        assert answer.weights.abs().sum().item() == pytest.approx(1)
        assert answer.status == "random weights"
    assert explanation.answers[0].negative == 0
    assert explanation.answers[3].negative > 0.001
    text = explanation_html(explanation)
    assert "of its row is negative" in text
    assert "four mechanisms answer" in text


def test_one_mechanism_may_answer_alone():
    (answer,) = explain(small_clip(), mechanisms=["dynamic_window_attention"]).answers
    assert answer.label == "dynamic windows"
    words = "shuffle_window does not fit tokens of 3 × 3, 4 heads and width 64: window=4 does not divide the 3×3 grid"
    with pytest.raises(ValueError, match=words):
        explain(small_clip(), mechanisms=["shuffle_window"])


def test_what_a_checkpoint_has_not_is_told(tmp_path):
    config = ModelConfig.compact(num_frames=4, image_size=32, fixation="cooperative")
    model = VideoTransformer(config).eval()
    names = ["linear", "cosformer-cooperative", "performer"]
    found = explain(small_clip(), checkpoints=[("one", model)], mechanisms=names)
    origins = [answer.origin for answer in found.answers]
    assert "its fixation layers are random" in origins[1]  # twice as many features
    assert "what it alone has is as at the start" in origins[2]  # the projection
    assert "random" not in origins[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["performre"], "variant 'performre' is unknown: choose one of softmax, softmax-association"),
        (["linear-offset"], "variant 'linear-offset' is unknown"),
        (["nystrom-cooperative"], "variant 'nystrom-cooperative' is unknown"),
        (["linear-association-association"], "any may end in -association"),
        (["softmax"] * 5, "5 mechanisms: ask for at most 4"),
    ],
)
def test_mechanisms_that_do_not_exist_are_named(names, message):
    with pytest.raises(ValueError, match=message):
        explain(small_clip(), mechanisms=names)


def test_checkpoints_with_two_kinds_of_fixation_both_answer(tmp_path):
    one = checkpoint(tmp_path, "one.safetensors", fixation="cooperative")
    other = checkpoint(tmp_path, "other.safetensors", fixation="separate")
    answers = explain(moving(), checkpoints=[one, other]).answers
    trained = {answer.label: answer.origin for answer in answers if answer.status == "trained"}
    assert list(trained) == ["cooperative fixation", "separate fixation"]
    assert "other.safetensors" in trained["separate fixation"]


def small_clip():
    frames = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Clip(normalize(frames), frames, torch.arange(4) / 4, "clip.mp4")


@pytest.fixture(scope="module")
def colored():
    """An explanation by two color models with random weights, of a clip of 24 × 24 pixels."""
    models = [(name, color_model(name)) for name in ("softmax", "cooperative")]
    return explain(moving(size=24), checkpoints=models)


def test_a_color_model_looks_at_the_first_frame_alone(colored):
    assert [answer.label for answer in colored.answers] == ["softmax", "cooperative fixation"]
    assert colored.query.frame > 0
    for answer in colored.answers:
        assert answer.weights[1:].abs().max() == 0
        assert answer.weights.sum().item() == pytest.approx(1)
        assert 1 <= answer.concentration.effective_tokens <= 36


def test_the_weights_are_those_of_the_copy_map(colored):
    clip, (frame, row, column) = moving(size=24), colored.query[:3]
    weights = color_model("softmax").copy_map(gray_video(to_lab(clip.frames[None])), (0,))
    expected = weights[0, frame - 1, row * 6 + column, 0].reshape(6, 6)
    torch.testing.assert_close(colored.answers[0].weights[0].float(), expected, atol=1e-5, rtol=1e-3)


def test_the_page_of_color_models_counts_the_tokens_of_the_known_frame(colored):
    text = Reader(words_of(colored)).text
    assert "N = 6 · 6 = 36 of the first frame, of 144 in all" in text
    assert "only the first frame is known in color" in text
    assert "Each mechanism is shown with weights that were trained for it." in text


def test_the_picture_of_color_models_shows_the_known_frame_and_that_of_the_query(colored):
    assert "uniform 1/36" in explanation_pictures(colored)["attention"].alt
