"""A page of a recolored clip that is written again and again while the models learn."""

import time
from pathlib import Path

from linvid_edu.figures.color_page import ColorClip, Coloring, Painter, Training, paint_clip, save_color_page

from .film_training import FilmTraining

FIRST_STEPS = (5, 10, 20, 40, 70, 100)  # the colors come back quickly
SECONDS_BETWEEN = 6.0
MOST_SHARE = 0.2  # of the time that goes into writing pages


class LiveColorPage:
    """The page of a training, which reloads itself as long as the training goes on.

    Args:
        film_training: Models that learn from the first half of a film.
        clip: Clip of the second half.
        path: Path of the page.
        command: Command line that makes the page again.
    """

    def __init__(self, film_training: FilmTraining, clip: ColorClip, path: Path, command: str) -> None:
        self.film_training, self.clip, self.path, self.command = film_training, clip, path, command
        self.points: list[tuple[int, dict[str, float]]] = []
        self.next_at = 0.0

    @property
    def painters(self) -> list[Painter]:
        """The models as they are now."""
        return [Painter(model, "trained on this film") for model in self.film_training.models]

    def is_due(self, step: int) -> bool:
        """Return whether the page is to be written after a step."""
        return step in FIRST_STEPS or time.monotonic() > self.next_at

    def write(self, step: int, *, running: bool) -> tuple[Coloring, Training]:
        """Color the clip with the models as they are after a step, and write the page.

        Args:
            step: Number of steps taken.
            running: Whether the training goes on.
        """
        begun = time.monotonic()
        coloring = paint_clip(self.clip, self.painters)
        errors = {painted.label: painted.measures.relative_error for painted in coloring.painted}
        self.points = [*(point for point in self.points if point[0] != step), (step, errors)]
        training = Training(step, self.film_training.steps, self.points, self._film_words(), running)
        save_color_page(coloring, self.path, command=self.command, training=training)
        seconds = time.monotonic() - begun
        self.next_at = begun + seconds + max(SECONDS_BETWEEN, seconds / MOST_SHARE)
        return coloring, training

    def _film_words(self) -> str:
        first, last = (self.film_training.training_film.times[index].item() for index in (0, -1))
        begin, end = (self.clip.times[index].item() for index in (0, -1))
        return (
            f"The models learn from {first:.1f} to {last:.1f} s of this film. The clip below, from {begin:.1f} to "
            f"{end:.1f} s, is not a part of that."
        )
