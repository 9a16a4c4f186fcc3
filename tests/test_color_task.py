"""Tests of the task of copying colors: its clips, its references, and runs on it like on any other task."""

import json

import pytest
import torch
from test_films import pictures
from typer.testing import CliRunner
from videos import write

from linvid_edu.cli import app
from linvid_edu.models.color_transformer import ColorTransformer
from linvid_edu.training.color_evaluation import colors_of_clips, colors_of_test, copy_head_row
from linvid_edu.training.color_task import ColorTask, film_files, reference_frames
from linvid_edu.training.config import Effort, TrainConfig
from linvid_edu.training.evaluation import accuracy
from linvid_edu.training.fabric import plain_fabric
from linvid_edu.training.loop import initialize, make_optimizer, train
from linvid_edu.training.objective import outcome
from linvid_edu.training.run import fit
from linvid_edu.training.task_models import fitted, model_config
from linvid_edu.training.tasks import find_task
from linvid_edu.video.batch import ColorBatch

pytestmark = pytest.mark.slow

SMALL = {"task": "color", "preset": "probe", "batch": 2, "warmup": 2}
LITTLE = Effort(points=1, validation_clips=4, test_clips=4)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Path of a film of 5 seconds with one scene."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write(path, list(pictures((200, 60, 30), frames=30).numpy()), rate=6)
    return path


def batch_of(task, **changes):
    return next(iter(ColorTask(frames=3, size=48, **changes).batches(seed=1, batch=2, stop=1)))


def test_the_task_is_found_by_name_and_fits_its_model():
    task = find_task("color")
    config = model_config(task, "cooperative", "compact")
    assert (config.output, config.grid, config.variant) == ("colors", (12, 12), "cooperative")
    assert fitted(task, config, "task 'color'").size == 96


def test_the_gpu_preset_is_ten_times_larger_on_longer_and_finer_clips():
    def weights(preset):
        config = model_config(find_task("color"), "softmax", preset)
        with torch.device("meta"):
            return config, sum(weight.numel() for weight in ColorTransformer(config).parameters())

    (large, many), (_, few) = weights("gpu"), weights("compact")
    assert (large.num_frames, large.image_size, large.grid) == (16, 128, (16, 16))
    assert many > 10 * few


def test_the_clips_of_a_step_depend_on_seed_and_step_alone():
    task = ColorTask(frames=3, size=48)
    one = next(iter(task.batches(seed=1, batch=2, start=5, stop=6)))
    *_, again = task.batches(seed=1, batch=2, start=3, stop=6)
    other = next(iter(task.batches(seed=2, batch=2, start=5, stop=6)))
    assert torch.equal(one.lab, again.lab)
    assert not torch.equal(one.lab, other.lab)


def test_validation_and_test_show_different_clips():
    task = ColorTask(size=48)
    (first,) = task.test_batches("unseen photographs", clips=2)
    (again,) = task.test_batches("unseen photographs", clips=2)
    (validation,) = task.test_batches("unseen photographs", clips=2, validation=True)
    assert first.lab.shape == (2, 3, 6, 48, 48)
    assert torch.equal(first.lab, again.lab)
    assert not torch.equal(first.lab, validation.lab)


def test_recoloring_keeps_the_lightness(film):
    plain, recolored = (
        batch_of("color", root=str(film), recolor=recolor, lightness=False) for recolor in (False, True)
    )
    torch.testing.assert_close(plain.lab[:, :1], recolored.lab[:, :1])
    assert not torch.allclose(plain.lab[:, 1:], recolored.lab[:, 1:], atol=5)


def test_the_second_half_of_a_film_is_for_the_test(film):
    task = ColorTask(size=48, root=str(film))
    training, _, test = task.films
    assert len(training[0].frames) == len(test[0].frames) == 15
    assert training[0].times[-1] < test[0].times[0]


def test_every_fifth_film_of_a_folder_is_for_the_test(film, tmp_path):
    for index in range(6):
        (tmp_path / f"{index}.mp4").write_bytes(film.read_bytes())
    (tmp_path / "notes.txt").write_text("no film")
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    task = ColorTask(size=48, root=str(tmp_path))
    training, _, test = task.films
    assert [film.source[-5] for film in test] == ["4"]
    assert len(training) == 5
    assert list(task.unreadable) == [str(tmp_path / "broken.mp4")]


@pytest.mark.parametrize(
    ("references", "expected"), [("first", (0,)), ("every 2", (0, 2, 4)), ("every 4", (0, 4)), ("random 2", None)]
)
def test_references_are_first_regular_or_random(references, expected):
    frames = reference_frames(references, 6, torch.Generator().manual_seed(0))
    assert frames == expected or (expected is None and len(set(frames)) == 2)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"references": "last"}, "references='last' is not possible"),
        ({"references": "every 1"}, '"every K" with K of at least 2'),
        ({"references": "random 3"}, "not possible for 3 frames"),
        ({"frames": 1}, "frames=1 must be a whole number of at least 2"),
    ],
)
def test_impossible_settings_are_named(knobs, message):
    with pytest.raises(ValueError, match=message):
        ColorTask(**knobs)


def test_a_missing_folder_and_one_without_films_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        film_files(tmp_path / "missing")
    with pytest.raises(ValueError, match="no film in it"):
        film_files(tmp_path)


def test_the_loss_is_zero_and_the_accuracy_one_where_nothing_moves():
    class SamePlace(torch.nn.Module):
        def forward(self, video, known, references):
            return known.expand(-1, video.shape[2] - 1, -1, -1)

    config = model_config(find_task("color"), "softmax", "probe")
    moving = batch_of("color").lab
    still = moving[:, :, :1].expand(-1, -1, 3, -1, -1)
    assert outcome(SamePlace(), ColorBatch(still, (0,)), config) == (0, 1)
    loss, right = outcome(SamePlace(), ColorBatch(moving, (0,)), config)
    assert loss > 0
    assert right < 1


def test_training_lowers_the_loss():
    config = TrainConfig(**SMALL, variant="softmax", steps=30, learning_rate=8e-3)
    model = initialize(ColorTransformer(config.model_config), seed=0)
    fabric = plain_fabric()
    batch = batch_of("color")
    model, optimizer = fabric.setup(model, make_optimizer(model, config))
    losses = [record.loss for record in train(model, optimizer, [batch] * 30, config, fabric)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize("root", ["", "film"])
def test_a_run_resumes_to_the_same_bits_and_reports_colors(tmp_path, film, root):
    scenes = {"root": str(film)} if root else {}
    config = TrainConfig(**SMALL, variant="cooperative", steps=4, scenes=scenes)
    whole = fit(config, tmp_path / "whole", plain_fabric(), effort=LITTLE)

    def stop(record):
        if record.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            config, tmp_path / "resumed", plain_fabric(), effort=Effort(**{**vars(LITTLE), "save_every": 2}), watch=stop
        )
    resumed = fit(config, tmp_path / "resumed", plain_fabric(), effort=LITTLE, resume=True)
    assert resumed["accuracy"] == whole["accuracy"]
    assert resumed["color"] == whole["color"]
    (test,) = whole["accuracy"]
    assert whole["color"]["baselines"]["mean color"]["relative_error"] == 1
    assert whole["color"]["relative_error"] > 0
    assert test == ("unseen films" if root else "unseen photographs")


def test_accuracy_is_one_less_the_relative_error():
    task = ColorTask(size=48)
    model = initialize(ColorTransformer(model_config(find_task("color"), "linear", "probe")), seed=0)
    right = accuracy(model, task.test_batches("unseen photographs", clips=5, batch=2))
    assert right == pytest.approx(1 - colors_of_test(model, task, clips=5)["relative_error"], abs=1e-5)


def test_colors_of_clips_have_all_baselines():
    model = initialize(ColorTransformer(model_config(find_task("color"), "linear", "probe")), seed=0)
    color = colors_of_clips(model, batch_of("color").lab, (0,))
    assert list(color["baselines"]) == [
        "mean color",
        "same place",
        "nearest gray patch",
        "soft gray match",
        "best reference",
    ]


def test_the_commands_train_and_evaluate(tmp_path, film):
    folder = tmp_path / "run"
    options = ["--task", "color", "--clips", str(film), "--preset", "probe", "--steps", "2", "--batch", "2"]
    trained = CliRunner().invoke(app, ["train", *options, "--warmup", "1", "--folder", str(folder), "--device", "cpu"])
    assert trained.exit_code == 0, trained.output
    assert "unseen films" in trained.output
    evaluated = CliRunner().invoke(app, ["evaluate", str(folder), "--json", str(tmp_path / "colors.json")])
    assert evaluated.exit_code == 0, evaluated.output
    assert "best reference" in evaluated.output
    color = json.loads((tmp_path / "colors.json").read_text())["color"]
    assert color["baselines"]["mean color"]["relative_error"] == 1


def test_the_copy_head_has_a_row_like_other_layers():
    model = initialize(ColorTransformer(model_config(find_task("color"), "linear", "probe")), seed=0)
    color = colors_of_clips(model, batch_of("color").lab, (0,))
    row = copy_head_row(color)
    assert (row["block"], row["span"], row["mass_on_answer"]) == (0, "joint", color["selectivity"])
    assert row["query_entropy"] == row["entropy"] == color["entropy"]
