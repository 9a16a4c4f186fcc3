"""Every task and variant is what its name says; nothing here knows the levels of clutter, which are tuned elsewhere."""

import re
from dataclasses import fields

import pytest
import torch

from linvid_edu.models.config import PRESETS, ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.variants import ABLATION
from linvid_edu.training.task_models import matched_hidden, model_config
from linvid_edu.training.tasks import TASKS, Task, find_task
from linvid_edu.video.batch import TEST, TRAINING, VALIDATION
from linvid_edu.video.scenes import CellScene, CueLookup, CueMatch, Flash, Motion, render


def weights(config):
    return sum(weight.numel() for weight in VideoTransformer(config).parameters())


def same(first, second):
    return all(a is b is None or torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_every_scene_of_a_task_has_its_classes_its_readout_and_a_token_of_query_and_answer(name):
    task = TASKS[name]
    scenes = [*task.training, *task.tests.values()]
    assert {type(scene) for scene in scenes} == {type(task.training[0])}
    assert {scene.classes for scene in scenes} == {task.classes}
    assert 0.9 < task.ceiling <= 1
    for test in task.tests:
        (batch,) = task.test_batches(test, clips=6)
        assert batch.video.shape[:2] == (6, 3)
        if task.readout is None:
            assert batch.readout is None
        else:
            assert (batch.readout.sum((1, 2)) == 1).all()
    for scene in scenes:
        assert {scene.query, scene.answer} <= set(scene.roles)


@pytest.mark.parametrize("name", TASKS)
def test_every_test_is_described_by_the_knobs_of_its_scene_and_found_by_them(name):
    task = TASKS[name]
    assert {test.name: test.scene for test in task.described_tests} == dict(task.tests)
    main = task.described_tests[0]
    for test in task.described_tests:
        assert test.knobs == {knob: getattr(test.scene, knob) for knob in main.knobs}
        differing = {knob: value for knob, value in test.knobs.items() if value != main.knobs[knob]}
        assert task.find_test(**differing) == test
        for knob in ("clutter", "grid"):  # the numbers in a name are those of its scene
            for number in re.findall(rf"{knob} ([\d.]+)", test.name):
                assert float(number) == test.knobs[knob]


def test_a_test_is_found_by_knobs_and_an_unknown_one_is_reported_with_the_choices():
    task = TASKS["lookup"]
    assert task.described_tests[0].knobs == {"clutter": 24, "grid": 8}
    assert task.find_test(clutter=24, grid=12).name == "grid 12, clutter 24"
    with pytest.raises(ValueError, match=r"no test of this task has {'clutter': 5}: choose from clutter 24, clutter 0"):
        task.find_test(clutter=5)


@pytest.mark.parametrize("name", TASKS)
def test_clutter_is_a_knob_of_every_task_and_zero_is_its_control(name):
    task = TASKS[name]
    assert 0 in {scene.clutter for scene in task.training}
    clean = [scene for scene in task.tests.values() if scene.clutter == 0]
    assert clean
    if name != "cue":
        assert any(scene.clutter > max(each.clutter for each in task.training) for scene in task.tests.values())


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if isinstance(task.training[0], CellScene)])
def test_tests_of_cells_vary_tokens_with_the_content_fixed_and_content_with_the_tokens_fixed(name):
    tests = list(TASKS[name].tests.values())
    content = [[getattr(scene, f.name) for f in fields(scene) if f.name != "grid"] for scene in tests]
    assert any(
        a == b and x.grid != y.grid
        for x, a in zip(tests, content, strict=True)
        for y, b in zip(tests, content, strict=True)
    )
    assert len({scene.clutter for scene in tests if scene.grid == tests[0].grid}) >= 4


@pytest.mark.parametrize("name", ["lookup", "flash"])
def test_the_clips_of_a_step_do_not_depend_on_earlier_steps(name):
    task = TASKS[name]
    several = list(task.batches(seed=3, batch=4, start=0, stop=5))
    assert len(several) == 5
    (again,) = task.batches(seed=3, batch=4, start=4, stop=5)
    assert same(again, several[4])
    (other,) = task.batches(seed=4, batch=4, start=4, stop=5)
    assert not same(again, other)


def test_training_takes_its_scenes_in_turn():
    task = Task(training=(CueLookup(grid=4), CueLookup(grid=6)), tests={"test": CueLookup()})
    sizes = [batch.video.shape[-1] for batch in task.batches(seed=0, batch=1, stop=4)]
    assert sizes == [16, 24, 16, 24]


def test_test_validation_and_training_are_different_clips_of_the_same_scenes():
    task = Task(training=(CueLookup(),), tests={"test": CueLookup()})
    (training,) = task.batches(seed=0, batch=8, stop=1)
    (test,) = task.test_batches("test", clips=8)
    (validation,) = task.test_batches("test", clips=8, validation=True)
    assert len({TRAINING, VALIDATION, TEST}) == 3
    assert not same(training, test)
    assert not same(training, validation)
    assert not same(test, validation)
    (again,) = task.test_batches("test", clips=8)
    assert same(test, again)


def test_test_batches_are_cut_to_the_number_of_clips():
    task = Task(training=(CueLookup(),), tests={"test": CueLookup()})
    batches = list(task.test_batches("test", clips=11, batch=4))
    assert [len(batch.label) for batch in batches] == [4, 4, 3]
    assert len({clip.numpy().tobytes() for batch in batches for clip in batch.video}) == 11


def test_the_readout_is_the_roles_tokens():
    task = Task(training=(CueLookup(),), tests={"test": CueLookup(noise=0.0)}, readout="cue")
    (batch,) = task.test_batches("test", clips=20)
    white = (batch.video > 0.99).all(1).float()  # (b t h w)
    framed = torch.nn.functional.avg_pool2d(white, 4).mul(16) > 10
    assert torch.equal(framed.flatten(2), batch.readout)


def test_changed_knobs_reach_every_scene_but_those_that_name_the_tests():
    task = Task(training=(Flash(clutter=1), Flash(clutter=3)), tests={"a": Flash(clutter=6), "b": Flash(grid=6)})
    quiet = task.with_knobs(noise=0.0, frames=3)
    assert {(scene.noise, scene.frames) for scene in (*quiet.training, *quiet.tests.values())} == {(0.0, 3)}
    assert [scene.clutter for scene in quiet.training] == [1, 3]
    other = task.with_knobs(clutter=2, grid=5)
    assert other.training == (Flash(clutter=2, grid=5),)
    assert other.tests == task.tests


def test_scenes_over_a_background_take_the_models_size_and_cells_keep_theirs():
    config = ModelConfig.compact(num_frames=5, image_size=48)
    task = Task(training=(Motion(),), tests={"test": Motion(clutter=0.5)}).resized(config.num_frames, config.image_size)
    assert {(scene.frames, scene.size) for scene in (*task.training, *task.tests.values())} == {(5, 48)}
    assert task.tests["test"].clutter == 0.5
    cells = Task(training=(Flash(),), tests={"test": Flash(grid=6)})
    assert cells.resized(config.num_frames, config.image_size) == cells


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("preset", ["probe", "compact"])
def test_every_variant_of_every_task_is_a_model_that_takes_its_clips(name, preset):
    if preset == "probe" and name in ("cue", "motion"):
        return
    task = TASKS[name]
    configs = {variant: model_config(task, variant, preset) for variant in ABLATION}
    assert len({(config.variant, config.mlp_hidden) for config in configs.values()}) == len(ABLATION)
    config = configs["cooperative-association"]
    batch = next(iter(task.resized(config.num_frames, config.image_size).batches(seed=0, batch=2, stop=1)))
    model = VideoTransformer(config)
    assert model(batch.video, batch.readout).shape == (2, len(task.classes))
    if isinstance(task.training[0], CellScene):
        grid = task.training[0].grid
        assert config.grid == (grid, grid)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_control_with_a_wider_mlp_has_cooperative_fixations_weights_within_one_unit(name, preset):
    task = TASKS[name]
    wide, cooperative = (model_config(task, variant, preset) for variant in ("linear-wide", "cooperative"))
    plain = model_config(task, "linear", preset)
    assert wide == ModelConfig.from_dict(plain.to_dict() | {"mlp_hidden": matched_hidden(plain)})
    assert wide.mlp_hidden > plain.mlp_hidden
    count, target = weights(wide), weights(cooperative)
    unit = (count - weights(plain)) // (wide.mlp_hidden - plain.mlp_hidden)
    assert target <= count < target + unit


def test_gates_on_value_and_output_have_as_many_weights_as_cooperative_fixation():
    both, value, output, cooperative, linear = (
        weights(model_config(TASKS["lookup"], variant, "probe"))
        for variant in ("gate", "gate-value", "gate-output", "cooperative", "linear")
    )
    assert both == cooperative
    assert value == output
    assert 2 * (value - linear) == both - linear > 0


def test_changes_come_last():
    config = model_config(TASKS["lookup"], "linear-wide", "probe", mlp_hidden=70, width=64, dropout=0.1)
    assert (config.mlp_hidden, config.width, config.dropout) == (70, 64, 0.1)
    assert model_config(TASKS["lookup"], "softmax", "probe", attention="linear").attention == "linear"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: find_task("flush"), "task 'flush' is unknown: choose one of cue, motion, lookup, flash"),
        (lambda: model_config(TASKS["cue"], "cosine", "compact"), "variant 'cosine' is unknown: choose one of softmax"),
        (
            lambda: model_config(TASKS["cue"], "linear", "huge"),
            "preset 'huge' is unknown: choose one of probe, compact",
        ),
        (lambda: model_config(TASKS["cue"], "linear", "probe", widht=3), "the changes {'widht': 3} do not fit"),
        (lambda: model_config(TASKS["cue"], "softmax", "compact", gate="value"), "gate='value' belongs to linear"),
    ],
)
def test_unknown_names_raise_errors_that_list_the_choices(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_labels_of_a_training_batch_are_the_scenes_own():
    task = Task(training=(CueMatch(),), tests={"test": CueMatch()})
    (batch,) = task.batches(seed=5, batch=3, start=7, stop=8)
    scenes = render(CueMatch(), count=3, seed=(TRAINING, 5, 7))
    assert torch.equal(batch.label, scenes.label)
    assert torch.equal(batch.video, scenes.video)
