"""The core works where torch, einops and numpy are all that is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CORE_ALONE = """
import sys
allowed = {"torch", "einops", "numpy"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(name + " is not installed here")
BLOCKED = {"jaxtyping", "beartype", "av", "matplotlib", "plotly", "typer", "safetensors", "papermill", "nbconvert",
           "lightning_fabric", "filelock", "distributed", "dask",
           "ipywidgets", "anywidget", "IPython", "latex2mathml", "skimage", "scipy", "PIL"}
sys.meta_path.insert(0, Refuse())
import torch
import linvid_edu
from linvid_edu.models.config import ModelConfig
from linvid_edu.models.transformer import VideoTransformer
from linvid_edu.models.trace import record
from linvid_edu.video import augment, from_lab, virtual_clips
from linvid_edu.video.scenes import CueMatch, render
import linvid_edu.models.reference_weights, linvid_edu.attention.measures, linvid_edu.testing
from linvid_edu.training.config import TrainConfig
from linvid_edu.training.loop import initialize, make_optimizer, train
from linvid_edu.training.fabric import make_fabric
clips = virtual_clips(torch.rand(2, 3, 24, 24), count=2, size=16)
from_lab(augment(clips, torch.Generator(), curves=True))
scenes = render(CueMatch(), count=4, seed=0)
model = VideoTransformer(ModelConfig.compact(fixation="cooperative", association=True))
with record(model) as trace:
    model(scenes.video)
config = TrainConfig(task="lookup", preset="probe", steps=2)
fabric = make_fabric("cpu")
probe = initialize(VideoTransformer(config.model_config), seed=0)
probe, optimizer = fabric.setup(probe, make_optimizer(probe, config))
records = list(train(probe, optimizer, config.data.batches(seed=0, batch=8, stop=2), config, fabric))
print(trace.row(-1, 0, 0).shape, records[-1])
"""


@pytest.mark.slow
def test_the_core_trains_with_torch_einops_and_numpy_alone():
    done = subprocess.run([sys.executable, "-c", CORE_ALONE], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
