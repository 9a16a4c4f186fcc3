"""Data flows one way: a module imports only modules before it, and only the packages it is allowed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "linvid_edu"

# in import order: module → the modules of this package that it may import. README shows it as a map.
ALLOWED = {
    "shapes": (),
    "files": (),
    "check": (),
    "materials": (),
    "clip": ("shapes",),
    "timeline": (),
    "video": ("clip", "timeline"),
    "scenes": ("clip", "shapes"),
    "samples": ("scenes", "files"),
    "tokens": ("shapes",),
    "attention": ("shapes",),
    "cost": ("attention",),
    "fixation": ("shapes", "tokens"),
    "layers": ("attention", "fixation", "shapes", "tokens"),
    "rivals": ("attention", "fixation", "layers", "shapes", "tokens"),
    "model": ("attention", "fixation", "layers", "rivals", "shapes", "tokens"),
    "official": ("model", "tokens"),
    "checkpoint": ("files", "model"),
    "trace": ("attention", "fixation", "layers", "model", "shapes", "tokens"),
    "streaming": ("attention", "fixation", "layers", "model", "rivals", "shapes", "tokens"),
    "interventions": ("attention", "fixation", "layers", "model", "shapes", "tokens"),
    "concentration": ("shapes",),
    "tasks": ("model", "rivals", "scenes", "shapes", "tokens"),
    "layouts": (),
    "decoding": ("layouts", "video"),
    "folders": ("clip", "decoding", "layouts", "model", "tasks", "tokens"),
    "fitting": ("model", "scenes", "tasks", "tokens"),
    "devices": (),
    "train": ("devices", "fitting", "folders", "layers", "model", "tasks"),
    "evaluate": ("concentration", "model", "scenes", "shapes", "tasks", "tokens", "trace"),
    "provenance": (),
    "resume": ("checkpoint", "model", "train"),
    "claim": (),
    "runs": ("checkpoint", "claim", "evaluate", "files", "model", "provenance", "resume", "tasks", "train"),
    "seeds": ("model", "shapes", "tasks", "train"),
    "grid": ("runs", "train"),
    "sweep": ("claim", "grid", "materials", "runs", "train"),
    "results": ("files", "runs"),
    "cause": (
        "checkpoint",
        "concentration",
        "evaluate",
        "files",
        "interventions",
        "model",
        "resume",
        "runs",
        "scenes",
        "shapes",
        "tasks",
        "trace",
        "train",
    ),
    "comparison": (),
    "blanks": ("cause", "comparison", "files", "interventions", "runs", "scenes", "shapes", "tasks"),
    "summary": ("comparison", "grid", "tasks"),
    "statements": ("comparison", "files", "summary"),
    "family": ("comparison", "files", "statements", "summary", "tasks"),
    "plots": ("check",),
    "report": ("comparison", "plots", "scenes", "summary", "tasks"),
    "environment": (),
    "stream": ("concentration", "files", "model", "plots", "streaming", "tokens", "video"),
    "explain": ("checkpoint", "clip", "concentration", "files", "model", "plots", "rivals", "tokens", "trace"),
    "widgets": (
        "attention",
        "checkpoint",
        "clip",
        "cost",
        "explain",
        "files",
        "interventions",
        "layers",
        "materials",
        "model",
        "plots",
        "rivals",
        "samples",
        "scenes",
        "shapes",
        "tasks",
        "tokens",
        "trace",
        "train",
        "video",
    ),
    "exercises": ("attention", "check", "fixation", "official", "tasks"),
    "course": ("materials", "video"),
    "book": ("course",),
    "lab": ("course", "exercises", "files", "materials"),
    "cli": (
        "book",
        "checkpoint",
        "claim",
        "comparison",
        "course",
        "devices",
        "evaluate",
        "explain",
        "files",
        "fitting",
        "folders",
        "grid",
        "lab",
        "model",
        "official",
        "results",
        "resume",
        "runs",
        "samples",
        "scenes",
        "stream",
        "sweep",
        "tasks",
        "tokens",
        "train",
        "video",
        "widgets",
    ),
}
# what each module may import from outside, beside the standard library; the core needs torch, einops and numpy alone
CORE = {"torch", "einops", "numpy", "jaxtyping"}
OUTSIDE = {
    "timeline": {"av"},
    "video": {"av"},
    "samples": {"av", "skimage"},
    "checkpoint": {"safetensors"},
    "devices": {"lightning_fabric"},
    "resume": {"safetensors"},
    "comparison": {"scipy"},
    "cost": {"scipy"},
    "sweep": {"dask", "distributed", "nbformat", "papermill"},
    "results": {"pandas"},
    "cause": {"pandas"},
    "blanks": {"pandas"},
    "summary": {"pandas"},
    "statements": {"pandas"},
    "family": {"pandas"},
    "report": {"pandas"},
    "plots": {"PIL", "matplotlib", "plotly"},
    "widgets": {"IPython", "anywidget", "ipywidgets", "plotly", "traitlets"},
    "exercises": {"ipywidgets", "pandas"},
    "environment": {"packaging"},
    "course": {"nbclient", "nbformat", "papermill"},
    "book": {"docutils", "latex2mathml", "nbformat", "plotly", "sphinx"},
    "lab": {"nbformat"},
    "cli": {"rich", "typer"},
}


def sources(module):
    path = PACKAGE / module
    return sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imports(module):
    """Return the modules of this package, and the outside packages, that a module imports anywhere."""
    inside, outside = set(), set()
    for path in sources(module):
        nested = path.parent != PACKAGE
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                if node.level == 1 and nested:
                    continue  # a sibling within the same package
                assert node.level == 1 + nested, f"{path.name} imports across folders"
                names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
                inside.update(name for name in names if not name.startswith("__"))
            elif isinstance(node, ast.ImportFrom):
                outside.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                outside.update(alias.name.split(".")[0] for alias in node.names)
    return inside, outside - set(sys.stdlib_module_names)


def test_the_table_names_every_module_in_import_order():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == set(ALLOWED)
    order = list(ALLOWED)
    for module, before in ALLOWED.items():
        assert all(order.index(name) < order.index(module) for name in before), module


@pytest.mark.parametrize("module", ALLOWED)
def test_imports_are_in_the_table(module):
    inside, outside = imports(module)
    assert inside <= set(ALLOWED[module])
    assert outside <= CORE | OUTSIDE.get(module, set())


def test_the_map_in_readme_is_the_table():
    readme = (ROOT / "README.md").read_text()
    lines = [line.split()[0] for line in readme.split("```text\n")[1].split("```")[0].splitlines() if line.strip()]
    assert lines == list(ALLOWED)


CORE_ALONE = """
import sys
allowed = {"torch", "einops", "numpy"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(name + " is not installed here")
BLOCKED = {"jaxtyping", "beartype", "av", "matplotlib", "plotly", "typer", "safetensors", "papermill", "nbconvert",
           "lightning_fabric", "distributed", "dask",
           "ipywidgets", "anywidget", "IPython", "latex2mathml", "skimage", "scipy", "PIL"}
sys.meta_path.insert(0, Refuse())
import torch
import linvid_edu
from linvid_edu import ModelConfig, VideoTransformer, record
from linvid_edu.scenes import CueMatch, render
import linvid_edu.official, linvid_edu.concentration, linvid_edu.check
from linvid_edu.train import TrainConfig, initialize, make_fabric, make_optimizer, train
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


def test_the_core_trains_with_torch_einops_and_numpy_alone():
    done = subprocess.run([sys.executable, "-c", CORE_ALONE], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
