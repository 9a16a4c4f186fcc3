"""The color models that ship are what their metrics say, and their README quotes these numbers."""

import json
from pathlib import Path

import pytest
import torch

from linvid_edu.models.checkpoint import load_model
from linvid_edu.models.color_measures import baseline_errors, measure_colors
from linvid_edu.models.shipped import SHOWN_FIRST, shipped_color_models
from linvid_edu.training.color_evaluation import colors_of_clips, colors_of_test
from linvid_edu.training.config import TrainConfig
from linvid_edu.video.cielab import to_lab
from linvid_edu.video.films import even_windows, read_film

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "data_samples"
FOLDER = SAMPLES / "checkpoints" / "color"
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))

every_model = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def metrics(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_the_models_that_the_commands_show_ship():
    assert set(SHOWN_FIRST) <= set(NAMES)
    assert list(shipped_color_models())[:4] == list(SHOWN_FIRST)
    assert {path.name for path in FOLDER.iterdir()} == {
        f"{name}.{end}" for name in NAMES for end in ("safetensors", "json")
    } | {"README.md"}


@every_model
def test_the_weights_fit_the_run(name, metrics):
    config = TrainConfig.from_dict(metrics["config"])
    model = load_model(FOLDER / f"{name}.safetensors")
    assert (config.task, config.variant, config.seed, config.steps) == ("color", name, 0, 3000)
    assert config.scenes == {}
    assert model.config == config.model_config
    assert metrics["curve"][-1][0] == config.steps
    assert (FOLDER / f"{name}.safetensors").stat().st_size <= 400_000
    assert "changes" not in metrics["provenance"]["commit"]


@every_model
def test_the_error_is_the_one_that_is_claimed(name, metrics):
    task = TrainConfig.from_dict(metrics["config"]).data
    measured = colors_of_test(load_model(FOLDER / f"{name}.safetensors"), task)
    assert measured["relative_error"] == pytest.approx(metrics["color"]["relative_error"], abs=2e-3)
    assert measured["selectivity"] == pytest.approx(metrics["color"]["selectivity"], abs=2e-3)


@every_model
def test_the_table_quotes_the_metrics(name, metrics):
    color = metrics["color"]
    row = (
        f"| `{name}` | {metrics['config']['learning_rate']:g} | {color['relative_error']:.3f} | "
        f"{color['relative_error_moving']:.3f} | {color['selectivity']:.2f} | {color['effective_tokens']:.1f} |"
    )
    assert row in (FOLDER / "README.md").read_text()


def film():
    """Return six frames of the film that ships, in Lab."""
    shown = read_film(SAMPLES / "film" / "big_buck_bunny.mp4")
    return to_lab(shown.frames[even_windows(shown, frames=6, most=4)])


def test_softmax_is_ahead_of_every_other_model_on_a_film_that_none_has_seen():
    lab, models = film(), shipped_color_models()
    errors = {name: measure_colors(model, lab, (0,))[0].relative_error for name, model in models.items()}
    assert min(errors, key=errors.get) == "softmax"
    softmax = colors_of_clips(models["softmax"], lab, (0,))
    assert softmax["relative_error_moving"] < softmax["baselines"]["same place"]["relative_error_moving"]


@every_model
def test_hue_cannot_be_told_from_gray(name):
    """A model has no memory of hues: turning all colors by 90° turns its answer, and its error stays."""
    model, lab = load_model(FOLDER / f"{name}.safetensors"), film()
    turned = torch.stack([lab[:, 0], -lab[:, 2], lab[:, 1]], dim=1)
    plain, _ = measure_colors(model, lab, (0,))
    after, _ = measure_colors(model, turned, (0,))
    assert after.relative_error == pytest.approx(plain.relative_error, abs=1e-4)


def test_a_scene_that_stands_still_is_colored_by_its_own_place():
    lab = film()[:, :, :1].expand(-1, -1, 3, -1, -1)
    errors = baseline_errors(lab, load_model(FOLDER / "softmax.safetensors").config.grid, (0,))
    assert errors["same place"].max() == 0
