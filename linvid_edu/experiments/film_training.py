"""Train several mechanisms side by side on the first half of one film, with the same clips in the same order."""

from collections.abc import Iterator, Sequence
from itertools import tee
from pathlib import Path

from linvid_edu.models.color_transformer import make_model
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.training.color_task import ColorTask
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.fabric import make_fabric
from linvid_edu.training.loop import Record, initialize, make_optimizer, train
from linvid_edu.training.tasks import COLOR
from linvid_edu.video.batch import TEST, TRAINING
from linvid_edu.video.films import Film

LEARNING_RATE = 6e-3
LEARNING_RATES = {"softmax": 8e-3}  # of variants that learn best with another one
BATCH, WARMUP = 4, 50


class FilmTraining:
    """Color models that learn from the first half of a film; the second half is for tests.

    The colors of each training clip are changed at random, so that a model cannot learn them by heart.

    Args:
        path: Path of the film.
        variants: Names of the variants.
        steps: Number of optimizer steps of each model.
        seed: Seed of the weights and of the training clips, 0 or more.
        preset: Size of the models.

    Raises:
        VideoError: The film cannot be read.
        ValueError: A variant is unknown or cannot copy colors, or the film is too short.
    """

    def __init__(
        self, path: str | Path, variants: Sequence[str], *, steps: int = 800, seed: int = 0, preset: str = "compact"
    ) -> None:
        self.steps = steps
        self.configs = [
            TrainConfig(
                task=COLOR,
                scenes={"root": str(path), "recolor": True},
                variant=variant,
                preset=preset,
                seed=seed,
                steps=steps,
                batch=BATCH,
                warmup=min(WARMUP, steps - 1),
                learning_rate=LEARNING_RATES.get(variant, LEARNING_RATE),
            )
            for variant in variants
        ]
        self.models: list[VideoTransformer] = [
            initialize(make_model(config.model_config), seed=seed) for config in self.configs
        ]
        next(self._data.batches(seed=seed, batch=1, stop=1))  # a film that is too short says so here

    @property
    def _data(self) -> ColorTask:
        data = self.configs[0].data
        assert isinstance(data, ColorTask)
        return data

    @property
    def training_film(self) -> Film:
        """The half that the models see."""
        return self._data.films[TRAINING][0]

    @property
    def test_film(self) -> Film:
        """The half that they do not see."""
        return self._data.films[TEST][0]

    def run(self) -> Iterator[tuple[Record, ...]]:
        """Take one step with every model at a time, and yield the records of the step.

        Raises:
            Diverged: The loss of a model is not finite.
        """
        fabric = make_fabric("cpu", precision="32-true")
        config = self.configs[0]
        streams = tee(self._data.batches(seed=config.seed, batch=BATCH, stop=self.steps), len(self.configs))
        loops = []
        for config, model, batches in zip(self.configs, self.models, streams, strict=True):
            wrapped, optimizer = fabric.setup(model, make_optimizer(model, config))
            loops.append(train(wrapped, optimizer, batches, config, fabric))
        yield from zip(*loops, strict=True)
