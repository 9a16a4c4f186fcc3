"""The tasks that models are trained and tested on, and the variants that are compared, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from linvid_edu.models.config import PRESETS, ModelConfig
from linvid_edu.models.variants import FAMILY, VARIANTS, matched_hidden
from linvid_edu.video.batch import TEST, TRAINING, VALIDATION, Batch
from linvid_edu.video.scenes import (
    CELL,
    CellScene,
    CueLookup,
    CueMatch,
    Family,
    Flash,
    Motion,
    SceneConfig,
    render,
    role_mask,
)
from linvid_edu.video.tokens import pair


@runtime_checkable
class Data(Protocol):
    """What a run asks of its data, which a ``Task`` renders and a ``folders.ClipFolder`` decodes.

    ``tests`` iterates over the names of the tests, ``unreadable`` maps the names of skipped clips to what is wrong.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def tests(self) -> Mapping[str, Family] | tuple[str, ...]: ...
    @property
    def ceiling(self) -> float: ...
    @property
    def model_fields(self) -> Mapping[str, Any]: ...
    @property
    def unreadable(self) -> Mapping[str, str]: ...
    def changed(self, **knobs: Any) -> "Data": ...
    def sized(self, num_frames: int, image_size: int | tuple[int, int]) -> "Data": ...
    def batches(self, *, seed: int, batch: int, start: int = 0, stop: int) -> Iterator[Batch]: ...
    def test_batches(self, name: str, *, clips: int, batch: int = 128, validation: bool = False) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Task:
    """Which scenes a model is trained and tested on.

    Args:
        training: the scenes of one batch each, in turn.
        tests: name to scenes; the first is the one that learning curves follow.
        ceiling: accuracy that no solver exceeds on the first test.
        readout: the role whose tokens the head sees, such as "cue"; None means all tokens.
        model: fields of the model's configuration that the task decides.
    """

    training: tuple[Family, ...]
    tests: Mapping[str, Family]
    ceiling: float = 1.0
    readout: str | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    unreadable: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @property
    def model_fields(self) -> dict[str, Any]:
        """``model``, with frames and size where scenes made of cells decide them."""
        scene = self.training[0]
        cells = {"num_frames": scene.frames, "image_size": scene.size} if isinstance(scene, CellScene) else {}
        return {**self.model, **cells}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.training[0].classes

    def changed(self, **knobs: Any) -> "Task":
        """Return the task with knobs of its scenes changed; tests keep the clutter and grid that name them."""
        for_tests = {name: value for name, value in knobs.items() if name not in ("clutter", "grid")}
        training = dict.fromkeys(replace(scene, **knobs) for scene in self.training)  # type: ignore[type-var]
        tests = {name: replace(scene, **for_tests) for name, scene in self.tests.items()}  # type: ignore[type-var]
        return replace(self, training=tuple(training), tests=tests)

    def sized(self, num_frames: int, image_size: int | tuple[int, int]) -> "Task":
        """Return the task with scenes of so many frames, of another size; scenes made of cells keep theirs."""

        def fit(scene: Family) -> Family:
            if isinstance(scene, SceneConfig):
                return replace(scene, frames=num_frames, size=pair(image_size)[0])
            return scene

        tests = {name: fit(scene) for name, scene in self.tests.items()}
        return replace(self, training=tuple(map(fit, self.training)), tests=tests)

    def batches(self, *, seed: int, batch: int, start: int = 0, stop: int) -> Iterator[Batch]:
        """Render the training batches of steps `start` to `stop`; a step has the same clips whatever came before.

        Args:
            seed: 0 or more; other seeds give other clips.
            batch: clips of one batch.
            start, stop: steps, as in ``range``.
        """
        for step in range(start, stop):
            yield self._render(self.training[step % len(self.training)], batch, (TRAINING, seed, step))

    def test_batches(self, name: str, *, clips: int, batch: int = 128, validation: bool = False) -> Iterator[Batch]:
        """Render a test, the same for every run; the validation clips are others than the test's.

        Args:
            name: one of ``tests``.
            clips: how many in all.
            batch: clips at a time.
            validation: whether choices may be based on the result.
        """
        part, scene = VALIDATION if validation else TEST, _find("test", name, self.tests)
        for first in range(0, clips, batch):
            yield self._render(scene, min(batch, clips - first), (part, first))

    def _render(self, scene: Family, count: int, seed: tuple[int, ...]) -> Batch:
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
            # easier clips among them, with which linear attention was seen to leave chance
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
            # without few objects to begin with, nothing is learned
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



def find_task(name: str) -> Task:
    """Return a task by name; raise ValueError that lists the names."""
    return _find("task", name, TASKS)


def model_config(task: Data, variant: str, preset: str, **changes: Any) -> ModelConfig:
    """Return the configuration of a variant for a task.

    Args:
        task: decides classes and, for scenes made of cells, frames, size and patches.
        variant: one of ``VARIANTS`` or ``FAMILY``.
        preset: one of ``PRESETS``, which decides width, depth and, for other scenes, frames and size.
        changes: fields to change after that.

    Raises:
        ValueError: an unknown name, or fields that do not fit each other.
    """
    fields = dict(task.model_fields)
    make = _find("preset", preset, PRESETS)
    mechanism = dict(_find("variant", variant, {**VARIANTS, **FAMILY}))
    wide = variant == "linear-wide"
    try:
        config = make(len(task.classes), **fields | mechanism | changes)
        return replace(config, mlp_hidden=matched_hidden(config)) if wide and "mlp_hidden" not in changes else config
    except TypeError as error:
        raise ValueError(f"the changes {changes} do not fit a model configuration: {error}") from error




def _find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ValueError(f"{kind} {name!r} is unknown: choose one of {', '.join(known)}")
    return known[name]
