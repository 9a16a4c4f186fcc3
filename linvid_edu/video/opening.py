"""Find and open a video: a file, of which the stream that players show, or a folder of numbered pictures."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .damage import DEFAULT_FPS
from .frame_reader import Unreliable, packets_of
from .picture_folders import picture_files
from .timeline import Timeline

File = str | os.PathLike

QUOTES = "\"'“”‘’`"


class VideoError(ValueError):
    """A video cannot be read; the message names the file, the problem and what to do."""


class VideoWarning(UserWarning):
    """A video is read, but parts of it are damaged; the message names the file and the times."""


def existing_path(path: File) -> Path:
    """Return the path of a file or folder, also if it is written with quotes, with ~ or in another Unicode form."""
    if Path(path).exists():
        return Path(path)
    bare = Path(os.fspath(path).strip().strip(QUOTES))
    for other in (bare, Path(os.path.expanduser(bare))):
        if str(bare) != "." and other.exists():
            return other
        for form in ("NFC", "NFD"):
            composed = Path(unicodedata.normalize(form, str(other)))
            if str(bare) != "." and composed.exists():
                return composed
    return Path(path)


def printable(path: File) -> str:
    """Return a path as text that can be printed and encoded, also if it is not UTF-8."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


def check_file(path: Path) -> None:
    """Raise VideoError unless the path is a local file with content, or a folder of numbered pictures."""
    name = printable(path)
    if path.is_symlink() and not path.exists():
        target = printable(os.readlink(path))
        raise VideoError(f"{name}: a link to {target}, which does not exist: correct the link, or copy the file")
    if not path.exists():
        raise VideoError(f"{name}: no such file: check the path; a video on the web must be downloaded first")
    if path.is_dir():
        if not picture_files(path):
            raise VideoError(
                f"{name}: this is a folder or a device, not a file: name one video in it, or a folder whose pictures "
                "are numbered, such as 00001.jpg"
            )
    elif not path.is_file():
        raise VideoError(f"{name}: this is a folder or a device, not a file: name one video in it")
    elif not path.stat().st_size:
        raise VideoError(f"{name}: the file is empty (0 bytes): download or copy it again")


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and the video stream that players show.

    FFmpeg gets bytes without a file name, because it would read a .txt file as ASCII art and a name with % as a
    sequence of files. It may open no other file and no address.
    """
    with _container(path) as container:
        if not container.streams:
            raise Unreliable("the file has no streams")
        moving = _moving_streams(container)
        if not moving:
            kinds = ", ".join(stream.type for stream in container.streams)
            raise VideoError(
                f"{printable(path)}: no video in it except a cover picture (streams: {kinds}): choose a video"
            )
        if len(moving) == 1:
            yield container, moving[0]
            return
        index = _shown_stream(container, moving)
    with _container(path) as container:  # from its start again
        yield container, next(stream for stream in container.streams.video if stream.index == index)


@contextmanager
def _container(path: Path) -> Iterator[InputContainer]:
    safe = {"protocol_whitelist": "none"}
    with open(path, "rb") as file:
        nameless: Any = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)
        with av.open(nameless, container_options=safe, metadata_errors="replace") as container:
            yield container


def _moving_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are not cover pictures."""
    videos = [stream for stream in container.streams.video if stream.codec_context]
    return [stream for stream in videos if not stream.disposition & stream.disposition.attached_pic]


def _shown_stream(container: InputContainer, moving: Sequence[VideoStream]) -> int:
    """Return the index of the stream that players show: FFmpeg's choice, but no single frame beside a film."""
    best = container.streams.best("video")
    usual = best.index if best is not None and best.index in [stream.index for stream in moving] else moving[0].index
    counts = {stream.index: 0 for stream in moving}
    for packet in packets_of(container):
        if packet.stream_index in counts and packet.size:
            counts[packet.stream_index] += 1
            if counts[usual] > 1:
                return usual
    return usual if counts[usual] > 1 else max(counts, key=lambda index: counts[index])


def picture_timeline(folder: Path) -> Timeline:
    """Return the timeline of a folder of numbered pictures, which are taken to be shown 25 a second."""
    times = np.arange(len(picture_files(folder))) / DEFAULT_FPS
    return Timeline(times, None, np.zeros((0, 2)), len(times) / DEFAULT_FPS, breaks_off=False)


def decode_pictures(folder: Path, numbers: Iterable[int] | None = None) -> Iterator[VideoFrame]:
    """Decode pictures of a folder, in the order of their numbers.

    Args:
        folder: Folder of numbered pictures.
        numbers: Positions of the pictures, from 0; None means all.

    Raises:
        VideoError: A picture cannot be decoded.
    """
    files = picture_files(folder)
    for number in range(len(files)) if numbers is None else numbers:
        try:
            with opened_video(files[number]) as (container, stream):
                frame = next(container.decode(stream))
        except (Unreliable, av.FFmpegError, StopIteration) as error:
            raise VideoError(
                f"{printable(files[number])}: not a readable picture: replace it, or remove it from its folder"
            ) from error
        yield frame
