"""The ClipPicker: a clip for the explorers from the samples, a path or an upload; a message if it fails."""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import anywidget
import ipywidgets
import torch
import traitlets

from linvid_edu.figures.plots import Picture, film_strip
from linvid_edu.figures.plots.picture import number
from linvid_edu.files import materials
from linvid_edu.video.clip import Clip
from linvid_edu.video.opening import VideoError, VideoWarning
from linvid_edu.video.reading import VideoFacts, load_clip, video_facts
from linvid_edu.video.samples import load_manifest

from .controls import LiveFigure
from .frontend import front_end
from .panel import Panel, html_list, side_by_side

UPLOAD_BYTES = 50_000_000
SOURCES = ("sample", "path", "upload")


@runtime_checkable
class Shows(Protocol):
    """What a picker can feed: anything that shows a clip."""

    def show(self, clip: Clip) -> Any:
        """Show another clip, or raise ValueError with the reason why it cannot."""


def read_upload(name: str, data: bytes, *, num_frames: int, size: int) -> tuple[Clip, VideoFacts]:
    """Decode an uploaded video through a temporary file, which is deleted afterwards.

    Args:
        name: Name of the file on the learner's computer; it is shown and never used as a path.
        data: Bytes of the file, at most 50 MB.
        num_frames, size: As in ``load_clip``.

    Returns:
        The clip, whose source is the name, and the length of the video.

    Raises:
        VideoError: The file is too large or cannot be decoded; the message has its name.
    """
    if len(data) > UPLOAD_BYTES:
        raise VideoError(too_large(name, len(data)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "upload")
        path.write_bytes(data)
        try:
            clip, facts = load_clip(path, num_frames=num_frames, size=size), video_facts(path)
        except VideoError as error:
            raise VideoError(str(error).replace(str(path), name)) from error
    return replace(clip, source=name), facts


def too_large(name: str, size: int) -> str:
    """Return the message that a file is above the limit, and what to do."""
    return (
        f"{name} has {size / 1e6:,.1f} MB, the limit of an upload is {UPLOAD_BYTES / 1e6:.0f} MB: "
        "cut or convert it, or copy it beside the notebook and give its path"
    )


def describe_clip(clip: Clip, facts: VideoFacts) -> list[str]:
    """Describe how long a video is and how a clip was sampled from it."""
    t, h, w, _ = clip.frames.shape
    rate = number(facts.frames / facts.seconds)
    lines = [
        Path(clip.source).name,
        f"Video: {number(facts.seconds)} s, {facts.frames:,} frames, {rate} a second on average.",
        f"Clip: {t} {'frame' if t == 1 else 'frames'}, at the centers of {t} equal stretches of time, each {h} × {w}"
        " pixels, cut from the center.",
    ]
    if clip.repeated:
        lines.append(f"The video has too few frames: {clip.repeated} of the {t} repeat the one before.")
    return lines


class Upload(anywidget.AnyWidget):
    """A file chooser that sends the file in pieces.

    Args:
        on_file: Function that takes the name and the bytes of a file that arrived.
        on_error: Function that takes a message about a file that did not.
    """

    _esm = front_end("upload.js")
    limit = traitlets.Int(UPLOAD_BYTES).tag(sync=True)

    def __init__(self, on_file: Any, on_error: Any) -> None:
        super().__init__()
        self._on_file, self._on_error = on_file, on_error
        self._name, self._size, self._pieces = "", 0, bytearray()
        self.on_msg(lambda _, message, buffers: self.receive(message, buffers))

    def receive(self, message: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Handle one message from the browser: the start of a file, a piece of it, or its end."""
        if message["kind"] == "start":
            self._name, self._size, self._pieces = str(message["name"]), int(message["size"]), bytearray()
            if self._size > self.limit:
                self._on_error(too_large(self._name, self._size))
        elif message["kind"] == "piece" and len(self._pieces) <= self.limit:
            self._pieces += b"".join(bytes(buffer) for buffer in buffers)
        elif message["kind"] == "end":
            data, self._pieces = bytes(self._pieces), bytearray()
            if len(data) == self._size:
                self._on_file(self._name, data)
            else:
                self._on_error(f"{self._name} arrived with {len(data):,} of {self._size:,} bytes: upload it again")


class ClipPicker(Panel):
    """Choose a clip, see its frames and how it was sampled, and feed it to other widgets: ``picker.feeds(explorer)``.

    Args:
        num_frames: Number of frames, t, 1 to 64.
        size: Height and width in pixels, 8 to 448.
        path: Path of the first video; None starts with the first sample clip.
        samples: Folder of the sample clips with their manifest; None is that of the course.

    Attributes:
        clip: The clip that was read last, a trait to observe; None before the first.
    """

    clip = traitlets.Instance(Clip, allow_none=True)

    def __init__(
        self,
        *,
        num_frames: int = 16,
        size: int = 224,
        path: str | Path | None = None,
        samples: str | Path | None = None,
    ) -> None:
        self._samples = Path(samples) if samples is not None else materials().data_samples
        self._uploaded: tuple[str, bytes] | None = None
        self._facts: VideoFacts | None = None
        self.source = ipywidgets.ToggleButtons(options=SOURCES, value="path" if path else "sample")
        self.sample = ipywidgets.Dropdown(
            options=self._sample_options(), description="sample clip", **_placed("min(100%, 38em)")
        )
        self.path = ipywidgets.Text(
            str(path or ""),
            description="path",
            placeholder="clip.mp4, then Enter",
            continuous_update=False,
            **_placed("min(100%, 38em)"),
        )
        self.upload = Upload(self._receive, self.report)
        self.num_frames = ipywidgets.BoundedIntText(num_frames, min=1, max=64, description="frames", **_placed("13em"))
        self.size = ipywidgets.BoundedIntText(size, min=8, max=448, step=8, description="pixels", **_placed("13em"))
        self._about, self._strip = ipywidgets.HTML(), LiveFigure()
        super().__init__(
            [
                side_by_side(self.source, self.num_frames, self.size),
                *(self.sample, self.path, self.upload),
                *(self._about, self._strip),
            ]
        )
        self.source.observe(lambda _: self._choose(), names="value")
        for control in (self.sample, self.path, self.num_frames, self.size):
            control.observe(lambda _: self.load(), names="value")
        self._choose()

    def _sample_options(self) -> list[tuple[str, str]]:
        """Return a label for each sample clip of the manifest, and its file."""
        try:
            clips = load_manifest(self._samples)["clips"]
        except FileNotFoundError:
            return []
        return [(f"{Path(clip['file']).stem.replace('_', ' ')} · {clip['class']}", clip["file"]) for clip in clips]

    def _choose(self) -> None:
        """Show only the control of the chosen source, and read the clip that it names."""
        for name, control in zip(SOURCES, (self.sample, self.path, self.upload), strict=True):
            control.layout.display = None if name == self.source.value else "none"
        self.load()

    def _receive(self, name: str, data: bytes) -> None:
        self._uploaded = name, data
        self.load()

    def feeds(self, explorer: Shows) -> None:
        """Show the clip in another widget, now and whenever it changes.

        Args:
            explorer: Object with a method ``show(clip)``; if that raises ValueError, this widget shows the message.
        """

        def show(clip: Clip | None) -> None:
            try:
                if clip is not None:
                    explorer.show(clip)
            except ValueError as error:
                self.report(str(error))

        self.observe(lambda change: show(change.new), names="clip")
        show(self.clip)

    def load(self) -> None:
        """Read the chosen clip; if that fails, say why and keep the previous clip."""
        self.report("")
        sampling = {"num_frames": self.num_frames.value, "size": self.size.value}
        try:
            with warnings.catch_warnings(record=True) as damage:
                warnings.simplefilter("always", VideoWarning)
                if self.source.value == "upload" and self._uploaded:
                    clip, self._facts = read_upload(*self._uploaded, **sampling)
                elif path := self._path():
                    clip, self._facts = load_clip(path, **sampling), video_facts(path)
                else:
                    return
        except VideoError as error:
            self.report(f"{error}.")
            return
        self._about.value = html_list(describe_clip(clip, self._facts))
        self._strip.draw(film_strip(clip.frames, times=clip.times))
        self.clip = clip
        for warning in damage:
            text = str(warning.message).partition(": ")[2]  # an upload has a temporary path
            self.report(f"{Path(clip.source).name}: {text}.")

    def _path(self) -> str | Path | None:
        """Return the file of the chosen sample or path; None if neither is chosen."""
        if self.source.value == "sample" and not self.sample.options:
            self.report(
                f"{self._samples} has no sample clips: choose a path, or write them there with `linvid samples`."
            )
        if self.source.value == "sample" and self.sample.value:
            return self._samples / self.sample.value
        return self.path.value.strip() or None if self.source.value == "path" else None

    def snapshot(self) -> Picture:
        """Draw the frames of the clip as a static picture; one gray frame if there is no clip yet."""
        if self.clip is None or self._facts is None:
            return film_strip(torch.full((1, 32, 32, 3), 128, dtype=torch.uint8), title="no clip yet")
        picture = film_strip(self.clip.frames, times=self.clip.times, title=Path(self.clip.source).name)
        return Picture(picture.figure, " ".join([picture.alt, *describe_clip(self.clip, self._facts)[1:]]))


def _placed(width: str) -> dict[str, Any]:
    """Return style and layout for one control; two controls cannot share a layout, since hiding one would hide both."""
    return {"style": {"description_width": "7em"}, "layout": ipywidgets.Layout(width=width)}
