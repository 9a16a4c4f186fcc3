"""The sample clips in ``data_samples``: rendered scenes as H.264 files, and a manifest that describes them."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linvid_edu.files import atomic_path

from .scenes import CueMatch, Motion, PictureScene, Scenes, render

MANIFEST = "manifest.json"
FPS = 12
SCENES: dict[str, type[PictureScene]] = {"cue match": CueMatch, "motion": Motion}
# packages whose versions determine the bytes of the files
ENCODING_PACKAGES = ("av", "numpy", "scikit-image")


class Sample(NamedTuple):
    """How one sample clip is made.

    Args:
        name: File name without extension.
        scene: Scene with its settings.
        seed: Seed of the clip, chosen by eye so that its class is the one in the name and its objects do not touch.
        photograph: Name of the background picture in ``skimage.data``; None for gray or noise.
    """

    name: str
    scene: PictureScene
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

    Every run gives the same frames, and the same bytes with the package versions in the manifest. Each file appears
    whole or not at all.

    Args:
        folder: Folder to write to. It is created if it is missing; files of the same names are replaced.
        progress: Function that is called with the path of each file after it is written.

    Returns:
        The written paths; the manifest comes last.

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
    about = json.dumps({name: version(name) for name in ENCODING_PACKAGES})
    lines = ",\n".join(json.dumps(clip) for clip in clips)
    manifest = f'{{"made_with": {about},\n"clips": [\n{lines}\n]}}\n'
    return [*paths, _replace(folder / MANIFEST, manifest.encode(), progress)]


def load_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder of sample clips.

    Args:
        folder: Folder that ``write_samples`` has filled.

    Returns:
        ``made_with`` (package → version) and ``clips``, a list with these keys for each clip: file, sha256, scene,
        settings, seed, photograph, label, class, fps, frames, size, roles, and boxes (x0, y0, x1, y1 in pixels, by
        frame and object).

    Raises:
        FileNotFoundError: The folder has no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}: write the sample clips there with `linvid samples`")
    return json.loads(path.read_text(encoding="utf-8"))


def sample_scene(clip: dict[str, Any]) -> PictureScene:
    """Return the scene from which a clip of the manifest was rendered."""
    return SCENES[clip["scene"]](**clip["settings"])


def render_sample(sample: Sample) -> Scenes:
    """Render one sample clip, (1 t h w 3).

    Raises:
        ModuleNotFoundError: The sample needs a photograph, and scikit-image is not installed.
    """
    photographs = None if sample.photograph is None else _photograph(sample.photograph)[None]
    return render(sample.scene, count=1, seed=sample.seed, photographs=photographs)


def _photograph(name: str) -> NDArray[np.uint8]:
    try:
        from skimage import data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the photographs need scikit-image, which is not installed: pip install scikit-image", name="skimage"
        ) from error
    picture = np.asarray(getattr(data, name)())
    return np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture


def encode(frames: NDArray[np.uint8], fps: int, *, preset: str = "slow") -> bytes:
    """Encode frames as H.264 in an MP4 container, with one thread and fixed settings.

    Args:
        frames: RGB values, 0 to 255, (t h w 3), with even height and width.
        fps: Frames per second, at least 1.
        preset: Speed of the encoder, such as "veryfast"; a slow one makes smaller files.

    Returns:
        Bytes of the file: yuv420p, constant rate factor 16, at least one keyframe per second.
    """
    import av
    from av.video.reformatter import Colorspace, Interpolation

    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": preset, "g": str(fps)})
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
        "scene": next(name for name, kind in SCENES.items() if isinstance(sample.scene, kind)),
        "settings": asdict(sample.scene),
        "seed": sample.seed,
        "photograph": sample.photograph,
        "label": label,
        "class": sample.scene.classes[label],
        "fps": FPS,
        "frames": sample.scene.frames,
        "size": sample.scene.size,
        "roles": scenes.roles,
        "boxes": np.round(scenes.boxes[0].numpy().astype(float), 2).tolist(),
    }


def _replace(path: Path, data: bytes, progress: Callable[[Path], None] | None) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    if progress is not None:
        progress(path)
    return path
