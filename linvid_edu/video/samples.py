"""The sample clips in ``data_samples``: rendered scenes as H.264 files, and a manifest of all that is known."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scenes import CueMatch, Motion, SceneConfig, Scenes, render

MANIFEST = "manifest.json"
FPS = 12
FAMILIES: dict[str, type[SceneConfig]] = {"cue match": CueMatch, "motion": Motion}
# what decides the bytes of the files, by the names of the packages
MAKERS = ("av", "numpy", "scikit-image")


class Sample(NamedTuple):
    """How one sample clip is made.

    Args:
        name: of the file, without its ending.
        config: the family of scenes and its knobs.
        seed: of the clip, chosen by eye so that its class is the one in the name and its objects stand apart.
        photograph: the picture behind it, a name in ``skimage.data``; None for gray or noise.
    """

    name: str
    config: SceneConfig
    seed: int
    photograph: str | None = None


def _cue(clutter: float = 0.0, distractors: int = 3, hard: bool = False) -> CueMatch:
    return CueMatch(frames=24, size=128, clutter=clutter, distractors=distractors, noise=0.02, hard=hard)


def _motion(clutter: float = 0.0, distractors: int = 2) -> Motion:
    return Motion(frames=24, size=128, clutter=clutter, distractors=distractors, noise=0.02)


SAMPLES = (
    Sample("cue_white_appears_plain", _cue(), 1439),
    Sample("cue_white_disappears_photo", _cue(0.7), 1052, "coffee"),
    Sample("cue_black_appears_photo", _cue(0.8), 1158, "chelsea"),
    Sample("cue_black_disappears_hard", _cue(0.8, 5, hard=True), 1433, "grass"),
    Sample("motion_left_photo", _motion(0.8), 789, "coffee"),
    Sample("motion_right_plain", _motion(), 305),
    Sample("motion_up_photo", _motion(0.8), 1180, "rocket"),
    Sample("motion_down_noise", _motion(0.7), 1260),
    Sample("motion_approaches_photo", _motion(0.9), 575, "hubble_deep_field"),
    Sample("motion_recedes_photo", _motion(0.7), 1277, "gravel"),
    Sample("motion_clockwise_plain", _motion(), 862),
    Sample("motion_counterclockwise_photo", _motion(0.8), 9, "chelsea"),
)


def write_samples(folder: Path, progress: Callable[[Path], None] | None = None) -> list[Path]:
    """Render and encode every sample clip, and write the manifest.

    The frames are the same on every run; the bytes are the same with the versions named in the manifest. Each file is
    written beside its place and moved there whole.

    Args:
        folder: where to; it is made if it is missing, and files of the same names are replaced.
        progress: called with the path of each file once it is written.

    Returns:
        The written paths, the manifest last.

    Raises:
        ModuleNotFoundError: PyAV or scikit-image is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, clips = [], []
    for sample in SAMPLES:
        scenes = render_sample(sample)
        data = encode(scenes.frames[0].numpy(), FPS)
        path = folder / f"{sample.name}.mp4"
        clips.append(_entry(sample, scenes, path.name, data))
        paths.append(_replace(path, data, progress))
    about = json.dumps({name: version(name) for name in MAKERS})
    lines = ",\n".join(json.dumps(clip) for clip in clips)
    manifest = f'{{"made_with": {about},\n"clips": [\n{lines}\n]}}\n'
    return [*paths, _replace(folder / MANIFEST, manifest.encode(), progress)]


def load_manifest(folder: Path) -> dict[str, Any]:
    """Read what is known about the sample clips of a folder.

    Args:
        folder: one that ``write_samples`` has filled.

    Returns:
        ``made_with`` (package → version) and ``clips``, a list with, for each: file, sha256, family, config, seed,
        photograph, label, class, fps, frames, size, roles, and boxes: x0, y0, x1, y1 in pixels [frame][object].

    Raises:
        FileNotFoundError: the folder has no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}: write the sample clips there with `linvid samples`")
    return json.loads(path.read_text(encoding="utf-8"))


def sample_config(clip: dict[str, Any]) -> SceneConfig:
    """The configuration that one entry of the manifest was rendered with."""
    return FAMILIES[clip["family"]](**clip["config"])


def render_sample(sample: Sample) -> Scenes:
    """Render one sample clip, (1 t h w 3).

    Raises:
        ModuleNotFoundError: the sample needs a photograph and scikit-image is not installed.
    """
    photographs = None if sample.photograph is None else _photograph(sample.photograph)[None]
    return render(sample.config, count=1, seed=sample.seed, photographs=photographs)


def _photograph(name: str) -> NDArray[np.uint8]:
    try:
        from skimage import data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the photographs come with scikit-image, which is not installed: pip install scikit-image", name="skimage"
        ) from error
    picture = np.asarray(getattr(data, name)())
    return np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture


def encode(frames: NDArray[np.uint8], fps: int) -> bytes:
    """Encode frames as H.264 in an MP4 container, with one thread and fixed settings.

    Args:
        frames: RGB, 0 to 255, (t h w 3), height and width even.
        fps: frames per second, at least 1.

    Returns:
        The bytes of the file: yuv420p, constant rate factor 16, a key frame at least every second.
    """
    import av
    from av.video.reformatter import Colorspace, Interpolation

    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "slow", "g": str(fps)})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, fps)
        stream.codec_context.colorspace = Colorspace.SMPTE170M
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, interpolation=exact)
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _entry(sample: Sample, scenes: Scenes, file: str, data: bytes) -> dict[str, Any]:
    label = int(scenes.label[0])
    return {
        "file": file,
        "sha256": hashlib.sha256(data).hexdigest(),
        "family": next(name for name, family in FAMILIES.items() if isinstance(sample.config, family)),
        "config": asdict(sample.config),
        "seed": sample.seed,
        "photograph": sample.photograph,
        "label": label,
        "class": sample.config.classes[label],
        "fps": FPS,
        "frames": sample.config.frames,
        "size": sample.config.size,
        "roles": scenes.roles,
        "boxes": np.round(scenes.boxes[0].numpy().astype(float), 2).tolist(),
    }


def _replace(path: Path, data: bytes, progress: Callable[[Path], None] | None) -> Path:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
    if progress is not None:
        progress(path)
    return path
