"""The tasks that models are trained and tested on, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from linvid_edu.video.batch import TEST, TRAINING, VALIDATION, Batch, ColorBatch
from linvid_edu.video.scenes import (
    CELL,
    CellScene,
    CueLookup,
    CueMatch,
    Flash,
    Motion,
    PictureScene,
    Scene,
    render,
    role_mask,
)
from linvid_edu.video.tokens import pair

from .color_task import ColorTask


@runtime_checkable
class Data(Protocol):
    """Clips to train and test on: a ``Task`` renders them, a ``ClipFolder`` or a ``ColorTask`` decodes or makes them.

    Iterating over ``tests`` gives the names of the tests. ``unreadable`` maps each skipped clip to the reason.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def tests(self) -> Mapping[str, Scene] | tuple[str, ...]: ...
    @property
    def ceiling(self) -> float: ...
    def model_fields(self, preset: str) -> Mapping[str, Any]: ...
    @property
    def unreadable(self) -> Mapping[str, str]: ...
    def with_knobs(self, **knobs: Any) -> "Data": ...
    def resized(self, num_frames: int, image_size: int | tuple[int, int]) -> "Data": ...
    def batches(
        self, *, seed: int, batch: int, start: int = 0, stop: int
    ) -> Iterator[Batch] | Iterator[ColorBatch]: ...
    def test_batches(
        self, name: str, *, clips: int, batch: int = 128, validation: bool = False
    ) -> Iterator[Batch] | Iterator[ColorBatch]: ...


class TaskTest(NamedTuple):
    """One test of a task, with its knobs as data, so that no one needs to parse its name.

    name: name of the test in ``Task.tests``, in metrics.json and in the tables of results
    scene: what is rendered
    knobs: the knobs that differ between the tests of the task, with their values in this test
    """

    name: str
    scene: Scene
    knobs: Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """The scenes that a model is trained and tested on.

    Args:
        training: Scenes of the training batches, one scene per batch, in turn.
        tests: Name of each test and its scene. The first is the main test, which learning curves follow.
        ceiling: Accuracy that no solver exceeds on the main test.
        readout: Role whose tokens the head sees, such as "cue". None means all tokens.
        model: Fields of the model's configuration that the task decides.
    """

    training: tuple[Scene, ...]
    tests: Mapping[str, Scene]
    ceiling: float = 1.0
    readout: str | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    unreadable: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def model_fields(self, preset: str) -> dict[str, Any]:
        """Return ``model``, plus the number of frames and their size if the scenes are made of cells."""
        scene = self.training[0]
        cells = {"num_frames": scene.frames, "image_size": scene.size} if isinstance(scene, CellScene) else {}
        return {**self.model, **cells}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.training[0].classes

    @property
    def described_tests(self) -> tuple[TaskTest, ...]:
        """The tests with their knobs as data, the main test first.

        The task "lookup" has ``TaskTest("grid 12, clutter 24", scene, {"clutter": 24, "grid": 12})`` among others: its
        tests differ in clutter and grid. A knob that is the same in all tests is not listed.
        """
        scenes = list(self.tests.values())
        varying = [
            knob.name
            for knob in fields(scenes[0])  # type: ignore[arg-type]
            if any(getattr(scene, knob.name) != getattr(scenes[0], knob.name) for scene in scenes)
        ]
        return tuple(
            TaskTest(name, scene, {knob: getattr(scene, knob) for knob in varying})
            for name, scene in self.tests.items()
        )

    def find_test(self, **knobs: Any) -> TaskTest:
        """Return the test with these knobs; its other knobs are those of the main test.

        ``TASKS["lookup"].find_test(clutter=24, grid=12)`` is the test "grid 12, clutter 24".

        Raises:
            ValueError: There is no such test; the message lists the tests.
        """
        main, *_ = described = self.described_tests
        for test in described:
            if test.knobs == {**main.knobs, **knobs}:
                return test
        raise ValueError(f"no test of this task has {knobs}: choose from {', '.join(self.tests)}")

    def with_knobs(self, **knobs: Any) -> "Task":
        """Return the task with knobs of its scenes changed; tests keep the clutter and grid in their names."""
        for_tests = {name: value for name, value in knobs.items() if name not in ("clutter", "grid")}
        training = dict.fromkeys(replace(scene, **knobs) for scene in self.training)  # type: ignore[type-var]
        tests = {name: replace(scene, **for_tests) for name, scene in self.tests.items()}  # type: ignore[type-var]
        return replace(self, training=tuple(training), tests=tests)

    def resized(self, num_frames: int, image_size: int | tuple[int, int]) -> "Task":
        """Return the task with scenes of this many frames and of this size; scenes made of cells keep theirs."""

        def resized_scene(scene: Scene) -> Scene:
            if isinstance(scene, PictureScene):
                return replace(scene, frames=num_frames, size=pair(image_size)[0])
            return scene

        tests = {name: resized_scene(scene) for name, scene in self.tests.items()}
        return replace(self, training=tuple(map(resized_scene, self.training)), tests=tests)

    def batches(self, *, seed: int, batch: int, start: int = 0, stop: int) -> Iterator[Batch]:
        """Render the training batches of steps `start` to `stop`; the clips of a step depend on seed and step alone.

        Args:
            seed: Seed of the clips, 0 or more.
            batch: Number of clips in a batch.
            start, stop: First step, and the step after the last, counted from 0.
        """
        for step in range(start, stop):
            yield self._render(self.training[step % len(self.training)], batch, (TRAINING, seed, step))

    def test_batches(self, name: str, *, clips: int, batch: int = 128, validation: bool = False) -> Iterator[Batch]:
        """Render a test; its clips are the same for every run.

        Args:
            name: Name of the test, one of ``tests``.
            clips: Number of clips in all.
            batch: Largest number of clips in a batch.
            validation: Whether to render validation clips, on which choices may be based, instead of test clips.
        """
        purpose, scene = VALIDATION if validation else TEST, _find("test", name, self.tests)
        for first in range(0, clips, batch):
            yield self._render(scene, min(batch, clips - first), (purpose, first))

    def _render(self, scene: Scene, count: int, seed: tuple[int, ...]) -> Batch:
        scenes = render(scene, count=count, seed=seed)
        if self.readout is None:
            return Batch(scenes.video, scenes.label)
        grid = scene.size // CELL if isinstance(scene, CellScene) else 0
        return Batch(scenes.video, scenes.label, role_mask(scenes, self.readout, grid=(grid, grid)))


CELLS = {"kernel": CELL, "stride": CELL, "padding": 0, "dropout": 0.0}

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "cue": Task(
            training=(CueMatch(),),
            tests={"test": CueMatch(), "hard": CueMatch(hard=True)},
            model={"dropout": 0.0, "spatial_embedding": True},
        ),
        "motion": Task(
            # linear attention rose above chance only when the training had easier clips too
            training=tuple(Motion(distractors=distractors) for distractors in (0, 1, 2)),
            tests={"test": Motion(), "clutter 0.5": Motion(clutter=0.5)},
            model={"dropout": 0.0},
        ),
        "lookup": Task(
            training=tuple(CueLookup(clutter=clutter) for clutter in (0, 8, 24, 48)),
            tests={
                **{f"clutter {clutter}": CueLookup(clutter=clutter) for clutter in (24, 0, 8, 48, 61)},
                **{f"grid 12, clutter {clutter}": CueLookup(grid=12, clutter=clutter) for clutter in (0, 24, 141)},
            },
            readout="cue",
            model=CELLS,
        ),
        "flash": Task(
            # without clips that show few objects, models learn nothing
            training=tuple(Flash(objects=objects, clutter=clutter) for clutter in (0, 6) for objects in (1, 2, 4, 8)),
            tests={
                **{f"clutter {clutter}": Flash(clutter=clutter) for clutter in (6, 0, 3, 9, 12)},
                "8 objects": Flash(objects=8),
                **{f"grid 6, clutter {clutter}": Flash(grid=6, clutter=clutter) for clutter in (0, 6, 32)},
            },
            readout="flash",
            model=CELLS,
        ),
    }
)


COLOR = "color"  # the task that copies colors, which has no labels


def find_task(name: str) -> Task | ColorTask:
    """Return a task by name, one of ``TASKS`` or "color".

    Raises:
        ValueError: There is no such task; the message lists the names.
    """
    return _find("task", name, {**TASKS, COLOR: ColorTask()})


def _find(kind: str, name: str, choices: Mapping[str, Any]) -> Any:
    if name not in choices:
        raise ValueError(f"{kind} {name!r} is unknown: choose one of {', '.join(choices)}")
    return choices[name]
