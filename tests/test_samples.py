"""The sample clips in the repository agree with their manifest, and can be made again."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from linvid_edu.video.samples import (
    SAMPLES,
    encode,
    load_manifest,
    render_sample,
    sample_scene,
    write_samples,
)

pytestmark = pytest.mark.slow

av = pytest.importorskip("av")

FOLDER = Path(__file__).parents[1] / "data_samples"
MANIFEST = load_manifest(FOLDER)
CLIPS = {Path(clip["file"]).stem: clip for clip in MANIFEST["clips"]}


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory):
    pytest.importorskip("skimage")
    folder, told = tmp_path_factory.mktemp("samples"), []
    paths = write_samples(folder / "new", progress=told.append)
    assert paths == told
    return paths


def test_manifest_lists_the_samples_and_the_folder_holds_them():
    assert list(CLIPS) == [sample.name for sample in SAMPLES]
    assert len(CLIPS) >= 10
    assert {clip["scene"] for clip in CLIPS.values()} == {"cue match", "motion"}
    assert sorted(path.name for path in FOLDER.glob("*.mp4")) == sorted(clip["file"] for clip in CLIPS.values())


@pytest.mark.parametrize("name", CLIPS)
def test_files_agree_with_the_manifest(name):
    clip, path = CLIPS[name], FOLDER / CLIPS[name]["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == clip["sha256"]
    assert path.stat().st_size <= 200_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == clip["fps"]
    assert decode(path).shape == (clip["frames"], clip["size"], clip["size"], 3)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_manifest_agrees_with_the_scene_rendered_again(sample):
    clip = CLIPS[sample.name]
    assert sample_scene(clip) == sample.scene
    assert (clip["seed"], clip["photograph"]) == (sample.seed, sample.photograph)
    if sample.photograph is not None:
        pytest.importorskip("skimage")
    scenes = render_sample(sample)
    assert clip["label"] == int(scenes.label)
    assert clip["class"] == sample.scene.classes[clip["label"]]
    task, *words = sample.name.split("_")
    assert set(words[: {"cue": 2, "motion": 1}[task]]) <= set(clip["class"].split())
    assert clip["roles"] == list(scenes.roles)
    np.testing.assert_allclose(clip["boxes"], scenes.boxes[0].numpy(), atol=0.0051)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_files_show_the_scene(sample):
    if sample.photograph is not None:
        pytest.importorskip("skimage")
    shown = decode(FOLDER / f"{sample.name}.mp4").astype(float)
    difference = np.abs(shown - render_sample(sample).frames[0].numpy())
    assert difference.mean() < 8  # most of it is pixel noise that the codec smooths


def test_rewritten_files_have_the_same_frames(rewritten):
    for path in rewritten[:-1]:
        np.testing.assert_array_equal(decode(path), decode(FOLDER / path.name))
    assert not list(rewritten[0].parent.glob("*.part"))


def test_rewritten_files_have_the_same_bytes(rewritten):
    if {name: version(name) for name in MANIFEST["made_with"]} != MANIFEST["made_with"]:
        pytest.skip("other versions than those in the manifest")
    for path in rewritten:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_encoding_is_repeatable():
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    assert encode(frames, 8) == encode(frames, 8)


def test_a_folder_without_manifest_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="linvid samples"):
        load_manifest(tmp_path)
